"""Calls of Keras layers and operations, with the helpers by which their translations read weights and add nodes."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attribution_bench_plugins.fastism.capture.einstein_sums import contraction
from attribution_bench_plugins.fastism.capture.errors import require
from attribution_bench_plugins.fastism.capture.graph_builder import GraphBuilder
from attribution_bench_plugins.fastism.capture.keras_functions import FUNCTIONS, is_plain_relu, key
from attribution_bench_plugins.fastism.capture.keras_model import Library, Reference, number
from attribution_bench_plugins.fastism.graph.ir import OPAQUE, Node
from attribution_bench_plugins.fastism.graph.parameters import (
    NO_PARAMETERS,
    AxisFunctionParameters,
    AxisReductionParameters,
    ChoiceParameters,
    ConcatenationParameters,
    ElementwiseParameters,
    OpaqueParameters,
    Parameters,
    PermutationParameters,
    ReductionParameters,
    ShiftParameters,
    SumParameters,
    UpsamplingParameters,
)


def _of_tensors(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Tensor]:
    """Return a function of two tensors of one type that also takes a number in the place of one."""

    def call(first: Any, second: Any) -> Tensor:
        like = first if isinstance(first, Tensor) else second
        return function(*(x if isinstance(x, Tensor) else torch.full_like(like, x) for x in (first, second)))

    return call


COMBINATIONS: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "add": operator.add,
        "divide": operator.truediv,
        "maximum": _of_tensors(torch.maximum),
        "minimum": _of_tensors(torch.minimum),
        "multiply": operator.mul,
        "subtract": operator.sub,
    }
)
REDUCTIONS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}
)
ROUNDING = 1000
"""Units in the last place by which two computations of a function may differ."""
COMPARED_VALUES = 2**14
"""Values, at equal distances, for which a function of single elements is compared with the library's."""
IN_PLACE: Mapping[Callable[..., Tensor], Callable[..., Tensor]] = MappingProxyType(
    {torch.sigmoid: torch.sigmoid_, torch.tanh: torch.tanh_, torch.exp: torch.exp_}
)


