"""DeepLIFT on Keras models of the TensorFlow backend: the traced graph, walked back by the rules."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.errors import AttributionBenchError, UnsupportedError
from attribution_bench.models import SequenceModel
from attribution_bench.models.keras_model import KerasSequenceModel
from attribution_bench_plugins.deepshap.backward import backward
from attribution_bench_plugins.deepshap.keras_forward import TensorFlowForward
from attribution_bench_plugins.deepshap.keras_graph import captured, refuse_loops, unrolled
from attribution_bench_plugins.deepshap.planning import plan
from attribution_bench_plugins.deepshap.rules import Rule


class KerasExplainer:
    """DeepLIFT multipliers of a Keras model, always called with ``training=False``; traced once for all scalars."""

    def __init__(self, model: SequenceModel, request: Request, rules: Mapping[str, Rule]) -> None:
        if isinstance(model.model, keras.Model) and keras.backend.backend() != "tensorflow":
            raise UnsupportedError(
                "DeepSHAP takes Keras models on the TensorFlow backend, and this one runs on "
                f"{keras.backend.backend()}; set KERAS_BACKEND=tensorflow before Keras is imported, "
                "or use another method"
            )
        assert isinstance(model, KerasSequenceModel)
        self._model = model
        self._selections = request.selections
        self._rules = rules
        self._targets = sum(selection.size for selection in request.selections)
        self._functions: dict[int, Any] = {}
        self._names: tuple[str, ...] = ()
        self._lost: dict[str, float] = {}

    def multipliers(
        self, x: NDArray[Any], references: NDArray[Any], extras: tuple[NDArray[Any], ...]
    ) -> Iterator[NDArray[np.floating]]:
        rows = len(x)
        size = min((size for size in self._functions if size >= rows), default=None)
        if size is None:
            # A batch that the model would be called on with more rows is traced with as many.
            size = self._model.rows_called(*self._as_given(x, extras))
            self._functions[size] = self._function(*self._tensors(x, references, extras, size))
        given, further = self._tensors(x, references, extras, size)
        for target in range(self._targets):
            chosen = tf.constant(np.eye(1, self._targets, target, dtype=x.dtype)[0])
            multipliers, lost = self._functions[size](*given, chosen, *further)
            for name, amount in zip(self._names, lost, strict=True):
                self._lost[name] = float(np.maximum(self._lost.get(name, 0.0), float(amount)))
            yield multipliers.numpy()[:rows]

    def _as_given(self, x: NDArray[Any], extras: tuple[NDArray[Any], ...]) -> tuple[Any, tuple[Any, ...]]:
        """Return a batch as the model's tensors."""
        return tf.convert_to_tensor(x), tuple(self._model.to_tensor(extra) for extra in extras)

    def _tensors(
        self, x: NDArray[Any], references: NDArray[Any], extras: tuple[NDArray[Any], ...], size: int
    ) -> tuple[list[Any], list[Any]]:
        """Return sequences with references, and further inputs, each filled up to a number of rows."""
        given = [tf.convert_to_tensor(_filled(part, size)) for part in (x, references)]
        return given, [self._model.to_tensor(_filled(extra, size)) for extra in extras]

    def _function(self, given: list[Any], further: list[Any]) -> Any:
        """Return the traced function for batches of one size: code of models and of reducers may ask for it."""
        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in (*given, *further)]
        chosen = tf.TensorSpec((self._targets,), given[0].dtype)
        refusals: list[AttributionBenchError] = []

        def traced(*tensors: Any) -> tuple[Any, list[Any]]:
            try:
                return self._traced(*tensors)
            except AttributionBenchError as error:
                refusals.append(error)
                raise

        try:
            with unrolled(self._model.model):
                return tf.function(traced).get_concrete_function(*specs[:2], chosen, *specs[2:])
        except AttributionBenchError:
            # TensorFlow raises another one, with the lines of code that it came through in its message.
            raise refusals[0] from None

    def lost(self) -> Mapping[str, float]:
        found, self._lost = self._lost, {}
        return found

    def _traced(self, x: Any, references: Any, chosen: Any, *extras: Any) -> tuple[Any, list[Any]]:
        outputs = self._model.forward(x, extras)
        selected = [tf.reshape(self._model.select(outputs, choice), (len(x), -1)) for choice in self._selections]
        flat = tf.concat(selected, 1) if len(selected) > 1 else selected[0]
        flat = tf.ensure_shape(tf.cast(flat, x.dtype), (len(x), self._targets))
        graph = captured(x, flat)
        steps = plan(graph.output, self._rules)
        needed = {member for step in steps for member in step.members}
        refuse_loops(graph, needed)
        forward = TensorFlowForward(graph, references, needed)
        upstream = tf.broadcast_to(chosen, flat.shape)
        multipliers, lost = backward(steps, forward, graph.output, upstream, graph.sequence)
        self._names = tuple(lost)
        return tf.zeros_like(x) if multipliers is None else multipliers, list(lost.values())


def _filled(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Return rows up to a size, the last one repeated."""
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])
