"""Sums, means and maxima over all positions, or over what each position holds."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import ReductionParameters
from attribution_bench_plugins.fastism.kernels.register_tile import best_tile
from attribution_bench_plugins.fastism.kernels.total_kernel import TotalKernel
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
    """What all reductions share: the axes, and the windows; without positions one place is left."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        rank = len(source.axes)
        p = node.parameters_as(ReductionParameters)
        axes = sorted(axis % rank for axis in p.axes)
        gone = "".join(source.axes[axis] for axis in axes)
        if "n" in gone:
            raise NoRuleError("it mixes the sequences of a batch")
        self.source = source
        self.layout = source.without_axes(axes, keep=p.keep)
        self.over_positions = "p" in gone
        self.sizes = [size for _, size in source.channel_sizes]
        self.over_channels = [i for i, label in enumerate(source.order) if label in gone]
        self.reduced = (source.length if self.over_positions else 1) * source.channels // self.layout.channels

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the operand's window, or the one position that is left."""
        (window,) = (w for w in windows if w is not None)
        return Window(0, 0, 1) if self.over_positions else window


class LinearReduction(Reduction):
    """Sum or mean: deltas are added up."""

    def __init__(self, node: Node, operands: Sequence[Operand], *, is_mean: bool) -> None:
        super().__init__(node, operands)
        self.is_mean = is_mean

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        """Return whether the deltas of an operand that waits are added up as they are computed."""
        adds_up = self.over_positions and not self.over_channels
        return Fusion.STARTS if adds_up and any(operand.is_lazy for operand in operands) else Fusion.NONE

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas."""
        operand = only(operands)
        if isinstance(operand, LazyWindow) and operand.is_pending and self.over_positions and not self.over_channels:
            return self._fused(operand, block)
        out = operand.delta()
        if self.over_positions:
            out = out.sum(3, keepdim=True)
        if self.over_channels:
            out = _over(out, self.sizes, self.over_channels, torch.sum)
        if self.is_mean:
            out = out / self.reduced
        elif out is operand.delta():
            out = out.clone()
        return self.give(block, self.window([operand.window]), delta=out, is_masked=True)

    def _fused(self, operand: LazyWindow, block: Block) -> Windowed:
        """Return the sum as it will be computed with the operand."""
        like = torch.empty(0, dtype=operand.call.dtype)
        tile = best_tile(self.layout.channels, like.element_size())
        kernel = TotalKernel(tile, channels=self.layout.channels)
        name, length = self.node.name, self.layout.length
        added = LazyWindow(block.unmutated, name, length, Window(0, 0, 1), kernel, operand, block.program)
        if not self.is_mean:
            return added
        divided = added.scaled(name, like.new_full((self.layout.channels,), 1 / self.reduced))
        assert divided is not None
        return divided


class Maximum(Reduction):
    """The largest value. Over positions: that of the window, or of the unmutated positions around it."""

    preferred_form: Form = "value"

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on values."""
        operand = only(operands)
        if not self.over_positions:
            value = operand.take_value()
            if self.over_channels:
                value = _over(value, self.sizes, self.over_channels, torch.amax)
            return self.give(block, operand.window, value=value)
        inside = operand.take_value()
        mask_outside(inside, operand.window, operand.length, float("-inf"))
        value = torch.maximum(inside.amax(3, keepdim=True), self._outside(operand, block))
        if self.over_channels:
            value = _over(value, self.sizes, self.over_channels, torch.amax)
        return self.give(block, Window(0, 0, 1), value=value)

    def _outside(self, operand: Windowed, block: Block) -> Tensor:
        """Return the reference's maxima before and after every window, (n, count, 1, 1, channels)."""
        source, length = operand.source, operand.length
        before = block.unmutated.summary(source, "maxima before", _maxima_before)
        after = block.unmutated.summary(source, "maxima after", _maxima_after)
        starts = [operand.window.at(k) for k in range(operand.shape[1])]
        first = torch.tensor([min(max(start, 0), length) for start in starts], device=before.device)
        last = torch.tensor(
            [min(max(start + operand.window.width, 0), length) for start in starts], device=before.device
        )
        return torch.maximum(before.index_select(1, first), after.index_select(1, last))[:, :, None, None]


def total(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``sum``: ReductionParameters."""
    return LinearReduction(node, operands, is_mean=False)


def mean(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``mean``: ReductionParameters."""
    return LinearReduction(node, operands, is_mean=True)


def maximum(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``max``: ReductionParameters."""
    return Maximum(node, operands)


def _over(tensor: Tensor, sizes: Sequence[int], axes: Sequence[int], reduce: Callable[..., Tensor]) -> Tensor:
    """Reduce some of the channel axes of (..., channels); one channel is left where none is."""
    split = torch.unflatten(tensor, 4, tuple(sizes))
    out = reduce(split, [4 + axis for axis in axes])
    return out.flatten(4) if out.dim() > 4 else out[..., None]


def _maxima_before(unmutated: Tensor) -> Tensor:
    """Return the maximum of all positions before each, and before the end; -inf where there is none."""
    none = unmutated.new_full((unmutated.shape[0], 1, unmutated.shape[2]), float("-inf"))
    return torch.cat([none, unmutated.cummax(1).values], 1)


def _maxima_after(unmutated: Tensor) -> Tensor:
    """Return the maximum from each position on, and from the end; -inf where there is none."""
    none = unmutated.new_full((unmutated.shape[0], 1, unmutated.shape[2]), float("-inf"))
    return torch.cat([unmutated.flip(1).cummax(1).values.flip(1), none], 1)
