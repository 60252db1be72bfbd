"""DeepLIFT on Keras models of the TensorFlow backend: the traced graph, walked back by the rules."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.errors import UnsupportedError
from attribution_bench.models import SequenceModel
from attribution_bench_plugins.deepshap.backward import backward
from attribution_bench_plugins.deepshap.keras_forward import TensorFlowForward
from attribution_bench_plugins.deepshap.keras_graph import captured, refuse_loops, unrolled
from attribution_bench_plugins.deepshap.planning import plan
from attribution_bench_plugins.deepshap.rules import Rule


class KerasExplainer:
    """DeepLIFT multipliers of a Keras model, always called with ``training=False``; traced once for all scalars."""

    def __init__(self, model: SequenceModel, request: Request, rules: Mapping[str, Rule]) -> None:
        if keras.backend.backend() != "tensorflow":
            raise UnsupportedError(
                "DeepSHAP takes Keras models on the TensorFlow backend, and this one runs on "
                f"{keras.backend.backend()}; set KERAS_BACKEND=tensorflow before Keras is imported, "
                "or use another method"
            )
        if not isinstance(model.model, keras.Model):
            raise UnsupportedError(
                "DeepSHAP takes models of Keras 3, and this one is of Keras 2 (tf_keras); use another method"
            )
        self._model = model
        self._selections = request.selections
        self._rules = rules
        self._names: tuple[str, ...] = ()
        self._lost: dict[str, float] = {}
        sequences = tf.TensorSpec((None, *request.one_hot.shape[1:]), request.one_hot.dtype)
        self._targets = sum(selection.size for selection in request.selections)
        extras = [tf.TensorSpec((None, *extra.shape[1:]), model.to_tensor(extra[:1]).dtype) for extra in request.extras]
        with unrolled(model.model):
            self._multipliers = tf.function(self._traced).get_concrete_function(
                sequences, sequences, tf.TensorSpec((self._targets,), request.one_hot.dtype), *extras
            )

    def multipliers(
        self, x: NDArray[Any], references: NDArray[Any], extras: tuple[NDArray[Any], ...]
    ) -> Iterator[NDArray[np.floating]]:
        to_tensor = self._model.to_tensor
        given = [tf.convert_to_tensor(x), tf.convert_to_tensor(references)]
        further = [to_tensor(extra) for extra in extras]
        for target in range(self._targets):
            chosen = tf.constant(np.eye(1, self._targets, target, dtype=x.dtype)[0])
            multipliers, lost = self._multipliers(*given, chosen, *further)
            for name, amount in zip(self._names, lost, strict=True):
                self._lost[name] = max(self._lost.get(name, 0.0), float(amount))
            yield multipliers.numpy()

    def lost(self) -> Mapping[str, float]:
        found, self._lost = self._lost, {}
        return found

    def _traced(self, x: Any, references: Any, chosen: Any, *extras: Any) -> tuple[Any, list[Any]]:
        outputs = self._model.forward(x, extras)
        rows = tf.shape(x)[0]
        selected = [tf.reshape(self._model.select(outputs, choice), (rows, -1)) for choice in self._selections]
        flat = tf.concat(selected, 1) if len(selected) > 1 else selected[0]
        flat = tf.ensure_shape(tf.cast(flat, x.dtype), (None, chosen.shape[0]))
        graph = captured(x, flat)
        steps = plan(graph.output, self._rules)
        needed = {member for step in steps for member in step.members}
        refuse_loops(graph, needed)
        forward = TensorFlowForward(graph, references, needed)
        upstream = tf.broadcast_to(chosen, tf.shape(flat))
        upstream.set_shape((None, chosen.shape[0]))
        multipliers, lost = backward(steps, forward, graph.output, upstream, graph.sequence)
        self._names = tuple(lost)
        return tf.zeros_like(x) if multipliers is None else multipliers, list(lost.values())
