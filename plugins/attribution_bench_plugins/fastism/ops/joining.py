"""Concatenation of branches along channels."""

from collections.abc import Sequence

import torch

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout, labelled
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation
from attribution_bench_plugins.fastism.values import Windowed, regrid
from attribution_bench_plugins.fastism.window import Window, union, whole


class ChannelConcatenation(Operation):
    """Branches beside each other; where one is not reached its delta is zero."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        first = next((operand.layout for operand in operands if operand.reached), None)
        if first is None:
            raise NoRuleError("the axes of an operand could not be followed")
        axis = node.parameters["axis"] % len(first.axes)
        layouts = [_layout_beside(operand, first, axis) for operand in operands]
        for layout in layouts:
            if layout.axes[axis] not in ("c", "") or layout.length != first.length:
                raise NoRuleError(f"it concatenates axis {layout.axes[axis]!r} of {layout.axes}, not channels")
            rest = [a for i, a in enumerate(layout.axes) if i != axis]
            if rest != [a for i, a in enumerate(first.axes) if i != axis]:
                raise NoRuleError("its operands' axes differ")
        self.sizes = [layout.channels for layout in layouts]
        axes = [("c" if i == axis else a) for i, a in enumerate(first.axes)]
        self.layout = labelled(axes, sum(self.sizes), first.length)

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the union of the operands' windows."""
        return union([window for window in windows if window is not None]) or whole(self.layout.length)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on deltas."""
        reached = next(operand for operand in operands if operand is not None)
        like, rows = reached.delta(), reached.shape[:3]
        parts = [
            regrid(operand.delta(), operand.window, window)
            if operand is not None
            else like.new_zeros((1, 1, 1, 1, 1)).expand(*rows, window.width, size)
            for operand, size in zip(operands, self.sizes, strict=True)
        ]
        return self.give(block, window, delta=torch.cat(parts, 4), clean=True)


def _layout_beside(operand: Operand, first: Layout, axis: int) -> Layout:
    """Return an operand's layout; an unreached one has that of the reached one it stands beside."""
    if not operand.reached and operand.node.shape is not None and operand.node.shape[axis] is not None:
        return Layout(first.axes, operand.node.shape[axis] or 1, first.length)
    if operand.layout is None:
        raise NoRuleError("the axes of an operand could not be followed")
    return operand.layout


def concatenation(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``concatenate``: ``axis``."""
    return ChannelConcatenation(node, operands)
