"""A captured model as plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from attribution_bench_plugins.fastism.graph.parameters import NO_PARAMETERS, Parameters

BATCH = None
"""Size of the batch axis in a shape."""
OPAQUE = "opaque"
"""Op of the operations for which the engine has no rule."""
P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Node:
    """One operation of the model.

    ``op`` names its spec in the registry of ops, whose rule knows how to run it on windows; an op without a rule is
    ``opaque``, and can still run in full. The spec names the class of ``parameters``; those of an opaque node are its
    arguments by their names (see `OpaqueParameters`).
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    call: Callable[..., Any]
    """Runs the operation as the model does, on the full values of ``inputs``."""
    layer: str
    """The user's own name for it: module path and operation."""
    shape: tuple[int | None, ...] | None
    """Shape of the value, BATCH in place of the batch axis; None for a value that is not one tensor."""
    parameters: Parameters = NO_PARAMETERS
    kind: str = ""
    """The framework's name for the operation, such as ``mylib::attention_pool``, or a Keras layer's class; of an
    operation with a rule it is the framework's own class that the layer is, or is derived from."""

    @property
    def is_opaque(self) -> bool:
        """Whether the engine has no rule for it."""
        return self.op == OPAQUE

    def parameters_as(self, kind: type[P]) -> P:
        """Return the parameters, which must be of a class; TypeError where they are not."""
        if not isinstance(self.parameters, kind):
            found = type(self.parameters).__name__
            raise TypeError(f"{self.layer!r} ({self.op}) has {found}, where its rule reads {kind.__name__}")
        return self.parameters


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can be run; ``input`` and ``extras`` are nodes without inputs."""

    nodes: Mapping[str, Node]
    input: str
    extras: tuple[str, ...]
    outputs: Mapping[str, str]
    """Output's name -> node."""
    dtypes: frozenset[torch.dtype] = frozenset()
    """Floating-point types of the captured operations, beside that of the input; empty where the model told them."""

    followed: frozenset[str] = frozenset()
    """Kinds of the operations of users that are here as the operations that they are made of."""

    def reached(self) -> frozenset[str]:
        """Names of the nodes whose values depend on the sequence."""
        reached = {self.input}
        for node in self.nodes.values():
            if any(name in reached for name in node.inputs):
                reached.add(node.name)
        return frozenset(reached)

    def opaque_kinds(self) -> frozenset[str]:
        """Kinds of the opaque operations whose values depend on the sequence."""
        reached = self.reached()
        opaque = (node for node in self.nodes.values() if node.is_opaque and node.name in reached)
        return frozenset(node.kind for node in opaque if node.kind and node.shape is not None)

    def needed(self) -> "Graph":
        """Return the graph without nodes that no output depends on."""
        keep = {self.input, *self.extras, *self.outputs.values()}
        for node in reversed(list(self.nodes.values())):
            if node.name in keep:
                keep.update(node.inputs)
        nodes = {name: node for name, node in self.nodes.items() if name in keep}
        return Graph(nodes, self.input, self.extras, self.outputs, self.dtypes, self.followed)
