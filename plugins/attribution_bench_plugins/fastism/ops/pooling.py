"""Maximum and average pooling over positions."""

from collections.abc import Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import labelled
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, only, sole_reached
from attribution_bench_plugins.fastism.values import Windowed, mask_outside
from attribution_bench_plugins.fastism.window import Window


class Pool(Operation):
    """Pooling with a kernel, stride, padding and dilation of positions; overlapping pools included."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        if len(source.axes) != 3 or source.axes[0] != "n" or source.axes[1] not in ("c", "") or source.axes[2] != "p":
            raise NoRuleError(f"it pools the axes {source.axes}, not the positions of a batch of channels")
        p = node.parameters
        self.kernel, self.stride, self.padding, self.dilation = p["kernel"], p["stride"], p["padding"], p["dilation"]
        if node.shape is None or node.shape[2] is None:
            raise NoRuleError("its output length is not known")
        self.source_length = source.length
        self.layout = labelled(("n", "c", "p"), source.channels, node.shape[2])
        self.scale = Fraction(1, self.stride)
        self.reach = (self.kernel - 1) * self.dilation

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return every output position whose kernel touches the window."""
        window = windows[0]
        assert window is not None
        start = -((self.reach - window.start - self.padding) // self.stride)
        stop = (window.start + window.width - 1 + self.padding) // self.stride + 1
        return Window(start, window.step // self.stride, max(0, stop - start))

    def read(self, window: Window) -> Window:
        """Return the input positions that the output positions of a window read."""
        start = window.start * self.stride - self.padding
        width = (window.width - 1) * self.stride + self.reach + 1 if window.width else 0
        return Window(start, window.step * self.stride, width)

    def taps(self, x: Tensor, width: int) -> list[Tensor]:
        """Return for each tap of the kernel the inputs it reads, (..., width, channels), from ``read``'s window."""
        span = (width - 1) * self.stride + 1
        return [x[..., j : j + span : self.stride, :] for j in range(0, self.reach + 1, self.dilation)]


class MaxPool(Pool):
    """The largest value under the kernel; padding is minus infinity."""

    wants: Form = "value"

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on values: those of the window, between unmutated ones where the kernel reads past it."""
        operand = only(operands)
        natural = self.window([operand.window])
        read = self.read(natural)
        x = _between_references(operand, read, block)
        if self._reads_padding():
            mask_outside(x, read, self.source_length, float("-inf"))
        taps = self.taps(x, natural.width)
        value = taps[0].clone() if len(taps) == 1 else torch.maximum(taps[0], taps[1])
        for tap in taps[2:]:
            torch.maximum(value, tap, out=value)
        return self.give(block, natural, value=value)

    def _reads_padding(self) -> bool:
        last = (self.layout.length - 1) * self.stride - self.padding + self.reach
        return bool(self.padding > 0 or last >= self.source_length)


class AveragePool(Pool):
    """The mean under the kernel: linear, so it runs on deltas."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        last = (self.layout.length - 1) * self.stride - self.padding + self.reach
        if last >= self.source_length + self.padding:
            raise NoRuleError("its last kernel passes the end (ceil mode)")
        if self.padding and not node.parameters["count_padding"]:
            raise NoRuleError("its average leaves padding out")

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on deltas."""
        operand = only(operands)
        natural = self.window([operand.window])
        read = self.read(natural)
        low = operand.window.start - read.start
        x = F.pad(operand.delta(), (0, 0, low, read.width - low - operand.window.width))
        taps = self.taps(x, natural.width)
        out = taps[0].clone()
        for tap in taps[1:]:
            out += tap
        return self.give(block, natural, delta=out.div_(self.kernel))


def max_pool(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``max_pool``: kernel, stride, padding, dilation."""
    return MaxPool(node, operands)


def average_pool(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``average_pool``: kernel, stride, padding, dilation 1, count_padding."""
    return AveragePool(node, operands)


def _between_references(operand: Windowed, read: Window, block: Block) -> Tensor:
    """Return the values on a window that holds the operand's own, the reference around it."""
    low = operand.window.start - read.start
    width = operand.window.width
    if low == 0 and read.width == width:
        return operand.take_value()
    around = block.references.view(operand.source, read, block.count)
    x = around.expand(*operand.shape[:3], *around.shape[3:]).contiguous()
    if operand.holds_value:
        x[:, :, :, low : low + width] = operand.value()
    else:
        x[:, :, :, low : low + width] += operand.delta()
    return x
