"""The values of a traced Keras model for pairs of sequences and references, and the arrays of the rules."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from attribution_bench_plugins.deepshap.graph import Kind, Node, Value
from attribution_bench_plugins.deepshap.keras_graph import TracedGraph, copied, has_gradient
from attribution_bench_plugins.deepshap.norms import Inner
from attribution_bench_plugins.deepshap.planning import Step
from attribution_bench_plugins.deepshap.rules import Call, Function, Tensor

QUADRATURE = (8, 16, 32, 64, 128, 256)
"""Numbers of nodes that a local integration tries, until its parts add up."""


class TensorFlowArrays:
    """`rules.Arrays` over a TensorFlow function that is being traced."""

    abs = staticmethod(tf.abs)
    exp = staticmethod(tf.exp)
    expm1 = staticmethod(tf.math.expm1)
    log = staticmethod(tf.math.log)
    maximum = staticmethod(tf.maximum)
    minimum = staticmethod(tf.minimum)
    isfinite = staticmethod(tf.math.is_finite)

    def where(self, condition: Tensor, left: Any, right: Any) -> Tensor:
        dtype = (left if tf.is_tensor(left) else right).dtype
        return tf.where(
            condition, *(part if tf.is_tensor(part) else tf.constant(part, dtype) for part in (left, right))
        )

    def logsumexp(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tf.reduce_logsumexp(x, axes, keepdims=True)

    def sum(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return tf.reduce_sum(x, axes, keepdims=True)

    def expand(self, x: Tensor, axis: int) -> Tensor:
        return tf.expand_dims(x, axis)

    def squeeze(self, x: Tensor, axis: int) -> Tensor:
        return tf.squeeze(x, [axis])

    def full_like(self, x: Tensor, value: Any) -> Tensor:
        return tf.fill(tf.shape(x), tf.constant(value, x.dtype))

    def floating(self, x: Tensor, like: Tensor) -> Tensor:
        return tf.cast(x, like.dtype)

    def reshape(self, x: Tensor, like: Tensor) -> Tensor:
        return tf.reshape(x, tf.shape(like))

    def broadcast(self, x: Tensor, like: Tensor) -> Tensor:
        return x if _same_shape(x, like) else tf.broadcast_to(x, tf.shape(like))

    def reduced(self, x: Tensor, like: Tensor) -> Tensor:
        if _same_shape(x, like):
            return x
        _, axes = tf.raw_ops.BroadcastGradientArgs(s0=tf.shape(x), s1=tf.shape(like))
        return tf.reshape(tf.reduce_sum(x, axes), tf.shape(like))

    def epsilon(self, x: Tensor) -> float:
        return float(np.finfo(x.dtype.as_numpy_dtype).eps)

    def some(self, condition: Tensor) -> bool:
        return True

    def pullback(self, function: Function, inputs: Sequence[Tensor], upstream: Sequence[Tensor | None]) -> list[Tensor]:
        leaves = [tf.identity(tensor) for tensor in inputs]
        outputs = function(*leaves)
        parts = outputs if isinstance(outputs, tuple | list) else (outputs,)
        pairs = [
            (part, tf.cast(given, part.dtype))
            for part, given in zip(parts, upstream, strict=False)
            if given is not None and part.dtype.is_floating
        ]
        found: list[Any] = [None] * len(leaves)
        if pairs and leaves:
            found = tf.gradients([part for part, _ in pairs], leaves, [given for _, given in pairs])
        like = next(part for part in upstream if part is not None)
        return [
            tf.zeros(tf.shape(leaf), like.dtype) if part is None else tf.convert_to_tensor(part)
            for leaf, part in zip(leaves, found, strict=True)
        ]

    def path_mean(self, call: Call, upstream: Sequence[Tensor | None]) -> list[Tensor]:
        wanted = _rows(call.output, call.reference_output, upstream)
        dtype = wanted.dtype
        tolerance = float(np.finfo(dtype.as_numpy_dtype).eps) ** 0.6 * tf.reduce_max(tf.abs(wanted))
        rules = [np.polynomial.legendre.leggauss(count) for count in QUADRATURE]
        starts = tf.constant(np.cumsum([0, *QUADRATURE]), tf.int32)
        places = tf.constant(np.concatenate([(place + 1) / 2 for place, _ in rules]), dtype)
        weights = tf.constant(np.concatenate([weight / 2 for _, weight in rules]), dtype)
        like = [tf.zeros(tf.shape(x), dtype) for x in call.x]

        def one(index: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
            at = places[index]
            point = [
                old + tf.cast(at, x.dtype) * (x - old) if x.dtype.is_floating else x
                for x, old in zip(call.x, call.reference, strict=True)
            ]
            parts = self.pullback(call.function, point, upstream)
            added = [total + weights[index] * tf.cast(part, dtype) for total, part in zip(sums, parts, strict=True)]
            return (index + 1, *[tf.ensure_shape(part, x.shape) for part, x in zip(added, call.x, strict=True)])

        def level(number: Tensor, *means: Tensor) -> tuple[Tensor, ...]:
            _, *sums = tf.while_loop(lambda index, *sums: index < starts[number + 1], one, [starts[number], *like])
            return (number + 1, *sums)

        def unfinished(number: Tensor, *means: Tensor) -> Tensor:
            error = tf.reduce_max(tf.abs(_rows(call.x, call.reference, means) - wanted))
            return (number < len(QUADRATURE)) & ((number == 0) | (error > tolerance))

        _, *found = tf.while_loop(unfinished, level, [tf.constant(0), *like])
        return list(found)


class TensorFlowForward:
    """Both passes of a model: of the sequences, which has been traced, and of their references."""

    def __init__(self, graph: TracedGraph, references: Tensor, needed: set[Node]) -> None:
        self.arrays = TensorFlowArrays()
        self._graph = graph
        self._x = graph.tensors
        self._reference: dict[Value, Tensor] = {graph.sequence: references}
        for node in graph.nodes.values():
            if node in needed:
                self._run(node, self._reference)

    def call(self, step: Step) -> Call:
        outputs = [Value(step.node, index) for index in range(len(step.node.outputs))]

        def function(*inputs: Tensor) -> Any:
            known = dict(zip(step.inputs, inputs, strict=True))
            self._run_all(step.members, known)
            last = tuple(known[value] for value in outputs)
            return last if len(last) > 1 else last[0]

        def direct(*inputs: Tensor) -> Any:
            found = self._copied(step.node, iter(inputs))
            return found if len(found) > 1 else found[0]

        return Call(
            self.arrays,
            direct if step.inputs == step.node.inputs else function,
            tuple(self._x[value] for value in step.inputs),
            tuple(self._reference[value] for value in step.inputs),
            tuple(self._x[value] for value in outputs),
            tuple(self._reference[value] for value in outputs),
            None if step.inner is None else self._inner(step.inner),
        )

    def pullback(self, step: Step, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
        operation = step.node.handle
        if not has_gradient(operation):
            call = self.call(step)
            return self.arrays.pullback(call.function, call.x, upstream)
        given = [
            tf.zeros(tf.shape(output), output.dtype) if part is None else part
            for output, part in zip(operation.outputs, upstream, strict=True)
        ]
        found = ops.get_gradient_function(operation)(operation, *given)
        found = found if isinstance(found, tuple | list) else [found]
        varying = [part for part, tensor in zip(found, operation.inputs, strict=True) if self._varies(tensor)]
        return [
            tf.zeros(tf.shape(self._x[value]), self._x[value].dtype) if part is None else tf.convert_to_tensor(part)
            for value, part in zip(step.inputs, varying, strict=True)
        ]

    def lost(self, call: Call, upstream: Sequence[Tensor | None], multipliers: Sequence[Tensor]) -> Tensor:
        wanted = _rows(call.output, call.reference_output, upstream)
        missing = tf.abs(wanted - _rows(call.x, call.reference, multipliers))
        # No rule explains differences that are infinite or no numbers in the model itself.
        return tf.reduce_max(tf.where(tf.math.is_finite(wanted), missing, tf.zeros_like(missing)))

    def _varies(self, tensor: Tensor) -> bool:
        return tensor.ref() in self._graph.values

    def _inner(self, inner: Inner) -> Function:
        """Return the sum of squares of a norm, and its divisor, as a function of what is squared."""

        def function(*inputs: Tensor) -> tuple[Tensor, Tensor]:
            known = dict(zip(inner.operands, inputs, strict=True))
            self._run_all(inner.members, known)
            total = known[inner.total]
            for node in inner.above:
                if node.kind is Kind.REARRANGE:
                    rearranged = {node.inputs[0]: total}
                    self._run(node, rearranged)
                    total = rearranged[Value(node)]
            return total, known[inner.divisor]

        return function

    def _run_all(self, members: Sequence[Node], known: dict[Value, Tensor]) -> None:
        for member in members:
            self._run(member, known)

    def _run(self, node: Node, known: dict[Value, Tensor]) -> None:
        """Repeat an operation on other inputs, which are known, and note its outputs there."""
        given = (known[self._graph.values[tensor.ref()]] for tensor in node.handle.inputs if self._varies(tensor))
        for index, tensor in enumerate(self._copied(node, given)):
            known[Value(node, index)] = tensor

    def _copied(self, node: Node, given: Any) -> tuple[Tensor, ...]:
        operation = node.handle
        inputs = [next(given) if self._varies(tensor) else tensor for tensor in operation.inputs]
        return tuple(copied(operation, inputs).outputs)


def _rows(now: Sequence[Tensor], before: Sequence[Tensor], factors: Sequence[Tensor | None]) -> Tensor:
    """Return the sum of factors times differences for each row of the first axis."""
    totals = []
    for x, old, factor in zip(now, before, factors, strict=False):
        if factor is not None:
            parts = factor * (tf.cast(x, factor.dtype) - tf.cast(old, factor.dtype))
            rank = len(parts.shape)
            totals.append(tf.reduce_sum(parts, list(range(1, rank))) if rank else parts[None])
    if len({total.shape[0] for total in totals}) > 1:
        totals = [tf.reduce_sum(total)[None] for total in totals]
    return tf.add_n(totals)


def _same_shape(x: Tensor, like: Tensor) -> bool:
    """Whether two shapes are known to be the same; the sizes that are not known are those of batches."""
    return x.shape.rank is not None and tuple(x.shape) == tuple(like.shape)
