"""Keras models that add a number of a sequence give each row its own prediction, however many rows a batch has."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

import attribution_bench as ab
from attribution_bench.models import SequenceModel, as_sequence_model

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow adds biases so")

LENGTH, LARGEST = 7, 17
ops, layers = keras.ops, keras.layers


class Own(layers.Layer):  # type: ignore[misc]
    """A layer of a user's own, whose code adds a number of each sequence."""

    def __init__(self, code: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.code, self.dense = code, layers.Dense(1)

    def build(self, shape: Any) -> None:
        self.dense.build((None, shape[-1]))

    def call(self, x: Any) -> Any:
        return self.code(x, self.dense)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def both_strands(x: Any, dense: Any) -> Any:
    """Join two strands along the batch, which is then twice as long, and part them again."""
    both = ops.concatenate([x, ops.flip(x, 1)], 0)
    first, second = ops.split(ops.add(both, ops.mean(dense(both), 1, keepdims=True)), 2, 0)
    return first * first + second


def without_graph(x: Any, dense: Any) -> Any:
    """Ask for numbers, so that no graph of any number of rows can be traced."""
    number = ops.mean(dense(x), 1, keepdims=True)
    if not isinstance(x, keras.KerasTensor):
        np.asarray(x)
    return ops.add(x, number) ** 2


def summed(hidden: Any) -> Any:
    return layers.Add()([hidden, layers.Dense(1)(layers.GlobalAveragePooling1D(keepdims=True)(hidden))])


def summed_in_head(hidden: Any) -> Any:
    pooled = layers.GlobalMaxPooling1D()(hidden)
    return ops.add(pooled, layers.Dense(1)(pooled)) ** 2


def doubled(x: Any, dense: Any) -> Any:
    """Twice as many channels, and back to as many."""
    both = ops.concatenate([x, ops.tanh(x)], -1)
    first, second = ops.split(ops.add(both, ops.mean(dense(x), 1, keepdims=True)) ** 2, 2, -1)
    return first - second


def in_a_function() -> Callable[[Any, Any], Any]:
    """Return code that keeps what is traced for one row, so that no later row shows its operations."""
    traced = tf.function(doubled)
    return lambda x, dense: (doubled if isinstance(x, keras.KerasTensor) else traced)(x, dense)


def row_by_row(x: Any, dense: Any) -> Any:
    """Run a function for each row, before axes that nothing else has."""
    return doubled(x if isinstance(x, keras.KerasTensor) else ops.vectorized_map(ops.tanh, x), dense)


def of_unknown_rows(x: Any, dense: Any) -> Any:
    """Choose every row, of which a graph does not know how many they are."""
    result = ops.add(x, ops.mean(dense(x), 1, keepdims=True)) ** 2
    return result if isinstance(x, keras.KerasTensor) else tf.boolean_mask(result, tf.ones(tf.shape(x)[:1], "bool"))


KINDS: dict[str, Callable[[Any], Any]] = {
    "layer": summed,
    "head": summed_in_head,
    "code": lambda hidden: Own(lambda x, dense: ops.add(x, ops.mean(dense(x), 1, keepdims=True)) ** 2)(hidden),
    "both strands": lambda hidden: Own(both_strands)(hidden),
    "function": lambda hidden: Own(in_a_function())(hidden),
    "row by row": lambda hidden: Own(row_by_row)(hidden),
    "without a graph": lambda hidden: Own(without_graph)(hidden),
    "unknown rows": lambda hidden: Own(of_unknown_rows)(hidden),
}


CHANNELS = {"layer": range(2, LARGEST), "function": (6,), "row by row": (6,), "unknown rows": (6,)}
"""Channels with which models of some kinds are built."""


def model_of(kind: str, channels: int) -> keras.Model:
    keras.utils.set_random_seed(channels)
    given = keras.Input((LENGTH, 4))
    hidden = KINDS[kind](layers.Conv1D(channels, 3, padding="same", activation="tanh")(given))
    return keras.Model(given, layers.Dense(2)(layers.Flatten()(hidden) if len(hidden.shape) == 3 else hidden))


def one_hot(count: int = LARGEST) -> NDArray[np.float32]:
    letters = np.random.default_rng(0).integers(0, 4, (count, LENGTH))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)


def by_rows(run: Callable[[NDArray[Any]], NDArray[Any]], x: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([run(x[row : row + 1]) for row in range(len(x))])


def assert_close(found: NDArray[Any], truth: NDArray[Any], case: object) -> None:
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-5 * float(np.abs(truth).max()), err_msg=str(case))


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_and_eager_passes_are_those_of_single_rows(kind: str) -> None:
    x = one_hot()

    def eagerly(model: SequenceModel, rows: NDArray[Any]) -> NDArray[Any]:
        with model.inference():
            return model.to_numpy(model.forward(model.to_tensor(rows))["output"])

    for channels in CHANNELS.get(kind, (2, 6, 7, 16)):
        model = as_sequence_model(model_of(kind, channels))
        truth = by_rows(lambda rows, model=model: eagerly(model, rows), x)
        for count in range(2, LARGEST + 1):
            assert_close(eagerly(model, x[:count]), truth[:count], (channels, count))
        for count in {2, channels}:
            assert_close(model.predict(x[:count], batch_size=count)["output"], truth[:count], (channels, count))


