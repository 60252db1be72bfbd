"""Functions of Keras models' outputs: what they read is all that is computed, whatever their functions are of."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import attribution_bench as ab
from attribution_bench_plugins.fastism.capture.source import source_of
from keras_models import in_precision, randomised
from parity import assert_parity, one_hot

LENGTH = 24

FUNCTIONS: list[tuple[Callable[[Any], Any], tuple[int, int]]] = [
    (lambda h: h[:, 10, 0], (10, 11)),
    (lambda h: h[:, 4:8].mean((1, 2)), (4, 8)),
    (lambda h: h[..., 0].flatten(1)[:, 7].exp(), (7, 8)),
    (lambda h: (h[:, 3, 1] - 2 * h[:, 6, 0]) / 3, (3, 7)),
    (lambda h: h[:, 4:8].softmax(1)[:, 0, 0], (4, 8)),
    (lambda h: h.reshape(h.shape[0], -1)[:, -1], (23, 24)),
    (lambda h: tf.reduce_sum(h[:, 5:20:7], (1, 2)), (5, 20)),
    (lambda h: tf.reduce_sum(tf.gather(h, [3, 5], axis=1), (1, 2)), (3, 6)),
    (lambda h: tf.split(h, 4, axis=1)[1][:, 0, 0], (6, 7)),
    (lambda h: keras.ops.logsumexp(h[:, 20:], axis=(1, 2)), (20, 24)),
    (lambda h: keras.ops.squeeze(h[:, 2:3, 1:], axis=2)[:, 0], (2, 3)),
]
EVERYTHING: list[Callable[[Any], Any]] = [
    lambda h: h.mean((1, 2)),
    lambda h: tf.nn.softmax(h, 1)[:, 3, 0],
    lambda h: tf.constant(h.numpy()[:, 3, 0]),
    lambda h: h[:, 2, 0] if h[0, 0, 0] > 0 else h[:, 2, 0] + 0 * h[:, 4, 0],
    lambda h: h[:, int(tf.argmax(h[0, :, 0])), 0] * 0 + h[:, 1, 0],
    lambda h: tf.numpy_function(lambda value: value[:, 3, 0], [h], h.dtype),
]


@pytest.fixture(scope="module")
def method() -> Any:
    """Return fastISM of a model with a profile (24, 2)."""

    def make() -> keras.Model:
        x = keras.Input((LENGTH, 4))
        h = keras.layers.Conv1D(5, 5, padding="same", activation="relu")(x)
        return keras.Model(x, keras.layers.Conv1D(2, 3, padding="same", dilation_rate=2)(h))

    return ab.get_method("fastism")(randomised(in_precision("float64", make)), min_speedup=0)


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_what_a_function_reads(method: Any, number: int) -> None:
    function, (start, stop) = FUNCTIONS[number]
    positions = torch.arange(LENGTH)[None, :, None].expand(2, LENGTH, 2)
    assert source_of(method.model).positions_read(function, positions) == range(start, stop)


@pytest.mark.parametrize("function", EVERYTHING)
def test_functions_that_are_not_followed_read_everything(method: Any, function: Callable[[Any], Any]) -> None:
    positions = torch.arange(LENGTH)[None, :, None].expand(2, LENGTH, 2)
    assert source_of(method.model).positions_read(function, positions) in (None, range(LENGTH))


def test_every_function_agrees_with_full_passes(method: Any) -> None:
    x, random = one_hot(2, 4, LENGTH), np.random.default_rng(0)
    standard = ab.get_method("standard_ism")(method.model)
    for function in [*(function for function, _ in FUNCTIONS), *EVERYTHING]:
        positions = np.sort(random.choice(LENGTH, 9, replace=False))
        found, truth = (each.attribute(x, target=function, positions=positions) for each in (method, standard))
        assert_parity(dict(found.predictions), dict(truth.predictions), 1e-10)


def test_the_explanation_of_a_function(method: Any) -> None:
    first, second = method.explain(LENGTH, target=lambda h: h[:, 10:12].mean((1, 2))).layers[:2]
    assert (first.reached, second.reached) == (5, 5)
    (last,) = method.explain(LENGTH, target=lambda h: h[:, 10:12].mean((1, 2))).layers[-1:]
    assert last.reached == 2


def test_a_function_that_has_changed_is_differentiated_anew(method: Any) -> None:
    gradient, x, place = ab.get_method("gradient_x_input")(method.model), one_hot(1, 4, LENGTH), [4]

    def function(value: Any) -> Any:
        return value[:, place[0], 0]

    for place[0] in (4, 20):
        np.testing.assert_array_equal(
            gradient.attribute(x, target=function).scores, gradient.attribute(x, target=(place[0], 0)).scores
        )
