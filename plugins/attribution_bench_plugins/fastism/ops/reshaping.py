"""Operations that move axes, positions or channels, and compute nothing."""

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

import torch

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.graph.parameters import (
    ChoiceParameters,
    FlipParameters,
    PermutationParameters,
    ShiftParameters,
    UpsamplingParameters,
)
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, only, sole_reached
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Windowed, regrid


class Relabelling(Operation):
    """A view of the same elements under other axes; the engine's own order does not change."""

    is_alias: ClassVar[bool] = True

    def __init__(self, node: Node, operands: Sequence[Operand], layout: Layout) -> None:
        super().__init__(node, operands)
        self.layout = layout

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        raise AssertionError("the plan replaces an alias by the node whose tensors it shares")


class Regrouping(Operation):
    """Grouping of neighbouring positions, which become channels of one position, or its inverse."""

    def __init__(self, node: Node, operands: Sequence[Operand], source: Layout, layout: Layout) -> None:
        super().__init__(node, operands)
        self.layout = layout
        self.scale = Fraction(layout.length, source.length)

    def affected(self, window: Window) -> Window:
        if self.scale >= 1:
            return window.repeated(int(self.scale))
        size = int(1 / self.scale)
        start = window.start // size
        stop = -(-(window.start + window.width) // size)
        return Window(start, window.step // size, stop - start)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        natural, delta = self.affected(operand.window), operand.delta()
        if self.scale < 1:
            size = int(1 / self.scale)
            aligned = Window(natural.start * size, operand.window.step, natural.width * size)
            delta = regrid(delta, operand.window, aligned)
        delta = delta.reshape(*delta.shape[:3], natural.width, self.layout.channels)
        return self.give(block, natural, delta=delta if operand.is_overwritable else delta.clone(), is_masked=True)


class Shift(Operation):
    """Crop or padding with a constant, which changes the numbers of positions."""

    def __init__(self, node: Node, operands: Sequence[Operand], layout: Layout, low: int) -> None:
        super().__init__(node, operands)
        self.low, self.layout = low, layout

    def affected(self, window: Window) -> Window:
        return window.moved(-self.low)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        # The result is not masked: the deltas of cropped positions are zeroed when it is read.
        operand = only(operands)
        natural = self.affected(operand.window)
        if window.step != natural.step:
            return self.give(block, natural, delta=operand.take_delta())
        return self.give(block, window, delta=regrid(operand.take_delta(), natural, window))


class EveryNth(Operation):
    """Slice of positions with a step."""

    def __init__(self, node: Node, operands: Sequence[Operand], layout: Layout, low: int, step: int) -> None:
        super().__init__(node, operands)
        self.low, self.step, self.layout = low, step, layout
        self.scale = Fraction(1, step)

    def affected(self, window: Window) -> Window:
        start = -((self.low - window.start) // self.step)
        stop = -((self.low - window.start - window.width) // self.step)
        return Window(start, window.step // self.step, max(0, stop - start))

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        natural = self.affected(operand.window)
        first = natural.start * self.step + self.low - operand.window.start
        taken = operand.delta()[:, :, :, first :: self.step][:, :, :, : natural.width]
        return self.give(block, natural, delta=taken.clone())


class Reversal(Operation):
    """Rule of ``flip``, FlipParameters; windows on reversed positions have a negative step."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout = layout = sole_reached(node, operands)
        axes = [axis % len(layout.axes) for axis in node.parameters_as(FlipParameters).axes]
        if not all(layout.axes[axis] == "p" or layout.is_channels(axis) for axis in axes):
            raise NoRuleError(f"it reverses {[layout.axes[axis] for axis in axes]} of the axes {layout.axes}")
        reversed_labels = "".join(layout.axes[axis] for axis in axes)
        self.mirrored = "p" in reversed_labels
        sizes = [size for _, size in layout.channel_sizes]
        turned = [i for i, label in enumerate(layout.order) if label in reversed_labels]
        self.index = torch.arange(layout.channels).view(sizes).flip(turned).flatten() if turned else None

    def affected(self, window: Window) -> Window:
        if not self.mirrored:
            return window
        return Window(self.layout.length - window.start - window.width, -window.step, window.width)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        delta = operand.delta()
        if self.index is not None:
            self.index = self.index.to(delta.device)
            delta = delta.index_select(4, self.index)
        delta = delta.flip(3) if self.mirrored else delta.clone()
        return self.give(block, self.affected(operand.window), delta=delta, is_masked=True)


class ChannelChoice(Operation):
    """Selection of channels of one axis, in any order."""

    def __init__(self, node: Node, operands: Sequence[Operand], axis: int, chosen: Sequence[int]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        before, size, after = source.around(axis)
        everything = torch.arange(source.channels).view(before, size, after)
        self.index = everything[:, torch.tensor(list(chosen), dtype=torch.long)].flatten()
        self.layout = source.with_axis(axis, len(chosen))

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        delta = operand.delta()
        self.index = self.index.to(delta.device)
        return self.give(block, operand.window, delta=delta.index_select(4, self.index), is_masked=True)


class Repetition(Operation):
    """Rule of ``upsample``, UpsamplingParameters: nearest neighbours, so each position is repeated."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        p = node.parameters_as(UpsamplingParameters)
        if source.axes[p.position_axis] != "p":
            raise NoRuleError(f"it repeats axis {source.axes[p.position_axis]!r} of {source.axes}, not positions")
        self.factor, self.scale = p.factor, Fraction(p.factor)
        self.layout = source.resized(source.length * p.factor)

    def affected(self, window: Window) -> Window:
        return window.repeated(self.factor)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        delta = operand.delta().repeat_interleave(self.factor, 3)
        return self.give(block, self.affected(operand.window), delta=delta, is_masked=True)


def view(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``view``: the new shape is the node's own."""
    layout = sole_reached(node, operands)
    if node.shape is None:
        raise NoRuleError("its shape depends on the batch in a way that cannot be followed")
    reshaped = layout.reshaped(node.shape)
    if reshaped is None:
        raise NoRuleError(f"it splits or mixes the axes {layout.axes} into the shape {node.shape}")
    return _under(node, operands, layout, reshaped)


def permute(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``permute``: PermutationParameters."""
    layout = sole_reached(node, operands)
    axes = [layout.axes[axis] for axis in node.parameters_as(PermutationParameters).axes]
    return _under(node, operands, layout, layout.relabelled(axes))


def _under(node: Node, operands: Sequence[Operand], source: Layout, layout: Layout) -> Operation:
    """Return the operation from one layout of the same elements to another."""
    if layout.length != source.length:
        return Regrouping(node, operands, source, layout)
    return Relabelling(node, operands, layout)


def shift(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``shift``: ShiftParameters."""
    layout = sole_reached(node, operands)
    p = node.parameters_as(ShiftParameters)
    axis = p.axis % len(layout.axes)
    size = 1 if p.drop else node.shape[axis] if node.shape is not None else None
    if size is None:
        raise NoRuleError("its size is not known")
    low, step, labels = p.low, p.step, layout.axes[axis]
    inside = low >= 0 and low + (size - 1) * step < layout.axis_size(axis) and size > 0
    operation: Operation
    if layout.is_channels(axis) and inside:
        operation = ChannelChoice(node, operands, axis, range(low, low + size * step, step))
    elif labels == "p" or (labels == "" and not layout.positional):
        axes = tuple("p" if i == axis else known for i, known in enumerate(layout.axes))
        out = Layout(axes, layout.channel_sizes, size).resized(size)
        operation = EveryNth(node, operands, out, low, step) if step > 1 else Shift(node, operands, out, low)
    else:
        raise NoRuleError(f"it crops or pads axis {labels!r} of {layout.axes}, not positions")
    if p.drop:
        kept = [labels for i, labels in enumerate(operation.layout.axes) if i != axis]
        operation.layout = operation.layout.relabelled(kept)
    return operation


def choice(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``choose``, from channels: ChoiceParameters."""
    layout = sole_reached(node, operands)
    p = node.parameters_as(ChoiceParameters)
    axis = p.axis % len(layout.axes)
    if not layout.is_channels(axis):
        raise NoRuleError(f"it chooses from axis {layout.axes[axis]!r} of {layout.axes}, not from channels")
    size = layout.axis_size(axis)
    return ChannelChoice(node, operands, axis, [index % size for index in p.chosen])
