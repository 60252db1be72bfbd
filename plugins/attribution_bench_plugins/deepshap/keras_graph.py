"""A traced Keras model as a graph for DeepLIFT: the TensorFlow operations between the sequence and the output."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow.python.framework import ops

from attribution_bench.errors import UnsupportedError
from attribution_bench_plugins.deepshap.graph import Classified, Kind, Node, Spec, Value, is_followed
from attribution_bench_plugins.deepshap.keras_operations import CALLS, CONSTANT, LOOPS, SAME, classify
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
        The output does not depend on the sequence, or a function is called that cannot be looked into.
    """
    start = Value(Node("input", Classified(Kind.INPUT), (), (_spec(sequence),), None))
    values, tensors = {sequence.ref(): start}, {start: sequence}
    nodes: dict[Any, Node] = {}

    def follow(operation: Any) -> None:
        positions = [place for place, tensor in enumerate(operation.inputs) if tensor.ref() in values]
        if not positions or operation.type in CONSTANT:
            return
        inputs = [values[operation.inputs[place].ref()] for place in positions]
        if operation.type in SAME:
            values.update(
                (operation.outputs[place].ref(), value) for place, value in zip(positions, inputs, strict=True)
            )
            return
        if operation.type in CALLS:
            made, results = _written_out(operation, operation.inputs, operation.name)
            for each in made:
                follow(each)
            for tensor, result in zip(operation.outputs, results, strict=True):
                if result.ref() in values:
                    values[tensor.ref()] = values[result.ref()]
            return
        specs = tuple(_spec(tensor) for tensor in operation.outputs)
        known = classify(operation, positions)
        nodes[operation] = node = Node(operation.type, known, tuple(inputs), specs, operation, operation.name)
        for index, tensor in enumerate(operation.outputs):
            values[tensor.ref()] = Value(node, index)
            tensors[Value(node, index)] = tensor

    for operation in list(sequence.graph.get_operations()):
        follow(operation)
    if output.ref() not in values or not is_followed(values[output.ref()], start):
        raise not_differentiable()
    result = values[output.ref()]
    return TracedGraph(nodes, values, tensors, start, result)


def copied(operation: Any, inputs: Sequence[Any], name: str | None = None) -> Any:
    """Return an operation like another one, on other inputs, in the function that is being traced."""
    copy = ops.get_default_graph().create_op(
        operation.type,
        inputs,
        [tensor.dtype for tensor in operation.outputs],
        name=name,
        attrs=dict(operation.node_def.attr),
        op_def=operation.op_def,
    )
    for tensor, original in zip(copy.outputs, operation.outputs, strict=True):
        if original.shape.rank is not None and tensor.shape.rank is None:
            tensor.set_shape(original.shape)
    return copy


def _written_out(call: Any, inputs: Sequence[Any], place: str) -> tuple[list[Any], list[Any]]:
    """Repeat what a traced function consists of, and the functions that it calls, where it is called.

    Returns the operations in an order in which they can run, and the results of the call.
    """
    function = ops.get_default_graph()._get_function(call.get_attr("f").name)
    if not hasattr(function, "graph"):
        raise UnsupportedError(
            f"DeepSHAP cannot follow {place}, a function of which TensorFlow keeps no graph; use another method"
        )
    known = {own.ref(): given for own, given in zip(function.graph.inputs, inputs, strict=True)}
    made: list[Any] = []
    for operation in function.graph.get_operations():
        if operation.type == "Placeholder":
            continue
        given, within = [known[tensor.ref()] for tensor in operation.inputs], f"{place}/{operation.name}"
        if operation.type in CALLS:
            more, results = _written_out(operation, given, within)
        else:
            more = [copied(operation, given, within)]
            results = list(more[0].outputs)
        made += more
        known.update((tensor.ref(), result) for tensor, result in zip(operation.outputs, results, strict=True))
    results = [known[tensor.ref()] for tensor in function.graph.outputs]
    for result, tensor in zip(results, call.outputs, strict=True):
        result.set_shape(tensor.shape)
    return made, results


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
