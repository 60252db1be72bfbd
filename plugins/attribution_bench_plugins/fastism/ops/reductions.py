"""Means and sums over all positions, or over the channels of one position."""

from collections.abc import Sequence

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import labelled
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, only, sole_reached
from attribution_bench_plugins.fastism.values import Windowed
from attribution_bench_plugins.fastism.window import Window


class PositionSum(Operation):
    """Sum or mean over all positions: the deltas of the window are added up."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        axes = [axis % len(source.axes) for axis in node.parameters["axes"]]
        if "".join(source.axes[axis] for axis in axes) != "p":
            raise NoRuleError(f"it reduces {[source.axes[axis] for axis in axes]} of the axes {source.axes}")
        kept = ["" if i in axes else axis for i, axis in enumerate(source.axes)]
        if not node.parameters["keep"]:
            kept = [axis for i, axis in enumerate(kept) if i not in axes]
        self.layout = labelled(kept, source.channels, 1)
        self.divisor = source.length if node.parameters["mean"] else 1

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the one position that is left."""
        return Window(0, 0, 1)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on deltas."""
        out = only(operands).delta().sum(3, keepdim=True)
        if self.divisor != 1:
            out = out.div_(self.divisor)
        return self.give(block, Window(0, 0, 1), delta=out, clean=True)


def position_sum(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``sum`` and ``mean``: ``axes``, ``keep`` and ``mean``."""
    return PositionSum(node, operands)
