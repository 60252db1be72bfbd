"""Targets drawn at random: indices, and functions that slice an output in one of several ways."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Function: TypeAlias = Callable[[Tensor], Tensor]


def random_index(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return an index into the first axes of an output, or into all of them."""
    return tuple(int(random.integers(n)) for n in shape[: random.integers(len(shape) + 1)])


def random_function(random: np.random.Generator, shape: tuple[int, ...]) -> Function:
    """Return a function of an output that reads a slice of each axis."""
    parts = []
    for size in shape:
        first = int(random.integers(size)) if size else 0
        parts.append(slice(first, int(random.integers(first, size)) + 1 if size else 0, int(random.integers(1, 4))))
    slices = (slice(None), *parts)

    def scaled(value: Tensor) -> Tensor:
        return value / (1 + value.detach().abs())

    def added(value: Tensor) -> Tensor:
        return scaled(value[slices]).reshape(value.shape[0], -1).sum(1)

    def sliced_late(value: Tensor) -> Tensor:
        return (scaled(value) - 1)[slices].reshape(value.shape[0], -1).mean(1)

    def of_values(value: Tensor) -> Tensor:
        return torch.as_tensor(value.numpy()[slices].reshape(len(value), -1).sum(1))

    def moved(value: Tensor) -> Tensor:
        turned = value[slices].movedim(0, -1).flip(0) if value.dim() > 1 else value[slices]
        return turned.reshape(-1, value.shape[0]).sum(0)

    found: Function = (added, sliced_late, moved, of_values)[random.integers(4)]
    return found


def applied(target: tuple[int, ...] | Function, predictions: NDArray[Any]) -> NDArray[Any]:
    """Return what a target makes of predictions (sequences, letters, positions, *output)."""
    if not callable(target):
        return predictions[(slice(None), slice(None), slice(None), *target)]
    rows = torch.as_tensor(predictions.reshape(-1, *predictions.shape[3:]))
    return target(rows).numpy().reshape(predictions.shape[:3])
