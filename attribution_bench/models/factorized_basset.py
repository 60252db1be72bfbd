"""Factorized Basset (Wnuk et al., bioRxiv 2017: Basset's wide convolutions as stacks of narrow ones)."""

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

BLOCKS = (
    (((48, 3), (64, 3), (100, 3), (150, 7), (300, 7)), 3),
    (((200, 7), (200, 3), (200, 3)), 4),
    (((200, 7),), 4),
)
"""Convolutions (filters, width), each followed by batch normalisation and ReLU; then a max pool of this size."""
SHORTEST = 3 * 4 * 4


def build(length: int = 1000, *, framework: str = "torch", outputs: int = 1, seed: int = 0) -> Any:
    """Return Factorized Basset with random weights: a torch.nn.Sequential (N, 4, L) or a Keras model (N, L, 4).

    Parameters, result and errors are those of Basset's `build`.
    """
    check_length("Factorized Basset", length, SHORTEST, LONGEST_DENSE)
    check_outputs(outputs)
    builders = {"torch": lambda: _torch(length, outputs), "keras": lambda: _keras(length, outputs)}
    return build_model(framework, builders, seed=seed)


def _torch(length: int, outputs: int) -> "nn.Sequential":
    from torch import nn

    layers: list[nn.Module] = []
    channels = LETTERS
    for convolutions, pool in BLOCKS:
        for filters, width in convolutions:
            layers += [
                nn.Conv1d(channels, filters, width, padding="same"),
                nn.BatchNorm1d(filters, eps=BATCH_NORM_EPSILON),
                nn.ReLU(),
            ]
            channels = filters
        layers.append(nn.MaxPool1d(pool))
        length //= pool
    return nn.Sequential(*layers, *torch_dense_part(channels * length, outputs))


def _keras(length: int, outputs: int) -> Any:
    import keras
    from keras import layers

    inputs = x = keras.Input((length, LETTERS), name="sequence")
    for block, (convolutions, pool) in enumerate(BLOCKS, 1):
        for index, (filters, width) in enumerate(convolutions, 1):
            name = f"{block}_{index}"
            x = layers.Conv1D(filters, width, padding="same", kernel_initializer="zeros", name=f"conv_{name}")(x)
            x = layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"norm_{name}")(x)
            x = layers.ReLU(name=f"relu_{name}")(x)
        x = layers.MaxPooling1D(pool, name=f"pool_{block}")(x)
    return keras.Model(inputs, keras_dense_part(x, outputs), name="factorized_basset")
