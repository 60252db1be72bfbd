"""Functions of single elements, of one operand or of several that are broadcast together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import ElementwiseParameters, SumParameters
from attribution_bench_plugins.fastism.ops.base import Block, Form, Operand, Operation, only
from attribution_bench_plugins.fastism.ops.broadcasting import Broadcast
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Windowed, regrid


class Elementwise(Broadcast):
    """Rule of ``elementwise``, ElementwiseParameters, and for any function of single elements that users have.

    The function is called on the values of the windows as the model calls it.
    """

    preferred_form: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        # An opaque node or a product, which may run by this rule too, has parameters of another class.
        p = node.parameters
        self.in_place = p.in_place if isinstance(p, ElementwiseParameters) else None

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        if len(operands) == 1 and self.in_place is not None:
            operand = only(operands)
            return self.give(block, operand.window, value=self.in_place(operand.take_value()))
        values = [
            self._value(operand, known, window, block) for operand, known in zip(operands, self.operands, strict=True)
        ]
        return self.give(block, window, value=self.node.call(*values))

    def _value(self, operand: Windowed | None, known: Operand, window: Window, block: Block) -> Tensor:
        if operand is None:
            return block.constant(known.name, self.node, self.layout, window)
        everywhere = operand.length == 1 and self.layout.length > 1
        return self.spread(known, operand.value() if everywhere else operand.value_on(window))


class Rectifier(Elementwise):
    """Rule of ``relu``, ElementwiseParameters.

    As a delta it is ``max(delta + min(unmutated, 0), -max(unmutated, 0))``: two passes instead of three.
    """

    takes_any_advance = True
    joins_epilogue = True

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        if isinstance(operand, LazyWindow):
            fused = operand.rectified(self.node.name, value=preferred_form == "value")
            if fused is not None:
                return fused
        if preferred_form == "value" or operand.holds_value:
            return super().run(operands, window, block, preferred_form)
        delta, is_masked = operand.take_raw_delta()
        source, unmutated, count = operand.window, block.unmutated, delta.shape[1]
        if count == 1:  # of the other positions nothing is read
            view = unmutated.view(operand.source, source, 1)
            negative, floor = _negative(view), _floor(view)
        else:
            negative = unmutated.derived(operand.source, "negative", _negative).view(source, count)
            floor = unmutated.derived(operand.source, "floor", _floor).view(source, count)
        torch.maximum(delta.add_(negative), floor, out=delta)
        return self.give(block, source, delta=delta, is_masked=is_masked)


class Addition(Broadcast):
    """Rule of ``add``, SumParameters: ``a + alpha * b``, whose delta is the sum of the operands' deltas."""

    takes_any_advance = True

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.factors = (1.0, float(node.parameters_as(SumParameters).alpha))
        self.joins_epilogue = self.factors[1] == 1 and [operand.reached for operand in operands] == [True, True]

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        fused = self._fused(operands, window) if self.joins_epilogue else None
        if fused is not None:
            return fused
        terms = [
            (operand, known, factor)
            for operand, known, factor in zip(operands, self.operands, self.factors, strict=False)
            if operand is not None
        ]
        # The widest term is overwritten with the sum.
        channels = self.layout.channels
        terms.sort(
            key=lambda term: term[0].window != window or not term[0].is_overwritable or term[0].shape[4] < channels
        )
        first, known, factor = terms[0]
        out = self.spread(known, _on_window(first, first.take_delta(), window))
        if out.shape[4] < channels or out.shape[3] < window.width:
            out = out.expand(*out.shape[:3], window.width, channels).contiguous()
        if factor != 1:
            out = out.mul_(factor)
        for term, known, factor in terms[1:]:
            delta = self.spread(known, term.delta())
            offset = term.window.start - window.start
            inside = 0 <= offset <= window.width - delta.shape[3]
            if term.window.is_parallel_to(window) and inside and delta.shape[3] != 1:
                out[:, :, :, offset : offset + delta.shape[3]].add_(delta, alpha=factor)
            else:
                out.add_(_on_window(term, delta, window), alpha=factor)
        return self.give(block, window, delta=out, is_masked=True)

    def _fused(self, operands: Sequence[Windowed | None], window: Window) -> Windowed | None:
        """Return the sum as the epilogue of a fusible operand; None where none is, or where the shapes differ.

        Of two fusible operands, the kernel of the second adds the delta of the first.
        """
        reached = [operand for operand in operands if operand is not None]
        shape = self.layout.length, self.layout.channels
        if reached[0] is reached[1] or any((operand.length, operand.shape[4]) != shape for operand in reached):
            return None
        for operand, other in (reached[::-1], reached):
            if isinstance(operand, LazyWindow):
                fused = operand.plus(other, self.node.name, window)
                if fused is not None:
                    return fused
        return None


class Scaling(Broadcast):
    """A product or quotient with operands that no mutation can reach: the delta is scaled."""

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        tensors = []
        for operand, known in zip(operands, self.operands, strict=True):
            if operand is not None:
                tensors.append(self.spread(known, _on_window(operand, operand.delta(), window)))
            else:
                tensors.append(block.constant(known.name, self.node, self.layout, window))
        return self.give(block, window, delta=self.node.call(*tensors))


def _negative(x: Tensor) -> Tensor:
    return x.clamp(max=0)


def _floor(x: Tensor) -> Tensor:
    return x.clamp(min=0).neg_()


def product(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``multiply`` and ``divide``; a quotient by a reached operand is as any function of elements."""
    reached = [operand.reached for operand in operands]
    linear = sum(reached) == 1 and (reached[0] or node.op == "multiply")
    return Scaling(node, operands) if linear else Elementwise(node, operands)


def _on_window(operand: Windowed, delta: Tensor, window: Window) -> Tensor:
    """Return a delta on a wider window; that of an operand without positions is broadcast to every position."""
    if operand.length == 1 and delta.shape[3] == 1:
        return delta
    return regrid(delta, operand.window, window)
