"""Basset (Kelley, Snoek, Rinn, Genome Research 2016), as the fastISM paper times it."""

from typing import TYPE_CHECKING, Any

from attribution_bench.models.architecture import (
    BATCH_NORM_EPSILON,
    LETTERS,
    LONGEST_DENSE,
    build_model,
    check_length,
    check_outputs,
    keras_dense_part,
    torch_dense_part,
)

if TYPE_CHECKING:
    from torch import nn

BLOCKS = ((300, 19, 3), (200, 11, 4), (200, 7, 4))
"""Filters, width, pool: convolution, ReLU, batch normalisation, max pool."""
SHORTEST = 3 * 4 * 4


def build(length: int = 1000, *, framework: str = "torch", outputs: int = 1, seed: int = 0) -> Any:
    """Return Basset with random weights: a torch.nn.Sequential (N, 4, L) or a Keras model (N, L, 4), to (N, outputs).

    Parameters
    ----------
    length
        Letters of a sequence, 48 to 100,000.
    framework
        ``torch`` or ``keras``; the same seed gives the same model in both.
    outputs
        Number of values predicted (no final activation), 1 to 100,000.
    seed
        Seed of the weights, 0 to 2**32 - 1.

    Raises
    ------
    InvalidInputError
        A length, a framework or a number of outputs that cannot be built.
    MissingDependencyError
        The framework is not installed.
    """
    check_length("Basset", length, SHORTEST, LONGEST_DENSE)
    check_outputs(outputs)
    builders = {"torch": lambda: _torch(length, outputs), "keras": lambda: _keras(length, outputs)}
    return build_model(framework, builders, seed=seed)


def _torch(length: int, outputs: int) -> "nn.Sequential":
    from torch import nn

    layers: list[nn.Module] = []
    channels = LETTERS
    for filters, width, pool in BLOCKS:
        layers += [
            nn.Conv1d(channels, filters, width, padding="same"),
            nn.ReLU(),
            nn.BatchNorm1d(filters, eps=BATCH_NORM_EPSILON),
            nn.MaxPool1d(pool),
        ]
        channels, length = filters, length // pool
    return nn.Sequential(*layers, *torch_dense_part(channels * length, outputs))


def _keras(length: int, outputs: int) -> Any:
    import keras
    from keras import layers

    inputs = x = keras.Input((length, LETTERS), name="sequence")
    for index, (filters, width, pool) in enumerate(BLOCKS, 1):
        x = layers.Conv1D(filters, width, padding="same", kernel_initializer="zeros", name=f"conv_{index}")(x)
        x = layers.ReLU(name=f"relu_{index}")(x)
        x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"norm_{index}")(x)
        x = layers.MaxPooling1D(pool, name=f"pool_{index}")(x)
    return keras.Model(inputs, keras_dense_part(x, outputs), name="basset")
