"""Branches put beside each other, along channels or along positions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.graph.parameters import ConcatenationParameters
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation
from attribution_bench_plugins.fastism.values.window import Window, union, whole
from attribution_bench_plugins.fastism.values.windowed import Windowed, regrid


class ChannelConcatenation(Operation):
    """Branches beside each other; where one is not reached its delta is zero."""

    def __init__(self, node: Node, operands: Sequence[Operand], axis: int) -> None:
        super().__init__(node, operands)
        first = _first_reached(operands)
        parts = [_beside(operand, first, axis) for operand in operands]
        self.around = [part.around(axis) for part in parts]
        if len({(before, after) for before, _, after in self.around}) > 1:
            raise NoRuleError("its operands' axes differ")
        like = next((part for part in parts if part.axes[axis]), first)
        self.layout = like.with_axis(axis, sum(size for _, size, _ in self.around))
        self.alone = all(before == after == 1 for before, _, after in self.around)

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the union of the operands' windows."""
        return union([window for window in windows if window is not None]) or whole(self.layout.length)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas."""
        reached = next(operand for operand in operands if operand is not None)
        like, rows = reached.delta(), reached.shape[:3]
        parts: list[Tensor] = []
        for operand, around in zip(operands, self.around, strict=True):
            if operand is not None:
                part = regrid(operand.delta(), operand.window, window)
            else:
                part = like.new_zeros((1, 1, 1, 1, 1)).expand(*rows, window.width, math.prod(around))
            parts.append(part if self.alone else torch.unflatten(part, 4, around))
        joined = torch.cat(parts, 4) if self.alone else torch.cat(parts, 5).flatten(4)
        return self.give(block, window, delta=joined, is_masked=True)


@dataclass(frozen=True)
class _Stretch:
    """Where an operand's positions begin in the result."""

    start: int

    def moved(self, window: Window) -> Window:
        """Return an operand's window in the result's numbers."""
        return Window(window.start + self.start, window.step, window.width)


class PositionConcatenation(Operation):
    """Stretches of positions one after another."""

    def __init__(self, node: Node, operands: Sequence[Operand], axis: int) -> None:
        super().__init__(node, operands)
        first = _first_reached(operands)
        if node.shape is None or node.shape[axis] is None:
            raise NoRuleError("its length is not known")
        start = 0
        self.stretches = []
        for operand in operands:
            shape = operand.node.shape
            size = shape[axis] if shape is not None else None
            if size is None:
                raise NoRuleError("the length of an operand is not known")
            if operand.reached and not _same_but(operand.layout, first, axis):
                raise NoRuleError("its operands' axes differ")
            self.stretches.append(_Stretch(start))
            start += size
        axes = tuple("p" if i == axis else labels for i, labels in enumerate(first.axes))
        self.layout = Layout(axes, first.channel_sizes, start)

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the union of the operands' windows, each where its stretch is."""
        moved = [
            stretch.moved(window)
            for window, stretch in zip(windows, self.stretches, strict=True)
            if window is not None and window.width
        ]
        return union(moved) or whole(self.layout.length)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas."""
        parts = [
            regrid(operand.delta(), stretch.moved(operand.window), window)
            for operand, stretch in zip(operands, self.stretches, strict=True)
            if operand is not None and operand.window.width
        ]
        total = parts[0].clone() if len(parts) == 1 else parts[0] + parts[1]
        for part in parts[2:]:
            total += part
        return self.give(block, window, delta=total, is_masked=True)


def _first_reached(operands: Sequence[Operand]) -> Layout:
    """Return the layout of the reached operand with the most to say; NoRuleError where it is not known."""
    reached = [operand.layout for operand in operands if operand.reached]
    known = [layout for layout in reached if layout is not None]
    if len(known) < len(reached):
        raise NoRuleError("the axes of an operand could not be followed")
    return max(known, key=lambda layout: len(layout.labels))


def _same_but(layout: Layout | None, other: Layout, axis: int) -> bool:
    """Whether two layouts are the same but for one axis and the number of positions."""
    if layout is None or layout.channel_sizes != other.channel_sizes:
        return False
    return all(layout.axes[i] == labels for i, labels in enumerate(other.axes) if i != axis)


def _beside(operand: Operand, first: Layout, axis: int) -> Layout:
    """Return an operand's layout; an unreached one has that of the reached one it stands beside."""
    if operand.reached:
        layout = operand.layout
        if layout is None or not layout.is_channels(axis):
            raise NoRuleError(f"it concatenates axis {axis} of operands that hold no channels there")
    else:
        size = operand.node.shape[axis] if operand.node.shape is not None else None
        if size is None:
            raise NoRuleError("the size of an operand is not known")
        layout = first.with_axis(axis, size)
    others = [i for i, labels in enumerate(first.axes) if i != axis and labels != "n"]
    same = all(first.axis_size(i) == layout.axis_size(i) for i in others)
    if not same or any(("p" in first.axes[i]) != ("p" in layout.axes[i]) for i in others):
        raise NoRuleError("its operands' axes differ")
    return layout


def concatenation(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``concatenate``: ConcatenationParameters."""
    first = _first_reached(operands)
    axis = node.parameters_as(ConcatenationParameters).axis % len(first.axes)
    joined = [operand.layout.axes[axis] for operand in operands if operand.layout is not None and operand.reached]
    if "p" in joined:
        return PositionConcatenation(node, operands, axis)
    if all(operand.layout is None or not operand.reached or operand.layout.is_channels(axis) for operand in operands):
        return ChannelConcatenation(node, operands, axis)
    raise NoRuleError(f"it concatenates axis {first.axes[axis]!r} of {first.axes}")


def stack(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``stack``: ConcatenationParameters, a concatenation along a new axis."""
    axis = node.parameters_as(ConcatenationParameters).axis
    return concatenation(node, [_unsqueezed(operand, axis) for operand in operands])


def _unsqueezed(operand: Operand, axis: int) -> Operand:
    layout, shape = operand.layout, operand.node.shape
    if layout is not None:
        layout = layout.relabelled([*layout.axes[:axis], "", *layout.axes[axis:]])
    if shape is not None:
        shape = (*shape[:axis], 1, *shape[axis:])
    return Operand(operand.name, layout, operand.reached, replace(operand.node, shape=shape))
