"""Decomposition of exported programs into ATen operations without side effects: at once where a program is simple.

PyTorch traces a program once more to decompose it, which takes as long as the export. A program of convolutions, pools
and the like has next to nothing to be decomposed: its few other operations are replaced one by one, with what PyTorch
puts in their place. Programs that hold anything else are left to PyTorch.
"""

import operator
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import SymInt, fx
from torch.export import ExportedProgram

aten: Any = torch.ops.aten

UNCHANGED = frozenset(
    {
        *(aten.conv1d.default, aten.conv1d.padding, aten.conv_transpose1d.default, aten.linear.default),
        *(aten.max_pool1d.default, aten.avg_pool1d.default, aten.cat.default, aten.slice.Tensor),
        *(aten.relu.default, aten.sigmoid.default, aten.tanh.default, aten.exp.default, aten.gelu.default),
        *(aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.mean.dim, aten.sum.dim_IntList, aten.softmax.int),
    }
)
"""Operators that decomposition leaves as they are."""


class _Replacement(NamedTuple):
    """What takes the place of the calls of an operator."""

    suits: Callable[[fx.Node], bool]
    """Whether a call is of the form that is replaced."""
    made: Callable[[fx.Graph, fx.Node], fx.Node]
    """Makes the calls that take a call's place, before it in the graph; returns the last of them."""


def decomposed_at_once(program: ExportedProgram) -> bool:
    """Decompose a simple program in place; False, with nothing changed, where it has to be left to PyTorch.

    A program that was exported without gradients in inference mode is simple if it holds nothing but `UNCHANGED`
    operators, batch norms, inactive dropouts and flattened features.
    """
    graph = program.graph
    calls = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    if not all(node.target in UNCHANGED or _is_replaced(node) for node in calls):
        return False
    for node in calls:
        if node.target in REPLACEMENTS:
            with graph.inserting_before(node):
                made = REPLACEMENTS[node.target].made(graph, node)
            node.replace_all_uses_with(made)
            program.graph_signature.replace_all_uses(node.name, made.name)  # it names the outputs
            graph.erase_node(node)
    program.graph_module.recompile()
    return True


def _is_replaced(node: fx.Node) -> bool:
    """Whether a call can be replaced."""
    replacement = REPLACEMENTS.get(node.target)
    return replacement is not None and not node.kwargs and replacement.suits(node)


def _called(graph: fx.Graph, target: Any, arguments: tuple[Any, ...], meta: dict[str, Any], value: Any) -> fx.Node:
    # Named as PyTorch names what it decomposes: users read the names, and give rules by them.
    name = target.overloadpacket.__name__ if isinstance(target, torch._ops.OpOverload) else target.__name__
    node = graph.create_node("call_function", target, arguments, name=name)
    node.meta = {**meta, "val": value}
    return node


def _normalises_by_statistics(node: fx.Node) -> bool:
    """Whether a batch norm is in inference mode, on the processor: accelerators have operators of their own."""
    value = node.meta["val"]
    return len(node.args) >= 8 and None not in node.args[3:5] and node.args[5] is False and value.device.type == "cpu"


def _normalised(graph: fx.Graph, node: fx.Node) -> fx.Node:
    x, weight, bias, mean, variance, _, momentum, epsilon, *_ = node.args
    value, none = node.meta["val"], node.meta["val"].new_empty(0)
    arguments = (x, weight, bias, mean, variance, momentum, epsilon)
    operation = aten._native_batch_norm_legit_no_training.default
    every = _called(graph, operation, arguments, node.meta, (value, none, none))
    return _called(graph, operator.getitem, (every, 0), node.meta, value)


def _is_inactive(node: fx.Node) -> bool:
    return len(node.args) == 3 and node.args[2] is False


def _copied(graph: fx.Graph, node: fx.Node) -> fx.Node:
    return _called(graph, aten.clone.default, node.args[:1], node.meta, node.meta["val"])


def _flattens_rows(node: fx.Node) -> bool:
    """Whether all axes but the rows are flattened, of a contiguous tensor whose other sizes are known."""
    x, start, *end = node.args
    assert isinstance(x, fx.Node)
    value: torch.Tensor = x.meta["val"]
    if start != 1 or end not in ([], [-1]) or value.dim() < 3 or _rows_input(node) is None:
        return False
    return all(isinstance(size, int) for size in value.shape[1:]) and value.is_contiguous()


def _rows_input(node: fx.Node) -> fx.Node | None:
    """Return the first input of the program that has a call's number of rows, where that number is open."""
    rows = node.meta["val"].shape[0]
    inputs: list[fx.Node] = [given for given in node.graph.nodes if given.op == "placeholder"]
    for given in inputs if isinstance(rows, SymInt) else ():
        value = given.meta.get("val")
        if isinstance(value, torch.Tensor) and value.dim() and str(value.shape[0]) == str(rows):
            return given
    return None


def _flattened(graph: fx.Graph, node: fx.Node) -> fx.Node:
    value = node.meta["val"]
    rows = _called(graph, aten.sym_size.int, (_rows_input(node), 0), {}, value.shape[0])
    return _called(graph, aten.view.default, (node.args[0], [rows, value.shape[1]]), node.meta, value)


REPLACEMENTS: MappingProxyType[Any, _Replacement] = MappingProxyType(
    {
        aten.batch_norm.default: _Replacement(_normalises_by_statistics, _normalised),
        aten.dropout.default: _Replacement(_is_inactive, _copied),
        aten.flatten.using_ints: _Replacement(_flattens_rows, _flattened),
    }
)
"""Operators that decomposition replaces, as far as it is done here."""