@pytest.mark.parametrize("kind", ["layer", "both strands", "unknown rows"])
def test_gradients_are_those_of_single_rows(kind: str) -> None:
    x, channels = one_hot(4), 4
    for method, options in (("gradient_x_input", {}), ("integrated_gradients", {"n_steps": 1})):
        explained = ab.get_method(method)(model_of(kind, channels), **options)
        truth = by_rows(lambda rows, explained=explained: explained.attribute(rows, target=(1,)).scores, x)
        for count in (2, channels):
            assert_close(explained.attribute(x[:count], target=(1,)).scores, truth[:count], (method, count))


@pytest.mark.parametrize(("kind", "channels"), [("layer", 2), ("code", 2), ("head", 9)])
def test_mutations_are_predicted_as_rows(kind: str, channels: int) -> None:
    """The engine's examples have two rows; full passes as many as happen to be."""
    x, network = one_hot(2), model_of(kind, channels)
    truth = ab.get_method("standard_ism")(network).attribute(x, target="all", batch_size=1).predictions["output"]
    for method, options in (("standard_ism", {}), ("fastism", {"min_speedup": 0})):
        found = ab.get_method(method)(network, **options).attribute(x, target="all", batch_size=channels)
        assert_close(found.predictions["output"], truth, method)


CHOICES: dict[str, Callable[[Any], Any]] = {
    "where": lambda x: tf.where(x > 0.5),
    "nonzero": lambda x: tf.stack(ops.nonzero(x > 0.5), 1),
    "mask": lambda x: tf.boolean_mask(tf.where(tf.ones_like(x) > 0), tf.reshape(x > 0.5, (-1,))),
}
"""Ways to find the places of the letters, of which a row of zeros has none."""
WORTH = np.array([1, 2, 4, 8], np.float32)


@pytest.mark.parametrize("choice", CHOICES)
def test_models_that_choose_nothing_of_a_row_of_zeros_are_called(choice: str) -> None:
    class Chosen(layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            places = CHOICES[choice](x)
            return tf.math.unsorted_segment_sum(tf.gather(WORTH, places[:, 2]), places[:, 0], tf.shape(x)[0])[:, None]

        def compute_output_shape(self, shape: Any) -> Any:
            return (shape[0], 1)

    given, x = keras.Input((LENGTH, 4)), one_hot(4)
    network = keras.Model(given, Chosen()(given))
    result = ab.get_method("standard_ism")(network).attribute(x)
    before = np.einsum("nal,a->n", x, WORTH)
    changed = before[:, None, None] - np.einsum("nal,a->nl", x, WORTH)[:, None] + WORTH[:, None]
    np.testing.assert_array_equal(result.predictions["output"], changed)
    model = as_sequence_model(network)
    with model.inference():
        for count in range(1, len(x) + 1):
            found = model.to_numpy(model.forward(model.to_tensor(x[:count]))["output"])
            np.testing.assert_array_equal(found[:, 0], before[:count])


def test_only_ambiguous_batches_get_more_rows() -> None:
    from attribution_bench.models.padded_batches import PaddedBatches

    seen: list[int | None] = []

    def forward(x: Any, extras: Any) -> dict[str, Any]:
        seen.append(x.shape[0])
        return {"output": tf.reduce_sum(x, 1), "twice as many rows": tf.reshape(x, (-1, 6))}

    padded = PaddedBatches(forward)
    for rows, called in ((1, 1), (2, 5), (3, 5), (4, 5), (5, 5), (6, 7), (7, 7)):
        seen.clear()
        outputs = padded(tf.ones((rows, 4, 3)), ())
        assert seen[-1] == called
        assert outputs["output"].shape == (rows, 3)
    seen.clear()
    padded.forget()
    padded(tf.ones((5, 4, 3)), ())
    assert seen == [1, 5]
    traced = tf.function(lambda x: padded(x, ())["output"], input_signature=[tf.TensorSpec((None, 4, 3))])
    assert traced(tf.ones((3, 4, 3))).shape == (3, 3)
    assert seen[2:] == [None]
    unknown = PaddedBatches(lambda x, extras: {"rows": tf.boolean_mask(x, x[:, 0, 0] > 0), "one": tf.reduce_sum(x)})
    outputs = tf.function(lambda x: unknown(x, ()))(tf.ones((4, 4, 3)))
    assert outputs["rows"].shape == (4, 4, 3)
    assert outputs["one"].shape == ()
