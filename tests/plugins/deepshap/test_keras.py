"""Keras: the rules that shap lacks, one trace for every scalar, and the tables of shap and TensorFlow."""

from typing import Any

import keras
import numpy as np
import pytest
from shap.explainers._deep import deep_tf
from tensorflow.python.eager import execute
from tensorflow.python.framework import ops

from attribution_bench.errors import ConvergenceWarning, UnsupportedError
from attribution_bench_plugins.deepshap import DeepSHAP
from attribution_bench_plugins.deepshap.keras_rules import RULES, extended_rules

LENGTH = 10
layers = keras.layers


def head(build: Any, *, channels: int = 6) -> keras.Model:
    """Convolution, what `build` makes of its (N, 10, channels), dense: seeded, float32."""
    x = inputs = keras.Input((LENGTH, 4))
    x = layers.Conv1D(channels, 3, padding="same", kernel_initializer=keras.initializers.GlorotNormal(1))(x)
    x = layers.Flatten()(build(x))
    return keras.Model(inputs, layers.Dense(1, kernel_initializer=keras.initializers.GlorotNormal(2))(x))


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
    walk = deep_tf.TFDeep._init_between_tensors
    monkeypatch.setattr(
        deep_tf.TFDeep, "_init_between_tensors", lambda self, *args: (traced.append(1), walk(self, *args))
    )
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


def tables() -> tuple[Any, ...]:
    registry = ops._gradient_registry._registry
    return dict(deep_tf.op_handlers), {name: dict(entry) for name, entry in registry.items()}, execute.record_gradient


def test_tables_of_shap_and_tensorflow_are_restored(sequences: Any) -> None:
    before = tables()
    method = DeepSHAP(head(OPERATIONS["dilated"]), n_references=2)
    method.attribute(sequences(1, LENGTH))
    assert tables() == before


def test_tables_are_restored_after_an_error(sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables()

    def failing(*args: Any) -> Any:
        raise RuntimeError("while it is traced")

    monkeypatch.setitem(RULES, "Relu", failing)
    with pytest.raises(RuntimeError, match="while it is traced"):
        DeepSHAP(head(OPERATIONS["dilated"]), n_references=2).attribute(sequences(1, LENGTH))
    assert tables() == before
    with pytest.raises(KeyboardInterrupt), extended_rules():
        raise KeyboardInterrupt
    assert tables() == before


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda h: layers.Bidirectional(layers.LSTM(4, kernel_initializer="ones"))(h), "While"),
        (lambda h: layers.Activation("silu")(3 * h), "IdentityN"),
    ],
    ids=["lstm", "silu"],
)
def test_an_operation_without_a_rule_is_named(build: Any, name: str, sequences: Any) -> None:
    with pytest.warns(ConvergenceWarning, match=f"without a DeepLIFT rule.*{name}"):
        DeepSHAP(head(build), n_references=2).attribute(sequences(2, LENGTH))


def test_another_backend_is_refused(sequences: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    method = DeepSHAP(head(OPERATIONS["gelu"]))
    monkeypatch.setattr("attribution_bench_plugins.deepshap.keras_explainer.keras.backend.backend", lambda: "torch")
    with pytest.raises(UnsupportedError, match="on the TensorFlow backend, and this one runs on torch"):
        method.attribute(sequences(1, LENGTH))
