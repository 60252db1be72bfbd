"""Files of Keras 3 and Keras 2: honest ones compute what their models did; what they name is compared with lists."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers, ops

from attribution_bench.errors import ModelError
from attribution_bench.models.model_files import read_keras
from attribution_bench.models.untrusted.keras_config import checked_config
from attribution_bench.models.untrusted.keras_names import ACTIVATIONS, INITIALIZERS, LAYERS
from attribution_bench.models.untrusted.refused import Refused

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
X = np.random.default_rng(0).random((2, 20, 4), "f4")
old = tf_keras.layers


def functional(made: Callable[[Any], Any]) -> Any:
    x = keras.Input((20, 4))
    return keras.Model(x, made(x))


def functional_2(made: Callable[[Any], Any]) -> Any:
    x = tf_keras.Input((20, 4))
    return tf_keras.Model(x, made(x))


def nested() -> Any:
    kernel = {"kernel_regularizer": "l2", "kernel_constraint": keras.constraints.MaxNorm(2)}
    first = [layers.Conv1D(3, 3, activation="gelu", **kernel), layers.BatchNormalization()]
    inner = keras.Sequential([keras.Input((20, 4)), *first, layers.Activation(keras.activations.silu)])
    return functional(lambda x: layers.Dense(2)(layers.GlobalAveragePooling1D()(inner(x))))


def attending(x: Any) -> Any:
    y = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(x, x) + x)
    return layers.Bidirectional(layers.LSTM(3, return_sequences=True))(y)


def with_operations(x: Any) -> Any:
    products = ops.einsum("blc,bmc->blm", x, x) - ops.mean(x, axis=(1, 2), keepdims=True)
    chosen = ops.where(x > 0.5, x, 0.0)
    return ops.softmax(products)[:, :, :4] * 2.0 + ops.concatenate([chosen, ops.flip(x, 1)], axis=-1)[..., :4]


def with_functions(x: Any) -> Any:
    y = 1.0 - x * 2 + tf.reduce_mean(x, axis=-1, keepdims=True)
    y = tf.nn.softmax(tf.transpose(tf.concat([y, tf.reverse(x, [1])], -1), [0, 2, 1]))[:, 2:5]
    return old.Dense(2)(tf.squeeze(tf.expand_dims(tf.math.log(tf.exp(y) + 1e-3), 1), 1))


def with_layers(x: Any) -> Any:
    inner = tf_keras.Sequential([tf_keras.Input((20, 4)), old.Conv1D(4, 3, padding="same", dilation_rate=2)])
    y = old.add([old.ReLU()(inner(x)), old.Activation(tf_keras.activations.swish)(x)])
    return old.Flatten()(old.GRU(3, return_sequences=True)(old.BatchNormalization()(y)))


HONEST: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "nested": (nested, (".keras", ".h5")),
    "attending": (lambda: functional(attending), (".keras",)),
    "operations": (lambda: functional(with_operations), (".keras",)),
    "mixed": (
        lambda: functional(lambda x: layers.Dense(3, dtype="mixed_float16")(layers.Rescaling(2.0)(x))),
        (".keras",),
    ),
    "functions": (lambda: functional_2(with_functions), (".keras", ".h5")),
    "layers": (lambda: functional_2(with_layers), (".keras", ".h5")),
}


@pytest.mark.parametrize(("name", "suffix"), [(name, s) for name, (_, suffixes) in HONEST.items() for s in suffixes])
def test_an_honest_file_computes_what_its_model_did(name: str, suffix: str, tmp_path: Path) -> None:
    model = HONEST[name][0]()
    model.save(tmp_path / f"model{suffix}")
    expected = np.asarray(model(X, training=False))
    np.testing.assert_allclose(
        np.asarray(read_keras(tmp_path / f"model{suffix}")(X, training=False)), expected, atol=1e-5
    )


@pytest.fixture
def registered() -> Iterator[type]:
    @keras.saving.register_keras_serializable("mine")
    class Twice(layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    yield Twice
    keras.saving.get_custom_objects().pop("mine>Twice")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_the_users_own_code_registers_is_read(suffix: str, registered: type, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    functional(lambda x: registered()(x)).save(path)
    np.testing.assert_allclose(np.asarray(read_keras(path)(X)), 2 * X)
    keras.saving.get_custom_objects().pop("mine>Twice")
    with pytest.raises(ModelError, match="Twice"):
        read_keras(path)
    keras.saving.get_custom_objects()["mine>Twice"] = registered


@pytest.fixture
def registered_others() -> Iterator[tuple[type, Callable[[Any], Any]]]:
    @keras.saving.register_keras_serializable("mine")
    class Whole(keras.Model):
        def __init__(self, units: int = 2, **options: Any) -> None:
            super().__init__(**options)
            self.units, self.dense = units, layers.Dense(units)

        def call(self, x: Any) -> Any:
            return self.dense(ops.mean(x, 1))

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    @keras.saving.register_keras_serializable("mine")
    def squared(x: Any) -> Any:
        return x * x

    yield Whole, squared
    for name in ("mine>Whole", "mine>squared"):
        keras.saving.get_custom_objects().pop(name, None)


def test_whole_models_that_are_registered_are_read(registered_others: tuple[Any, Any], tmp_path: Path) -> None:
    model, path = registered_others[0](3), tmp_path / "model.keras"
    expected = np.asarray(model(X))
    model.save(path)
    np.testing.assert_allclose(np.asarray(read_keras(path)(X)), expected, atol=1e-6)
    keras.saving.get_custom_objects().pop("mine>Whole")
    with pytest.raises(ModelError, match="Whole"):
        read_keras(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_functions_that_are_registered_are_read(
    suffix: str, registered_others: tuple[Any, Any], tmp_path: Path
) -> None:
    path = tmp_path / f"model{suffix}"
    functional(lambda x: layers.Activation(registered_others[1])(x)).save(path)
    np.testing.assert_allclose(np.asarray(read_keras(path)(X)), X * X, atol=1e-6)
    keras.saving.get_custom_objects().pop("mine>squared")
    with pytest.raises(ModelError, match="squared"):
        read_keras(path)


def test_layers_keep_their_own_way_to_make_weights(tmp_path: Path) -> None:
    ways = keras.layers.Layer.add_weight, tf_keras.layers.Layer.add_weight
    test_an_honest_file_computes_what_its_model_did("layers", ".keras", tmp_path)
    assert (keras.layers.Layer.add_weight, tf_keras.layers.Layer.add_weight) == ways


def test_the_names_are_names_of_keras() -> None:
    """No list holds what neither Keras has, and none what reads files or runs code."""
    for names, places in (
        (LAYERS, (layers, old)),
        (INITIALIZERS, (keras.initializers, tf_keras.initializers)),
        (ACTIVATIONS, (keras.activations, tf_keras.activations)),
    ):
        unknown = {name for name in names if not any(hasattr(place, name) for place in places)}
        assert {name for name in unknown if not name.endswith(("V1", "V2"))} <= {
            "CuDNNGRU", "CuDNNLSTM", "Input", "SyncBatchNormalization", "normal", "one", "uniform", "zero",
        }  # fmt: skip
    risky = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup", "TextVectorization"}
    assert not risky & LAYERS


def model_of(**fields: Any) -> bytes:
    layer = {"class_name": "Dense", "module": "keras.layers", "registered_name": None, "config": {"units": 1}}
    layer |= fields
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [layer]}}).encode()


@pytest.mark.parametrize(
    "fields",
    [
        {"module": "os"},
        {"module": "keras..layers"},
        {"module": "tf_keras.src.saving.legacy.os"},
        {"module": 3},
        {"class_name": ["Dense"]},
        {"class_name": "dense"},
        {"class_name": "get_file", "module": "keras.utils"},
        {"class_name": "load_model", "module": "keras.models"},
        {"registered_name": "builtins>eval"},
        {"config": {"units": 1, "activation": "os.system"}},
        {"config": {"units": 1, "kernel_initializer": "get_file"}},
        {"config": {"units": 1, "kernel_regularizer": {"class_name": "function", "config": "x", "module": "os"}}},
        {"config": {"units": 1, "activation": {"class_name": "function", "config": "relu", "module": "os"}}},
        {"config": {"units": 1, "activation": {"class_name": "function", "config": "eval", "module": "builtins"}}},
        {"config": {"units": {"class_name": "__lambda__", "config": {}}}},
        {"config": {"units": {"class_name": "TypeSpec", "type_spec": "x", "serialized": []}}},
        {"config": {"units": {"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}}}},
        {"config": {"units": {"class_name": "__bytes__", "config": {"value": "x"}}}},
        {"class_name": "Map", "module": "keras.src.ops.core"},
        {"class_name": "Add", "module": "keras.src.ops.operation_utils"},
        {"inbound_nodes": [{"args": [1], "kwargs": {}}]},
        {"inbound_nodes": "x"},
    ],
)
def test_names_that_are_in_no_list_are_refused(fields: dict[str, Any]) -> None:
    checked_config(model_of(), frozenset())
    with pytest.raises(Refused):
        checked_config(model_of(**fields), frozenset())


@pytest.mark.parametrize(
    "text", ["[]", "null", '"x"', "{", '{"class_name": ["Sequential"]}', '{"class_name": "Dense"}']
)
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        checked_config(text.encode(), frozenset())


def test_training_does_not_reach_keras() -> None:
    config = json.loads(model_of()) | {"compile_config": {"class_name": "eval", "module": "builtins"}}
    assert "compile_config" not in checked_config(json.dumps(config).encode(), frozenset())
