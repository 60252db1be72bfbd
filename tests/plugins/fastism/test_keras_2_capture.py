"""Models of Keras 2, as tf_keras runs them and as .h5 files hold them, feed the same engine."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import attribution_bench as ab
import keras_models
from attribution_bench.errors import ModelError
from attribution_bench.models.loading import model_source

tf_keras = pytest.importorskip("tf_keras")
layers = tf_keras.layers
LENGTH = 24


def random_one_hot(count: int) -> NDArray[np.float64]:
    return np.eye(4)[np.random.default_rng(0).integers(0, 4, (count, LENGTH))].transpose(0, 2, 1)


def in_float64(make: Any) -> Any:
    former = tf_keras.backend.floatx()
    tf_keras.backend.set_floatx("float64")
    try:
        return keras_models.randomised(make())
    finally:
        tf_keras.backend.set_floatx(former)


def bpnet() -> Any:
    """Return BPNet as its authors wrote it for Keras 2, in miniature: two heads and a control track."""
    x, control = tf_keras.Input((LENGTH, 4), name="sequence"), tf_keras.Input((LENGTH, 2), name="control")
    y = layers.Conv1D(5, 7, padding="same", activation="relu")(x)
    for dilation in (2, 4):
        y = layers.add([y, layers.Conv1D(5, 3, padding="same", dilation_rate=dilation, activation="relu")(y)])
    profile = layers.Conv1DTranspose(2, 5, padding="same")(y)
    profile = layers.Conv1D(2, 1, name="profile")(layers.concatenate([profile, control]))
    count = layers.Dense(1, name="count")(layers.GlobalAveragePooling1D()(y))
    return tf_keras.Model([x, control], [profile, count])


def many_layers() -> Any:
    import tensorflow as tf

    x = tf_keras.Input((LENGTH, 4))
    tail = tf_keras.Sequential([layers.Conv1D(4, 3, activation="hard_sigmoid"), layers.LeakyReLU(0.3)], name="tail")
    y = layers.BatchNormalization()(layers.Conv1D(6, 4, strides=2, padding="same", activation="gelu")(x))
    y = tail(layers.SeparableConv1D(5, 3, padding="same")(layers.DepthwiseConv1D(3, padding="same")(y)))
    y = layers.LayerNormalization()(layers.PReLU(shared_axes=[1])(layers.ELU(0.5)(y)))
    z = 1 - tf.nn.relu(y)[:, 1:-2] * 2.0 + tf.exp(y[:, 2:-1])
    z = tf.concat([z, tf.transpose(tf.transpose(z, (0, 2, 1)), (0, 2, 1))], axis=-1)
    state = layers.GRU(3, name="memory")(z)
    z = layers.AveragePooling1D(2, padding="same")(layers.MaxPooling1D(2, padding="same")(z))
    return tf_keras.Model(x, layers.Dense(2)(layers.concatenate([layers.Flatten()(z), tf.reduce_mean(y, 1), state])))


def standard(model: Any, x: NDArray[Any], **arguments: Any) -> dict[str, NDArray[Any]]:
    return dict(ab.get_method("standard_ism")(model).attribute(x, target="all", **arguments).predictions)


def assert_parity(method: Any, x: NDArray[Any], truth: dict[str, NDArray[Any]], **arguments: Any) -> None:
    result = method.attribute(x, target="all", **arguments)
    assert "fallback" not in result.metadata
    assert list(result.predictions) == list(truth)
    for name, expected in truth.items():
        found = result.predictions[name]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_layers_and_operations() -> None:
    model, x = in_float64(many_layers), random_one_hot(2)
    method = ab.get_method("fastism")(model)
    truth = standard(model, x)
    assert_parity(method, x, truth)
    # Standard ISM against the model itself, one mutation by hand.
    mutated = x.copy()
    mutated[:, :, 5] = np.eye(4)[2]
    by_hand = model(mutated.transpose(0, 2, 1), training=False).numpy()
    np.testing.assert_allclose(truth["output"][:, 2, 5], by_hand, rtol=0, atol=1e-12)
    (captured,) = method.engine.cache.models
    opaque = {step.node.layer for step in captured.plan.steps.values() if step.node.op == "opaque"}
    assert opaque == {"memory (GRU)"}
    model.set_weights([weight * 1.5 for weight in model.get_weights()])
    assert_parity(method, x, standard(model, x))


def test_code_of_users_is_followed() -> None:
    import tensorflow as tf

    class Gate(layers.Layer):
        def build(self, shape: Any) -> None:
            self.weight = self.add_weight(name="weight", shape=(shape[-1], shape[-1]))

        def call(self, x: Any, training: bool = False) -> Any:
            return x * tf.sigmoid(tf.matmul(x, self.weight))

    class Named(layers.Conv1D):
        """A layer that the user named."""

    def make() -> Any:
        x = tf_keras.Input((LENGTH, 4))
        y = Named(4, 5, padding="same", activation=lambda v: v * tf.sigmoid(1.702 * v))(x)
        y = layers.Lambda(lambda v: v - tf.reduce_mean(v, axis=-1, keepdims=True))(Gate()(y))
        return tf_keras.Model(x, layers.Conv1D(2, 3)(y))

    model, x = in_float64(make), random_one_hot(2)
    method = ab.get_method("fastism")(model)
    assert_parity(method, x, standard(model, x))
    assert {layer.mode for layer in method.explain(LENGTH).layers} == {"windowed"}


def test_what_is_not_followed_runs_in_full_alone() -> None:
    import tensorflow as tf

    class Halves(layers.Layer):
        def call(self, x: Any) -> Any:
            return x[:, :, :3], x[:, :, 3:]

    def make() -> Any:
        x = tf_keras.Input((LENGTH, 4))
        first, second = Halves()(layers.Conv1D(6, 5, padding="same")(x))
        y = tf.nn.max_pool(first * second, [1, 2, 1], [1, 2, 1], "VALID")
        return tf_keras.Model(x, tf.sort(layers.Conv1D(2, 3)(y), axis=1))

    model, x = in_float64(make), random_one_hot(2)
    method = ab.get_method("fastism")(model)
    assert_parity(method, x, standard(model, x))
    found = method.explain(LENGTH).layers
    (product,) = (layer for layer in found if layer.layer.endswith("(tf.math.multiply)"))
    (pool,) = (layer for layer in found if layer.kind == "tf.nn.max_pool1d")
    assert (product.mode, pool.mode) == ("windowed", "full")
    assert pool.reason == "there is no rule for 'tf.nn.max_pool1d'"


def test_a_keras_2_file_of_bpnet(tmp_path: Path) -> None:
    model, x = in_float64(bpnet), random_one_hot(2)
    control = np.random.default_rng(1).standard_normal((2, LENGTH, 2))
    truth = standard(model, x, additional_forward_args=control)
    assert list(truth) == ["profile", "count"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the format is an old one
        model.save(tmp_path / "bpnet.h5")
    opened = model_source(str(tmp_path / "bpnet.h5")).open(device="cpu")
    assert_parity(ab.get_method("fastism")(opened), x, truth, additional_forward_args=control)


def test_a_file_that_keras_3_cannot_read_is_read_by_tf_keras(tmp_path: Path) -> None:
    model, x = keras_models.randomised(many_layers()), random_one_hot(1).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "old.h5")
    opened = model_source(str(tmp_path / "old.h5")).open(device="cpu")
    assert isinstance(opened.model, tf_keras.Model)
    expected = model(x.transpose(0, 2, 1), training=False).numpy()
    np.testing.assert_allclose(opened.predict(x)["output"], expected, rtol=1e-5, atol=1e-5)


def test_lambda_layers_of_keras_2_files_are_refused(tmp_path: Path) -> None:
    x = tf_keras.Input((LENGTH, 4))
    model = tf_keras.Model(x, layers.Dense(1)(layers.Flatten()(layers.Lambda(lambda v: v * 2)(x))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "code.h5")
    with pytest.raises(ModelError, match="Lambda layer"):
        model_source(str(tmp_path / "code.h5")).open()
