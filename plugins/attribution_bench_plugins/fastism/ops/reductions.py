"""Sums, means and maxima over all positions, or over the channels of each position."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import ReductionParameters
from attribution_bench_plugins.fastism.kernels.pool_kernel import TotalKernel
from attribution_bench_plugins.fastism.kernels.register_tile import best_tile
from attribution_bench_plugins.fastism.ops.base import (
    Block,
    Form,
    Fusion,
    LazyOperand,
    NoRuleError,
    Operand,
    Operation,
    only,
    sole_reached,
)
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Windowed, mask_outside


class Reduction(Operation):
    """Base of all reductions: their axes and windows. A reduction over positions leaves one position."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        p = node.parameters_as(ReductionParameters)
        axes = sorted(axis % len(source.axes) for axis in p.axes)
        gone = "".join(source.axes[axis] for axis in axes)
        if "n" in gone:
            raise NoRuleError("it mixes the sequences of a batch")
        self.source = source
        self.layout = source.without_axes(axes, keep=p.keep)
        self.over_positions = "p" in gone
        self.sizes = [size for _, size in source.channel_sizes]
        self.over_channels = [i for i, label in enumerate(source.order) if label in gone]
        self.reduced = (source.length if self.over_positions else 1) * source.channels // self.layout.channels

    def affected(self, window: Window) -> Window:
        return Window(0, 0, 1) if self.over_positions else window


class Sum(Reduction):
    """Rule of ``sum``, ReductionParameters: deltas are added up, those of a lazy window as they are computed."""

    takes_any_advance = True
    is_mean: ClassVar[bool] = False

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        adds_up = self.over_positions and not self.over_channels
        return Fusion.STARTS if adds_up and any(operand.is_lazy for operand in operands) else Fusion.NONE

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        if isinstance(operand, LazyWindow) and operand.is_pending and self.over_positions and not self.over_channels:
            return self._added_lazily(operand, block)
        out = operand.delta()
        if self.over_positions:
            out = out.sum(3, keepdim=True)
        if self.over_channels:
            out = _over(out, self.sizes, self.over_channels, torch.sum)
        if self.is_mean:
            out = out / self.reduced
        elif out is operand.delta():
            out = out.clone()
        return self.give(block, self.affected(operand.window), delta=out, is_masked=True)

    def _added_lazily(self, operand: LazyWindow, block: Block) -> Windowed:
        like, channels = torch.empty(0, dtype=operand.call.dtype), self.layout.channels
        kernel = TotalKernel(best_tile(channels, like.element_size()), channels=channels)
        added = self.give_lazily(block, Window(0, 0, 1), kernel, operand)
        if not self.is_mean:
            return added
        divided = added.scaled(self.node.name, like.new_full((channels,), 1 / self.reduced))
        assert divided is not None
        return divided


class Mean(Sum):
    """Rule of ``mean``, ReductionParameters."""

    is_mean: ClassVar[bool] = True


class Maximum(Reduction):
    """Rule of ``max``, ReductionParameters.

    The largest value over positions is that of the window, or of the unmutated positions around it.
    """

    preferred_form: Form = "value"
    none: ClassVar[float] = float("-inf")
    """The extreme of no values."""
    larger = staticmethod(torch.maximum)
    largest = staticmethod(torch.amax)
    so_far: ClassVar[Callable[..., tuple[Tensor, Tensor]]] = torch.cummax

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        value = operand.take_value()
        if self.over_positions:
            mask_outside(value, operand.window, operand.length, self.none)
            value = self.larger(self.largest(value, 3, keepdim=True), self._outside(operand, block))
        if self.over_channels:
            value = _over(value, self.sizes, self.over_channels, self.largest)
        return self.give(block, self.affected(operand.window), value=value)

    def _outside(self, operand: Windowed, block: Block) -> Tensor:
        """Return the unmutated extremes before and after every window, (n, count, 1, 1, channels)."""
        source, length, name = operand.source, operand.length, type(self).__name__
        before = block.unmutated.summary(source, f"{name} before", self._before)
        after = block.unmutated.summary(source, f"{name} after", self._after)
        starts = torch.as_tensor(operand.window.starts(operand.shape[1]), device=before.device)
        first, last = (positions.clamp(0, length) for positions in (starts, starts + operand.window.width))
        return self.larger(before.index_select(1, first), after.index_select(1, last))[:, :, None, None]

    def _before(self, unmutated: Tensor) -> Tensor:
        """Return the extreme of all positions before each, and before the end; that of no values before the first."""
        none = unmutated.new_full((unmutated.shape[0], 1, unmutated.shape[2]), self.none)
        return torch.cat([none, type(self).so_far(unmutated, 1)[0]], 1)

    def _after(self, unmutated: Tensor) -> Tensor:
        """Return the extreme from each position on, and from the end, which is that of no values."""
        return self._before(unmutated.flip(1)).flip(1)


class Minimum(Maximum):
    """Rule of ``min``, ReductionParameters: the same with the smallest value."""

    none: ClassVar[float] = float("inf")
    larger = staticmethod(torch.minimum)
    largest = staticmethod(torch.amin)
    so_far = torch.cummin


def _over(tensor: Tensor, sizes: Sequence[int], axes: Sequence[int], reduce: Callable[..., Tensor]) -> Tensor:
    """Reduce some of the channel axes of (..., channels), whose sizes are given; at least one channel remains."""
    split = torch.unflatten(tensor, 4, tuple(sizes))
    out = reduce(split, [4 + axis for axis in axes])
    return out.flatten(4) if out.dim() > 4 else out[..., None]
