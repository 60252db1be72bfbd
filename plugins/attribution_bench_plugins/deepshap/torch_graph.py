"""A PyTorch model prepared for DeepLIFT: its captured graph, in which every nonlinear call follows a rule.

Captum hooks modules, so that it misses functional calls, refuses a module that is called twice, and goes wrong where
two hooked modules share a tensor. In a captured graph each call is a node of its own, however the model was written.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import CodeGen

from attribution_bench.errors import UnsupportedError
from attribution_bench.models.export import ExportError, export, module_path
from attribution_bench_plugins.deepshap.torch_operations import (
    BILINEAR,
    CAPTUM,
    COMPOSITES,
    ELEMENTWISE,
    LARGEST,
    LINEAR_ELSEWHERE,
    LINEAR_IN_ALL,
    LINEAR_IN_FIRST,
)
from attribution_bench_plugins.deepshap.torch_rules import largest, product, rescale

HEAD_PATH = r"^(network|_sequence_model\.model)\.?"
"""How paths within the explained model begin: with either of the names by which TorchExplainer's head holds it."""


@dataclass(frozen=True)
class PreparedGraph:
    """A model (B, A, L), *extras -> (B, targets) whose gradient Captum turns into multipliers."""

    module: GraphModule
    unruled: tuple[str, ...]
    """Operations that depend on the sequence, are not linear, and have no rule: name and place in the model."""


def prepare_graph(model: nn.Module, x: Tensor, extras: tuple[Tensor, ...]) -> PreparedGraph:
    """Capture a model that takes (x, *extras) and returns (batch, targets), and put rules in its graph.

    The graph holds the model's own parameters and buffers, not copies. The first rows of x and extras are the example.

    Raises
    ------
    UnsupportedError
        torch.export cannot capture the model, or cannot with a batch of any size.
    """
    module = _capture(model, x, extras)
    graph = module.graph
    varying = {next(node for node in graph.nodes if node.op == "placeholder")}
    unruled = []
    for node in list(graph.nodes):
        if node.op != "call_function" or not varying.intersection(node.all_input_nodes) or not _is_tensor(node):
            continue
        varying.add(node)
        if not _is_linear(node, varying) and _is_floating(node) and not _put_rule(module, node, varying):
            unruled.append(_described(node))
    graph.lint()
    module.recompile()
    return PreparedGraph(module, tuple(dict.fromkeys(unruled)))


def _capture(model: nn.Module, x: Tensor, extras: tuple[Tensor, ...]) -> GraphModule:
    try:
        captured = export(model, x, extras).module()
    except ExportError as error:
        raise UnsupportedError(
            f"DeepSHAP needs the model's graph, and {error}. Write the model without control flow that depends on the "
            "values or on the number of its sequences, or use another method"
        ) from error
    # Without the checks of its inputs that the exported module carries: Captum calls it with pairs, and hooks it.
    graph: Graph = captured.graph
    for node in [node for node in graph.nodes if node.op == "call_module" and node.name == "_guards_fn"]:
        graph.erase_node(node)
    # A number that code takes out of a tensor holds for the whole batch: scores would depend on what else is in it.
    taken = [node for node in graph.nodes if _name(node) in ("_local_scalar_dense", "item")]
    if taken:
        raise UnsupportedError(
            f"DeepSHAP cannot follow {_described(taken[0])}, which takes a number out of a tensor; compute with "
            "tensors instead, or use another method"
        )
    graph.set_codegen(CodeGen())
    graph.output_node().args = tuple(graph.output_node().args[0])  # type: ignore[arg-type]
    return GraphModule(captured, graph)


