"""What an operation must say of itself for the engine to run it on windows."""

import abc
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.ops.lazy_window import Program
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Unmutated, Windowed

Form = Literal["delta", "value"]


class Fusion(enum.Enum):
    """How a node's result is computed together with its neighbours."""

    NONE = enum.auto()
    """It is written at once."""
    STARTS = enum.auto()
    """A kernel of its own computes it lazily, so that what follows can be fused into that kernel."""
    EPILOGUE = enum.auto()
    """It is fused into the kernel that computes an operand, as part of the epilogue."""


class NoRuleError(Exception):
    """A node that cannot run on windows; the message says why, in plain words. The engine then runs it whole."""


@dataclass(frozen=True)
class Operand:
    """An input of a node, as known before anything runs."""

    name: str
    layout: Layout | None
    """None where the axes could not be followed."""
    reached: bool
    """Whether a mutation reaches it; otherwise it is what it was."""
    node: Node


@dataclass(frozen=True)
class LazyOperand:
    """Whether an operand is a lazy window, as foreseen by the plan."""

    is_lazy: bool
    is_fusible: bool
    """Whether its only reader may still be fused into the kernel that computes it."""


class Block(Protocol):
    """What an operation may ask for while a block of mutations runs."""

    @property
    def unmutated(self) -> Unmutated:
        """The unmutated activations."""

    @property
    def program(self) -> Program:
        """What waits to be computed."""

    @property
    def count(self) -> int:
        """Number of mutated positions."""

    def constant(self, name: str, like: Node, layout: Layout, window: Window) -> Tensor:
        """Return an unreached operand, broadcast as `like` is, on the windows: (n or 1, count, 1, width, channels)."""


class Operation(abc.ABC):
    """One node of the graph with its rule: the layout it gives, what it reaches, what it costs, how it runs.

    The constructor prepares weights, and raises NoRuleError for a use that the rule does not cover.
    """

    layout: Layout
    """Layout of the output."""
    scale: Fraction = Fraction(1)
    """Positions of the output for each of the input."""
    is_alias: ClassVar[bool] = False
    """Whether its result is its operand's tensors under other axes, so that it is never run."""
    preferred_form: Form = "delta"
    """The form in which it reads its operands; what gives it either form gives this one."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        self.node, self.operands = node, operands

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return what the windows of the operands reach (None for an unreached operand).

        By default that of the only reached operand.
        """
        (window,) = (window for window in windows if window is not None)
        return window

    @abc.abstractmethod
    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on windows. `form` is what the consumers would rather have; either may be given."""

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return multiply-accumulates for one mutation on these windows."""
        return 0

    def partial_sums(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return numbers that are written on the way, beside the result, for one mutation on these windows."""
        return 0

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        """Return how the result is fused; `operands` says of each operand whether it is lazy."""
        return Fusion.NONE

    def scale_outputs(self, scale: Tensor) -> bool:
        """Multiply what this gives by (channels,), folding in what follows; False where that cannot be done."""
        return False

    def give(self, block: Block, window: Window, **tensors: Any) -> Windowed:
        """Return this node's windowed result."""
        return Windowed(block.unmutated, self.node.name, self.layout.length, window, **tensors)


Rule = Callable[[Node, Sequence[Operand]], Operation]
"""Returns a node's operation, or raises NoRuleError saying why the node must run whole."""


class MergingOperation(Operation):
    """An operation that leaves no positions, and is better run for mutations of every phase together."""

    @abc.abstractmethod
    def run_merged(self, parts: Sequence[Windowed], block: Block) -> Windowed:
        """Run on the operand as several blocks left it; their mutations follow each other in the result."""


def sole_reached(node: Node, operands: Sequence[Operand]) -> Layout:
    """Return the layout of the first operand, which must be the one that mutations reach."""
    if any(operand.reached for operand in operands[1:]):
        raise NoRuleError("its weights depend on the sequence")
    if operands[0].layout is None:
        raise NoRuleError("the axes of its input could not be followed")
    return operands[0].layout


def only(operands: Sequence[Windowed | None]) -> Windowed:
    """Return the single reached operand."""
    (operand,) = (operand for operand in operands if operand is not None)
    return operand
