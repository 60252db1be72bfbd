"""A graph under construction, for frameworks whose models are walked layer by layer."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import BATCH, Graph, Node


class GraphBuilder:
    """Nodes added one by one; each is run at once on two small batches of different sizes, which gives its shape."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.examples: dict[str, tuple[Any, Any]] = {}
        """Node -> its values for the two batches, while something may still be added that reads them."""
        self.followed: set[str] = set()
        """Kinds of the operations of users that were added as the operations that they are made of."""

    def source(self, kind: str, name: str, examples: tuple[Tensor, Tensor]) -> str:
        """Add the sequence input (kind ``input``) or another one (``extra``)."""
        return self._add(Node(name, kind, (), _no_call, f"input {name}", None), examples)

    def constant(self, name: str, value: Tensor, layer: str) -> str:
        """Add a value that depends on no input."""
        name = self._unique(name)
        self.examples[name] = (value, value)
        self.nodes[name] = Node(name, "constant", (), lambda: value, layer, tuple(value.shape))
        return name

    def add(self, node: Node) -> str:
        """Add an operation without its shape; returns its name, made unique.

        An operation on constants alone becomes a constant.
        """
        with torch.no_grad():
            first, second = (node.call(*(self.examples[i][batch] for i in node.inputs)) for batch in (0, 1))
        if isinstance(first, Tensor) and all(self.nodes[i].op == "constant" for i in node.inputs):
            return self.constant(node.name, first, node.layer)
        return self._add(node, (first, second))

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget the examples of all other nodes but constants."""
        kept = set(names)
        for name in [n for n in self.examples if n not in kept and self.nodes[n].op != "constant"]:
            del self.examples[name]

    def graph(self, sequence: str, extras: Sequence[str], outputs: dict[str, str]) -> Graph:
        """Return the graph, without nodes that no output depends on."""
        return Graph(self.nodes, sequence, tuple(extras), outputs, followed=frozenset(self.followed)).needed()

    def _add(self, node: Node, examples: tuple[Any, Any]) -> str:
        name = self._unique(node.name)
        self.examples[name] = examples
        self.nodes[name] = replace(node, name=name, shape=_shape(*examples))
        return name

    def _unique(self, name: str) -> str:
        count, found = 1, name
        while found in self.nodes:
            count += 1
            found = f"{name}_{count}"
        return found


BATCH_SIZES = (2, 1)
"""Rows of the two batches: few, since every operation runs on both."""


def _shape(first: Any, second: Any) -> tuple[int | None, ...] | None:
    """Return a shape with BATCH for the batch; None where the batch is part of another size, or for no tensor."""
    if not isinstance(first, Tensor) or first.dim() != second.dim():
        return None
    pairs = list(zip(first.shape, second.shape, strict=True))
    if any(pair != BATCH_SIZES and pair[0] != pair[1] for pair in pairs):
        return None
    return tuple(BATCH if pair == BATCH_SIZES else pair[0] for pair in pairs)


def _no_call(*values: Any) -> Any:
    raise AssertionError("an input has no call")