@dataclass(frozen=True)
class Site:
    """One call of a layer; nodes that are added bear its name."""

    builder: GraphBuilder
    library: Library
    device: torch.device
    name: str
    """The user's own name, with the names of the models that it is nested in: ``encoder/conv_1``."""
    kind: str
    """Class of the layer."""
    own_kind: str
    """The library's own class that it is, or is derived from: what reasons are told of, since names of users' classes
    may say anything."""
    dtype: torch.dtype | None
    """The layer's own for computing; None for an operation, which computes in that of its operands."""
    follow: Callable[["Site", Callable[..., Any], str], str]
    """Adds what a function of the library's tensors calls on a node; TranslationError where that has not all rules."""

    @property
    def keras_2(self) -> bool:
        """Whether the layer is one of tf_keras."""
        return self.library.module.startswith("tf_keras")

    def add(
        self, op: str, inputs: str | tuple[str, ...], call: Callable[..., Any], parameters: Parameters, kind: str = ""
    ) -> str:
        """Add a node; ``kind`` names a part of the layer, such as its activation."""
        inputs = (inputs,) if isinstance(inputs, str) else inputs
        name = f"{self.name}/{kind}" if kind else self.name
        layer = f"{self.name} ({kind or self.kind})"
        # Rules are given by the users' own names, for operations that have none.
        kind = kind or (self.kind if op == OPAQUE else self.own_kind)
        return self.builder.add(Node(name, op, inputs, call, layer, None, parameters, kind))

    def shape(self, node: str) -> tuple[int, ...]:
        """Return the shape of a node's value for the first example batch."""
        return tuple(self.value(node).shape)

    def is_tensor(self, node: str) -> bool:
        """Whether a node's value is one tensor."""
        return isinstance(self.value(node), Tensor)

    def dtype_of(self, node: str) -> torch.dtype:
        """Return the dtype of a node's value."""
        dtype: torch.dtype = self.value(node).dtype
        return dtype

    def weight(self, variable: Any) -> Tensor | None:
        """Return a variable as the layer computes with it; None for one that the layer does not have."""
        if variable is None:
            return None
        value = self.library.to_torch(variable, self.device)
        return value.to(self.dtype) if self.dtype is not None and value.is_floating_point() else value

    def operand(self, value: Any) -> str | float | int:
        """Return an argument of an operation: a node, a number, or the node of a constant."""
        if isinstance(value, Reference):
            require(self.is_tensor(value.name))
            return value.name
        plain = number(value)
        if plain is not None:
            return plain
        require(hasattr(value, "shape"))
        tensor = torch.as_tensor(value) if isinstance(value, np.ndarray) else self.library.to_torch(value, self.device)
        return self.constant("constant", tensor.to(self.device))

    def constant(self, kind: str, value: Tensor) -> str:
        """Add a tensor that depends on no input; ``kind`` says which part of the layer it is."""
        return self.builder.constant(f"{self.name}/{kind}", value, f"{self.name} ({kind})")

    def value(self, node: str) -> Any:
        """Return a node's value for the first example batch."""
        return self.builder.examples[node][0]

    def nodes(self, values: Sequence[Any]) -> list[str]:
        """Return the nodes of arguments that must be tensors."""
        operands = map(self.operand, values)
        nodes = [operand for operand in operands if isinstance(operand, str)]
        require(len(nodes) == len(values))
        return nodes

    def inner_axes(self, node: str, axes: Any) -> tuple[int, ...]:
        """Return one axis or several as counted from the first; none may be the batch."""
        rank = len(self.shape(node))
        axes = tuple(axes) if isinstance(axes, list | tuple) else (axes,)
        require(all(isinstance(axis, int) and axis % rank > 0 for axis in axes))
        return tuple(axis % rank for axis in axes)

    def cast(self, node: str, dtype: torch.dtype) -> str:
        """Return a node in another dtype, as Keras casts the inputs of a layer."""
        if dtype.is_floating_point and self.dtype_of(node).is_floating_point:
            return self.add("elementwise", node, lambda x: x.to(dtype), ElementwiseParameters(), "cast")
        return self.add(OPAQUE, node, lambda x: x.to(dtype), OpaqueParameters(), "cast")

    def elementwise(self, node: str, function: Callable[..., Tensor], kind: str = "", **options: Any) -> str:
        """Add a function of single elements."""
        parameters = ElementwiseParameters(IN_PLACE.get(function))
        return self.add("elementwise", node, lambda x: function(x, **options), parameters, kind)

    def named_function(self, node: str, name: str, own: Callable[..., Any], kind: str = "", **options: Any) -> str:
        """Add a function of single elements by Keras' name.

        ``own`` is the library's, on its own tensors. It is called where PyTorch's gives other values: TensorFlow rounds
        the constants of some functions to single precision, and Keras 2 defines some differently.
        """
        require(key(name) in FUNCTIONS)
        function = FUNCTIONS[key(name)]
        if not self._agree(node, lambda x: function(x, **options), own):
            return self.elementwise(node, lambda x: self.by_library(own, x), kind)
        if is_plain_relu(name, options):
            return self.add("relu", node, torch.relu, ElementwiseParameters(torch.relu_), kind)
        return self.elementwise(node, function, kind, **options)

    def by_library(self, function: Callable[..., Any], x: Tensor) -> Tensor:
        """Return the value of a function of the library's tensors."""
        return self.library.to_torch(function(self.library.to_keras(x)), self.device)

    def _agree(self, node: str, function: Callable[[Tensor], Tensor], own: Callable[..., Any]) -> bool:
        whole = self.value(node)
        every = whole.reshape(1, -1, *[1] * (whole.dim() - 2))
        x = every[:, :: max(1, whole.numel() // COMPARED_VALUES)]
        with torch.no_grad():
            found, expected = function(x), self.by_library(own, x)
        if found.dtype != expected.dtype or not found.dtype.is_floating_point:
            return False
        rounding = ROUNDING * torch.finfo(found.dtype).eps
        scale = max(1.0, float(expected.nan_to_num().abs().max()))
        return torch.allclose(found, expected, rtol=rounding, atol=rounding * scale, equal_nan=True)

    def contract(self, equation: str, node: str, weight: Tensor, *, weight_first: bool = False) -> str:
        """Add an Einstein sum of a node and a weight; TranslationError for one that is more than a dense layer."""
        parameters = contraction(equation, len(self.shape(node)), weight, weight_first=weight_first)

        def call(x: Tensor) -> Tensor:
            return torch.einsum(equation, *((weight, x) if weight_first else (x, weight)))

        return self.add("contract", node, call, parameters)

    def position_wise(self, node: str, axis: int, function: Callable[[Tensor], Tensor], kind: str = "") -> str:
        """Add a function of a tensor's last axis, applied to another axis."""
        rank = len(self.shape(node))
        axis %= rank

        def call(x: Tensor) -> Tensor:
            return function(x) if axis == rank - 1 else function(x.movedim(axis, -1)).movedim(-1, axis)

        return self.add("position_wise", node, call, AxisFunctionParameters(axis, function), kind)

    def softmax(self, node: str, axis: Any, kind: str = "", function: Callable[..., Tensor] = torch.softmax) -> str:
        """Add a softmax over one axis."""
        axes = self.inner_axes(node, axis)
        require(len(axes) == 1)
        return self.position_wise(node, axes[0], lambda x: function(x, -1), kind)

    def view(self, node: str, shape: Callable[[Tensor], Any], kind: str = "") -> str:
        """Add a reshape to a shape that may depend on the batch size."""
        return self.add("view", node, lambda x: x.reshape(shape(x)), NO_PARAMETERS, kind)

    def permute(self, node: str, axes: tuple[int, ...], kind: str = "") -> str:
        """Add a transposition."""
        return self.add("permute", node, lambda x: x.permute(axes), PermutationParameters(axes), kind)

    def crop(self, node: str, axis: int, low: int, size: int, kind: str = "") -> str:
        """Add a slice of one axis."""
        if size == self.shape(node)[axis]:
            return node
        return self.add("shift", node, lambda x: x.narrow(axis, low, size), ShiftParameters(axis, low), kind)

    def pad(self, node: str, axis: int, low: int, high: int, value: float = 0, kind: str = "") -> str:
        """Add constants at both ends of one axis."""
        if not low and not high:
            return node
        widths = [0, 0] * (len(self.shape(node)) - 1 - axis) + [low, high]
        pad = torch.nn.functional.pad
        return self.add("shift", node, lambda x: pad(x, widths, value=value), ShiftParameters(axis, -low), kind)

    def upsample(self, node: str, factor: int, axis: int) -> str:
        """Add a repetition of each element along an axis."""
        parameters = UpsamplingParameters(axis, factor)
        return self.add("upsample", node, lambda x: x.repeat_interleave(factor, axis), parameters)

    def choose(self, node: str, axis: int, places: Sequence[int]) -> str:
        """Add places of one axis, in any order and any number of times."""
        index = torch.tensor(list(places), device=self.device)
        return self.add(
            "choose", node, lambda x: x.index_select(axis, index), ChoiceParameters(axis, tuple(map(int, places)))
        )

    def over(self, node: str, axis: int, function: Callable[..., Tensor], *, keep: bool) -> str:
        """Add a function that makes one number of a tensor's last axis, applied to one axis."""

        def call(x: Tensor) -> Tensor:
            found = function(x.movedim(axis, -1))
            return found.unsqueeze(axis) if keep else found

        return self.add("reduce_channels", node, call, AxisReductionParameters(axis, function, keep))

    def reduce(self, node: str, op: str, axes: tuple[int, ...], keep: bool) -> str:
        """Add a sum, a mean or an extreme over axes."""
        function: Callable[..., Tensor] = REDUCTIONS[op]
        return self.add(op, node, lambda x: function(x, axes, keepdim=keep), ReductionParameters(axes, keep))

    def concatenate(self, nodes: list[str], axis: int) -> str:
        """Add a concatenation; a node that occurs again is read through a view of it."""
        axis %= len(self.shape(nodes[0]))
        dtype = reduce(torch.promote_types, map(self.dtype_of, nodes))
        nodes = [node if self.dtype_of(node) == dtype else self.cast(node, dtype) for node in nodes]
        names = [n if n not in nodes[:i] else self.view(n, lambda x: x.shape, "view") for i, n in enumerate(nodes)]
        return self.add("concatenate", tuple(names), lambda *x: torch.cat(x, axis), ConcatenationParameters(axis))

    def combine(self, op: str, first: str | float, second: str | float, kind: str = "") -> str:
        """Add one of COMBINATIONS of two nodes, or of a node and a number."""
        function, is_number_first = COMBINATIONS[op], not isinstance(first, str)
        require(isinstance(first, str) or isinstance(second, str))
        if op in ("maximum", "minimum") or first == second or (op == "divide" and is_number_first):
            return self.call_of("elementwise", function, (first, second), ElementwiseParameters(), kind)
        if op in ("multiply", "divide"):
            return self.call_of(op, function, (first, second), NO_PARAMETERS, kind)
        if op == "subtract" and isinstance(second, str) and is_number_first:
            second, function = self.add("multiply", second, torch.neg, NO_PARAMETERS, kind), operator.add
        alpha = -1 if op == "subtract" and isinstance(second, str) and not is_number_first else 1
        return self.call_of("add", function, (first, second), SumParameters(alpha), kind)

    def call_of(
        self,
        op: str,
        function: Callable[..., Tensor],
        operands: Sequence[str | float],
        parameters: Parameters,
        kind: str = "",
    ) -> str:
        """Add a function of nodes and numbers."""
        nodes = tuple(dict.fromkeys(operand for operand in operands if isinstance(operand, str)))
        require(bool(nodes))

        def call(*values: Tensor) -> Tensor:
            given = dict(zip(nodes, values, strict=True))
            return function(*(given[operand] if isinstance(operand, str) else operand for operand in operands))

        return self.add(op, nodes, function if nodes == tuple(operands) else call, parameters, kind)
