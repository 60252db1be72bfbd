"""Small Keras models that between them hold every layer and operation that fastISM has words for, and some others."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

LENGTH = 20
Tensor = Any
ACTIVATIONS = tuple(
    """
    celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid
    mish relu relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus
    tanh tanh_shrink softmax log_softmax
    """.split()  # noqa: SIM905 - a list of words reads better so
)


class Twice(layers.Layer):
    """A layer of the user's own."""

    def call(self, x: Tensor) -> Tensor:
        return x * 2 + ops.roll(x, 1, axis=1)


class Subclassed(keras.Model):
    """A model without a graph."""

    def __init__(self) -> None:
        super().__init__(dtype="float64")
        self.conv = layers.Conv1D(3, 5, dtype="float64")
        self.head = layers.Dense(2, dtype="float64")

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return self.head(ops.max(ops.relu(self.conv(x)), axis=1))


def two_thirds(x: Tensor) -> Tensor:
    """An activation of the user's own."""
    return ops.where(x > 0, x * 2 / 3, 0)


def conv(filters: int, width: int, **options: Any) -> Any:
    return layers.Conv1D(filters, width, **options)


def flat(x: Tensor, outputs: int = 2) -> Tensor:
    return layers.Dense(outputs)(layers.Flatten()(x))


def activations(x: Tensor) -> Tensor:
    x = conv(40, 3, padding="same")(x)
    kinds: list[Any] = [layers.Activation(name) for name in ACTIVATIONS]
    kinds += [layers.ReLU(3, 0.1, 0.2), layers.ReLU(6), layers.LeakyReLU(0.3), layers.ELU(0.7), layers.Softmax()]
    kinds += [layers.PReLU(), layers.PReLU(shared_axes=[1])]
    return conv(2, 1)(layers.Concatenate()([kind(x[:, :, i : i + 3]) for i, kind in enumerate(kinds)]))


def convolutions(x: Tensor) -> Tensor:
    x = conv(6, 4, padding="same", activation="relu")(x)
    x = conv(6, 3, padding="causal", dilation_rate=2, activation="gelu")(x)
    x = conv(4, 3, groups=2, use_bias=False)(x)
    x = layers.DepthwiseConv1D(3, depth_multiplier=2, padding="same", activation="tanh")(x)
    x = layers.SeparableConv1D(5, 4, depth_multiplier=2, padding="same", activation="elu")(x)
    return flat(conv(4, 5, strides=3, padding="same", activation="softplus")(x))


