"""Keras: layers that TensorFlow writes in its own way, one trace for every scalar, recurrent layers and loops."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

from attribution_bench.errors import ConvergenceWarning, UnsupportedError
from attribution_bench_plugins.deepshap import DeepSHAP, keras_explainer

LENGTH = 10
layers = keras.layers


def head(build: Any, *, channels: int = 6) -> keras.Model:
    """Convolution, what `build` makes of its (N, 10, channels), dense: seeded, float32."""
    x = inputs = keras.Input((LENGTH, 4))
    x = layers.Conv1D(channels, 3, padding="same", kernel_initializer=keras.initializers.GlorotNormal(1))(x)
    x = layers.Flatten()(build(x))
    return keras.Model(inputs, layers.Dense(1, kernel_initializer=keras.initializers.GlorotNormal(2))(x))


def repeated(h: Any) -> Any:
    return tf.math.log(tf.broadcast_to(tf.reduce_sum(tf.exp(h), -1, keepdims=True), tf.shape(h)))


OPERATIONS = {
    "dilated": lambda h: layers.Conv1D(3, 3, dilation_rate=2, padding="same", activation="relu")(h),
    "transposed": lambda h: layers.Conv1DTranspose(3, 3, strides=2, activation="relu")(h),
    "depthwise": lambda h: layers.DepthwiseConv1D(3, activation="relu")(h),
    "leaky_relu": lambda h: layers.LeakyReLU()(h),
    "gelu": lambda h: layers.Activation("gelu")(h),
    "global_max": lambda h: layers.GlobalMaxPooling1D()(h),
    "layer_norm": lambda h: layers.LayerNormalization()(h),
    "gate": lambda h: layers.Multiply()([h, layers.Activation("sigmoid")(h)]),
    "average_pool": lambda h: layers.AveragePooling1D(2)(layers.Activation("relu")(h)),
    "log_of_repeated_sum": lambda h: layers.Lambda(repeated, lambda shape: shape)(h),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_adds_up(operation: str, sequences: Any) -> None:
    result = DeepSHAP(head(OPERATIONS[operation]), n_references=3).attribute(sequences(2, LENGTH))
    assert result.convergence_delta is not None
    assert np.abs(result.convergence_delta).max() <= 1e-4 * np.abs(result.observed.sum(1)).max()


def test_global_maximum_follows_its_rule_by_hand() -> None:
    # Values 3, 0 against 0, 5 (letters A, T against T, G): the maximum fell by 2 since the second element fell by 5.
    inputs = keras.Input((2, 4))
    values = layers.Conv1D(1, 1, use_bias=False, name="values")(inputs)
    model = keras.Model(inputs, layers.GlobalMaxPooling1D()(values))
    weights = np.array([3, 1, 5, 0], dtype=np.float32)
    model.get_layer("values").set_weights([weights[None, :, None]])
    a, _, g, t = np.eye(4)
    x, reference = (np.stack(letters, axis=1)[None] for letters in ((a, t), (t, g)))
    scores = DeepSHAP(model, baselines=reference).attribute(x).scores[0]
    np.testing.assert_allclose(scores, np.stack([0 * weights, (weights - 5) * 2 / 5], axis=1), atol=1e-6)


def two_outputs() -> keras.Model:
    inputs, further = keras.Input((LENGTH, 4)), keras.Input((2,))
    initial = keras.initializers.GlorotNormal
    x = layers.Conv1D(6, 3, activation="relu", kernel_initializer=initial(1))(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.5, seed=0)(layers.Flatten()(x))
    x = layers.Multiply()([x, layers.Dense(48, "sigmoid", kernel_initializer=initial(2))(further)])
    profile = layers.Dense(3, "tanh", kernel_initializer=initial(3), name="profile")(x)
    return keras.Model([inputs, further], [profile, layers.Dense(1, kernel_initializer=initial(4), name="count")(x)])


def test_outputs_and_further_inputs_share_one_trace(sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    capture = keras_explainer.captured
    monkeypatch.setattr(keras_explainer, "captured", lambda *args: (traced.append(1), capture(*args))[1])
    x, extra = sequences(2, LENGTH), np.random.default_rng(0).normal(size=(2, 2)).astype(np.float32)
    model = two_outputs()
    method = DeepSHAP(model, n_references=3)
    weights = [variable.numpy() for variable in model.variables]
    every = method.attribute(x, target="all", additional_forward_args=extra)
    assert len(traced) == 1
    assert every.scores.shape == (2, 4, LENGTH, 4)
    assert every.convergence_delta is not None
    assert np.abs(every.convergence_delta).max() < 1e-5
    one = method.attribute(x, target=("profile", 1), additional_forward_args=extra, batch_size=4)
    np.testing.assert_allclose(one.scores, every.scores[..., 1], atol=1e-6)
    for variable, before in zip(model.variables, weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN", "Bidirectional"])
def test_recurrent_layers_are_unrolled_and_left_as_they_were(layer: str, sequences: Any) -> None:
    recurrent = layers.LSTM(3) if layer == "Bidirectional" else getattr(layers, layer)(3)
    used = layers.Bidirectional(recurrent) if layer == "Bidirectional" else recurrent
    model = head(used)
    result = DeepSHAP(model, n_references=2).attribute(sequences(2, LENGTH))
    assert np.abs(result.scores).max() > 0
    assert np.abs(result.convergence_delta).max() <= 1e-4 * np.abs(result.observed.sum(1)).max()
    assert not recurrent.unroll


def of_library(library: Any) -> Any:
    """Return a model of every kind of layer that Keras 2 runs in its own way, from the namespace of a Keras."""
    own = library.layers
    x = inputs = library.Input((LENGTH, 4))
    x = own.Activation("relu")(own.BatchNormalization()(own.Conv1D(5, 3, padding="same")(x)))
    x = own.Add()([x, own.SeparableConv1D(5, 3, padding="same", dilation_rate=2, activation="elu")(x)])
    x = own.LayerNormalization()(own.MaxPooling1D(2)(x))
    x = own.Bidirectional(own.LSTM(3, return_sequences=True))(own.Dropout(0.4)(x))
    pooled = own.GlobalAveragePooling1D()(x)
    return library.Model(inputs, own.Dense(2, "softmax")(own.Concatenate()([own.GRU(3)(x), pooled])))


def test_models_of_keras_2_have_the_scores_of_keras_3(sequences: Any) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    old, new = of_library(tf_keras), of_library(keras)
    random = np.random.default_rng(3)
    values = [random.uniform(0.5, 1.5, weight.shape).astype("float32") for weight in old.weights]
    values = [value if "variance" in w.name else value - 1 for w, value in zip(old.weights, values, strict=True)]
    old.set_weights(values)
    new.set_weights(values)
    x = sequences(2, LENGTH)
    found, expected = (DeepSHAP(model, n_references=2).attribute(x, target=1) for model in (old, new))
    assert np.abs(expected.scores).max() > 1e-4
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    assert np.abs(found.convergence_delta).max() <= 1e-4 * np.abs(found.observed.sum(1)).max()
    (recurrent,) = (layer for layer in old.layers if type(layer).__name__ == "GRU")
    assert not recurrent.unroll
    assert recurrent._could_use_gpu_kernel


def test_frameworks_agree_on_a_recurrent_layer(sequences: Any) -> None:
    model = head(layers.LSTM(3))
    convolution, recurrent, dense = model.layers[1], model.layers[2], model.layers[-1]

    class Same(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv1d(4, 6, 3, padding=1)
            self.recurrent = torch.nn.LSTM(6, 3, batch_first=True)
            self.dense = torch.nn.Linear(3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.dense(self.recurrent(self.convolution(x).transpose(1, 2))[0][:, -1])

    same = Same()
    kernel, bias = convolution.get_weights()
    gates, states, gate_bias = recurrent.get_weights()
    weight, constant = dense.get_weights()
    values = [kernel.transpose(2, 1, 0), bias, gates.T, states.T, gate_bias, 0 * gate_bias, weight.T, constant]
    with torch.no_grad():
        for parameter, value in zip(same.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value))
    x, references = sequences(2, LENGTH), sequences(3, LENGTH, seed=1)
    ours, theirs = (DeepSHAP(each, baselines=references).attribute(x).scores for each in (same, model))
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4 * np.abs(ours).max())


def test_a_loop_of_the_models_own_is_refused(sequences: Any) -> None:
    def doubled(h: Any) -> Any:
        return keras.ops.fori_loop(0, 3, lambda index, value: 2 * value, h)

    class Loop(layers.Layer):
        def call(self, h: Any) -> Any:
            return doubled(h)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    with pytest.raises(UnsupportedError, match=r"cannot follow .*While"):
        DeepSHAP(head(Loop()), n_references=2).attribute(sequences(1, LENGTH))


KERNELS = tuple(np.random.default_rng(7).normal(size=(2, 3, 6, 6)).astype(np.float32))


def two_layers(h: Any, kernels: Any = KERNELS) -> Any:
    for kernel in kernels:
        h = tf.nn.relu(tf.nn.conv1d(h, kernel, 1, "SAME"))
    return h


def looped(h: Any) -> Any:
    for _ in tf.range(2):
        h = tf.nn.relu(tf.nn.conv1d(h, KERNELS[0], 1, "SAME"))
    return h


def saved(folder: Path) -> Callable[[Any], Any]:
    """Return a layer that reads a function from a file."""
    module = tf.Module()
    module.kernels = [tf.Variable(kernel) for kernel in KERNELS]
    within = tf.function(lambda h: tf.nn.relu(tf.nn.conv1d(h, module.kernels[0], 1, "SAME")))
    module.call = tf.function(
        lambda h: tf.nn.relu(tf.nn.conv1d(within(h), module.kernels[1], 1, "SAME")),
        input_signature=[tf.TensorSpec((None, LENGTH, 6))],
    )
    tf.saved_model.save(module, str(folder))
    return layers.TFSMLayer(str(folder), call_endpoint="call")


FUNCTIONS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "traced": lambda: tf.function(two_layers),
    "traced for any shape": lambda: tf.function(two_layers, input_signature=[tf.TensorSpec((None, None, 6))]),
    "one in another": lambda: tf.function(lambda h: tf.function(two_layers)(h)),
    "with variables": lambda: tf.function(partial(two_layers, kernels=[tf.Variable(kernel) for kernel in KERNELS])),
}


@pytest.mark.parametrize("kind", [*FUNCTIONS, "saved"])
def test_operations_within_a_traced_function_follow_their_rules(kind: str, sequences: Any, tmp_path: Path) -> None:
    def used(code: Callable[[Any], Any]) -> Any:
        return code if isinstance(code, layers.Layer) else layers.Lambda(code, lambda shape: shape)

    x = sequences(2, LENGTH)
    found, expected = (
        DeepSHAP(head(used(code)), n_references=2).attribute(x)
        for code in (saved(tmp_path) if kind == "saved" else FUNCTIONS[kind](), two_layers)
    )
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-5 * np.abs(expected.scores).max())
    assert np.abs(found.convergence_delta).max() <= 1e-4 * np.abs(found.observed.sum(1)).max()


def test_a_loop_within_a_traced_function_is_refused(sequences: Any) -> None:
    layer = layers.Lambda(tf.function(looped), lambda shape: shape)
    with pytest.raises(UnsupportedError, match=r"cannot follow .*While"):
        DeepSHAP(head(layer), n_references=2).attribute(sequences(1, LENGTH))


def test_an_operation_within_a_traced_function_is_named(sequences: Any) -> None:
    highest = tf.function(lambda h: h + 5 * tf.one_hot(tf.argmax(h, -1), 6))
    with pytest.warns(ConvergenceWarning, match="without a DeepLIFT rule.*ArgMax"):
        DeepSHAP(head(layers.Lambda(highest, lambda shape: shape)), n_references=2).attribute(sequences(2, LENGTH))


def test_places_have_no_multiplier_and_are_named(sequences: Any) -> None:
    def beside(h: Any) -> Any:
        values, places = keras.ops.top_k(h, 2)
        return values + keras.ops.cast(places, "float32")

    x = sequences(2, LENGTH)
    for build, expected in (
        (beside, lambda h: keras.ops.top_k(h, 2)[0]),
        (lambda h: h[..., :2] + keras.ops.cast(keras.ops.top_k(h, 2)[1], "float32"), lambda h: h[..., :2]),
    ):
        with pytest.warns(ConvergenceWarning, match="without a DeepLIFT rule.*: TopKV2[^,]*$"):
            scores = DeepSHAP(head(build), n_references=2).attribute(x).scores
        without = DeepSHAP(head(expected), n_references=2).attribute(x).scores
        np.testing.assert_allclose(scores, without, rtol=0, atol=1e-6 * np.abs(without).max())


MASKED = {
    "softmax": lambda h, mask, low: keras.ops.softmax(keras.ops.where(mask, low, h), 1) * h,
    "added": lambda h, mask, low: keras.ops.softmax(h + keras.ops.where(mask, low, 0.0), 1) * h,
    "maximum": lambda h, mask, low: keras.ops.max(keras.ops.where(mask, low, h), 1),
    "logsumexp": lambda h, mask, low: keras.ops.logsumexp(keras.ops.where(mask, low, h), 1),
}


def masked(low: float) -> keras.Model:
    """Return a model with one output for each function of hidden values and a mask of the unknown letters."""
    x = keras.Input((LENGTH, 4))
    hidden = layers.Conv1D(6, 3, padding="same", kernel_initializer=keras.initializers.GlorotNormal(1))(x)
    mask = keras.ops.equal(keras.ops.sum(x, -1, keepdims=True), 0)
    outputs = [layers.Flatten()(function(hidden, mask, low)) for function in MASKED.values()]
    weights = [np.linspace(-1, 2, output.shape[1], dtype=np.float32) for output in outputs]
    return keras.Model(
        x, [keras.ops.sum(output * line, 1, keepdims=True) for output, line in zip(outputs, weights, strict=True)]
    )


def test_masks_of_infinite_numbers_have_the_scores_of_large_ones() -> None:
    given = ["ACGTNACCNT", "TTGACCAGTA"]
    found, expected = (DeepSHAP(masked(low), n_references=2).attribute(given, target="all") for low in (-np.inf, -1e9))
    size = np.abs(expected.scores).max(axis=(0, 1, 2))
    assert (size > 1e-3).all()
    error = np.abs(found.scores - expected.scores).max(axis=(0, 1, 2)) / size
    assert not {name: value for name, value in zip(MASKED, error, strict=True) if not value <= 1e-4}


def test_an_operation_without_a_rule_is_named(sequences: Any) -> None:
    def highest(h: Any) -> Any:
        return h + 5 * keras.ops.one_hot(keras.ops.argmax(h, -1), 6)

    with pytest.warns(ConvergenceWarning, match="without a DeepLIFT rule.*ArgMax"):
        DeepSHAP(head(highest), n_references=2).attribute(sequences(2, LENGTH))


def test_a_smooth_operation_without_a_rule_is_integrated(sequences: Any) -> None:
    result = DeepSHAP(head(lambda h: keras.ops.prod(keras.ops.tanh(h), -1)), n_references=2).attribute(
        sequences(2, LENGTH)
    )
    assert np.abs(result.convergence_delta).max() <= 1e-4 * np.abs(result.observed.sum(1)).max()


def test_half_precision_is_computed_in_single(sequences: Any) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = head(layers.Activation("softmax"))
    finally:
        keras.config.set_dtype_policy("float32")
    single = head(layers.Activation("softmax"))
    x = sequences(2, LENGTH)
    ours, theirs = (DeepSHAP(each, n_references=2).attribute(x).scores for each in (model, single))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


@keras.saving.register_keras_serializable("deepshap_tests")
class Scale(layers.Layer):  # type: ignore[misc]
    def __init__(self, factor: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def call(self, h: Any) -> Any:
        return self.factor * h

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def in_half(policy: str, layer: Callable[[], Any]) -> keras.Model:
    keras.config.set_dtype_policy(policy)
    try:
        return head(layer())
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        ("mixed_float16", lambda layer: setattr(layer, "factor", 1.1)),
        ("mixed_bfloat16", lambda layer: setattr(layer, "factor", 5.0)),
        ("mixed_float16", lambda layer: setattr(layer, "call", lambda h: h * h)),
    ],
    ids=["a little", "much", "its code"],
)
def test_what_half_precisions_configuration_does_not_tell_is_refused(
    policy: str, change: Callable[[Any], None], sequences: Any
) -> None:
    model, x = in_half(policy, Scale), sequences(2, LENGTH)
    assert np.abs(DeepSHAP(model, n_references=1).attribute(x).scores).max() > 0
    change(model.layers[2])
    with pytest.raises(UnsupportedError, match="predicts something else once it is made anew from its configuration"):
        DeepSHAP(model, n_references=1).attribute(x)


def test_what_half_precisions_configuration_tells_is_explained(sequences: Any) -> None:
    model, x = in_half("mixed_float16", lambda: layers.LeakyReLU(0.1)), sequences(2, LENGTH)
    model.layers[2].negative_slope = 0.9
    found, expected = (
        DeepSHAP(each, n_references=2).attribute(x).scores for each in (model, head(layers.LeakyReLU(0.9)))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_another_backend_is_refused(sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    method = DeepSHAP(head(OPERATIONS["gelu"]))
    monkeypatch.setattr("attribution_bench_plugins.deepshap.keras_explainer.keras.backend.backend", lambda: "torch")
    with pytest.raises(UnsupportedError, match="on the TensorFlow backend, and this one runs on torch"):
        method.attribute(sequences(1, LENGTH))


def test_refusals_hold_one_message(sequences: Any) -> None:
    model = head(lambda h: layers.Lambda(lambda h: keras.ops.cast(h > 0, "float32"), lambda shape: shape)(h))
    with pytest.raises(UnsupportedError, match=r"^the target does not depend on the sequence") as caught:
        DeepSHAP(model, n_references=1).attribute(sequences(1, LENGTH))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["slope", "read by an activation"])
def test_a_model_that_was_changed_is_explained_as_it_is(kind: str, sequences: Any) -> None:
    read, x = {"factor": 1.0}, sequences(2, LENGTH)
    if kind == "slope":
        model = head(lambda h: layers.LeakyReLU(0.1, name="changed")(h), channels=2)
    else:
        model = head(lambda h: layers.Activation(lambda x: keras.ops.tanh(read["factor"] * x))(h), channels=2)
    method = DeepSHAP(model, n_references=1)
    before = method.attribute(x).scores
    if kind == "slope":
        model.get_layer("changed").negative_slope = 0.9
    read["factor"] = 5.0
    after = method.attribute(x)
    assert np.abs(after.scores - before).max() > 1e-2 * np.abs(before).max()
    # The scores add up to a difference of predictions that the model itself makes.
    assert np.abs(after.convergence_delta).max() <= 1e-4 * np.abs(after.observed.sum(1)).max()
