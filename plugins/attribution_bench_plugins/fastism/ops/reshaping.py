"""Operations that move axes, positions or channels, and compute nothing."""

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

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
from attribution_bench_plugins.fastism.values.window import Window, whole
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
    """Grouping of neighbouring positions, which become channels of one position, or its inverse.

    `places` gives the labels of what a position holds in another order, in which they move first.
    """

    def __init__(
        self,
        node: Node,
        operands: Sequence[Operand],
        source: Layout,
        layout: Layout,
        places: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(node, operands)
        self.layout = layout
        self.scale = Fraction(layout.length, source.length)
        sizes = [size for _, size in source.channel_sizes]
        channels = torch.arange(source.channels)
        self.index = None if places is None else channels.view(sizes).permute(places).flatten()

    def affected(self, window: Window) -> Window:
        if self.scale >= 1:
            return window.repeated(int(self.scale))
        size = int(1 / self.scale)
        start = window.start // size
        stop = -(-(window.start + window.width) // size)
        return Window(start, window.step // size, stop - start, window.multiples)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        natural, delta = self.affected(operand.window), operand.delta()
        if self.scale < 1:
            size = int(1 / self.scale)
            delta = regrid(delta, operand.window, natural.repeated(size))
        if self.index is not None:
            self.index = self.index.to(delta.device)
            delta = delta.index_select(4, self.index)
        delta = delta.reshape(*delta.shape[:3], natural.width, self.layout.channels)
        is_own = operand.is_overwritable or self.index is not None
        return self.give(block, natural, delta=delta if is_own else delta.clone(), is_masked=True)


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
        if not window.is_parallel_to(natural):
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
        return Window(start, window.step // self.step, max(0, stop - start), window.multiples)

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
        start = self.layout.length - window.start - window.width
        return Window(start, -window.step, window.width, window.multiples)

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


class ChannelPadding(Operation):
    """Channels of a constant before or after those of one axis; their delta is zero."""

    def __init__(self, node: Node, operands: Sequence[Operand], axis: int, low: int, high: int) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        self.around, self.widths = source.around(axis), (0, 0, low, high)
        self.layout = source.with_axis(axis, low + self.around[1] + high)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        split = torch.unflatten(operand.delta(), 4, self.around)
        return self.give(block, operand.window, delta=F.pad(split, self.widths).flatten(4), is_masked=True)


class PositionChoice(Operation):
    """Selection of positions in any order, any number of times, such as circular padding or a rotation.

    Where a stretch of neighbours is taken as it is, windows are moved; a block that reaches another part has the
    ranges of that part, too.
    """

    def __init__(self, node: Node, operands: Sequence[Operand], chosen: Sequence[int]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        self.layout = source.resized(len(chosen))
        self.chosen = np.asarray(chosen)
        outputs = np.arange(len(chosen))
        self.first, self.last = np.full(source.length, len(chosen)), np.full(source.length, -1)
        """First and last position of the result that takes each position; the first is larger where none does."""
        np.minimum.at(self.first, self.chosen, outputs)
        np.maximum.at(self.last, self.chosen, outputs)

    def affected(self, window: Window) -> Window:
        return self._affected(window, 1) if window.step == 0 else whole(self.layout.length)

    def window_of_block(self, windows: Sequence[Window | None], count: int) -> Window:
        (window,) = (window for window in windows if window is not None)
        return self._affected(window, count)

    def _affected(self, window: Window, count: int) -> Window:
        places = _places(window, count)
        is_inside = (places >= 0) & (places < len(self.first))
        read = places.clip(0, len(self.first) - 1)
        starts = np.where(is_inside, self.first[read], len(self.chosen)).min(1, initial=len(self.chosen))
        stops = np.where(is_inside, self.last[read], -1).max(1, initial=-1) + 1
        some = starts < stops
        if not some.any():
            return Window(0, 0, 0)
        advance = window.starts(count) - window.start
        start, stop = int((starts - advance)[some].min()), int((stops - advance)[some].max())
        return Window(start, window.step, stop - start, window.multiples)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        count, outputs = operand.shape[1], _places(window, operand.shape[1])
        is_inside = (outputs >= 0) & (outputs < len(self.chosen))
        read = self.chosen[outputs.clip(0, len(self.chosen) - 1)]
        offsets = (outputs - read)[is_inside]
        if offsets.size and (offsets == offsets[0]).all():
            moved = operand.window.moved(int(offsets[0]))
            delta = regrid(operand.delta(), moved, window)
            return self.give(block, window, delta=delta.clone() if delta is operand.delta() else delta)
        at = read - operand.window.starts(count)[:, None]
        is_inside &= (at >= 0) & (at < operand.window.width)
        delta = operand.delta()
        index = torch.as_tensor(at.clip(0, operand.window.width - 1), device=delta.device)[:, None, :, None]
        taken = delta.gather(3, index.expand(*delta.shape[:3], window.width, delta.shape[4]))
        outside = torch.as_tensor(~is_inside, device=delta.device)[:, None, :, None]
        return self.give(block, window, delta=taken.masked_fill_(outside, 0), is_masked=True)


class Everywhere(Operation):
    """What has no positions, at each of many positions, all of which change with it."""

    def __init__(self, node: Node, operands: Sequence[Operand], axis: int, length: int) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        self.layout = source.with_positions(axis, length)

    def affected(self, window: Window) -> Window:
        return whole(self.layout.length)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        delta = only(operands).delta()
        delta = delta.expand(*delta.shape[:3], self.layout.length, delta.shape[4]).contiguous()
        return self.give(block, whole(self.layout.length), delta=delta, is_masked=True)


class Repetition(Operation):
    """Nearest neighbours, so that each position is repeated."""

    def __init__(self, node: Node, operands: Sequence[Operand], factor: int) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        self.factor, self.scale = factor, Fraction(factor)
        self.layout = source.resized(source.length * factor)

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
    sorted_ = reshaped.sorted_as_named() if reshaped.length == layout.length else None
    if sorted_ is not None:
        return Regrouping(node, operands, reshaped, *sorted_)
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
    elif layout.is_channels(axis) and labels != "" and step == 1 and low <= 0:
        operation = ChannelPadding(node, operands, axis, -low, size + low - layout.axis_size(axis))
    elif labels == "p" or (labels == "" and not layout.positional):
        out = layout.with_positions(axis, size)
        operation = EveryNth(node, operands, out, low, step) if step > 1 else Shift(node, operands, out, low)
    else:
        raise NoRuleError(f"it crops or pads axis {labels!r} of {layout.axes}, not positions")
    if p.drop:
        kept = [labels for i, labels in enumerate(operation.layout.axes) if i != axis]
        operation.layout = operation.layout.relabelled(kept)
    return operation


def choice(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``choose``: ChoiceParameters."""
    p = node.parameters_as(ChoiceParameters)
    axis = p.axis % len(sole_reached(node, operands).axes)
    return _chosen(node, operands, axis, p.chosen)


def repetition(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``upsample``: UpsamplingParameters."""
    p, source = node.parameters_as(UpsamplingParameters), sole_reached(node, operands)
    if source.axes[p.position_axis] == "p":
        return Repetition(node, operands, p.factor)
    places = [place for place in range(source.axis_size(p.position_axis)) for _ in range(p.factor)]
    return _chosen(node, operands, p.position_axis, places)


def _chosen(node: Node, operands: Sequence[Operand], axis: int, chosen: Sequence[int]) -> Operation:
    """Return the operation that takes places of one axis, in any order and any number of times."""
    layout = sole_reached(node, operands)
    labels, size = layout.axes[axis], layout.axis_size(axis)
    if labels == "n":
        raise NoRuleError("it mixes the sequences of a batch")
    if labels == "p":
        return PositionChoice(node, operands, [place % size for place in chosen])
    if labels == "" and not layout.positional and len(layout.axes) > 2:
        # What was taken over all positions is spread over positions again.
        return Everywhere(node, operands, axis, len(chosen))
    if not layout.is_channels(axis):
        raise NoRuleError(f"it chooses from axis {labels!r} of {layout.axes}, not from channels or positions")
    return ChannelChoice(node, operands, axis, [place % size for place in chosen])


def _places(window: Window, count: int) -> NDArray[np.int64]:
    """Return the positions of each mutation's range, (count, width)."""
    return window.starts(count)[:, None] + np.arange(window.width)
