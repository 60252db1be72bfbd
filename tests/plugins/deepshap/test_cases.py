"""Every kind of operation in both frameworks: scores add up, agree, and ignore what the operation ignores."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from attribution_bench.models import as_sequence_model
from attribution_bench_plugins.deepshap import DeepSHAP
from deeplift_cases import CASES, CHANNELS, LENGTH, TorchCases, keras_cases

NAMES = list(CASES)
BOUNDED = [
    name
    for name in NAMES
    if name not in ("power", "sigmoid by hand", "softmax by hand", "exponential of log softmax", "logarithm of softmax")
]
"""Cases whose values stay within single precision, and are not their logarithms' rounding, at hidden values of 100."""


@cache
def pairs() -> tuple[NDArray[Any], NDArray[Any]]:
    letters = np.random.default_rng(3).integers(0, 4, (5, LENGTH))
    every = np.eye(4)[letters].transpose(0, 2, 1)
    return every[:2], every[2:]


@cache
def attributed(framework: str, scale: float) -> Any:
    names = NAMES if scale < 10 else BOUNDED
    x, references = pairs()
    torch_model = framework == "torch"
    model = TorchCases(names, scale) if torch_model else keras_cases(names, scale)
    return names, DeepSHAP(as_sequence_model(model), baselines=references).attribute(x, target="all")


def largest_by_case(result: Any) -> NDArray[Any]:
    """Largest absolute score of a case, (cases,)."""
    return np.abs(result.scores).max(axis=(0, 1, 2))


@pytest.mark.parametrize("scale", [0.3, 10])
@pytest.mark.parametrize(("framework", "allowed"), [("torch", 1e-9), ("keras", 1e-3)])
def test_scores_add_up(framework: str, scale: float, allowed: float) -> None:
    names, result = attributed(framework, scale)
    assert np.isfinite(result.scores).all()
    error = np.abs(result.convergence_delta).max(axis=(0, 1)) / np.abs(result.observed).sum(axis=1).max(axis=0)
    assert not {name: value for name, value in zip(names, error, strict=True) if not value <= allowed}


@pytest.mark.parametrize("scale", [0.3, 10])
def test_frameworks_agree(scale: float) -> None:
    names, ours = attributed("torch", scale)
    _, theirs = attributed("keras", scale)
    difference = np.abs(ours.scores - theirs.scores).max(axis=(0, 1, 2)) / largest_by_case(ours)
    # At 100 the logarithms of shares, and differences of squares, leave fewer digits of single precision.
    allowed = 1e-4 if scale < 1 else 1e-3
    assert not {name: value for name, value in zip(names, difference, strict=True) if not value <= allowed}


class Ignored(nn.Module):
    """A case of local values and of one number of the whole sequence that is added to them or multiplies them."""

    def __init__(self, name: str, size: float, local: float = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.case = CASES[name]
        self.size = size
        self.kernel = nn.Parameter(local * torch.randn(CHANNELS, 4, 3, generator=generator).double())
        self.whole = nn.Parameter(torch.randn(4, LENGTH, generator=generator).double())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.conv1d(x, self.kernel, padding=1).transpose(1, 2)
        number = (x * self.whole).sum((1, 2)).reshape(-1, 1, 1)
        number = self.size * torch.tanh(number)
        hidden = hidden * (1 + self.size + number) if self.case.ignores == "scale" else hidden + number
        result = self.case.torch(hidden).flatten(1)
        return (result * torch.linspace(-1, 2, result.shape[1], dtype=x.dtype)).sum(1, keepdim=True)


def scores(model: nn.Module) -> NDArray[Any]:
    x, references = pairs()
    return DeepSHAP(model, baselines=references).attribute(x).scores


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].ignores == "shift"])
def test_a_number_that_is_added_and_ignored_changes_nothing(name: str) -> None:
    plain = scores(Ignored(name, 0))
    shifted = scores(Ignored(name, 50))
    np.testing.assert_allclose(shifted, plain, rtol=0, atol=1e-6 * np.abs(plain).max())


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].ignores == "scale"])
def test_a_factor_that_is_ignored_leaves_scores_of_their_size(name: str) -> None:
    plain = scores(Ignored(name, 0))
    scaled = scores(Ignored(name, 49))
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() <= 2 * np.abs(plain).max()


def path_integrated_gradients(model: nn.Module, steps: int = 500) -> NDArray[Any]:
    """Integrated Gradients of the observed letters from each reference, averaged: the second opinion."""
    x, references = (torch.tensor(part) for part in pairs())
    places = ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps)[:, None, None]
    found = []
    for sequence in x:
        each = []
        for reference in references:
            points = (reference + places * (sequence - reference)).requires_grad_()
            (gradient,) = torch.autograd.grad(model(points).sum(), points)
            each.append(gradient.mean(0) * (sequence - reference))
        found.append(torch.stack(each).mean(0).sum(0))
    return torch.stack(found).detach().numpy()


HEADS = ["softmax", "log softmax", "logsumexp less mean", "layer norm", "norm by hand", "group norm", "rms norm"]


@pytest.mark.parametrize("local", [0.1, 1, 3])
@pytest.mark.parametrize("name", [*HEADS, "unit norm", "stable softmax by hand", "exponential of log softmax"])
def test_scores_agree_with_integrated_gradients(name: str, local: float) -> None:
    # Hidden values span about 2, 7 and 20.
    model = Ignored(name, 0, local)
    x, references = pairs()
    result = DeepSHAP(model, baselines=references).multipliers(x)
    ours = result.contributions.mean(axis=1).sum(axis=1).reshape(len(x), LENGTH)
    theirs = path_integrated_gradients(model)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] >= 0.95
    assert 0.5 <= np.abs(ours).sum() / np.abs(theirs).sum() <= 2
