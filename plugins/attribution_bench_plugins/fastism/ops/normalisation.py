"""Batch normalisation in inference: a scale and a shift of each channel."""

from collections.abc import Sequence

import torch

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import spread
from attribution_bench_plugins.fastism.graph.parameters import BatchNormParameters
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, only, sole_reached
from attribution_bench_plugins.fastism.ops.channels_last import ChannelsLastAffine
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Windowed


class Affine(Operation):
    """Rule of ``batch_norm``, BatchNormParameters: ``scale * x + shift`` for each channel."""

    takes_any_advance = True
    joins_epilogue = True

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout = layout = sole_reached(node, operands)
        p = node.parameters_as(BatchNormParameters)
        if not layout.is_channels(p.axis):
            raise NoRuleError(f"it normalises axis {layout.axes[p.axis]!r} of {layout.axes}, not channels")
        around, scale, shift = layout.around(p.axis), p.scale, p.shift
        self.scale_by = spread(scale, (1, len(scale), 1), around)
        self.shift = spread(shift, (1, len(shift), 1), around)
        self.unmutated_call = ChannelsLastAffine(node)
        self.absorbed = False
        """Whether the scale is folded into the weights of the operation before."""

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        if isinstance(operand, LazyWindow):
            name = self.node.name
            scale = self.scale_by.expand(self.layout.channels)
            fused = operand.renamed(name) if self.absorbed else operand.scaled(name, scale)
            if fused is not None:
                return fused
        if not self.absorbed and (operand.holds_value or preferred_form == "value"):
            value = torch.addcmul(self.shift, operand.take_value(), self.scale_by)
            return self.give(block, operand.window, value=value)
        delta, is_masked = operand.take_raw_delta()
        if not self.absorbed:
            delta.mul_(self.scale_by)
        return self.give(block, operand.window, delta=delta, is_masked=is_masked)
