"""A traced Keras model as a graph for DeepLIFT: the TensorFlow operations between the sequence and the output."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow.python.framework import ops

from attribution_bench.errors import UnsupportedError
from attribution_bench_plugins.deepshap.graph import Classified, Kind, Node, Spec, Value, is_followed
from attribution_bench_plugins.deepshap.keras_operations import CONSTANT, LOOPS, SAME, classify
from attribution_bench_plugins.gradients.base import not_differentiable


@dataclass(frozen=True)
class TracedGraph:
    """The operations of a traced function that depend on the sequence's values."""

    nodes: dict[Any, Node]
    """By operation, in an order in which they can run."""
    values: dict[Any, Value]
    """By reference to the tensor."""
    tensors: dict[Value, Any]
    sequence: Value
    output: Value


def captured(sequence: Any, output: Any) -> TracedGraph:
    """Return the graph between two tensors of the function that is being traced.

    Raises
    ------
    UnsupportedError
        The output does not depend on the sequence, or there is a loop or a branch between them.
    """
    start = Value(Node("input", Classified(Kind.INPUT), (), (_spec(sequence),), None))
    values, tensors = {sequence.ref(): start}, {start: sequence}
    nodes: dict[Any, Node] = {}
    for operation in sequence.graph.get_operations():
        positions = [place for place, tensor in enumerate(operation.inputs) if tensor.ref() in values]
        if not positions or operation.type in CONSTANT:
            continue
        inputs = [values[operation.inputs[place].ref()] for place in positions]
        if operation.type in SAME:
            values.update(
                (operation.outputs[place].ref(), value) for place, value in zip(positions, inputs, strict=True)
            )
            continue
        specs = tuple(_spec(tensor) for tensor in operation.outputs)
        known = classify(operation, positions)
        nodes[operation] = node = Node(operation.type, known, tuple(inputs), specs, operation, operation.name)
        for index, tensor in enumerate(operation.outputs):
            values[tensor.ref()] = Value(node, index)
            tensors[Value(node, index)] = tensor
    if output.ref() not in values or not is_followed(values[output.ref()], start):
        raise not_differentiable()
    result = values[output.ref()]
    return TracedGraph(nodes, values, tensors, start, result)


def refuse_loops(graph: TracedGraph, used: set[Node]) -> None:
    """Raise UnsupportedError where a loop or a branch lies between the sequence and the output."""
    for node in used:
        if node.operation in LOOPS:
            raise UnsupportedError(
                f"DeepSHAP cannot follow {node}, a loop or a branch of the model's own code, where multipliers would "
                "be lost; write it without, or use another method"
            )


def has_gradient(operation: Any) -> bool:
    """Whether TensorFlow knows a gradient of the operation."""
    try:
        return ops.get_gradient_function(operation) is not None
    except LookupError:
        return False


UNROLLED = {"unroll": True, "_could_use_gpu_kernel": False}
"""Attributes of recurrent layers of Keras 3 and tf_keras with which they run step by step."""


@contextlib.contextmanager
def unrolled(model: Any) -> Iterator[None]:
    """Have Keras unroll recurrent layers while the model is traced, so that each of their steps follows the rules."""
    # Keras 3 and tf_keras have a class of this name each, and the latter is not installed everywhere.
    layers = [layer for layer in model._flatten_layers() if any(kind.__name__ == "RNN" for kind in type(layer).__mro__)]
    former = [(layer, name, getattr(layer, name)) for layer in layers for name in UNROLLED if hasattr(layer, name)]
    try:
        for layer, name, _ in former:
            setattr(layer, name, UNROLLED[name])
        yield
    finally:
        for layer, name, state in former:
            setattr(layer, name, state)


def _spec(tensor: Any) -> Spec:
    shape = tensor.shape
    return Spec(tuple(shape) if shape.rank is not None else (object(),), tensor.dtype.is_floating)
