"""Published Keras architectures, written anew at small widths and lengths, as functions of the Keras module in use."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

Keras = Any
"""keras or tf_keras."""


def splice_ai(keras: Keras, half: int = 12) -> Any:
    """Jaganathan et al. 2019: residual units without an end, skips that add up, a crop, three classes."""
    layers = keras.layers
    sequence = keras.Input((None, 4))
    x = layers.Conv1D(5, 1)(sequence)
    total = layers.Conv1D(5, 1)(x)
    for kernel, dilation in ((5, 1), (7, 2)):
        for _ in range(2):
            y = layers.Activation("relu")(layers.BatchNormalization()(x))
            y = layers.Conv1D(5, kernel, dilation_rate=dilation, padding="same")(y)
            y = layers.Activation("relu")(layers.BatchNormalization()(y))
            x = layers.add([layers.Conv1D(5, kernel, dilation_rate=dilation, padding="same")(y), x])
        total = layers.add([total, layers.Conv1D(5, 1)(x)])
    return keras.Model(sequence, layers.Conv1D(3, 1, activation="softmax")(layers.Cropping1D(half)(total)))


def dilated_cnn(keras: Keras, length: int = 60) -> Any:
    """Kempynck et al. 2024, after ChromBPNet: dilated convolutions without padding, cropped skips, mean, dense."""
    layers = keras.layers
    x = sequence = keras.Input((length, 4))
    x = layers.Conv1D(6, 5, padding="same", use_bias=False)(x)
    x = layers.Dropout(0.1)(layers.Activation("gelu")(layers.BatchNormalization()(x)))
    for i in (1, 2, 3):
        y = layers.Conv1D(6, 3, dilation_rate=2**i, use_bias=False)(x)
        y = layers.Activation("relu")(layers.BatchNormalization()(y))
        x = layers.Dropout(0.1)(layers.add([y, layers.Cropping1D(2**i)(x)]))
    return keras.Model(sequence, layers.Dense(3, activation="softplus")(layers.GlobalAveragePooling1D()(x)))


def topic_cnn(keras: Keras, length: int = 64) -> Any:
    """Kempynck et al. 2024: blocks of convolution and pool, the last ones residual, all positions dense, a sigmoid."""
    layers = keras.layers
    x = sequence = keras.Input((length, 4))
    for filters, kernel, pool, residual in ((8, 9, 4, False), (6, 5, 2, False), (6, 3, 2, True), (6, 2, 0, True)):
        y = layers.Conv1D(filters, kernel, padding="same", use_bias=False)(x)
        y = layers.Activation("relu")(layers.BatchNormalization()(y))
        if residual:
            y = layers.Add()([y, x])
        x = layers.Dropout(0.1)(layers.MaxPooling1D(pool, padding="same")(y) if pool else y)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.Activation("relu")(layers.BatchNormalization()(layers.Dense(9, use_bias=False)(x)))
    return keras.Model(sequence, layers.Dense(4, activation="sigmoid")(x))


def simple_convnet(keras: Keras, length: int = 64) -> Any:
    """Kempynck et al. 2024: an exponential first layer, wide pools, two dense layers."""
    layers = keras.layers
    x = sequence = keras.Input((length, 4))
    for kernel, pool, activation in ((9, 4, "exponential"), (5, 2, "swish"), (5, 2, "swish")):
        x = layers.BatchNormalization()(layers.Conv1D(6, kernel, padding="same")(x))
        x = layers.Dropout(0.1)(layers.MaxPooling1D(pool, padding="same")(layers.Activation(activation)(x)))
    x = layers.Flatten()(x)
    for width in (8, 7):
        x = layers.Dropout(0.3)(layers.Activation("swish")(layers.BatchNormalization()(layers.Dense(width)(x))))
    return keras.Model(sequence, layers.Dense(3, activation="softplus")(x))


def topic_lstm(keras: Keras, length: int = 60) -> Any:
    """Janssens et al. 2022 and before: both strands through one convolution, pool, LSTM and dense layers."""
    layers = keras.layers
    sequence = keras.Input((length, 4))
    shared = [
        layers.Conv1D(6, 9, activation="relu"), layers.MaxPooling1D(6, 3), layers.Dropout(0.1), layers.Dense(5),
        layers.Bidirectional(layers.LSTM(4, return_sequences=True)), layers.Flatten(),
        layers.Dense(8, activation="relu"), layers.Dense(3, activation="sigmoid"),
    ]  # fmt: skip
    strands = []
    for x in (sequence, keras.ops.flip(sequence, axis=(1, 2))):
        for layer in shared:
            x = layer(x)
        strands.append(x)
    return keras.Model(sequence, layers.Average()(strands))


def legnet(keras: Keras, length: int = 48) -> Any:
    """Penzar et al. 2023: inverted bottlenecks gated by all positions, joined to what came in."""
    layers = keras.layers
    x = sequence = keras.Input((length, 4))
    x = layers.Activation("swish")(layers.BatchNormalization()(layers.Conv1D(6, 5, padding="same", use_bias=False)(x)))
    for before, after in ((6, 8), (8, 8)):
        y = layers.Activation("swish")(layers.BatchNormalization()(layers.Conv1D(2 * before, 1, use_bias=False)(x)))
        y = layers.DepthwiseConv1D(3, padding="same", use_bias=False)(y)
        y = layers.Activation("swish")(layers.BatchNormalization()(y))
        gate = layers.Dense(3, activation="swish")(layers.GlobalAveragePooling1D()(y))
        gate = layers.Reshape((1, 2 * before))(layers.Dense(2 * before, activation="sigmoid")(gate))
        y = layers.Conv1D(before, 1, use_bias=False)(layers.Multiply()([y, gate]))
        x = layers.Concatenate()([layers.Activation("swish")(layers.BatchNormalization()(y)), x])
        x = layers.BatchNormalization()(layers.Conv1D(after, 3, padding="same", use_bias=False)(x))
        x = layers.MaxPooling1D(2)(layers.Activation("swish")(x))
    x = keras.ops.mean(layers.Conv1D(10, 1)(layers.BatchNormalization()(x)), axis=1)
    x = layers.Activation("swish")(layers.BatchNormalization()(layers.Dense(10)(x)))
    return keras.Model(sequence, layers.Dense(2, activation="softplus")(x))


def enformer(keras: Keras, length: int = 64) -> Any:
    """Avsec et al. 2021: convolutions with residual halves and pools, attention, a crop, a dense head."""
    layers, ops = keras.layers, keras.ops

    def gelu(x: Any) -> Any:
        return ops.sigmoid(1.702 * x) * x

    def block(x: Any, filters: int, kernel: int) -> Any:
        x = layers.Activation(gelu)(layers.BatchNormalization()(x))
        return layers.Conv1D(filters, kernel, padding="same")(x)

    x = sequence = keras.Input((length, 4))
    x = layers.Conv1D(6, 9, padding="same")(x)
    x = layers.MaxPooling1D(2)(layers.Add()([x, block(x, 6, 1)]))
    x = block(x, 8, 5)
    x = layers.MaxPooling1D(2)(layers.Add()([x, block(x, 8, 1)]))
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(y, y)])
    y = layers.Dense(8)(layers.Dense(16, activation="relu")(layers.LayerNormalization()(x)))
    x = layers.Cropping1D(3)(layers.Add()([x, y]))
    x = layers.Activation(gelu)(block(x, 12, 1))
    return keras.Model(sequence, layers.Dense(4, activation="softplus")(x))


def borzoi(keras: Keras, length: int = 64) -> Any:
    """Linder et al. 2025: a tower of pools, attention, steps upwards that add what the tower had, a crop."""
    layers = keras.layers

    def block(x: Any, filters: int, kernel: int) -> Any:
        x = layers.Activation(lambda y: keras.ops.gelu(y, approximate=True))(layers.BatchNormalization()(x))
        return layers.Conv1D(filters, kernel, padding="same")(x)

    sequence = keras.Input((length, 4))
    x = layers.MaxPooling1D(2, padding="same")(layers.Conv1D(6, 7, padding="same")(sequence))
    skipped = []
    for filters in (6, 8):
        x = block(x, filters, 5)
        skipped.append(block(x, 8, 1))
        x = layers.MaxPooling1D(2, padding="same")(x)
    y = layers.LayerNormalization(epsilon=1e-3)(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(y, y)])
    y = layers.Dense(16, activation="relu")(layers.LayerNormalization(epsilon=1e-3)(x))
    x = layers.Add()([x, layers.Dropout(0.2)(layers.Dense(8)(y))])
    for skip in reversed(skipped):
        x = layers.Add()([layers.UpSampling1D(2)(block(x, 8, 1)), skip])
        x = layers.SeparableConv1D(8, 3, padding="same")(x)
    x = layers.Dropout(0.1)(block(layers.Cropping1D(3)(x), 10, 1))
    return keras.Model(sequence, layers.Conv1D(4, 1, activation="softplus")(x))


def basenji(keras: Keras, length: int = 64) -> Any:
    """Kelley et al. 2020, as CREsted has it: a pool, dilated residual blocks, a pointwise one, a mean, a dense head."""
    layers = keras.layers

    def block(x: Any, filters: int, kernel: int, **options: Any) -> Any:
        x = layers.Activation("gelu")(x)
        x = layers.Conv1D(filters, kernel, padding="same", use_bias=False, **options)(x)
        return layers.BatchNormalization(momentum=0.9)(x)

    x = sequence = keras.Input((length, 4))
    x = layers.MaxPooling1D(2)(block(x, 8, 9))
    for dilation in (1, 2, 3):
        y = block(block(x, 5, 3, dilation_rate=dilation), 8, 1)
        x = layers.Add()([x, layers.Dropout(0.3)(y)])
    x = layers.GlobalAveragePooling1D()(layers.Activation("gelu")(block(x, 9, 1)))
    return keras.Model(sequence, layers.Dense(4, activation="softplus")(x))


def mt_splice(keras: Keras, length: int = 40) -> Any:
    """Cheng et al. 2021: both sides of an exon, dilated residual layers, weights of positions, 56 tissues (here 5)."""
    layers = keras.layers
    sides = [keras.Input((length, 4), name=name) for name in ("acceptor", "donor")]
    weighted = []
    for side in sides:
        x = layers.Conv1D(5, 7, padding="same", activation="relu")(side)
        for dilation in (2, 4):
            y = layers.Conv1D(5, 3, padding="same", dilation_rate=dilation, activation="relu")
            x = layers.Add()([x, y(layers.BatchNormalization()(x))])
        positions = keras.ops.linspace(0.5, 1.5, length)[:, None] * keras.ops.linspace(-1, 2, 5)[None]
        weighted.append(x * (1 + keras.ops.convert_to_numpy(positions))[None])
    x = layers.BatchNormalization()(layers.GlobalAveragePooling1D()(layers.Concatenate(axis=1)(weighted)))
    x = layers.Dropout(0.5)(layers.BatchNormalization()(layers.Dense(7, activation="relu")(x)))
    return keras.Model(sides, layers.Dense(5)(x))


ARCHITECTURES: Mapping[str, tuple[Callable[[Keras], Any], int]] = MappingProxyType(
    {
        "SpliceAI": (splice_ai, 50),
        "CREsted dilated CNN": (dilated_cnn, 60),
        "CREsted topic CNN": (topic_cnn, 64),
        "CREsted simple convnet": (simple_convnet, 64),
        "CREsted topic LSTM": (topic_lstm, 60),
        "CREsted LegNet": (legnet, 48),
        "CREsted Enformer": (enformer, 64),
        "CREsted Borzoi": (borzoi, 64),
        "CREsted Basenji": (basenji, 64),
    }
)
"""Models with one input, and the length of a sequence."""