def strided(x: Tensor) -> Tensor:
    x = conv(6, 5, strides=2, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv1D(3, strides=2, padding="same")(x)
    return flat(layers.SeparableConv1D(4, 2, strides=2, activation="relu")(x))


def transposed(x: Tensor) -> Tensor:
    x = layers.Conv1DTranspose(5, 3, activation="relu")(x)
    x = layers.Conv1DTranspose(4, 6, strides=2, padding="same", activation="silu")(x)
    x = layers.Conv1DTranspose(3, 2, strides=3)(layers.MaxPooling1D(4)(x))
    return layers.Conv1DTranspose(2, 4, padding="same")(x)


def pools(x: Tensor) -> Tensor:
    x = conv(4, 3, padding="same", activation="elu")(x)
    branches = [
        layers.MaxPooling1D(3, 2, padding="same")(x),
        layers.AveragePooling1D(3, 2, padding="same")(x),
        layers.MaxPooling1D(2)(x),
        layers.AveragePooling1D(2, padding="same")(x),
    ]
    x = conv(5, 3)(layers.Concatenate()(branches))
    x = layers.AveragePooling1D(3, 2)(layers.MaxPooling1D(2, 1)(x))
    return layers.Concatenate()([layers.GlobalMaxPooling1D()(x), layers.GlobalAveragePooling1D()(x)])


def normalisations(x: Tensor) -> Tensor:
    x = layers.BatchNormalization()(conv(6, 3)(x))
    x = layers.LayerNormalization()(layers.ReLU()(x))
    x = layers.BatchNormalization(scale=False, center=False)(layers.RMSNormalization()(x))
    x = layers.Dropout(0.5)(layers.SpatialDropout1D(0.5)(layers.GaussianNoise(1.0)(x)))
    x = layers.Dense(5, activation="relu")(layers.Flatten()(x))
    return layers.Dense(2)(layers.BatchNormalization()(x))


def shapes(x: Tensor) -> Tensor:
    x = layers.ZeroPadding1D((2, 1))(layers.Rescaling(2.0, -0.5)(x))
    x = layers.Cropping1D((1, 4))(conv(6, 3, activation="relu")(x))
    x = layers.UpSampling1D(2)(layers.Permute((2, 1))(layers.Permute((2, 1))(x)))
    x = layers.TimeDistributed(layers.Dense(4, activation="tanh"))(x)
    x = layers.MaxPooling1D(4)(x)
    return layers.Dense(3)(layers.Reshape((-1,))(layers.Identity()(x)))


def merges(x: Tensor) -> Tensor:
    a, b = conv(4, 3, padding="same")(x), conv(4, 5, padding="same", activation="tanh")(x)
    c = layers.Average()([layers.Add()([a, b, x]), layers.Multiply()([a, b]), layers.Subtract()([b, a])])
    d = layers.Maximum()([a, layers.Minimum()([b, c])])
    e = layers.Concatenate()([c, d, c])
    return flat(layers.Add()([e, e]))


def operations(x: Tensor) -> Tensor:
    y = conv(4, 3, padding="same")(x)
    y = ops.relu(y) + ops.sigmoid(y) * 0.5 - 1.0
    y = 1 - y / 2 + ops.exp(-y) ** 2
    y = ops.concatenate([y[:, 2:-1], y[:, :-3], ops.flip(y, axis=1)[:, 1:-2]], axis=-1)
    y = y * np.linspace(0.5, 1.5, 12, dtype="float32")
    y = ops.maximum(y, 0.1) + ops.clip(y, -0.3, 0.4) + ops.gelu(y, approximate=False) + 1 / (2 + ops.square(y))
    y = ops.transpose(ops.transpose(y, (0, 2, 1)), (0, 2, 1))
    y = ops.repeat(ops.pad(y, [[0, 0], [1, 2], [0, 0]]), 2, axis=1)
    z = ops.squeeze(ops.expand_dims(y, 2), 2)
    z = ops.swapaxes(ops.moveaxis(z, 1, 2), 1, 2)
    heads = [ops.mean(z, axis=1), ops.sum(z, axis=1), ops.max(z, axis=1), z[:, 3], ops.reshape(y, (-1, 40 * 12))]
    return layers.Dense(2)(layers.Concatenate()(heads))


def squeeze_excitation(x: Tensor) -> Tensor:
    x = conv(6, 3, padding="same", activation="relu")(x)
    gate = layers.Dense(6, activation="sigmoid")(layers.GlobalAveragePooling1D(keepdims=True)(x))
    return flat(layers.MaxPooling1D(2)(layers.Multiply()([x, gate])))


def shared(x: Tensor) -> Tensor:
    layer = conv(4, 3, padding="same", activation="relu", name="shared")
    return flat(layer(layer(x)) + layer(x), 1)


def nested(x: Tensor) -> Tensor:
    inside = keras.Input((None, 4))
    tail = keras.Sequential([layers.Activation("relu"), conv(3, 3)], name="tail")
    encoder = keras.Model(inside, [tail(conv(5, 3, name="conv")(inside)), conv(3, 5)(inside)], name="encoder")
    one, two = encoder(x)
    three, _ = encoder(ops.flip(x, axis=1))
    return flat(one + two + three)


def channels_first_inside(x: Tensor) -> Tensor:
    x = layers.BatchNormalization(axis=1)(layers.Permute((2, 1))(conv(4, 3)(x)))
    return layers.Flatten(data_format="channels_first")(layers.Activation("relu")(x))


def recurrent(x: Tensor) -> Tensor:
    x = layers.MaxPooling1D(2)(conv(4, 3, padding="same", activation="relu")(x))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both_ways")(x)
    y, state = layers.GRU(3, return_state=True, name="gated")(x)
    return layers.Dense(2)(layers.Concatenate()([y, state]))


def attention(x: Tensor) -> Tensor:
    x = layers.MaxPooling1D(4)(conv(4, 3, padding="same", activation="relu")(x))
    x = x + layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    return layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x)))


