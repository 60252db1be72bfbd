"""Published architectures run unmodified, and every prediction is the model's own."""

import numpy as np
import pytest
import torch

import attribution_bench as ab
from parity import assert_parity, brute_force, one_hot
from real_architectures import ARCHITECTURES


def compare(name: str, dtype: torch.dtype, tolerance: float) -> None:
    """Compare every position, letter and output with full passes in float64; a fallback's warning is an error."""
    architecture = ARCHITECTURES[name]
    module = architecture.build().to(dtype)
    x = one_hot(2, 4, architecture.length, seed=3)
    generator = torch.Generator().manual_seed(4)
    extras = tuple(torch.rand((2, *shape), generator=generator, dtype=dtype) for shape in architecture.extras)
    result = ab.get_method("fastism")(module).attribute(
        x.astype(np.float64 if dtype == torch.float64 else np.float32), target="all", additional_forward_args=extras
    )
    truth = brute_force(module.double(), x, tuple(extra.double() for extra in extras))
    assert all(np.ptp(expected, axis=(1, 2)).max() > 0 for expected in truth.values())
    assert_parity(dict(result.predictions), truth, tolerance)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_position_in_float64(name: str) -> None:
    compare(name, torch.float64, 1e-10)


PUBLISHED = (
    "BPNet with controls", "ChromBPNet", "SpliceAI, cropped by padding", "Enformer", "Borzoi", "LegNet", "Malinois",
    "Sei", "ProCapNet", "DragoNNFruit", "ESM",
)  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_position_in_float32(name: str) -> None:
    compare(name, torch.float32, 1e-5)
