"""Every kind of operation in both frameworks: scores add up, agree, and ignore what the operation ignores."""

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from attribution_bench.errors import ConvergenceWarning
from attribution_bench.models import as_sequence_model
from attribution_bench_plugins.deepshap import DeepSHAP
from attribution_bench_plugins.deepshap.multipliers import Multipliers
from deeplift_cases import CASES, CHANNELS, LENGTH, TorchCases, keras_cases

NAMES = list(CASES)
FRAMEWORKS = ["torch", "keras"]
UNBOUNDED = (
    "power",
    "softmax by hand",
    "exponential of log softmax",
    "logarithm of softmax",
    "exponentials over sums of the other axis",
    "exponentials times inverse sums of the other axis",
    "exponentials less a logsumexp of the other axis",
    "exponentials of other sums than of the logsumexp",
    "layer norm of two",
    "group norm of three pairs",
)
"""Cases of which single precision keeps too little at hidden values of 100: powers, logarithms of shares, steps."""


@cache
def pairs() -> tuple[NDArray[Any], NDArray[Any]]:
    letters = np.random.default_rng(3).integers(0, 4, (5, LENGTH))
    every = np.eye(4)[letters].transpose(0, 2, 1)
    return every[:2], every[2:]


@cache
def method(framework: str) -> DeepSHAP:
    model = TorchCases() if framework == "torch" else keras_cases()
    return DeepSHAP(as_sequence_model(model), baselines=pairs()[1])


@cache
def explained(framework: str, scale: float, size: float = 0) -> Multipliers:
    """Explain every case at once, one trace serving all scales and sizes."""
    x, _ = pairs()
    further = tuple(np.full((len(x), 1), float(value)) for value in (scale, size))
    with warnings.catch_warnings():
        if framework == "keras":  # where single precision keeps too little, that is told; how much is tested below
            warnings.simplefilter("ignore", ConvergenceWarning)
        return method(framework).multipliers(x, target="all", additional_forward_args=further)


def scores(framework: str, scale: float, size: float = 0) -> dict[str, NDArray[Any]]:
    """Hypothetical scores (N, 4, L) by case."""
    mean = explained(framework, scale, size).hypothetical.mean(axis=1)
    return {name: mean[..., index] for index, name in enumerate(NAMES)}


def beyond(found: dict[str, float], allowed: float) -> dict[str, float]:
    return {name: value for name, value in found.items() if not value <= allowed}


def of_case(ignored: str) -> list[str]:
    return [name for name in NAMES if CASES[name].ignores == ignored]


@pytest.mark.parametrize("scale", [0.3, 10])
@pytest.mark.parametrize(("framework", "allowed"), [("torch", 1e-9), ("keras", 1e-3)])
def test_scores_add_up(framework: str, scale: float, allowed: float) -> None:
    result = explained(framework, scale)
    explained_in_all = np.abs(result.contributions).sum(axis=(2, 3)).mean(axis=(0, 1))
    error = np.abs(result.convergence_delta).max(axis=(0, 1)) / explained_in_all
    bounded = NAMES if scale < 10 else [name for name in NAMES if name not in UNBOUNDED]
    errors = dict(zip(NAMES, error.tolist(), strict=True))
    assert not beyond({name: errors[name] for name in bounded}, allowed)


@pytest.mark.parametrize("scale", [0.3, 10])
def test_frameworks_agree(scale: float) -> None:
    ours, theirs = (scores(framework, scale) for framework in FRAMEWORKS)
    bounded = NAMES if scale < 10 else [name for name in NAMES if name not in UNBOUNDED]
    found = {name: np.abs(ours[name] - theirs[name]).max() / np.abs(ours[name]).max() for name in bounded}
    # At 100 the logarithms of shares, and differences of squares, leave fewer digits of single precision.
    assert not beyond(found, 1e-4 if scale < 1 else 1e-3)


def test_a_number_that_is_added_and_ignored_changes_nothing() -> None:
    plain, shifted = (scores("torch", 1, size) for size in (0, 50))
    found = {name: np.abs(shifted[name] - plain[name]).max() / np.abs(plain[name]).max() for name in of_case("shift")}
    assert not beyond(found, 1e-6)


def test_it_changes_nothing_in_keras() -> None:
    # In double precision: a model in single precision itself keeps 1e-6 of hidden values that lie 50 from zero.
    x, references = pairs()
    method = DeepSHAP(as_sequence_model(keras_cases("float64", of_case("shift"))), baselines=references)
    # As many pairs of sequences and references as there are channels: see `KerasExplainer`.
    assert len(x) * len(references) == CHANNELS
    plain, shifted = (
        method.multipliers(x, target="all", additional_forward_args=further).hypothetical
        for further in ((np.ones((2, 1)), np.zeros((2, 1))), (np.ones((2, 1)), np.full((2, 1), 50.0)))
    )
    assert np.abs(shifted - plain).max() <= 1e-6 * np.abs(plain).max(axis=(0, 1, 2, 3)).min()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_factor_that_is_ignored_leaves_scores_of_their_size(framework: str) -> None:
    plain, scaled = (scores(framework, 1, size) for size in (0, 49))
    found = {name: np.abs(scaled[name]).max() / np.abs(plain[name]).max() for name in of_case("scale")}
    assert not beyond(found, 2)


@cache
def path_integrated_gradients(scale: float, steps: int = 500) -> dict[str, NDArray[Any]]:
    """Integrated Gradients (N, L) of the observed letters from each reference, averaged: the second opinion."""
    model = TorchCases()
    x, references = (torch.tensor(part) for part in pairs())
    places = ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps)[:, None, None]
    both = [(sequence, reference) for sequence in x for reference in references]
    points = torch.cat([reference + places * (sequence - reference) for sequence, reference in both]).requires_grad_()
    outputs = model(points, *(torch.full((len(points), 1), value, dtype=torch.float64) for value in (scale, 0)))
    change = torch.stack([sequence - reference for sequence, reference in both])
    found = {}
    for name in SECOND_OPINION:
        (gradient,) = torch.autograd.grad(outputs[name].sum(), points, retain_graph=True)
        each = (gradient.reshape(len(both), steps, 4, LENGTH).mean(1) * change).sum(1)
        found[name] = each.reshape(len(x), len(references), LENGTH).mean(1).detach().numpy()
    return found


SECOND_OPINION = [
    name
    for name in NAMES
    if (name != "logarithm of softmax" and (" norm" in name or CASES[name].ignores)) or name == "positions in the batch"
]


@pytest.mark.parametrize("scale", [0.1, 1, 3])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_softmaxes_and_norms_agree_with_integrated_gradients(framework: str, scale: float) -> None:
    # Hidden values span about 2, 7 and 20.
    ours = explained(framework, scale).contributions.mean(axis=1).sum(axis=1)
    expected = path_integrated_gradients(scale)
    wrong = {}
    for name in SECOND_OPINION:
        one, other = ours[..., NAMES.index(name)], expected[name]
        correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
        ratio = np.abs(one).sum() / np.abs(other).sum()
        if not (correlation >= 0.95 and 0.5 <= ratio <= 2):
            wrong[name] = correlation, ratio
    assert not wrong
