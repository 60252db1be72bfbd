"""A PyTorch model as a graph for DeepLIFT: what torch.export captures, with composite operations written out."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from attribution_bench.errors import UnsupportedError
from attribution_bench.models.export import ExportError, export, module_path
from attribution_bench_plugins.deepshap.graph import Classified, Kind, Node, Spec, Value, is_followed
from attribution_bench_plugins.deepshap.torch_decompositions import TABLE
from attribution_bench_plugins.deepshap.torch_operations import CONSTANT, DETACHING, classify, name_of
from attribution_bench_plugins.gradients.base import not_differentiable

HEAD_PATH = r"^(network|_sequence_model\.model)\.?"
"""How paths within the explained model begin: with either of the names by which TorchExplainer's head holds it."""


@dataclass(frozen=True)
class CapturedGraph:
    """A captured model (B, A, L), *extras -> (B, size) of each selection, and what DeepLIFT has to know of it."""

    module: fx.GraphModule
    """The model's own parameters and buffers, not copies."""
    nodes: dict[fx.Node, Node]
    """The calls that depend on the sequence."""
    values: dict[fx.Node, Value]
    """The same, and the entries of those that return several tensors."""
    sequence: Value
    outputs: tuple[Value, ...]
    """One for each selection."""


def capture(model: nn.Module, x: Tensor, extras: tuple[Tensor, ...], kept: Collection[str] = ()) -> CapturedGraph:
    """Capture a model that takes (x, *extras) and returns a tuple of (batch, size). The first rows are the example.

    Parameters
    ----------
    kept
        Names of operations that are not written out, since they have rules of their own.

    Raises
    ------
    UnsupportedError
        torch.export cannot capture the model, or cannot with a batch of any size; or an output does not depend on x.
    """
    module = _exported(model, x, extras, kept)
    graph: Any = module.graph
    first = next(node for node in graph.nodes if node.op == "placeholder")
    sequence = Value(Node("input", Classified(Kind.INPUT), (), (_spec(first.meta["val"]),), first))
    values = {first: sequence}
    nodes: dict[fx.Node, Node] = {}
    for call in graph.nodes:
        inputs = arguments(call, values)
        if call.op != "call_function" or not inputs or name_of(call) in CONSTANT:
            continue
        if name_of(call) == "getitem":
            values[call] = Value(inputs[0].node, call.args[1])
            continue
        if name_of(call) in DETACHING:
            # What is withheld from the gradient belongs to the difference all the same.
            values[call] = inputs[0]
            continue
        outputs = call.meta.get("val")
        tensors = outputs if isinstance(outputs, tuple | list) else (outputs,)
        if not all(isinstance(tensor, Tensor) for tensor in tensors):
            continue
        specs, place = tuple(_spec(tensor) for tensor in tensors), re.sub(HEAD_PATH, "", module_path(call))
        nodes[call] = Node(name_of(call), classify(call, set(values)), inputs, specs, call, place)
        values[call] = Value(nodes[call])
    results = graph.output_node().args[0]
    if not all(result in values and is_followed(values[result], sequence) for result in results):
        raise not_differentiable()
    return CapturedGraph(module, nodes, values, sequence, tuple(values[result] for result in results))


def arguments(call: fx.Node, values: dict[fx.Node, Value]) -> tuple[Value, ...]:
    """Return the arguments of a call that are in a table, in their order and as often as they occur."""
    found: list[Value] = []

    def visit(argument: fx.Node) -> fx.Node:
        if argument in values:
            found.append(values[argument])
        return argument

    fx.node.map_arg((call.args, call.kwargs), visit)
    return tuple(found)


def _exported(model: nn.Module, x: Tensor, extras: tuple[Tensor, ...], kept: Collection[str]) -> fx.GraphModule:
    table = {operator: function for operator, function in TABLE.items() if operator.overloadpacket.__name__ not in kept}
    try:
        captured = export(model, x, extras, table).module()
    except ExportError as error:
        raise UnsupportedError(
            f"DeepSHAP needs the model's graph, and {error}. Write the model without control flow that depends on the "
            "values or on the number of its sequences, or use another method"
        ) from error
    assert isinstance(captured, fx.GraphModule)
    # Without the checks of its inputs that the exported module carries.
    for node in [node for node in captured.graph.nodes if node.op == "call_module" and node.name == "_guards_fn"]:
        captured.graph.erase_node(node)
    # A number that code takes out of a tensor holds for the whole batch: scores would depend on what else is in it.
    taken = [node for node in captured.graph.nodes if name_of(node) in ("_local_scalar_dense", "item")]
    if taken:
        raise UnsupportedError(
            f"DeepSHAP cannot follow {_described(taken[0])}, which takes a number out of "
            "a tensor; compute with tensors instead, or use another method"
        )
    return captured


def _described(call: fx.Node) -> str:
    place = re.sub(HEAD_PATH, "", module_path(call))
    return f"{name_of(call)} (layer {place})" if place else name_of(call)


def _spec(tensor: Tensor) -> Spec:
    # Sizes that are not known are compared as they are written.
    return Spec(tuple(str(size) for size in tensor.shape), tensor.is_floating_point() or tensor.is_complex())
