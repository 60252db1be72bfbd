"""What the built-in architectures share: the choice of framework, their checks, and Basset's dense part."""

import importlib
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

from attribution_bench.errors import InvalidInputError, MissingDependencyError

if TYPE_CHECKING:
    from torch import nn

LETTERS = 4
"""The built-in architectures read DNA."""
BATCH_NORM_EPSILON = 1e-5
DENSE_UNITS = 1000
LONGEST_DENSE = 100_000
"""Letters of a sequence for an architecture with a dense layer over positions, of 17 kB a letter."""
LONGEST = 1_000_000
"""Letters of a sequence for an architecture of convolutions."""
MOST_OUTPUTS = 100_000
MOST_SEED = 2**32 - 1
_EXTRAS = {"torch": "torch", "keras": "tensorflow"}


def build_model(
    framework: str, builders: Mapping[str, Callable[[], Any]], *, seed: int, kernel_variance: float = 1.5
) -> Any:
    """Build a model in one framework and fill it with seeded weights; the same seed gives every framework one model.

    Parameters
    ----------
    framework
        ``torch`` (input (N, 4, L)) or ``keras`` (input (N, L, 4)).
    builders
        Framework -> function that returns the model with whatever weights.
    seed
        Seed of the weights; no global random state is read or changed.
    kernel_variance
        Variance of a kernel's entries times its fan-in.

    Raises
    ------
    InvalidInputError
        There is no such framework, or the seed does not lie in [0, `MOST_SEED`].
    MissingDependencyError
        The framework is not installed.
    """
    _check_whole("seed", seed)
    if not 0 <= seed <= MOST_SEED:
        raise InvalidInputError(f"the seed must be from 0 to {MOST_SEED}, not {seed}")
    if framework not in builders:
        raise InvalidInputError(f"unknown framework {framework!r}; choose one of {', '.join(sorted(builders))}")
    try:
        importlib.import_module(framework)
    except ImportError as error:
        raise MissingDependencyError.of(
            error.name or framework, _EXTRAS[framework], f"a model of framework {framework!r}"
        ) from error
    from attribution_bench.models.initialise import initialise_keras, initialise_torch

    build, initialise = builders[framework], {"torch": initialise_torch, "keras": initialise_keras}[framework]
    return initialise(build, seed, kernel_variance)


def check_length(architecture: str, length: int, shortest: int, longest: int) -> None:
    """Raise InvalidInputError when sequences of a length leave nothing after the pools, or fill a memory by far."""
    _check_whole("length", length)
    if length < shortest:
        raise InvalidInputError(f"{architecture} needs sequences of at least {shortest} letters, not length={length}")
    if length > longest:
        raise InvalidInputError(f"{architecture} takes sequences of at most {longest} letters, not length={length}")


def check_outputs(outputs: int) -> None:
    """Raise InvalidInputError when the number of outputs does not lie in [1, `MOST_OUTPUTS`]."""
    _check_whole("outputs", outputs)
    if outputs < 1:
        raise InvalidInputError(f"outputs must be at least 1, not {outputs}")
    if outputs > MOST_OUTPUTS:
        raise InvalidInputError(f"outputs must be at most {MOST_OUTPUTS}, not {outputs}")


def _check_whole(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise InvalidInputError(f"{name} must be a whole number, not {number!r}")


def torch_dense_part(features: int, outputs: int) -> "list[nn.Module]":
    """Flatten; two dense layers, each followed by ReLU and batch normalisation; one dense layer of outputs."""
    from torch import nn

    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(2):
        layers += [
            nn.Linear(features, DENSE_UNITS),
            nn.ReLU(),
            nn.BatchNorm1d(DENSE_UNITS, eps=BATCH_NORM_EPSILON),
        ]
        features = DENSE_UNITS
    return [*layers, nn.Linear(features, outputs)]


def keras_dense_part(x: Any, outputs: int) -> Any:
    """Apply the same layers as `torch_dense_part` to a Keras tensor."""
    from keras import layers

    x = layers.Flatten(name="flatten")(x)
    for index in (1, 2):
        x = layers.Dense(DENSE_UNITS, kernel_initializer="zeros", name=f"dense_{index}")(x)
        x = layers.ReLU(name=f"dense_relu_{index}")(x)
        x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"dense_norm_{index}")(x)
    return layers.Dense(outputs, kernel_initializer="zeros", name="output")(x)
