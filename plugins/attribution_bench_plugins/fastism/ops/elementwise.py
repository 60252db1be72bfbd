"""Functions of single elements, of one operand or of several that are broadcast together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import BATCH, Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation
from attribution_bench_plugins.fastism.values import Windowed, regrid
from attribution_bench_plugins.fastism.window import Window, union, whole


class Elementwise(Operation):
    """Any function of single elements: it is called on the values of the windows as the model calls it."""

    wants: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout = _broadcast(node, operands)
        self.in_place = node.parameters.get("in_place")

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the union of the operands' windows; every position where an operand without positions changes."""
        return _joined_window(self, windows)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on values."""
        if len(operands) == 1 and self.in_place is not None:
            (operand,) = operands
            assert operand is not None
            return self.give(block, operand.window, value=self.in_place(operand.take_value()))
        values = [
            _value_on(operand, known, window, block, self)
            for operand, known in zip(operands, self.operands, strict=True)
        ]
        return self.give(block, window, value=self.node.call(*values))


class Rectifier(Elementwise):
    """ReLU. As a delta it is ``max(delta + min(reference, 0), -max(reference, 0))``: two passes instead of three."""

    wants: Form = "value"

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on deltas where the consumers want deltas, else on values."""
        (operand,) = operands
        assert operand is not None
        if form == "value" or operand.holds_value:
            return super().run(operands, window, block, form)
        delta, clean = operand.take_raw_delta()
        source = operand.window
        references = block.references
        count = delta.shape[1]
        delta.add_(references.derived(operand.source, "negative", _negative).view(source, count))
        torch.maximum(delta, references.derived(operand.source, "floor", _floor).view(source, count), out=delta)
        return self.give(block, source, delta=delta, clean=clean)


class Sum(Operation):
    """``a + alpha * b``: deltas add up."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout = _broadcast(node, operands)
        self.factors = (1.0, float(node.parameters.get("alpha", 1)))

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the union of the operands' windows; every position where an operand without positions changes."""
        return _joined_window(self, windows)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on deltas."""
        terms = [
            (operand, factor) for operand, factor in zip(operands, self.factors, strict=False) if operand is not None
        ]
        # The widest term is overwritten with the sum.
        terms.sort(
            key=lambda term: term[0].window != window or term[0].uses > 1 or term[0].shape[4] < self.layout.channels
        )
        first, factor = terms[0]
        out = regrid(first.take_delta(), first.window, window)
        if out.shape[4] < self.layout.channels or out.shape[3] < window.width:
            out = out.expand(*out.shape[:3], window.width, self.layout.channels).contiguous()
        if factor != 1:
            out = out.mul_(factor)
        for term, factor in terms[1:]:
            delta = term.delta()
            if term.window.step == window.step and delta.shape[3] != 1:
                offset = term.window.start - window.start
                out[:, :, :, offset : offset + delta.shape[3]].add_(delta, alpha=factor)
            else:
                out.add_(_spread(term, delta, window), alpha=factor)
        return self.give(block, window, delta=out, clean=True)


class Scale(Operation):
    """A product or quotient with what no mutation reaches: the delta is scaled."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout = _broadcast(node, operands)

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the operand's window."""
        return _joined_window(self, windows)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, form: Form) -> Windowed:
        """Run on deltas."""
        tensors = []
        for operand, known in zip(operands, self.operands, strict=True):
            if operand is not None:
                tensors.append(_spread(operand, operand.delta(), window))
            else:
                tensors.append(block.constant(known.name, self.node, self.layout, window))
        return self.give(block, window, delta=self.node.call(*tensors))


def elementwise(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``elementwise``: any function of single elements."""
    return Elementwise(node, operands)


def rectifier(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``relu``."""
    return Rectifier(node, operands)


def addition(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``add``: two operands, or one and a number; ``alpha`` scales the second."""
    return Sum(node, operands)


def product(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``multiply`` and ``divide``; a quotient by what changes is an elementwise function like any other."""
    reached = [operand.reached for operand in operands]
    linear = sum(reached) == 1 and (reached[0] or node.op == "multiply")
    return Scale(node, operands) if linear else Elementwise(node, operands)


def _broadcast(node: Node, operands: Sequence[Operand]) -> Layout:
    """Return the layout of operands broadcast together; every reached one must line up with it axis by axis."""
    reached = [operand for operand in operands if operand.reached]
    layouts = [operand.layout for operand in reached]
    if any(layout is None for layout in layouts) or node.shape is None:
        raise NoRuleError("the axes of an operand could not be followed")
    known: list[Layout] = [layout for layout in layouts if layout is not None]
    rank = len(node.shape)
    if any(len(layout.axes) != rank for layout in known):
        raise NoRuleError("its operands have different numbers of axes")
    axes = [max((layout.axes[i] for layout in known), key=len) for i in range(rank)]
    for layout in known:
        if any(mine not in ("", axis) for mine, axis in zip(layout.axes, axes, strict=True)):
            raise NoRuleError(f"its operands' axes differ: {' and '.join(str(k.axes) for k in known)}")
    out = Layout(tuple(axes), max(k.channels for k in known), max(k.length for k in known))
    for layout in known:
        if layout.channels not in (1, out.channels) or layout.length not in (1, out.length):
            raise NoRuleError("its operands have different sizes")
    # An unreached operand may be larger than every reached one: then the result is, too.
    for axis, size in zip(axes, node.shape, strict=True):
        expected = 1
        for label in axis:
            expected *= out.size(label) or 1
        if size is not BATCH and size != expected:
            raise NoRuleError("it is broadcast against something larger than what mutations reach")
    return out


def _joined_window(operation: Operation, windows: Sequence[Window | None]) -> Window:
    length = operation.layout.length
    spread = []
    for window, operand in zip(windows, operation.operands, strict=True):
        if window is None or operand.layout is None:
            continue
        spread.append(whole(length) if operand.layout.length < length else window)
    return union(spread) or whole(length)


def _spread(operand: Windowed, delta: Tensor, window: Window) -> Tensor:
    """Return a delta on a wider window; one without positions stands for every position."""
    if operand.length == 1 and delta.shape[3] == 1:
        return delta
    return regrid(delta, operand.window, window)


def _value_on(operand: Windowed | None, known: Operand, window: Window, block: Block, operation: Operation) -> Tensor:
    if operand is None:
        return block.constant(known.name, operation.node, operation.layout, window)
    if operand.window == window or (operand.length == 1 and operation.layout.length > 1):
        return operand.value()
    delta = regrid(operand.delta(), operand.window, window)
    return delta + block.references.view(operand.source, window, block.count)


def _negative(reference: Tensor) -> Tensor:
    return reference.clamp(max=0)


def _floor(reference: Tensor) -> Tensor:
    return reference.clamp(min=0).neg_()
