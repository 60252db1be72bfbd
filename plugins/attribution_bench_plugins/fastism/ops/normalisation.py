"""Batch normalisation in inference, and functions of one position's channels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, only, sole_reached
from attribution_bench_plugins.fastism.values import Windowed
from attribution_bench_plugins.fastism.window import Window


class Affine(Operation):
    """``scale * x + shift`` for each channel."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        layout = sole_reached(node, operands)
        if layout.axes[1:2] not in (("c",), ("",)):
            raise NoRuleError(f"it normalises the second of the axes {layout.axes}")
        self.layout = layout
        p = node.parameters
        self.scale_by: Tensor = torch.rsqrt(p["variance"] + p["epsilon"])
        if p["weight"] is not None:
            self.scale_by = self.scale_by * p["weight"]
        self.shift: Tensor = -p["mean"] * self.scale_by
        if p["bias"] is not None:
            self.shift = self.shift + p["bias"]
        self.absorbed = False
        """Set when the operation before multiplies by the scale itself."""

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the operand's window."""
        (window,) = (w for w in windows if w is not None)
        return window

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on whichever form is there."""
        operand = only(operands)
        if self.absorbed:
            delta, clean = operand.take_raw_delta()
            return self.give(block, operand.window, delta=delta, clean=clean)
        if operand.holds_value or form == "value":
            value = torch.addcmul(self.shift, operand.take_value(), self.scale_by)
            return self.give(block, operand.window, value=value)
        delta, clean = operand.take_raw_delta()
        return self.give(block, operand.window, delta=delta.mul_(self.scale_by), clean=clean)


class PositionWise(Operation):
    """A function of one position's channels, such as layer norm or softmax over channels."""

    wants: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout = sole_reached(node, operands)
        axis = node.parameters["axis"] % len(self.layout.axes)
        if self.layout.axes[axis] not in ("c", ""):
            raise NoRuleError(f"it runs over axis {self.layout.axes[axis]!r} of {self.layout.axes}, not over channels")

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the operand's window."""
        (window,) = (w for w in windows if w is not None)
        return window

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on values."""
        operand = only(operands)
        return self.give(block, operand.window, value=self.node.parameters["on_last_axis"](operand.value()))


def batch_norm(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``batch_norm``: weight, bias, mean, variance (channels,), epsilon; over the second axis."""
    return Affine(node, operands)


def position_wise(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``position_wise``: ``on_last_axis``, a function of (..., channels), and the ``axis`` it runs over."""
    return PositionWise(node, operands)