def users_own(x: Tensor) -> Tensor:
    x = Twice(name="twice")(conv(4, 3, activation=two_thirds, name="first")(x))
    x = layers.Lambda(lambda v: v - ops.mean(v, axis=1, keepdims=True), name="centre")(x)
    return flat(layers.GroupNormalization(2)(x))


class Wide(layers.Conv1D):
    """A standard layer that the user named, with a setting of its own."""

    def __init__(self, filters: int, note: str = "", **options: Any) -> None:
        super().__init__(filters, 5, padding="same", **options)
        self.note = note

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "note": self.note}


class SoftmaxPooling(layers.Layer):
    """Attention pooling of pairs of positions, written with operations."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.logits = self.add_weight(shape=(shape[-1], shape[-1]), name="logits")
        self.out = layers.Dense(3, activation="tanh")

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        pairs = ops.reshape(x, (-1, x.shape[1] // 2, 2, x.shape[2]))
        weights = ops.softmax(ops.matmul(pairs, self.logits), axis=-2)
        return self.out(ops.sum(pairs * weights, axis=-2))


class Normalised(keras.layers.Layer):
    """Pools, normalizations and a convolution of keras.ops, with weights of its own."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        size = (shape[-1],)
        self.gamma, self.beta = self.add_weight(shape=size, name="gamma"), self.add_weight(shape=size, name="beta")
        self.taps = self.add_weight(shape=(3, *size, 4), name="taps", initializer=keras.initializers.GlorotNormal(5))

    def call(self, x: Tensor) -> Tensor:
        x = ops.average_pool(ops.max_pool(x, 3, 1, "same"), 2, padding="valid") + ops.average_pool(x, 3, 2, "same")
        x = ops.rms_normalization(ops.layer_normalization(x, self.gamma, self.beta, epsilon=1e-3) + 1, self.gamma)
        return ops.conv(ops.layer_normalization(x, axis=-1), self.taps, 1, "same", dilation_rate=2)


def users_layers(x: Tensor) -> Tensor:
    """Code of the user's own whose operations have rules."""
    x = Wide(4, note="mine", activation=lambda v: v * ops.sigmoid(1.702 * v), name="wide")(x)
    x = layers.Activation(two_thirds)(layers.Lambda(lambda v: v * 2 - ops.min(v, axis=-1, keepdims=True))(x))
    return flat(SoftmaxPooling(name="pooled")(Normalised(name="normalised")(x)))


def aligned_merges(x: Tensor) -> Tensor:
    """Merges of tensors with and without positions, as in squeeze-and-excitation."""
    x = conv(4, 3, padding="same", activation="relu")(x)
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling1D()(x))
    return conv(2, 3)(layers.Add()([layers.Multiply()([x, gate]), gate]))


def moved_operations(x: Tensor) -> Tensor:
    y = conv(4, 3, padding="same")(x)
    y = ops.concatenate([ops.roll(y, 3, axis=1), ops.tile(y, (1, 1, 2)), ops.take(y, [3, 0], axis=2)], axis=-1)
    z = ops.cumsum(y, axis=-1) + ops.tile(ops.min(y, axis=-1, keepdims=True), (1, 1, 14))
    z = z * ops.std(y, axis=-1, keepdims=True) + ops.prod(ops.tanh(z), axis=2, keepdims=True)
    return layers.Dense(2)(ops.concatenate([ops.amin(z, axis=1), ops.logsumexp(y, axis=-1)], axis=-1))


