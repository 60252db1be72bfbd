"""Functions of single elements, of one operand or of several that are broadcast together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import ElementwiseParameters, SumParameters
from attribution_bench_plugins.fastism.ops.base import Block, Form, Fusion, LazyOperand, Operand, Operation
from attribution_bench_plugins.fastism.ops.broadcasting import broadcast, joined_window
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Windowed, regrid


class Elementwise(Operation):
    """Any function of single elements: it is called on the values of the windows as the model calls it."""

    preferred_form: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout, self.alignments = broadcast(node, operands)
        p = node.parameters  # also those of an opaque node, or of a product, which have no such form
        self.in_place = p.in_place if isinstance(p, ElementwiseParameters) else None

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the union of the operands' windows; every position where an operand without positions changes."""
        return joined_window(self, windows)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on values."""
        if len(operands) == 1 and self.in_place is not None:
            (operand,) = operands
            assert operand is not None
            return self.give(block, operand.window, value=self.in_place(operand.take_value()))
        values = [
            self._value(operand, known, window, block) for operand, known in zip(operands, self.operands, strict=True)
        ]
        return self.give(block, window, value=self.node.call(*values))

    def _value(self, operand: Windowed | None, known: Operand, window: Window, block: Block) -> Tensor:
        if operand is None:
            return block.constant(known.name, self.node, self.layout, window)
        everywhere = operand.length == 1 and self.layout.length > 1
        value = operand.value() if everywhere else operand.value_on(window)
        return self.alignments[known.name].spread(value)


class Rectifier(Elementwise):
    """ReLU. As a delta it is ``max(delta + min(reference, 0), -max(reference, 0))``: two passes instead of three."""

    preferred_form: Form = "value"

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        """Return whether a result that waits takes the ReLU along."""
        return Fusion.EPILOGUE if any(operand.is_fusible for operand in operands) else Fusion.NONE

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas where the consumers want deltas, else on values."""
        (operand,) = operands
        assert operand is not None
        if isinstance(operand, LazyWindow):
            deferred = operand.rectified(self.node.name, value=preferred_form == "value")
            if deferred is not None:
                return deferred
        if preferred_form == "value" or operand.holds_value:
            return super().run(operands, window, block, preferred_form)
        delta, is_masked = operand.take_raw_delta()
        source = operand.window
        unmutated = block.unmutated
        count = delta.shape[1]
        delta.add_(unmutated.derived(operand.source, "negative", _negative).view(source, count))
        torch.maximum(delta, unmutated.derived(operand.source, "floor", _floor).view(source, count), out=delta)
        return self.give(block, source, delta=delta, is_masked=is_masked)


class Sum(Operation):
    """``a + alpha * b``: deltas add up."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout, self.alignments = broadcast(node, operands)
        self.factors = (1.0, float(node.parameters_as(SumParameters).alpha))

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the union of the operands' windows; every position where an operand without positions changes."""
        return joined_window(self, windows)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas."""
        deferred = self._fused(operands, window)
        if deferred is not None:
            return deferred
        terms = [
            (operand, self.alignments[known.name], factor)
            for operand, known, factor in zip(operands, self.operands, self.factors, strict=False)
            if operand is not None
        ]
        # The widest term is overwritten with the sum.
        channels = self.layout.channels
        terms.sort(
            key=lambda term: term[0].window != window or not term[0].is_overwritable or term[0].shape[4] < channels
        )
        first, alignment, factor = terms[0]
        out = alignment.spread(_spread(first, first.take_delta(), window))
        if out.shape[4] < channels or out.shape[3] < window.width:
            out = out.expand(*out.shape[:3], window.width, channels).contiguous()
        if factor != 1:
            out = out.mul_(factor)
        for term, alignment, factor in terms[1:]:
            delta = alignment.spread(term.delta())
            if term.window.step == window.step and delta.shape[3] != 1:
                offset = term.window.start - window.start
                out[:, :, :, offset : offset + delta.shape[3]].add_(delta, alpha=factor)
            else:
                out.add_(_spread(term, delta, window), alpha=factor)
        return self.give(block, window, delta=out, is_masked=True)

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        """Return whether a result that waits takes the sum along."""
        two = self.factors == (1.0, 1.0) and sum(window is not None for window in windows) == 2
        return Fusion.EPILOGUE if two and any(operand.is_fusible for operand in operands) else Fusion.NONE

    def _fused(self, operands: Sequence[Windowed | None], window: Window) -> Windowed | None:
        """Return the sum as part of a result that waits; None where there is none, or where they differ in form.

        Of two that wait, the second takes the first along.
        """
        reached = [operand for operand in operands if operand is not None]
        preferred_form = self.layout.length, self.layout.channels
        if self.factors != (1.0, 1.0) or len(reached) != 2 or reached[0] is reached[1]:
            return None
        if any((operand.length, operand.shape[4]) != preferred_form for operand in reached):
            return None
        for operand, other in (reached[::-1], reached):
            if isinstance(operand, LazyWindow):
                deferred = operand.plus(other, self.node.name, window)
                if deferred is not None:
                    return deferred
        return None


class Scale(Operation):
    """A product or quotient with what no mutation reaches: the delta is scaled."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout, self.alignments = broadcast(node, operands)

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the operand's window."""
        return joined_window(self, windows)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        """Run on deltas."""
        tensors = []
        for operand, known in zip(operands, self.operands, strict=True):
            if operand is not None:
                tensors.append(self.alignments[known.name].spread(_spread(operand, operand.delta(), window)))
            else:
                tensors.append(block.constant(known.name, self.node, self.layout, window))
        return self.give(block, window, delta=self.node.call(*tensors))


def elementwise(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``elementwise``, ElementwiseParameters, and for any function of single elements that users have."""
    return Elementwise(node, operands)


def rectifier(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``relu``: ElementwiseParameters."""
    return Rectifier(node, operands)


def addition(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``add``: SumParameters."""
    return Sum(node, operands)


def product(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``multiply`` and ``divide``; a quotient by what changes is an elementwise function like any other."""
    reached = [operand.reached for operand in operands]
    linear = sum(reached) == 1 and (reached[0] or node.op == "multiply")
    return Scale(node, operands) if linear else Elementwise(node, operands)


def _spread(operand: Windowed, delta: Tensor, window: Window) -> Tensor:
    """Return a delta on a wider window; one without positions stands for every position."""
    if operand.length == 1 and delta.shape[3] == 1:
        return delta
    return regrid(delta, operand.window, window)


def _negative(unmutated: Tensor) -> Tensor:
    return unmutated.clamp(max=0)


def _floor(unmutated: Tensor) -> Tensor:
    return unmutated.clamp(min=0).neg_()
