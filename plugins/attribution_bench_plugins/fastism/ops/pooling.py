"""Maximum and average pooling over positions."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import (
    AveragePoolParameters,
    PoolParameters,
    ReductionParameters,
)
from attribution_bench_plugins.fastism.kernels.compiling import can_compile
from attribution_bench_plugins.fastism.kernels.machine import has_compiler
from attribution_bench_plugins.fastism.kernels.pool_kernel import PoolKernel
from attribution_bench_plugins.fastism.kernels.register_tile import best_tile
from attribution_bench_plugins.fastism.ops.base import (
    Block,
    Form,
    Fusion,
    LazyOperand,
    NoRuleError,
    Operand,
    Operation,
    known_size,
    only,
    sole_reached,
)
from attribution_bench_plugins.fastism.ops.reductions import Maximum, Mean
from attribution_bench_plugins.fastism.values.window import Window, strided
from attribution_bench_plugins.fastism.values.windowed import Windowed, mask_outside


class Pool(Operation):
    """Pooling with a kernel, stride, padding and dilation of positions; overlapping pools included."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        p = node.parameters_as(PoolParameters)
        axis = p.position_axis
        if source.axes[axis] != "p":
            raise NoRuleError(f"it pools axis {source.axes[axis]!r} of {source.axes}, not positions")
        self.kernel, self.stride, self.padding, self.dilation = p.kernel, p.stride, p.padding, p.dilation
        self.source_length = source.length
        self.layout = source.resized(known_size(node, axis))
        self.scale = Fraction(1, self.stride)
        self.last_tap = (self.kernel - 1) * self.dilation

    def affected(self, window: Window) -> Window:
        return strided(window, kernel=self.kernel, stride=self.stride, dilation=self.dilation, padding=self.padding)

    def read(self, window: Window) -> Window:
        """Return the receptive field of a window of output positions."""
        start = window.start * self.stride - self.padding
        width = (window.width - 1) * self.stride + self.last_tap + 1 if window.width else 0
        return Window(start, window.step * self.stride, width, window.multiples)

    def taps(self, x: Tensor, width: int) -> list[Tensor]:
        """Return for each tap of the kernel its inputs, (..., width, channels), from those of the receptive field."""
        span = (width - 1) * self.stride + 1
        return [x[..., j : j + span : self.stride, :] for j in range(0, self.last_tap + 1, self.dilation)]


class MaxPool(Pool):
    """The largest value under the kernel; padding is minus infinity. A compiled kernel computes it lazily."""

    preferred_form: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        # With gaps between the taps, a mutation that is further on may change an earlier output: windows do not ascend.
        self.takes_any_advance = self.dilation == 1 or self.stride == 1
        self.kernels: dict[int, PoolKernel] = {}
        """By the bytes of an element."""
        last = (self.layout.length - 1) * self.stride - self.padding + self.last_tap
        self.reads_padding = self.padding > 0 or last >= self.source_length

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        return Fusion.STARTS if has_compiler() else Fusion.NONE

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)

        def around(window: Window) -> Tensor:
            return block.unmutated.array(operand.source, self.read(window), block.count)

        unmutated = around(window)
        if can_compile(unmutated) and not operand.holds_value:
            return self.give_lazily(block, window, self._kernel(unmutated.element_size()), operand, around)
        is_regular = operand.window.step % self.stride == 0
        natural = self.affected(operand.window) if is_regular else window
        read = self.read(natural)
        x = operand.take_value_on(read)
        if self.reads_padding:
            mask_outside(x, read, self.source_length, float("-inf"))
        taps = self.taps(x, natural.width)
        value = taps[0].clone() if len(taps) == 1 else torch.maximum(taps[0], taps[1])
        for tap in taps[2:]:
            torch.maximum(value, tap, out=value)
        return self.give(block, natural, value=value)

    def _kernel(self, itemsize: int) -> PoolKernel:
        if itemsize not in self.kernels:
            self.kernels[itemsize] = PoolKernel(
                best_tile(self.layout.channels, itemsize),
                kernel=self.kernel,
                stride=self.stride,
                dilation=self.dilation,
                padding=self.padding,
                channels=self.layout.channels,
            )
        return self.kernels[itemsize]


class AveragePool(Pool):
    """The mean under the kernel: linear, so it runs on deltas."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        # A mean near the ends may be taken over fewer positions than the kernel has.
        starts = torch.arange(self.layout.length) * self.stride - self.padding
        padding = self.padding if node.parameters_as(AveragePoolParameters).count_padding else 0
        low, high = -padding, self.source_length + padding
        self.divisors = (starts + self.kernel).clamp(max=high) - starts.clamp(min=low)
        self.even = bool((self.divisors == self.kernel).all())

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        natural = self.affected(operand.window)
        if natural.width == 0:
            nothing = operand.delta().new_zeros((*operand.shape[:3], 0, self.layout.channels))
            return self.give(block, natural, delta=nothing, is_masked=True)
        read = self.read(natural)
        low = operand.window.start - read.start
        x = F.pad(operand.delta(), (0, 0, low, read.width - low - operand.window.width))
        taps = self.taps(x, natural.width)
        out = taps[0].clone()
        for tap in taps[1:]:
            out += tap
        return self.give(block, natural, delta=out.div_(self.kernel if self.even else self._divisors(natural, out)))

    def _divisors(self, window: Window, like: Tensor) -> Tensor:
        """Return the divisors on the windows, (count, 1, width, 1)."""
        count, last = like.shape[1], len(self.divisors) - 1
        positions = (torch.as_tensor(window.starts(count))[:, None] + torch.arange(window.width)).clamp(0, last)
        divisors: Tensor = self.divisors[positions].to(like)
        return divisors[:, None, :, None]


def max_pool(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``max_pool``: PoolParameters."""
    reduction = _as_reduction(node, operands)
    return MaxPool(node, operands) if reduction is None else Maximum(reduction, operands)


def average_pool(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``average_pool``: AveragePoolParameters."""
    reduction = _as_reduction(node, operands)
    return AveragePool(node, operands) if reduction is None else Mean(reduction, operands)


def _as_reduction(node: Node, operands: Sequence[Operand]) -> Node | None:
    """Return a pool whose only kernel covers every position as a reduction; None for another pool."""
    source = sole_reached(node, operands)
    p = node.parameters_as(PoolParameters)
    axis = p.position_axis
    if node.shape is None or node.shape[axis] != 1 or source.axes[axis] != "p":
        return None
    if p.kernel != source.length or p.padding or p.dilation != 1:
        return None
    return replace(node, parameters=ReductionParameters((axis,), keep=True))
