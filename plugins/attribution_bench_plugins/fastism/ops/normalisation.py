"""Batch normalisation in inference: a scale and a shift of each channel."""

from collections.abc import Sequence

import torch

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import spread
from attribution_bench_plugins.fastism.graph.parameters import BatchNormParameters
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
from attribution_bench_plugins.fastism.values.windowed import Windowed


class Affine(Operation):
    """``scale * x + shift`` for each channel."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout = layout = sole_reached(node, operands)
        p = node.parameters_as(BatchNormParameters)
        if not layout.is_channels(p.axis):
            raise NoRuleError(f"it normalises axis {layout.axes[p.axis]!r} of {layout.axes}, not channels")
        around, scale, shift = layout.around(p.axis), p.scale, p.shift
        self.scale_by = spread(scale, (1, len(scale), 1), around)
        self.shift = spread(shift, (1, len(shift), 1), around)
        self.absorbed = False
        """Set when the operation before multiplies by the scale itself."""

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        """Return whether a result that waits has absorbed it, or is scaled on the way."""
        return Fusion.EPILOGUE if any(operand.is_fusible for operand in operands) else Fusion.NONE

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on whichever form is there."""
        operand = only(operands)
        deferred = self._fused(operand) if isinstance(operand, LazyWindow) else None
        if deferred is not None:
            return deferred
        if self.absorbed:
            delta, is_masked = operand.take_raw_delta()
            return self.give(block, operand.window, delta=delta, is_masked=is_masked)
        if operand.holds_value or preferred_form == "value":
            value = torch.addcmul(self.shift, operand.take_value(), self.scale_by)
            return self.give(block, operand.window, value=value)
        delta, is_masked = operand.take_raw_delta()
        return self.give(block, operand.window, delta=delta.mul_(self.scale_by), is_masked=is_masked)

    def _fused(self, operand: LazyWindow) -> Windowed | None:
        if self.absorbed:
            return operand.renamed(self.node.name)
        return operand.scaled(self.node.name, self.scale_by.expand(self.layout.channels))


def batch_norm(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``batch_norm``: BatchNormParameters."""
    return Affine(node, operands)
