"""Seeded random weights, the same in either framework.

Batch-norm statistics and affine parameters are random too, so that a method that skips them is caught.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from attribution_bench.models.weights import (
    LayerArrays,
    read_keras,
    read_torch,
    write_keras,
    write_torch,
)

if TYPE_CHECKING:
    import torch


def initialise_torch(build: "Callable[[], torch.nn.Module]", seed: int, kernel_variance: float) -> "torch.nn.Module":
    """Build a module with seeded weights, in inference mode; PyTorch's random state is left as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        model = build()
    write_torch(model, draw(read_torch(model), seed, kernel_variance))
    return model.eval()


def initialise_keras(build: Callable[[], Any], seed: int, kernel_variance: float) -> Any:
    """Build a Keras model with seeded weights.

    The builder uses constant initialisers: Keras' random ones draw from Python's global random state.
    """
    model = build()
    write_keras(model, draw(read_keras(model), seed, kernel_variance))
    return model


def draw(layers: Sequence[LayerArrays], seed: int, kernel_variance: float) -> list[LayerArrays]:
    """Draw new values for arrays of these names and shapes.

    Kernels are normal with variance `kernel_variance` / fan-in (2 keeps the scale of a chain of convolutions and
    ReLUs: He et al. 2015, equation 10; somewhat less makes up for the max pools, which raise it); biases, shifts and
    means are normal with a standard deviation of 0.1; scales and variances of batch normalisation are uniform in
    [0.5, 1.5).
    """
    random = np.random.default_rng(seed)
    drawn: list[LayerArrays] = []
    for layer in layers:
        values: LayerArrays = {}
        for name, array in layer.items():
            if name == "weight" and array.ndim > 1:
                fan_in = array.size / layer["bias"].size
                value = random.normal(0, np.sqrt(kernel_variance / fan_in), array.shape)
            elif name in ("weight", "running_var"):
                value = random.uniform(0.5, 1.5, array.shape)
            else:
                value = random.normal(0, 0.1, array.shape)
            values[name] = value.astype(np.float32)
        drawn.append(values)
    return drawn