def _is_linear(node: Node, varying: set[Node]) -> bool:
    """Whether the operation is linear in all that depends on the sequence."""
    name, positions = _name(node), _varying_positions(node, varying)
    if name == "getitem":
        return True
    if positions is None or "rounding_mode" in node.kwargs:
        return False
    if name in BILINEAR:
        return len(positions) == 1
    if name == "einsum":
        return sum(factor in varying for factor in _operands(node)) == 1
    if name in LINEAR_IN_ALL:
        return True
    return set(positions) <= set(LINEAR_ELSEWHERE.get(name, (0,) if name in LINEAR_IN_FIRST else ()))


def _put_rule(module: GraphModule, node: Node, varying: set[Node]) -> bool:
    """Make the node follow a rule; returns whether there is one for it."""
    name, positions = _name(node), _varying_positions(node, varying)
    inputs = [other for other in node.all_input_nodes if other in varying]
    if positions is None or not all(_batch_leads(other) for other in (*inputs, node)):
        return False
    target: Any = node.target
    if name in CAPTUM and positions == (0,):
        varying.add(_put_module(module, node, CAPTUM[name](*node.args[1:], **node.kwargs)))
        return True
    if name in ELEMENTWISE and len(positions) == 1 and _shape(inputs[0]) == _shape(node):
        node.args, node.target = (target, positions[0], *node.args), rescale
    elif name in LARGEST and positions == (0,) and not _uses_indices(node):
        node.args, node.target = (target, *node.args), largest
    elif name in BILINEAR and positions == (0, 1):
        node.args, node.target = (target, *node.args), product
    elif (name, positions) in COMPOSITES and _is_covered(node):
        node.target = COMPOSITES[name, positions]
    else:
        return False
    return True


def _put_module(module: GraphModule, node: Node, rule: nn.Module) -> Node:
    """Replace a call by a module that Captum hooks, on a clone of its input: two hooks must not share a tensor."""
    name = f"rule_{node.name}"
    module.add_submodule(name, rule)
    with module.graph.inserting_before(node):
        clone = module.graph.call_function(torch.clone, (node.args[0],))
        call = module.graph.call_module(name, (clone,))
    call.meta = dict(node.meta)
    node.replace_all_uses_with(call)
    module.graph.erase_node(node)
    return call


def _varying_positions(node: Node, varying: set[Node]) -> tuple[int, ...] | None:
    """Positions of the arguments that depend on the sequence; None where one is a keyword's."""
    if any(value in varying for value in node.kwargs.values() if isinstance(value, Node)):
        return None
    found = []
    for position, value in enumerate(node.args):
        nodes = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, Node) and item in varying for item in nodes):
            found.append(position)
    return tuple(found)


def _operands(node: Node) -> list[Node]:
    operands: Any = node.args[1]
    return list(operands)


def _name(node: Node) -> str:
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def _value(node: Node) -> Any:
    value = node.meta.get("val")
    return value[0] if isinstance(value, tuple | list) and value else value


def _is_tensor(node: Node) -> bool:
    return isinstance(_value(node), Tensor)


def _is_floating(node: Node) -> bool:
    return bool(_value(node).is_floating_point())


def _shape(node: Node) -> tuple[Any, ...]:
    return tuple(_value(node).shape)


def _batch_leads(node: Node) -> bool:
    """Whether the first axis is the batch: the only size that was captured as a symbol."""
    shape = _shape(node)
    return bool(shape) and isinstance(shape[0], torch.SymInt)


def _uses_indices(node: Node) -> bool:
    return isinstance(node.meta["val"], tuple | list) and any(user.args[1] != 0 for user in node.users)


def _is_covered(node: Node) -> bool:
    """Whether a composite rule takes these arguments: no masks of attention, two operands of einsum."""
    if _name(node) == "scaled_dot_product_attention":
        return len(node.args) == 3 and set(node.kwargs) <= {"scale"}
    return _name(node) != "einsum" or len(_operands(node)) == 2


def _described(node: Node) -> str:
    """Name of the operation and the layer that calls it."""
    path = re.sub(HEAD_PATH, "", module_path(node))
    return f"{_name(node)} (layer {path})" if path else _name(node)