def two_dimensional(x: Tensor) -> Tensor:
    one = layers.Conv2D(4, (1, 5), activation="relu")(layers.Reshape((1, LENGTH, 4))(x))
    one = layers.BatchNormalization()(layers.DepthwiseConv2D((3, 3), depth_multiplier=2, padding="same")(one))
    one = layers.Conv2D(3, (1, 3), (1, 2), padding="same")(layers.MaxPooling2D((1, 2), padding="same")(one))
    two = layers.Conv2D(5, (3, 4), activation="elu", padding="valid")(ops.expand_dims(x, -1))
    two = layers.AveragePooling2D((3, 1), (2, 1), padding="same")(two)
    two = layers.Conv2D(4, (2, 1), dilation_rate=(2, 1), groups=1)(layers.MaxPooling2D((2, 1))(two))
    heads = [layers.Flatten()(one), layers.GlobalAveragePooling2D()(one), layers.GlobalMaxPooling2D()(two)]
    return layers.Dense(2)(layers.Concatenate()(heads))


def square_kernels(x: Tensor) -> Tensor:
    y = layers.Conv2D(3, (3, 2), activation="relu", name="square")(ops.expand_dims(x, -1))
    return flat(layers.MaxPooling2D(2)(y))


def contractions(x: Tensor) -> Tensor:
    y = layers.EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d", activation="relu")(conv(4, 3)(x))
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((5, 3)).astype("float32")
    flattened = generator.standard_normal((9, 3, 2)).astype("float32")
    y = ops.where(y > 0.2, y, ops.where(ops.logical_and(y < 0.1, y >= 0.05), 0.3 * y, y * y))
    z = ops.einsum("blc,cd->bld", y, weight)
    z = ops.flip(ops.einsum("dc,bld->bcl", weight, ops.stack([y, y * y], axis=2)[:, :, 1, :]), axis=-1)
    z = ops.transpose(z, (0, 2, 1))[:, 1::2] + ops.einsum("blc,cd->bld", y, weight)[:, 1::2]
    return layers.Add()([ops.einsum("blc,lcd->bd", z, flattened), layers.Dense(2)(ops.max(z[:, :7:3, ::-1], axis=1))])


def products_of_positions(x: Tensor) -> Tensor:
    y = conv(4, 3, activation="relu")(x)
    return ops.einsum("blc,bld->bcd", y, y)


def normalised_in_groups(x: Tensor) -> Tensor:
    return flat(layers.GroupNormalization(2)(conv(4, 3, activation="relu")(x)))


def joint_features(x: Tensor) -> Tensor:
    y = conv(4, 3, activation="relu")(x)
    parts = [layers.Flatten()(y), layers.GlobalMaxPooling1D()(y), layers.Flatten()(layers.AveragePooling1D(2)(y))]
    inner = layers.Concatenate()(parts[1:])
    joint = layers.BatchNormalization()(layers.Concatenate(name="joint")([parts[0], layers.Dropout(0.3)(inner)]))
    return layers.Dense(2, name="head")(layers.Activation("gelu")(joint))


def heads(x: Tensor) -> dict[str, Tensor]:
    x = conv(4, 5, padding="same", activation="relu")(x)
    profile = layers.Reshape((LENGTH,))(conv(1, 3, padding="same")(x))
    return {"profile": profile, "count": layers.Dense(1)(layers.GlobalAveragePooling1D()(x))}


ONE_INPUT: dict[str, Callable[[Tensor], Any]] = {
    function.__name__: function
    for function in (
        activations,
        attention,
        channels_first_inside,
        contractions,
        convolutions,
        heads,
        joint_features,
        merges,
        nested,
        normalisations,
        normalised_in_groups,
        operations,
        pools,
        products_of_positions,
        recurrent,
        shapes,
        shared,
        square_kernels,
        squeeze_excitation,
        strided,
        transposed,
        two_dimensional,
        users_layers,
        users_own,
        aligned_merges,
        moved_operations,
    )
}
OPAQUE = {
    "attention": {"MultiHeadAttention"},
    "normalised_in_groups": {"GroupNormalization"},
    "products_of_positions": {"Einsum"},
    "recurrent": {"Bidirectional", "GRU"},
    "square_kernels": {"MaxPooling2D"},
    "users_own": {"GroupNormalization"},
}
"""What only Keras itself can call, by model."""


