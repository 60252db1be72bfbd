"""Convolution algorithms: all give the same numbers on windows, and the cheapest is chosen by fixed costs."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import attribution_bench as ab
from attribution_bench_plugins.fastism.convolution.algorithm import ConvolutionAlgorithm
from attribution_bench_plugins.fastism.convolution.blocked_toom_cook import CompiledBlockedToomCook
from attribution_bench_plugins.fastism.convolution.choice import ALGORITHMS, cheapest
from attribution_bench_plugins.fastism.convolution.overlap_add import OverlapAdd
from attribution_bench_plugins.fastism.convolution.toom_cook import PolyphaseToomCook
from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution
from fastism_models import LENGTH, build, chain
from parity import assert_parity, brute_force, one_hot

MODELS = (
    "dilated first layer",
    "padded and cropped unevenly",
    "residual, two heads",
    "valid with crop",
    "reverse complement",
)


OF_ANY_LENGTH = [algorithm for algorithm in ALGORITHMS if algorithm is not CompiledBlockedToomCook]


@pytest.mark.parametrize("algorithm", OF_ANY_LENGTH, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_algorithms_agree_with_full_passes(
    name: str,
    algorithm: type[ConvolutionAlgorithm],
    dtype: torch.dtype,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = []

    def choose(available: Sequence[ConvolutionAlgorithm], source: int, width: int) -> ConvolutionAlgorithm:
        wanted = [each for each in available if isinstance(each, algorithm)]
        taken.extend(wanted)
        return wanted[0] if wanted else cheapest(available, source, width)

    monkeypatch.setattr(LinearConvolution, "choose_algorithm", staticmethod(choose))
    module, x = build(name).to(dtype), one_hot(2, 4, LENGTH)
    found = ab.get_method("fastism")(module).attribute(x, target="all")
    assert_parity(dict(found.predictions), brute_force(module.double(), x), tolerance)
    assert taken or (name == "dilated first layer" and algorithm.name in ("Toom-Cook kernel", "overlap-add kernel"))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("kernel", "dilation"), [(21, 1), (19, 4), (41, 3)])
def test_long_kernels_on_what_a_crop_reads(
    kernel: int, dilation: int, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocked algorithm, on windows that are cut to the middle, and on those that reach over either end."""
    taken = []

    def choose(available: Sequence[ConvolutionAlgorithm], source: int, width: int) -> ConvolutionAlgorithm:
        blocked = [each for each in available if isinstance(each, CompiledBlockedToomCook)]
        taken.extend(blocked)
        return blocked[0] if blocked else cheapest(available, source, width)

    monkeypatch.setattr(LinearConvolution, "choose_algorithm", staticmethod(choose))
    padding = kernel // 2 * dilation
    first, second = (nn.Conv1d(8, 8, kernel, padding=padding, dilation=dilation) for _ in range(2))
    module = chain(
        nn.Conv1d(4, 8, 3, padding=1),
        first,
        nn.BatchNorm1d(8),
        nn.ReLU(),
        second,
        nn.ReLU(),
        nn.ConstantPad1d((-50, -60), 0),
    )
    module, x = module.to(dtype).eval(), one_hot(1, 4, 150)
    found = ab.get_method("fastism")(module).attribute(x, target="all")
    assert_parity(dict(found.predictions), brute_force(module.double(), x), tolerance)
    assert taken


def test_wide_layers_take_few_products() -> None:
    """A small second layer of Basset takes the Toom-Cook convolution."""
    module = chain(nn.Conv1d(4, 96, 7, padding=3), nn.ReLU(), nn.Conv1d(96, 96, 7, padding=3), nn.ReLU(), nn.Flatten())
    explanation = ab.get_method("fastism")(module.eval()).explain(60)
    (second,) = (layer for layer in explanation.layers if layer.layer == "2: conv1d_1")
    assert second.products_fast == 16 * 96 * 96 < 7 * 7 * 96 * 96


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_toom_cook_is_not_for_element_types_with_few_digits(dtype: torch.dtype) -> None:
    module = chain(nn.Conv1d(4, 96, 7, padding=3), nn.ReLU(), nn.Conv1d(96, 96, 7, padding=3), nn.Flatten())
    layers = ab.get_method("fastism")(module.to(dtype).eval()).explain(60).layers
    assert layers[2].products_fast == 7 * 7 * 96 * 96


@pytest.mark.parametrize("dilation", [1, 2, 3, 8, 50])
@pytest.mark.parametrize("kernel", [1, 2, 3, 11])
@pytest.mark.parametrize("width", [1, 3, 7, 17, 40, 101, 150])
def test_polyphase_decomposition_of_any_width(width: int, kernel: int, dilation: int) -> None:
    """Two rows: phases of one tile and of several, phases of two lengths, and many phases."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, width, 4, dtype=torch.float64, generator=generator)
    taps = torch.randn(kernel, 4, 5, dtype=torch.float64, generator=generator)
    reach = (kernel - 1) * dilation
    expected = F.conv1d(x.transpose(1, 2), taps.flip(0).permute(2, 1, 0), padding=reach, dilation=dilation)
    found = PolyphaseToomCook(taps, dilation)(x)
    np.testing.assert_allclose(found, expected.transpose(1, 2), rtol=0, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize(
    "head", [nn.ConvTranspose1d(6, 1, 7, padding=3), nn.ConvTranspose1d(6, 2, 3, 4), nn.Conv1d(6, 2, 9, dilation=2)]
)
@pytest.mark.parametrize("length", [23, 32, 60])
def test_overlap_add_by_tiles_for_heads_of_few_channels(
    head: nn.Module, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(available: Sequence[ConvolutionAlgorithm], source: int, width: int) -> ConvolutionAlgorithm:
        (overlap_add,) = (each for each in available if isinstance(each, OverlapAdd))
        return overlap_add

    monkeypatch.setattr(LinearConvolution, "choose_algorithm", staticmethod(choose))
    module, x = chain(nn.Conv1d(4, 6, 5, padding=2), nn.ReLU(), head).double(), one_hot(2, 4, length)
    found = ab.get_method("fastism")(module).attribute(x, target="all")
    assert_parity(dict(found.predictions), brute_force(module, x), 1e-10)
