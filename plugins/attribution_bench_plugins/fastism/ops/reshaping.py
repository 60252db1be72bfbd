"""Operations that only move axes or positions: nothing is computed."""

from collections.abc import Sequence

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout, labelled
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, only, sole_reached
from attribution_bench_plugins.fastism.values import Windowed, regrid
from attribution_bench_plugins.fastism.window import Window


class Relabelling(Operation):
    """A view of the same elements under other axes; the engine's own order does not change."""

    def __init__(self, node: Node, operands: Sequence[Operand], layout: Layout) -> None:
        super().__init__(node, operands)
        self.layout = layout

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the operand's window."""
        (window,) = (w for w in windows if w is not None)
        return window

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Pass the operand on."""
        raise AssertionError("relabellings are followed when the plan is made, and never run")


class Shift(Operation):
    """A crop or a padding with zeros: positions get other numbers."""

    def __init__(
        self, node: Node, operands: Sequence[Operand], source: Layout, axes: Sequence[str], low: int, size: int
    ):
        super().__init__(node, operands)
        self.low = low
        self.layout = labelled(axes, source.channels, size)

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the window under its new numbers."""
        (window,) = (w for w in windows if w is not None)
        return Window(window.start - self.low, window.step, window.width)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on deltas; what is cropped is zeroed where it is read next."""
        operand = only(operands)
        natural = self.window([operand.window])
        if window.step != natural.step:
            return self.give(block, natural, delta=operand.take_delta())
        return self.give(block, window, delta=regrid(operand.take_delta(), natural, window))


def view(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``view``: the new shape is the node's own."""
    layout = sole_reached(node, operands)
    if node.shape is None:
        raise NoRuleError("its shape depends on the batch in a way that cannot be followed")
    reshaped = layout.reshaped(node.shape)
    if reshaped is None:
        raise NoRuleError(f"it splits or mixes the axes {layout.axes} into the shape {node.shape}")
    return Relabelling(node, operands, reshaped)


def permute(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``permute``: ``axes``, the new order."""
    layout = sole_reached(node, operands)
    axes = [layout.axes[axis] for axis in node.parameters["axes"]]
    return Relabelling(node, operands, layout.relabelled(axes))


def shift(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``shift``: along ``axis``, the output begins at position ``low`` (negative: padded) of the input."""
    layout = sole_reached(node, operands)
    axis = node.parameters["axis"] % len(layout.axes)
    size = node.shape[axis] if node.shape is not None else None
    if layout.axes[axis] != "p" or size is None:
        raise NoRuleError(f"it crops or pads axis {layout.axes[axis]!r} of {layout.axes}, not positions")
    return Shift(node, operands, layout, layout.axes, node.parameters["low"], size)
