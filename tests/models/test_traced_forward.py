"""Full passes of TensorFlow models: traced once, equal to the eager pass, and eager where a graph would differ."""

import types
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from attribution_bench.models import SequenceModel, as_sequence_model

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow traces")

LIBRARIES = {"keras": keras, "tf_keras": tf_keras}
LENGTH = 9


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    return LIBRARIES[request.param]


def one_hot(count: int, length: int = LENGTH, seed: int = 0) -> NDArray[np.float32]:
    letters = np.random.default_rng(seed).integers(0, 4, (count, length))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)


def eagerly(model: SequenceModel, x: NDArray[Any], *extras: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the outputs of the eager pass, row by row."""
    rows: list[dict[str, NDArray[Any]]] = []
    with model.inference():
        for i in range(len(x)):
            outputs = model.forward(model.to_tensor(x[i : i + 1]), tuple(model.to_tensor(e[i : i + 1]) for e in extras))
            rows.append({name: model.to_numpy(value) for name, value in outputs.items()})
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def assert_eager(model: SequenceModel, x: NDArray[Any], *extras: NDArray[Any], batch_size: int = 8) -> None:
    found, expected = model.predict(x, extras, batch_size=batch_size), eagerly(model, x, *extras)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-5 * np.abs(values).max())


def layer_of(library: Any, call: Callable[[Any], Any]) -> tuple[Any, list[int | None]]:
    """Return a model that calls a function of Python on (N, L, 4), and the rows of each of its calls as they come."""
    seen: list[int | None] = []
    note, built = seen.append, False  # what a layer notes in a list that its code reads would count as a change

    class Called(library.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            note(x.shape[0])
            return call(x) if built else tf.reduce_sum(x, 2)

        def compute_output_shape(self, shape: Any) -> Any:
            return tuple(shape[:2])

    given = library.Input((None, 4))
    model = library.Model(given, Called()(given))
    seen.clear()
    built = True
    return model, seen


def test_recurrent_models_with_several_outputs_and_inputs(library: Any) -> None:
    x, extra = library.Input((LENGTH, 4), name="sequence"), library.Input((3,), name="covariates")
    hidden = library.layers.LSTM(5, return_sequences=True)(library.layers.Conv1D(6, 3, activation="relu")(x))
    profile = library.layers.Dense(1, name="zeta")(hidden)
    count = library.layers.Dense(2, name="alpha")(
        library.layers.Concatenate()([library.layers.GlobalAveragePooling1D()(hidden), extra])
    )
    model = as_sequence_model(library.Model([x, extra], {"zeta": profile, "alpha": count}))
    covariates = np.random.default_rng(1).random((11, 3)).astype(np.float32)
    assert_eager(model, one_hot(11), covariates)


def test_one_graph_for_every_number_of_rows(library: Any) -> None:
    network, seen = layer_of(library, lambda x: tf.reduce_sum(x * tf.constant([1.0, -2.0, 3.0, 0.5]), 2))
    model = as_sequence_model(network)
    for count, size in ((20, 8), (7, 7), (30, 3)):
        model.predict(one_hot(count), batch_size=size)
    assert seen.count(None) == 1
    # Each use compares one row.
    assert [rows for rows in seen if rows is not None] == [1, 1, 1]
    seen.clear()
    model.predict(one_hot(5, 2 * LENGTH), batch_size=5)
    assert seen == [1, None]


def test_a_changed_model_is_traced_anew(library: Any) -> None:
    """Weights are read as they are; what Python decides in a call is noticed in the next use."""
    dense = library.layers.Dense(3, activation="sigmoid")
    model = as_sequence_model(library.Sequential([library.layers.Input((LENGTH, 4)), library.layers.Flatten(), dense]))
    x = one_hot(6)
    assert_eager(model, x)
    dense.set_weights([3 * weight + 0.1 for weight in dense.get_weights()])
    assert_eager(model, x)
    before = model.predict(x)["output"]
    dense.activation = library.activations.linear
    assert_eager(model, x)
    assert np.abs(model.predict(x)["output"] - before).max() > 0.1


class Turned:
    """What a user may change of a model of library layers between two uses, each of which changes its predictions."""

    def __init__(self, library: Any) -> None:
        layers, self.library = library.layers, library
        self.inner = layers.Dense(5, activation="tanh")
        self.nested = library.Sequential([layers.Input((LENGTH, 4)), self.inner])
        given = library.Input((LENGTH, 4))
        self.scale = layers.Rescaling(2.0)
        self.pool = layers.AveragePooling1D(3, strides=2, padding="same")
        hidden = self.scale(self.pool(self.nested(given)))
        self.last = layers.Dense(3, bias_initializer="ones")
        self.network = library.Model(given, self.last(layers.Flatten()(hidden)))

    def scaled(self) -> None:
        self.scale.scale = 3.0

    def activation_of_a_nested_model(self) -> None:
        self.inner.activation = self.library.activations.relu

    def activation_of_ones_own(self) -> None:
        self.last.activation = lambda x: -x

    def size_of_a_pool(self) -> None:
        self.pool.pool_size = (5,) if isinstance(self.pool.pool_size, tuple) else 5

    def call_of_an_instance(self) -> None:
        call = self.scale.call
        self.scale.call = lambda x: call(x) + 1

    def no_bias(self) -> None:
        self.last.use_bias, self.last.bias = False, None


def eager_rows(model: SequenceModel, call: Callable[[], object]) -> int:
    """Return how many times a call runs the model on rows whose number is known, as graphs do not."""
    forward, counts = model._traced._forward, []  # type: ignore[attr-defined]

    def counted(x: Any, extras: Any) -> Any:
        counts.append(x.shape[0])
        return forward(x, extras)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model._traced, "_forward", counted)  # type: ignore[attr-defined]
        call()
    return sum(count is not None for count in counts)


def test_layers_of_a_library_are_compared_once(library: Any) -> None:
    model, x = as_sequence_model(Turned(library).network), one_hot(6)
    counts = [eager_rows(model, lambda: model.predict(x)) for _ in range(4)]
    # Layers note in themselves that they have been called for the first time.
    assert [counts[0], *counts[2:]] == [1, 0, 0]
    model.model.set_weights([weight + 0.1 for weight in model.model.get_weights()])
    assert eager_rows(model, lambda: assert_eager(model, x)) == 0


CHANGES = [change for name, change in vars(Turned).items() if not name.startswith("_")]


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_what_layers_of_a_library_hold_is_noticed(library: Any, change: Callable[[Turned], None]) -> None:
    turned, x = Turned(library), one_hot(6)
    model = as_sequence_model(turned.network)
    before = [model.predict(x)["output"] for _ in range(2)]
    change(turned)
    assert_eager(model, x)
    assert np.abs(model.predict(x)["output"] - before[1]).max() > 1e-3


@pytest.mark.parametrize("kind", ["Lambda", "Activation"])
def test_functions_of_ones_own_are_compared_in_each_use(library: Any, kind: str) -> None:
    layers, factors = library.layers, [2.0]
    own = getattr(layers, kind)(lambda x: x * factors[-1])
    network = library.Sequential([layers.Input((LENGTH, 4)), own, layers.Dense(2)])
    model, x = as_sequence_model(network), one_hot(6)
    for factor in (2.0, 3.0, 4.0):
        factors.append(factor)
        assert_eager(model, x)


def test_a_setting_of_ones_own_layer_counts_where_the_compared_row_does_not_show_it(library: Any) -> None:
    class Box:
        limit = 99.0

    class Capped(library.layers.Layer):  # type: ignore[misc, name-defined]
        cap = 99.0

        def __init__(self) -> None:
            super().__init__()
            self.box, self.limits = Box(), [99.0]

        def call(self, x: Any) -> Any:
            total = tf.reduce_sum(x * tf.constant([0.0, 1.0, 2.0, 3.0]), (1, 2))
            return tf.minimum(total, min(self.cap, self.box.limit, self.limits[0]))

        def compute_output_shape(self, shape: Any) -> Any:
            return tuple(shape[:1])

    x = one_hot(6)
    x[0], x[1:] = np.eye(4)[[0] * LENGTH].T, np.eye(4)[[3] * LENGTH].T
    given, capped = library.Input((LENGTH, 4)), Capped()
    model = as_sequence_model(library.Model(given, capped(given)))

    def of_class() -> None:
        Capped.cap = 20.0

    def of_instance() -> None:
        capped.cap = 18.0

    def of_object() -> None:
        capped.box.limit = 16.0

    def of_list() -> None:
        capped.limits[0] = 14.0

    for expected, change in ((27, None), (20, of_class), (18, of_instance), (16, of_object), (14, of_list)):
        if change is not None:
            change()
        for _ in range(2):
            np.testing.assert_array_equal(model.predict(x)["output"], [0] + [expected] * 5)


LIMIT, LIMITS, SHARED = 99.0, {"of": [99.0]}, SimpleNamespace(limit=99.0)


def limit_of_a_function(largest: float = 99.0) -> float:
    return min(largest, LIMITS["of"][0])


def test_what_code_of_ones_own_reads_counts_where_the_compared_row_does_not_show_it(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a layer, and as a function: globals, names of enclosing functions, defaults, and functions that are called."""
    own, module = 99.0, types.ModuleType("settings_of_ones_own")
    module.limit = 99.0  # type: ignore[attr-defined]
    monkeypatch.setitem(globals(), "MODULE", module)
    monkeypatch.setitem(LIMITS, "of", [99.0])
    variable = tf.Variable(99.0)

    def capped(x: Any, weights: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0)) -> Any:
        limits = LIMIT, SHARED.limit, limit_of_a_function(), own, MODULE.limit  # type: ignore[name-defined]  # noqa: F821
        return tf.minimum(tf.minimum(tf.reduce_sum(x * tf.constant(weights), (1, 2)), min(limits)), variable)

    class Capped(library.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return capped(x)

        def compute_output_shape(self, shape: Any) -> Any:
            return tuple(shape[:1])

    def of_enclosing() -> None:
        nonlocal own
        own = 14.0

    changes: list[tuple[float, Callable[[], object]]] = [
        (27, lambda: None),
        (20, lambda: monkeypatch.setitem(globals(), "LIMIT", 20.0)),
        (18, lambda: monkeypatch.setattr(SHARED, "limit", 18.0)),
        (16, lambda: LIMITS["of"].__setitem__(0, 16.0)),
        (14, of_enclosing),
        (12, lambda: monkeypatch.setattr(module, "limit", 12.0)),
        (10, lambda: monkeypatch.setattr(limit_of_a_function, "__defaults__", (10.0,))),
        (9, lambda: monkeypatch.setattr(capped, "__defaults__", ((0.0, 1.0, 2.0, 1.0),))),
        (8, lambda: variable.assign(8.0)),
    ]
    x, given = one_hot(6), library.Input((LENGTH, 4))
    x[0], x[1:] = np.eye(4)[[0] * LENGTH].T, np.eye(4)[[3] * LENGTH].T
    models = [
        as_sequence_model(library.Model(given, layer(given))) for layer in (Capped(), library.layers.Lambda(capped))
    ]
    for expected, change in changes:
        change()
        for model in models:
            for _ in range(2):
                np.testing.assert_array_equal(model.predict(x)["output"], [0] + [expected] * 5)


def test_random_numbers_of_python_are_drawn_anew(library: Any) -> None:
    random = np.random.default_rng(0)
    network, _ = layer_of(library, lambda x: tf.reduce_sum(x, 2) + float(random.normal()))
    model = as_sequence_model(network)
    first, second = (model.predict(one_hot(6))["output"] for _ in range(2))
    assert np.abs(first - second).max() > 1e-3


def test_what_cannot_be_traced_runs_eagerly(library: Any) -> None:
    """Conditions on numbers (some of which Keras has traced), numbers out of tensors, and shapes that need the rows."""

    def condition(x: Any) -> Any:
        summed = tf.reduce_sum(x * tf.constant([1.0, 2.0, 3.0, 4.0]), 2)
        return summed if tf.reduce_sum(summed) > 0 else -summed

    def rows_in_shape(x: Any) -> Any:
        return tf.reshape(x * tf.constant([1.0, 2.0, 3.0, 4.0]), (x.shape[0] + 0, LENGTH, 4))[:, :, 1]

    def out_of_tensor(x: Any) -> Any:
        return tf.reduce_sum(x, 2) * float(np.asarray(x).max())

    for call in (condition, rows_in_shape, out_of_tensor):
        network, seen = layer_of(library, call)
        model, x = as_sequence_model(network), one_hot(12)
        assert_eager(model, x, batch_size=5)
        seen.clear()
        model.predict(x, batch_size=5)
        assert call is condition or seen == [5, 5, 2]


def test_an_error_of_the_model_is_its_own(library: Any) -> None:
    def fail(x: Any) -> Any:
        if x.shape[0] is not None:
            raise ArithmeticError("the model's own words")
        return tf.reduce_sum(x, 2)

    network, _ = layer_of(library, fail)
    with pytest.raises(ArithmeticError, match="own words"):
        as_sequence_model(network).predict(one_hot(6))
