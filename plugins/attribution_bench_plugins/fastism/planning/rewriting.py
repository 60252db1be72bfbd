"""Rewriting of a captured graph into an equal one of which more nodes run on windows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import BATCH, Graph, Node
from attribution_bench_plugins.fastism.graph.parameters import (
    NO_PARAMETERS,
    BatchNormParameters,
    ConcatenationParameters,
    SumParameters,
    WeightParameters,
)
from attribution_bench_plugins.fastism.ops.registry import SPECS


def split_joint_features(graph: Graph) -> Graph:
    """Return the graph with each dense layer on features side by side as a sum of dense layers, one for each part.

    Features (n, a + b) that hold flattened positions and others have no position axis; each part by itself may have
    one. Operations on each feature alone between the concatenation and the dense layer act on each part instead. So
    does a batch norm of flattened or joint features, as a product and a sum.
    """
    return _Splitter(graph).graph()


class _Splitter:
    """Copies a graph node by node."""

    def __init__(self, graph: Graph) -> None:
        self.old, self.nodes = graph, dict[str, Node]()
        self.parts: dict[str, tuple[str, ...]] = {}
        """Node -> the nodes of which it is the concatenation, for those looked at so far."""
        self.origins: dict[str, str] = {}
        """Added node -> the layer of the part that it began with, before anything acted on it."""

    def graph(self) -> Graph:
        """Return the copy, without nodes that nothing reads any more."""
        for node in self.old.nodes.values():
            if node.op == "linear" and len(node.inputs) == 1 and len(self._parts(node.inputs[0])) > 1:
                self._dense(node)
            elif node.op == "batch_norm" and self._of_many_places(node):
                self._normed(node)
            else:
                self.nodes[node.name] = node
        return replace(self.old, nodes=self.nodes).needed()

    def _dense(self, node: Node) -> None:
        """Add a dense layer on parts as a sum, which bears its name."""
        parts, weight = self._parts(node.inputs[0]), node.parameters_as(WeightParameters).weight
        bias = node.call(weight.new_zeros((1, weight.shape[1])))
        terms: list[str] = []
        widths = [_width(self.nodes[part]) for part in parts]
        for part, columns in zip(parts, torch.split(weight, widths, 1), strict=True):
            columns = columns.contiguous()
            terms.append(self._on_part(node, part, (part,), _linear(columns, None if terms else bias), columns))
        total = terms[0]
        for i, term in enumerate(terms[1:], 2):
            name = node.name if i == len(terms) else self._unique(f"{node.name}_sum")
            total = self._combined(node, name, "add", total, term)

    def _normed(self, node: Node) -> None:
        """Add a batch norm as a product and a sum, which bears its name."""
        p = node.parameters_as(BatchNormParameters)
        by, plus = (self._constant(f"{node.name}_{k}", t[None]) for k, t in (("scale", p.scale), ("shift", p.shift)))
        scaled = self._combined(node, self._unique(f"{node.name}_scaled"), "multiply", node.inputs[0], by)
        self._combined(node, node.name, "add", scaled, plus)

    def _combined(self, node: Node, name: str, op: Literal["add", "multiply"], first: str, second: str) -> str:
        """Add a sum or a product of two nodes in place of one node of their shape."""
        call, parameters = (torch.add, SumParameters()) if op == "add" else (torch.mul, NO_PARAMETERS)
        self.nodes[name] = replace(node, name=name, op=op, inputs=(first, second), call=call, parameters=parameters)
        return name

    def _parts(self, name: str) -> tuple[str, ...]:
        """Return the nodes of which one is the concatenation; its own name where it is none."""
        if name not in self.parts:
            self.parts[name] = self._found_parts(self.nodes[name])
        return self.parts[name]

    def _found_parts(self, node: Node) -> tuple[str, ...]:
        if not _is_features(node):
            return (node.name,)
        if node.op == "concatenate" and node.parameters_as(ConcatenationParameters).axis in (1, -1):
            if all(_is_features(self.nodes[name]) for name in node.inputs):
                return tuple(part for name in node.inputs for part in self._parts(name))
        elif (changing := self._sole_changing(node)) is not None and len(self._parts(changing)) > 1:
            return self._parts(changing) if node.op == "view" else self._each(node, changing)
        return (node.name,)

    def _sole_changing(self, node: Node) -> str | None:
        """Return the one operand that is no constant of an operation on each feature alone; None for all else."""
        changing = [name for name in node.inputs if self.nodes[name].op != "constant"]
        if not SPECS[node.op].traits.elementwise or len(changing) != 1:
            return None
        return changing[0] if self.nodes[changing[0]].shape == node.shape else None

    def _each(self, node: Node, changing: str) -> tuple[str, ...]:
        """Add a node's operation on each part of its features, with the part's own columns of the constants."""
        names = []
        at, width = 0, _width(node)
        for part in self._parts(changing):
            stop = at + _width(self.nodes[part])
            inputs = tuple(part if name == changing else self._columns(name, width, at, stop) for name in node.inputs)
            names.append(self._on_part(node, part, inputs, node.call))
            at = stop
        return tuple(names)

    def _columns(self, constant: str, width: int, at: int, stop: int) -> str:
        """Add the columns of a constant, where it has one for each of `width` features."""
        value: Tensor = self.nodes[constant].call()
        if not value.dim() or value.shape[-1] != width:
            return constant
        return self._constant(f"{constant}_{at}", value[..., at:stop].contiguous())

    def _constant(self, name: str, value: Tensor) -> str:
        name = self._unique(name)
        self.nodes[name] = Node(name, "constant", (), lambda: value, name, tuple(value.shape))
        return name

    def _on_part(
        self, node: Node, part: str, inputs: tuple[str, ...], call: Callable[..., Any], weight: Tensor | None = None
    ) -> str:
        """Add a node that acts on one part of the features: a dense layer by its weight, or on each feature alone."""
        name = self._unique(f"{node.name}_of_{part}")
        self.origins[name] = origin = self._origin(part)
        shape, parameters = self.nodes[part].shape, node.parameters
        if weight is not None:
            shape, parameters = node.shape, WeightParameters(weight)
        self.nodes[name] = Node(name, node.op, inputs, call, f"{node.layer} of {origin}", shape, parameters)
        return name

    def _origin(self, part: str) -> str:
        while part not in self.origins and SPECS[self.nodes[part].op].traits.free and self.nodes[part].inputs:
            part = self.nodes[part].inputs[0]
        return self.origins.get(part, self.nodes[part].layer)

    def _of_many_places(self, node: Node) -> bool:
        """Whether features come from a concatenation, or from an axis that has been flattened."""
        while _is_features(node):
            if node.op == "concatenate":
                return True
            changing = node.inputs[0] if node.op == "batch_norm" else self._sole_changing(node)
            if changing is None:
                return node.op == "view" and len(self.nodes[node.inputs[0]].shape or ()) > 2
            node = self.nodes[changing]
        return False

    def _unique(self, name: str) -> str:
        while name in self.nodes or name in self.old.nodes:
            name += "_"
        return name


def _is_features(node: Node) -> bool:
    """Whether a node's value is (n, features)."""
    return node.shape is not None and len(node.shape) == 2 and node.shape[0] is BATCH and node.shape[1] is not None


def _width(node: Node) -> int:
    _, width = node.shape or ()
    assert width is not None
    return width


def _linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    return lambda x: F.linear(x, weight) if bias is None else F.linear(x, weight) + bias
