"""The three architectures as they may be written in PyTorch, sequences, and the error of completeness."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from attribution_bench.attribution import AttributionResult
from attribution_bench.models import SequenceModel, basset, bpnet, factorized_basset
from attribution_bench_plugins.deepshap.references import shuffled_references

LENGTHS = {"basset": 120, "factorized_basset": 120, "bpnet": 60}
BUILDERS = {"basset": basset.build, "factorized_basset": factorized_basset.build, "bpnet": bpnet.build}


class Call(nn.Module):
    """A functional call in the place of a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def rewrite(model: nn.Module, style: str) -> nn.Module:
    """Write a model's activations as modules of their own, as functional calls, or as one module used many times."""
    relus: Iterator[nn.Module]
    if style == "modules":
        return model
    if style == "reused":
        relus = itertools.repeat(nn.ReLU())
    else:
        relus = map(Call, itertools.cycle([functional.relu, torch.relu, torch.Tensor.relu, torch.relu_]))
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, next(relus))
            elif isinstance(child, nn.MaxPool1d) and style == "functional":
                width = child.kernel_size
                setattr(parent, name, Call(lambda x, width=width: functional.max_pool1d(x, width)))
    return model


def build_architecture(architecture: str, framework: str = "torch", style: str = "modules") -> Any:
    model = BUILDERS[architecture](LENGTHS[architecture], framework=framework, seed=3)
    return rewrite(model, style) if framework == "torch" else model


def random_sequences(count: int, length: int, seed: int = 0) -> NDArray[np.float32]:
    letters = np.random.default_rng(seed).integers(0, 4, (count, length))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)


def worst_error(
    result: AttributionResult, model: SequenceModel, x: NDArray[Any], references: int, read: Callable[[Any], Any]
) -> float:
    """Largest |delta| over |f(x) - f(reference)|, and of the observed scores' sum over |f(x) - mean f(reference)|."""
    x = x.astype(model.numpy_dtype)
    compared = shuffled_references(x, references, 0)
    outputs = read(model.predict(x))
    each = np.stack([read(model.predict(rows)) for rows in compared])
    delta = result.convergence_delta
    assert delta is not None
    pairs = np.abs(delta.reshape(each.shape) / (outputs[:, None] - each)).max()
    means = outputs - each.mean(axis=1)
    observed = result.observed.reshape(len(x), x.shape[2], -1).sum(axis=(1, 2))
    return float(max(pairs, np.abs(observed - means).max() / np.abs(means).max()))


@pytest.fixture
def build() -> Callable[..., Any]:
    """(architecture, framework="torch", style="modules") -> model with seeded weights, of the length in `lengths`."""
    return build_architecture


@pytest.fixture
def lengths() -> dict[str, int]:
    return LENGTHS


@pytest.fixture
def sequences() -> Callable[..., NDArray[np.float32]]:
    """(count, length, seed=0) -> random one-hot sequences."""
    return random_sequences


@pytest.fixture
def completeness_error() -> Callable[..., float]:
    return worst_error