def build(name: str, dtype: str = "float64") -> keras.Model:
    """Return a model of the collection with seeded weights."""
    return in_precision(dtype, lambda: _one_input(ONE_INPUT[name]))


def _one_input(function: Callable[[Tensor], Any]) -> keras.Model:
    x = keras.Input((LENGTH, 4), name="sequence")
    return keras.Model(x, function(x))


def several_inputs(kind: str, dtype: str = "float64") -> keras.Model:
    """Return a model of a sequence, a control track (LENGTH, 2) and a cell type (3,), as a ``list`` or a ``dict``."""

    def make() -> keras.Model:
        cell, track = keras.Input((3,), name="cell"), keras.Input((LENGTH, 2), name="track")
        x = keras.Input((LENGTH, 4), name="sequence")
        y = conv(4, 3, padding="same")(layers.Concatenate()([conv(5, 5, padding="same", activation="relu")(x), track]))
        both = layers.Concatenate()([layers.GlobalMaxPooling1D()(y), layers.Dense(3)(cell)])
        outputs = [layers.Dense(2, name="first")(both), y]
        if kind == "list":
            return keras.Model([x, track, cell], outputs)
        return keras.Model({"track": track, "sequence": x, "cell": cell}, outputs)

    return in_precision(dtype, make)


def nested_several_inputs(dtype: str = "float64") -> keras.Model:
    """Return a model that calls one encoder of a sequence and a control track (LENGTH, 2) on both strands."""

    def make() -> keras.Model:
        inside = [keras.Input((LENGTH, 4)), keras.Input((LENGTH, 2))]
        encoded = conv(4, 3)(
            layers.Concatenate()([conv(5, 5, padding="same", activation="relu")(inside[0]), inside[1]])
        )
        encoder = keras.Model(inside, encoded, name="encoder")
        x, track = keras.Input((LENGTH, 4), name="sequence"), keras.Input((LENGTH, 2), name="track")
        other = encoder([ops.flip(x, axis=(1, 2)), ops.flip(track, axis=1)])
        both = encoder([x, track]) + ops.flip(other, axis=1)
        return keras.Model([x, track], [layers.Dense(2)(layers.Flatten()(both)), both])

    return in_precision(dtype, make)


def in_precision(dtype: str, make: Callable[[], keras.Model]) -> keras.Model:
    """Return what a function builds, with layers of a type and seeded weights that matter."""
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        return randomised(make())
    finally:
        keras.config.set_dtype_policy(former)


def randomised(model: Any) -> Any:
    """Give every weight seeded values, those of normalisations and biases included; returns the model."""
    generator = np.random.default_rng(len(model.weights))
    values = []
    for weight in model.get_weights():
        if not np.issubdtype(weight.dtype, np.floating):
            values.append(weight)
            continue
        scale = 0.3 if weight.ndim < 2 else 1.5 / np.sqrt(np.prod(weight.shape[:-1]))
        values.append((generator.standard_normal(weight.shape) * scale).astype(weight.dtype))
    model.set_weights(values)
    for weight in model.weights:
        if "variance" in (getattr(weight, "path", None) or weight.name):
            weight.assign(generator.uniform(0.5, 1.5, tuple(weight.shape)))
    return model


def deepstarr(dtype: str = "float64") -> keras.Model:
    """Return DeepSTARR (de Almeida et al. 2022) in miniature: four convolutions with pools, two heads."""

    def make() -> keras.Model:
        x = inputs = keras.Input((64, 4))
        for filters, width in ((16, 7), (6, 3), (6, 5), (8, 3)):
            x = layers.BatchNormalization()(conv(filters, width, padding="same")(x))
            x = layers.MaxPooling1D(2)(layers.Activation("relu")(x))
        x = layers.Flatten()(x)
        for _ in range(2):
            x = layers.Dropout(0.4)(layers.Activation("relu")(layers.BatchNormalization()(layers.Dense(16)(x))))
        return keras.Model(inputs, [layers.Dense(1, name="Dev")(x), layers.Dense(1, name="Hk")(x)])

    return in_precision(dtype, make)
