"""The operations' interface: what the engine must know of one to run it on windows."""

import abc
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.kernels.window_kernel import WindowKernel
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow, Program
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Unmutated, Windowed

Form = Literal["delta", "value"]


class Fusion(enum.Enum):
    """How a node's result is computed together with its neighbours."""

    NONE = enum.auto()
    """It is written at once."""
    STARTS = enum.auto()
    """A kernel of its own computes it lazily, so that the nodes that read it can be fused into that kernel."""
    EPILOGUE = enum.auto()
    """It is fused into the kernel that computes an operand, as part of the epilogue."""


POOL_BEFORE = "pooling or striding before it would make that cheaper, but would be another model, to be trained anew"
"""What helps where an operation reads every position by its nature."""
OTHER_SPELLING = "written with other operations, or with its positions in an axis of their own, it may keep windows"
"""What helps where a local operation is written in a way that no rule covers."""
PRODUCT_AND_SUM = "written as a product and a sum, `(x * weight).sum(axis)`, it would keep windows"
"""What helps where positions have weights of their own."""


class NoRuleError(Exception):
    """A node that cannot run on windows; the message says why, and the engine runs it in full."""

    def __init__(self, reason: str, remedy: str = OTHER_SPELLING) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True)
class Operand:
    """An input of a node, as known before anything runs."""

    name: str
    layout: Layout | None
    """None where the axes could not be followed."""
    reached: bool
    """Whether a mutation can reach it; otherwise its value is the unmutated one."""
    node: Node


@dataclass(frozen=True)
class LazyOperand:
    """Whether an operand is a lazy window, as foreseen by the plan."""

    is_lazy: bool
    is_fusible: bool
    """Whether its only reader may still be fused into the kernel that computes it."""


class Block(Protocol):
    """Block of mutations that runs, as operations see it."""

    @property
    def unmutated(self) -> Unmutated:
        """The unmutated activations."""

    @property
    def program(self) -> Program:
        """The lazy windows of the block."""

    @property
    def count(self) -> int:
        """Number of mutated positions."""

    def constant(self, name: str, like: Node, layout: Layout, window: Window) -> Tensor:
        """Return an unreached operand, broadcast as `like` is, on the windows: (n or 1, count, 1, width, channels)."""


class Operation(abc.ABC):
    """One node of the graph with its rule: its output's layout and affected range, its cost, and how it runs.

    The class, called with a node and its operands, is the rule; so is a function that chooses between classes. The
    constructor prepares weights, and raises NoRuleError for a use that the rule does not cover.
    """

    layout: Layout
    """Layout of the output."""
    scale: Fraction = Fraction(1)
    """Positions of the output for each of the input."""
    is_alias: ClassVar[bool] = False
    """Whether its result is its operand's tensors under other axes, so that it is never run."""
    takes_any_advance: bool = False
    """Whether it also runs, on a CPU, on windows that do not advance by a constant step from mutation to mutation."""
    joins_epilogue: bool = False
    """Whether it is fused into the kernel of an operand that is fusible."""
    preferred_form: Form = "delta"
    """The form in which it reads its operands; an operation that can give either form gives this one."""
    unmutated_call: Callable[..., Any] | None = None
    """What runs the node on unmutated sequences: it gives what the node's own call does but for rounding, whatever the
    order of its operands in memory, and is faster. None for the node's own call."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        self.node, self.operands = node, operands

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the affected range of the output, given those of the operands (None for an unreached operand).

        By default `affected` gives it from that of the only reached operand.
        """
        (window,) = (window for window in windows if window is not None)
        return self.affected(window)

    def affected(self, window: Window) -> Window:
        """Return the affected range of the output, given that of the only reached operand; by default the same."""
        return window

    def window_of_block(self, windows: Sequence[Window | None], count: int) -> Window:
        """Return the affected range in a block of `count` mutations; by default that of a block of any number."""
        return self.window(windows)

    @abc.abstractmethod
    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on windows. The readers of the result prefer `preferred_form`; either form may be returned."""

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return multiply-accumulates for one mutation on these windows."""
        return 0

    def partial_sums(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return how many intermediate numbers are written beside the result, for one mutation on these windows."""
        return 0

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        """Return how the result is fused; `operands` tells of each operand whether it is lazy."""
        joins = self.joins_epilogue and any(operand.is_fusible for operand in operands)
        return Fusion.EPILOGUE if joins else Fusion.NONE

    def scale_outputs(self, scale: Tensor) -> bool:
        """Fold a multiplication of the output by (channels,) into the weights; False where that is not possible."""
        return False

    def give(self, block: Block, window: Window, **tensors: Any) -> Windowed:
        """Return this node's windowed result."""
        return Windowed(block.unmutated, self.node.name, self.layout.length, window, **tensors)

    def give_lazily(
        self,
        block: Block,
        window: Window,
        kernel: WindowKernel,
        operand: Windowed,
        around: Callable[[Window], Tensor] | None = None,
    ) -> LazyWindow:
        """Return this node's result as a kernel will compute it from an operand.

        For a kernel that reads the operand's unmutated activation, `around` gives it: (n, L, channels), as far as it is
        read for a window of the output.
        """
        name, length = self.node.name, self.layout.length
        return LazyWindow(block.unmutated, name, length, window, kernel, operand, block.program, around)


Rule = Callable[[Node, Sequence[Operand]], Operation]
"""Returns a node's operation, or raises NoRuleError saying why the node must run in full."""


class MergingOperation(Operation):
    """An operation without positions in its output, which is run for the mutations of every phase together."""

    @abc.abstractmethod
    def run_merged(self, parts: Sequence[Windowed], block: Block) -> Windowed:
        """Run on the operand's windows in several blocks; the result holds their mutations one after another."""


def sole_reached(node: Node, operands: Sequence[Operand]) -> Layout:
    """Return the layout of the first operand, which must be the only reached one; NoRuleError for another use."""
    if any(operand.reached for operand in operands[1:]):
        raise NoRuleError("its weights depend on the sequence")
    if operands[0].layout is None:
        raise NoRuleError("the axes of its input could not be followed")
    return operands[0].layout


def only(operands: Sequence[Windowed | None]) -> Windowed:
    """Return the single reached operand."""
    (operand,) = (operand for operand in operands if operand is not None)
    return operand


def known_size(node: Node, axis: int) -> int:
    """Return the size of an axis of a node's value other than the batch; NoRuleError where it is not known."""
    size = None if node.shape is None else node.shape[axis]
    if size is None:
        raise NoRuleError(f"the size of axis {axis} of {node.layer!r} is not known")
    return size
