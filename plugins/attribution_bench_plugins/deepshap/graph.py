"""A model as DeepLIFT sees it: the operations between the sequence and its output, whatever the framework.

Only what depends on the sequence's values is a node; constants, shapes and what is made of them stay with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What DeepLIFT needs to know of an operation."""

    INPUT = "input"
    ADD = "add"
    """Sum or difference of tensors and numbers, element by element; `Classified.signs` and `Classified.offset`."""
    SCALE = "scale"
    """Affine in its only tensor, element by element: times a constant, a cast between floating types."""
    CAST = "cast"
    """Truth values or whole numbers as floating-point numbers."""
    REARRANGE = "rearrange"
    """The same elements in another shape, or repeated along new axes."""
    SUM = "sum"
    """Sum over `Classified.axes`."""
    LINEAR = "linear"
    """Linear in all its tensors at once, up to a constant."""
    MULTIPLY = "multiply"
    BILINEAR = "bilinear"
    DIVIDE = "divide"
    """Quotient of two tensors."""
    RECIPROCAL = "reciprocal"
    """A number over a tensor."""
    INVERSE_POWER = "inverse power"
    """A tensor to a negative power that is not -1."""
    EXP = "exp"
    LOG = "log"
    RECTIFIER = "rectifier"
    ELEMENTWISE = "elementwise"
    """Any other function of the elements of its tensors at one place."""
    COMPARE = "compare"
    """Truth values of a comparison; where there are two tensors, the first is compared with the second."""
    SELECT = "select"
    """Where a condition that depends on the sequence holds one tensor, elsewhere another."""
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    SQUARED_DIFFERENCE = "squared difference"
    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log_softmax"
    LOGSUMEXP = "logsumexp"
    LARGEST = "largest"
    """Largest element of windows or axes."""
    SMALLEST = "smallest"
    ORDERED = "ordered"
    """Elements along the axis `Classified.axes` in the order of their size, all or the first."""
    UNKNOWN = "unknown"


POINTWISE = frozenset(
    {
        Kind.ADD,
        Kind.SCALE,
        Kind.CAST,
        Kind.MULTIPLY,
        Kind.DIVIDE,
        Kind.RECIPROCAL,
        Kind.INVERSE_POWER,
        Kind.EXP,
        Kind.LOG,
        Kind.RECTIFIER,
        Kind.ELEMENTWISE,
        Kind.COMPARE,
        Kind.SELECT,
        Kind.MAXIMUM,
        Kind.MINIMUM,
        Kind.SQUARED_DIFFERENCE,
    }
)
"""Kinds whose output at a place depends on the inputs at that place alone."""
LINEAR = frozenset({Kind.ADD, Kind.SCALE, Kind.REARRANGE, Kind.SUM, Kind.LINEAR})


@dataclass(frozen=True)
class Spec:
    """One output of an operation."""

    shape: tuple[Any, ...]
    """Sizes, or whatever stands for those that are not known."""
    floating: bool


@dataclass(frozen=True)
class Classified:
    """The kind of an operation, with what its rule must know."""

    kind: Kind
    axes: tuple[int, ...] = ()
    """Axes below zero that a SUM, a softmax or an order is taken over."""
    signs: tuple[int, ...] = ()
    """Of ADD, +1 or -1 for each input."""
    offset: float = 0.0
    """Of ADD, the number that is added besides; of RECIPROCAL, the number that is divided."""
    exponent: float = float("nan")
    """Of a power of one tensor, the exponent."""


def power_of(exponent: float) -> Classified:
    """Return what a fixed power of one tensor is."""
    if exponent == -1:
        return Classified(Kind.RECIPROCAL, offset=1.0, exponent=exponent)
    return Classified(Kind.INVERSE_POWER if exponent < 0 else Kind.ELEMENTWISE, exponent=exponent)


@dataclass(frozen=True, eq=False)
class Node:
    """One operation that depends on the sequence."""

    operation: str
    """Its name in the framework."""
    known: Classified
    inputs: "tuple[Value, ...]"
    """The tensors that depend on the sequence, in the order of the arguments, a repeated one each time."""
    outputs: tuple[Spec, ...]
    handle: Any
    """The framework's own object."""
    place: str = ""
    """The layer that calls it, where that is known."""

    @property
    def kind(self) -> Kind:
        """The kind by which the node's rule is chosen."""
        return self.known.kind

    def __str__(self) -> str:
        return f"{self.operation} (layer {self.place})" if self.place else self.operation


@dataclass(frozen=True)
class Value:
    """One output of one node."""

    node: Node
    index: int = 0

    @property
    def spec(self) -> Spec:
        """What is known of the tensor."""
        return self.node.outputs[self.index]


def ancestors(node: Node, until: frozenset[Value]) -> tuple[Node, ...]:
    """Return the node and all that it depends on down to the given values, in an order in which they can run."""
    ordered: dict[Node, None] = {}
    # A walk without recursion: unrolled recurrent layers are thousands of nodes deep.
    stack: list[tuple[Node, Iterator[Value]]] = [(node, iter(node.inputs))]
    entered = {node}
    while stack:
        current, remaining = stack[-1]
        following = next((v for v in remaining if v not in until and v.node not in entered), None)
        if following is None:
            ordered[current] = None
            stack.pop()
        else:
            entered.add(following.node)
            stack.append((following.node, iter(following.node.inputs)))
    return tuple(ordered)


def is_followed(output: Value, sequence: Value) -> bool:
    """Whether floating-point values lead from the sequence to an output, without which no method has a gradient."""
    pending, seen = [output], {output}
    while pending:
        value = pending.pop()
        if value == sequence:
            return True
        following = {part for part in value.node.inputs if part.spec.floating} if value.spec.floating else set()
        pending += following - seen
        seen |= following
    return False
