"""A graph under construction, for frameworks whose models are walked layer by layer."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import BATCH, Graph, Node
from attribution_bench_plugins.fastism.graph.parameters import NO_PARAMETERS, Parameters


class GraphBuilder:
    """Nodes added one by one; each is run at once on two small batches of different size, which tells its shape."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.examples: dict[str, tuple[Any, Any]] = {}
        """Node -> its values for the two batches, while something may still be added that reads them."""

    def source(self, kind: str, name: str, examples: tuple[Tensor, Tensor]) -> str:
        """Add the sequence input (kind ``input``) or another one (``extra``)."""
        return self._add(name, kind, (), _no_call, f"input {name}", examples, NO_PARAMETERS)

    def constant(self, name: str, value: Tensor, layer: str) -> str:
        """Add what depends on no input."""
        name = self._unique(name)
        self.examples[name] = (value, value)
        self.nodes[name] = Node(name, "constant", (), lambda: value, layer, tuple(value.shape))
        return name

    def add(
        self,
        name: str,
        op: str,
        inputs: Sequence[str],
        call: Callable[..., Any],
        layer: str,
        parameters: Parameters,
        kind: str = "",
    ) -> str:
        """Add an operation on nodes; returns its name, made unique. One of constants alone is a constant itself."""
        with torch.no_grad():
            first, second = (call(*(self.examples[i][batch] for i in inputs)) for batch in (0, 1))
        if isinstance(first, Tensor) and all(self.nodes[i].op == "constant" for i in inputs):
            return self.constant(name, first, layer)
        return self._add(name, op, tuple(inputs), call, layer, (first, second), parameters, kind)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget the examples of all other nodes but constants."""
        kept = set(names)
        for name in [n for n in self.examples if n not in kept and self.nodes[n].op != "constant"]:
            del self.examples[name]

    def graph(self, sequence: str, extras: Sequence[str], outputs: dict[str, str]) -> Graph:
        """Return what was built, without what no output needs."""
        return Graph(self.nodes, sequence, tuple(extras), outputs).needed()

    def _add(
        self,
        name: str,
        op: str,
        inputs: tuple[str, ...],
        call: Callable[..., Any],
        layer: str,
        examples: tuple[Any, Any],
        parameters: Parameters,
        kind: str = "",
    ) -> str:
        name = self._unique(name)
        self.examples[name] = examples
        self.nodes[name] = Node(name, op, inputs, call, layer, self._shape(*examples), parameters, kind)
        return name

    def _unique(self, name: str) -> str:
        count, found = 1, name
        while found in self.nodes:
            count += 1
            found = f"{name}_{count}"
        return found

    def _shape(self, first: Any, second: Any) -> tuple[int | None, ...] | None:
        """Return a shape with BATCH for the batch; None where the batch is part of another size, or for no tensor."""
        if not isinstance(first, Tensor) or first.dim() != second.dim():
            return None
        rows = BATCH_SIZES
        shape: list[int | None] = []
        for pair in zip(first.shape, second.shape, strict=True):
            if pair == rows:
                shape.append(BATCH)
            elif pair[0] == pair[1]:
                shape.append(pair[0])
            else:
                return None
        return tuple(shape)


BATCH_SIZES = (2, 3)
"""Rows of the two batches."""


def _no_call(*values: Any) -> Any:
    raise AssertionError("an input has no call")
