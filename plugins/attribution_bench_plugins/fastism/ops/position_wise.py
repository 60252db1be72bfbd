"""Functions of the channels of one position: they keep every window."""

from collections.abc import Sequence

import torch

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout, labelled
from attribution_bench_plugins.fastism.graph.parameters import (
    AxisFunctionParameters,
    AxisReductionParameters,
    WeightParameters,
)
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, only, sole_reached
from attribution_bench_plugins.fastism.ops.unsupported import over_positions
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Windowed


class PositionWise(Operation):
    """Rule of ``position_wise``, AxisFunctionParameters, such as layer norm, softmax over channels or a gate."""

    preferred_form: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        p = node.parameters_as(AxisFunctionParameters)
        axis = _channel_axis(node, source, p.axis)
        if node.shape is None:
            raise NoRuleError("its output's shape is not known")
        self.around, self.function = source.around(axis), p.on_last_axis
        self.layout = source.with_axis(axis, node.shape[axis] or 1)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        if self.around[0] == self.around[2] == 1:
            return self.give(block, operand.window, value=self.function(operand.value()))
        split = torch.unflatten(operand.value(), 4, self.around)
        value = self.function(split.transpose(5, 6)).transpose(5, 6).flatten(4)
        return self.give(block, operand.window, value=value)


class ChannelReduction(Operation):
    """Rule of ``reduce_channels``, AxisReductionParameters, such as a variance or the index of the largest."""

    preferred_form: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        p = node.parameters_as(AxisReductionParameters)
        axis = _channel_axis(node, source, p.axis)
        self.around, self.function = source.around(axis), p.on_last_axis
        self.layout = source.without_axes([axis], keep=p.keep)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        split = torch.unflatten(operand.value(), 4, self.around).transpose(5, 6)
        return self.give(block, operand.window, value=self.function(split).flatten(4))


class Embedding(Operation):
    """Rule of ``embedding``, WeightParameters: indices (..., positions) become (..., positions, channels)."""

    preferred_form: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        if source.channels > 1:
            raise NoRuleError("it looks up several numbers of a position")
        self.weight = node.parameters_as(WeightParameters).weight
        self.layout = labelled([*source.axes, "c"], self.weight.shape[1], source.length)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        value = torch.nn.functional.embedding(operand.value().squeeze(4), self.weight)
        return self.give(block, operand.window, value=value)


def _channel_axis(node: Node, source: Layout, axis: int) -> int:
    """Return an axis of channels, counted from the front; NoRuleError for another axis."""
    axis %= len(source.axes)
    if "p" in source.axes[axis]:
        raise over_positions(node, f"axis {source.axes[axis]!r} of {source.axes}")
    if not source.is_channels(axis):
        raise NoRuleError(f"it runs over axis {source.axes[axis]!r} of {source.axes}, not over channels")
    return axis
