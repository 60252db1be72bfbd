"""Matrix products by either library: the same numbers, and oneDNN only where it is faster."""

import platform
from pathlib import Path

import pytest
import torch

from attribution_bench_plugins.fastism.values import matrix_product as module
from attribution_bench_plugins.fastism.values.matrix_product import LEAST_MACS, ONE_DNN, matrix_product

pytestmark = pytest.mark.skipif(not hasattr(torch.ops.mkldnn, ONE_DNN), reason="this PyTorch has no oneDNN")


@pytest.mark.parametrize("one_dnn", [False, True])
@pytest.mark.parametrize("shape", [(300, 260), (5, 60, 3, 260), (0, 260), (300, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_of_rows_of_a_matrix(
    shape: tuple[int, ...], dtype: torch.dtype, one_dnn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a matrix from the third on, as dense layers of flattened positions take them."""
    monkeypatch.setattr(module, "_one_dnn_is_faster", lambda: one_dnn)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, dtype=dtype, generator=generator)
    matrix = torch.randn(300, 256, dtype=dtype, generator=generator)[2 : 2 + shape[-1]]
    assert shape[0] * shape[-1] == 0 or x.numel() * 256 >= LEAST_MACS
    found = matrix_product(x, matrix)
    expected = torch.einsum("...i,io->...o", x.double(), matrix.double())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-4 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize(
    ("capability", "vendor", "faster"),
    [("AVX512", "AuthenticAMD", True), ("AVX512", "GenuineIntel", False), ("AVX2", "AuthenticAMD", False)],
)
def test_one_dnn_where_mkl_leaves_the_widest_vectors_unused(
    capability: str, vendor: str, faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in (torch.backends.mkl, torch.backends.mkldnn):
        monkeypatch.setattr(library, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as on systems that list no processors in a file
    monkeypatch.setattr(platform, "processor", lambda: f"AMD64 Family 25 Model 97, {vendor}")
    assert module._one_dnn_is_faster.__wrapped__() is faster
