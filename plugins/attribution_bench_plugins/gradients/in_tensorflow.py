"""Gradients by tf.GradientTape, one scalar after the other, compiled once for an output and a shape."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.models import Selection, SequenceModel, batches
from attribution_bench.models.keras_model import KerasSequenceModel
from attribution_bench_plugins.gradients.base import Advance, Extras, Gradients, Scalar, not_differentiable


class TensorFlowGradients(Gradients):
    """Gradients of Keras models on the TensorFlow backend; a model compiled to run eagerly does so here too."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__(model)
        self._compiled: dict[Selection, Callable[..., Any]] = {}
        self._changes_seen = 0
        """Those of the model when they were compiled."""

    def for_request(self, request: Request) -> "TensorFlowGradients":
        assert isinstance(self.model, KerasSequenceModel)
        if self.model.changes_seen != self._changes_seen:
            self._compiled.clear()
            self._changes_seen = self.model.changes_seen
        is_own = self.model.follows_own_code or any(callable(selection.reducer) for selection in request.selections)
        return TensorFlowGradients(self.model) if is_own else self

    def at(
        self, x: NDArray[np.floating], extras: Extras, scalars: Sequence[Scalar], advance: Advance
    ) -> NDArray[np.floating]:
        model = self.model
        inputs, further = model.to_tensor(x), tuple(model.to_tensor(extra) for extra in extras)
        gradients = np.empty((*x.shape, len(scalars)), dtype=x.dtype)
        for column, scalar in enumerate(scalars):
            # The index goes in as a tensor; every int would be compiled anew.
            gradient = self._gradient(scalar.selection)(inputs, further, tf.constant(scalar.index))
            gradients[..., column] = model.to_numpy(gradient)
            advance(len(x))
        return gradients

    def path_mean(
        self,
        x: NDArray[np.floating],
        baseline: NDArray[np.floating],
        extras: Extras,
        scalars: Sequence[Scalar],
        advance: Advance,
        *,
        steps: int,
        batch_size: int,
    ) -> NDArray[np.floating]:
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        alphas, weights = (nodes + 1) / 2, weights / 2  # from [-1, 1] to [0, 1]
        step, sequence = (index.ravel() for index in np.indices((steps, len(x))))
        means = np.zeros((*x.shape, len(scalars)), dtype=x.dtype)
        for batch in batches(len(step), batch_size):
            row, at = sequence[batch], step[batch]
            alpha = alphas[at, None, None].astype(x.dtype)
            points = baseline[row] + alpha * (x[row] - baseline[row])
            gradients = self.at(points, tuple(extra[row] for extra in extras), scalars, advance)
            gradients *= weights[at, None, None, None].astype(x.dtype)
            np.add.at(means, row, gradients)
        return means

    def _gradient(self, selection: Selection) -> Callable[..., Any]:
        if getattr(self.model.model, "run_eagerly", False):
            return partial(self._taped, selection)
        if selection not in self._compiled:
            self._compiled[selection] = tf.function(partial(self._taped, selection), autograph=False)
        return self._compiled[selection]

    def _taped(self, selection: Selection, inputs: Any, extras: tuple[Any, ...], index: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            selected = self.model.select(self.model.forward(inputs, extras), selection)
            scalar = tf.gather(tf.reshape(selected, (inputs.shape[0], -1)), index, axis=1)
        gradient = tape.gradient(scalar, inputs)
        if gradient is None:
            raise not_differentiable()
        return tf.convert_to_tensor(gradient)  # a gather's gradient may come as IndexedSlices
