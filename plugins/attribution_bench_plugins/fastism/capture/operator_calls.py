"""Calls of PyTorch's operators, as translators read them, and what they return."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from attribution_bench_plugins.fastism.capture.errors import TranslationError
from attribution_bench_plugins.fastism.graph.parameters import NO_PARAMETERS, AxisFunctionParameters, Parameters


@dataclass(frozen=True)
class Translation:
    """Op of a call, the nodes that it computes from in the order in which its rule reads them, and its parameters."""

    op: str
    inputs: tuple[str, ...]
    parameters: Parameters


@dataclass(frozen=True)
class OperatorCall:
    """Call of an operator in an exported program."""

    arguments: Mapping[str, Any]
    """Every argument by its name in the operator's schema; a tensor is the node that computes it."""
    constants: Mapping[str, Tensor]
    """Node -> its value, for the nodes that depend on no input."""
    shape: tuple[int | None, ...] | None
    """Shape of the value, BATCH in place of the batch axis; None where the batch is part of another size."""
    dtype: torch.dtype | None
    """That of the value; None where it is no tensor."""
    repeated: Mapping[str, Tensor]
    """Node -> its value for one sequence, with a batch axis of size one, for the nodes that repeat it for every one."""
    part: int = 0
    """Place of the value among those that the operator returns, for `translate_part`."""

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def operand(self) -> fx.Node:
        """The node of the tensor that most operators take first."""
        node: fx.Node = self.arguments["input" if "input" in self.arguments else "self"]
        return node

    @property
    def sizes(self) -> tuple[Any, ...]:
        """Shape of the operand; the size of the batch is no int."""
        return tuple(self.operand.meta["val"].shape)

    @property
    def is_floating(self) -> bool:
        """Whether every tensor that may change holds floating-point numbers, so that differences mean something."""
        values = list(self.arguments.values())
        values += [part for value in values if isinstance(value, list | tuple) for part in value]
        nodes = (value for value in values if isinstance(value, fx.Node) and value.name not in self.constants)
        tensors = (node.meta.get("val") for node in nodes)
        return all(tensor.is_floating_point() for tensor in tensors if isinstance(tensor, Tensor))

    def constant(self, name: str) -> Tensor:
        """Return the value of a tensor argument that depends on no input."""
        value = self.arguments.get(name)
        if not isinstance(value, fx.Node) or value.name not in self.constants:
            raise TranslationError
        return self.constants[value.name]

    def matrix(self, name: str) -> Tensor | None:
        """Return a matrix that is the same for every sequence; None for an argument that is none."""
        node = self.arguments[name]
        value = self.constants.get(node.name, self.repeated.get(node.name))
        if value is None or value.dim() < 2 or any(size != 1 for size in value.shape[:-2]):
            return None
        return value.reshape(value.shape[-2:])

    def optional_constant(self, name: str) -> Tensor | None:
        """Return the same; None for an argument that is not given."""
        return None if self.arguments.get(name) is None else self.constant(name)

    def to(self, op: str, parameters: Parameters = NO_PARAMETERS) -> Translation:
        """Return the translation to an op that computes from the operand alone."""
        return Translation(op, (self.operand.name,), parameters)

    def to_axis_function(self, axis: int, on_last_axis: Callable[[Tensor], Tensor]) -> Translation:
        """Return the translation to a function of the values along one axis of the operand."""
        return self.to("position_wise", AxisFunctionParameters(axis, on_last_axis))


Translator = Callable[[OperatorCall], Translation]
"""Returns the translation of a call; raises TranslationError for one that no rule covers."""
