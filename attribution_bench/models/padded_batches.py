"""Batches of Keras models on TensorFlow whose number of rows is not taken for a number of channels."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_callbacks  # it has no public name

from attribution_bench.models.sequence_model import Tensor
from attribution_bench.models.traced_forward import Forward, Key, key_of


@dataclass(frozen=True)
class _Sizes:
    """Sizes of the axes of what a model computes of one row."""

    first: frozenset[int]
    """Sizes of first axes: how many rows each row becomes, where code joins other axes to that of the batch."""
    every: frozenset[int]

    def is_ambiguous(self, rows: int) -> bool:
        """Whether the rows of a batch, or what they become, may be as many as another axis is long."""
        return any(rows * each in self.every for each in self.first)


class PaddedBatches:
    """A forward pass that adds rows to batches that are as long as another axis of the model.

    `keras.ops.add` takes a tensor (rows, 1, 1) for a bias of the channels where rows and channels are equally many and
    their numbers are known, so that the model gives other numbers for such a batch than for each of its rows. How long
    the model's axes are is seen in a pass of one row of zeros. Graphs for any number of rows need no such care.

    Parameters
    ----------
    forward
        The pass: (N, A, L) and further inputs to output -> (N, *output).
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self._sizes: dict[Key, _Sizes] = {}

    def forget(self) -> None:
        """Look at the model anew when it is called next, as it may have been changed."""
        self._sizes.clear()

    def rows(self, x: Tensor, extras: tuple[Tensor, ...]) -> int:
        """Return the smallest number of rows, at least those of a batch, that no axis of the model can be taken for."""
        key, count = key_of(x, extras), int(x.shape[0])
        if key not in self._sizes:
            self._sizes[key] = self._looked_at(x, extras)
        sizes = self._sizes[key]
        return next(rows for rows in itertools.count(count) if rows == 1 or not sizes.is_ambiguous(rows))

    def __call__(self, x: Tensor, extras: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Run the model; raises what the pass raises."""
        rows = x.shape[0]
        # A row alone, with axes of size one, is taken for no bias; nor is what has an unknown number of rows.
        if rows in (None, 1) or any(extra.shape[0] != rows for extra in extras):
            return self._forward(x, extras)
        size = self.rows(x, extras)
        if size == rows:
            return self._forward(x, extras)
        outputs = self._forward(_filled(x, size), tuple(_filled(extra, size) for extra in extras))
        return {name: _cut(value, size, rows) for name, value in outputs.items()}

    def _looked_at(self, x: Tensor, extras: tuple[Tensor, ...]) -> _Sizes:
        shapes: list[tf.TensorShape] = []

        def note(kind: str, inputs: Any, attributes: Any, outputs: Any, *_: Any, **__: Any) -> None:
            shapes.extend(tensor.shape for tensor in (*inputs, *outputs))

        # Outside of any graph that is being traced.
        with tf.init_scope():
            row, *further = (tf.zeros((1, *tensor.shape[1:]), tensor.dtype) for tensor in (x, *extras))
            # A model that fails for a row alone is found out where that is asked for.
            with _functions_unfolded(), _watched(note), contextlib.suppress(Exception):
                self._forward(row, tuple(further))
        known = [[size for size in shape if size is not None] for shape in shapes if (shape.rank or 0) > 1]
        first, every = frozenset({1}.union(*(sizes[:1] for sizes in known))), frozenset().union(*known)
        # Of a row of zeros a mask may choose nothing: an axis without elements tells no number of rows.
        return _Sizes(first - {0}, every - {0})


@contextlib.contextmanager
def _functions_unfolded() -> Iterator[None]:
    """Run every tf.function as the code that it is made of: one that was traced before would show no operation."""
    before, logger = tf.config.functions_run_eagerly(), tf.get_logger()
    level = logger.level
    tf.config.run_functions_eagerly(True)
    logger.setLevel("ERROR")  # `vectorized_map` warns that it is traced nevertheless
    try:
        yield
    finally:
        logger.setLevel(level)
        tf.config.run_functions_eagerly(before)


@contextlib.contextmanager
def _watched(note: Any) -> Iterator[None]:
    """Call a function for every operation that TensorFlow runs within the block."""
    op_callbacks.add_op_callback(note)
    try:
        yield
    finally:
        op_callbacks.remove_op_callback(note)


def _filled(tensor: Tensor, size: int) -> Tensor:
    """Return a tensor with as many rows, of which the last one is repeated."""
    return tf.concat([tensor, tf.repeat(tensor[-1:], size - int(tensor.shape[0]), axis=0)], 0)


def _cut(output: Tensor, size: int, rows: int) -> Tensor:
    """Return an output without the rows that were added; one of another number of rows is left as it is."""
    first = tf.TensorShape(output.shape[:1])
    if first.is_fully_defined():
        return output[:rows] if first == (size,) else output
    # Within a graph, how many they are may show only when it runs.
    count = tf.shape(output)[0]
    return output[: tf.where(count == size, rows, count)]
