"""Small smooth float64 models of both frameworks, and a numerical gradient to hold methods against."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch

from attribution_bench.models import SequenceModel, as_sequence_model

LENGTH = 7


def random_one_hot(count: int, length: int = LENGTH, seed: int = 0) -> np.ndarray:
    letters = np.random.default_rng(seed).integers(0, 4, (count, length))
    return np.eye(4)[letters].transpose(0, 2, 1)


class TwoHeads(torch.nn.Module):
    """(N, 4, 7) and an optional (N, 2) to profile (N, 3) and count (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv1d(4, 5, 3, padding="same"), torch.nn.BatchNorm1d(5), torch.nn.Tanh(), torch.nn.Dropout(0.5)
        )
        self.profile = torch.nn.Linear(5 * LENGTH + 2, 3)
        self.count = torch.nn.Linear(5 * LENGTH + 2, 1)

    def forward(self, x: torch.Tensor, extra: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        extra = x.new_ones(len(x), 2) if extra is None else extra
        hidden = torch.cat([self.body(x).flatten(1), extra], 1)
        hidden = hidden * (1 + hidden.mean(1, keepdim=True))
        return {"profile": self.profile(hidden).tanh(), "count": self.count(hidden).exp()}


def torch_two_heads() -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoHeads().double()


def keras_two_heads(extra: bool) -> Any:
    layers, initial = keras.layers, keras.initializers.GlorotNormal
    x = keras.Input((LENGTH, 4), dtype="float64")
    hidden = layers.Conv1D(5, 3, padding="same", kernel_initializer=initial(1), dtype="float64")(x)
    hidden = layers.BatchNormalization(dtype="float64")(hidden)
    hidden = layers.Activation("tanh", dtype="float64")(hidden)
    hidden = layers.Dropout(0.5, dtype="float64", seed=1)(hidden)
    hidden = layers.Flatten(dtype="float64")(hidden)
    inputs = x
    if extra:
        further = keras.Input((2,), dtype="float64")
        inputs, hidden = [x, further], layers.Concatenate(dtype="float64")([hidden, further])
    profile = layers.Dense(3, "tanh", kernel_initializer=initial(2), dtype="float64", name="profile")(hidden)
    count = layers.Dense(1, "exponential", kernel_initializer=initial(3), dtype="float64", name="count")(hidden)
    return keras.Model(inputs, [profile, count])


@pytest.fixture
def one_hot() -> Callable[..., np.ndarray]:
    """(count, length=7, seed=0) -> random one-hot sequences (count, 4, length), float64."""
    return random_one_hot


@pytest.fixture(params=["torch", "keras"])
def two_heads(request: pytest.FixtureRequest) -> SequenceModel:
    """Outputs profile (3,) and count (1,), in each framework."""
    return as_sequence_model(torch_two_heads() if request.param == "torch" else keras_two_heads(extra=False))


@pytest.fixture(params=["torch", "keras"])
def two_inputs(request: pytest.FixtureRequest) -> SequenceModel:
    """The same with an extra input (N, 2)."""
    return as_sequence_model(torch_two_heads() if request.param == "torch" else keras_two_heads(extra=True))


@pytest.fixture
def numerical_gradient() -> Callable[..., np.ndarray]:
    """(function of (M * N, A, L) to (M * N, T), x (N, A, L)) -> (N, A, L, T), by central differences in one call."""

    def gradient(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
        count, letters, length = x.shape
        steps = step * np.eye(letters * length).reshape(-1, 1, letters, length)
        points = np.concatenate([x + steps, x - steps]).reshape(-1, letters, length)
        up, down = function(points).reshape(2, letters, length, count, -1)
        return np.moveaxis((up - down) / (2 * step), 2, 0)

    return gradient
