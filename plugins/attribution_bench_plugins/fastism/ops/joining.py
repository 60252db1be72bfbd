"""Concatenation of branches along channels or along positions."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.graph.parameters import ConcatenationParameters
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, known_size
from attribution_bench_plugins.fastism.values.window import Window, union, whole
from attribution_bench_plugins.fastism.values.windowed import Windowed, regrid


class ChannelConcatenation(Operation):
    """Concatenation of channels; the delta of an operand that no mutation can reach is zero."""

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
        return union([window for window in windows if window is not None]) or whole(self.layout.length)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
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


class PositionConcatenation(Operation):
    """Concatenation of positions."""

    def __init__(self, node: Node, operands: Sequence[Operand], axis: int) -> None:
        super().__init__(node, operands)
        first = _first_reached(operands)
        sizes = [known_size(operand.node, axis) for operand in operands]
        if any(operand.reached and not _same_but(operand.layout, first, axis) for operand in operands):
            raise NoRuleError("its operands' axes differ")
        *self.starts, length = accumulate(sizes, initial=0)
        """The position of the result at which each operand begins."""
        self.layout = first.with_positions(axis, length)

    def window(self, windows: Sequence[Window | None]) -> Window:
        moved = [
            window.moved(start)
            for window, start in zip(windows, self.starts, strict=True)
            if window is not None and window.width
        ]
        return union(moved) or whole(self.layout.length)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        parts = [
            regrid(operand.delta(), operand.window.moved(start), window)
            for operand, start in zip(operands, self.starts, strict=True)
            if operand is not None and operand.window.width
        ]
        total = parts[0].clone() if len(parts) == 1 else parts[0] + parts[1]
        for part in parts[2:]:
            total += part
        return self.give(block, window, delta=total, is_masked=True)


def _first_reached(operands: Sequence[Operand]) -> Layout:
    """Return the layout of the reached operand with the most labels; NoRuleError where one is not known."""
    reached = [operand.layout for operand in operands if operand.reached]
    known = [layout for layout in reached if layout is not None]
    if len(known) < len(reached):
        raise NoRuleError("the axes of an operand could not be followed")
    return max(known, key=lambda layout: len(layout.labels))


def _same_but(layout: Layout | None, other: Layout, axis: int) -> bool:
    """Whether two layouts are equal except for one axis and the number of positions."""
    if layout is None or layout.channel_sizes != other.channel_sizes:
        return False
    return all(layout.axes[i] == labels for i, labels in enumerate(other.axes) if i != axis)


def _beside(operand: Operand, first: Layout, axis: int) -> Layout:
    """Return an operand's layout; an unreached one has that of the first reached operand but for the joined axis."""
    layout = operand.layout if operand.reached else first.with_axis(axis, known_size(operand.node, axis))
    if layout is None or not layout.is_channels(axis):
        raise NoRuleError(f"it concatenates axis {axis} of operands in which that axis is not channels")
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
    return replace(operand, layout=layout, node=replace(operand.node, shape=shape))
