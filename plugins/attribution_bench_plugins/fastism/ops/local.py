"""Functions of a few neighbouring positions, declared by their receptive field: the rule for a user's own operation."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from torch import Tensor

from attribution_bench.errors import InvalidInputError
from attribution_bench.fastism import Local
from attribution_bench_plugins.fastism.graph.ir import BATCH, Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.ops.base import Block, Form, NoRuleError, Operand, Operation, only
from attribution_bench_plugins.fastism.values.window import Window, strided
from attribution_bench_plugins.fastism.values.windowed import Windowed


class LocalFunction(Operation):
    """A function of a few neighbouring positions, called on the values of windows."""

    preferred_form: Form = "value"

    def __init__(self, node: Node, operands: Sequence[Operand], rule: Local) -> None:
        super().__init__(node, operands)
        self.rule, self.function = rule, rule.function or node.call
        (self.operand, source), shape = _sole_changing(operands), node.shape
        if shape is None or len(shape) != len(source.axes) or "p" not in source.axes:
            raise NoRuleError(f"it takes the axes {source.axes} to the shape {shape}, not positions to positions")
        self.axis = source.axes.index("p")
        self.constants = {i: operand.node.call() for i, operand in enumerate(operands) if not operand.reached}
        self.source, self.stretched = source, source
        for axis, size in enumerate(shape):
            if (size is BATCH) != (source.axes[axis] == "n"):
                raise NoRuleError(f"it takes the axes {source.axes} to the shape {shape}, which moves the batch")
            if size is not BATCH and axis != self.axis and size != source.axis_size(axis):
                if not source.is_channels(axis):
                    raise NoRuleError(f"it takes the axes {source.axes} to the shape {shape}")
                self.stretched = self.stretched.with_axis(axis, size)
        self.last_tap = (rule.kernel - 1) * rule.dilation
        length = shape[self.axis] or 1
        self._check_length(length)
        self.layout = self.stretched.resized(length)
        self.scale = Fraction(1, rule.stride)
        self.margin = -(-rule.padding // rule.stride)
        """Output positions of a stretch before those of the window: they read the padding of the stretch."""

    def affected(self, window: Window) -> Window:
        rule = self.rule
        return strided(window, kernel=rule.kernel, stride=rule.stride, dilation=rule.dilation, padding=rule.padding)

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        natural = self.affected(operand.window)
        read = self._read(natural)
        values = operand.value_on(read)
        result = values.new_zeros((*operand.shape[:3], natural.width, self.layout.channels))
        stretches: dict[tuple[int, int], list[int]] = defaultdict(list)
        for k in range(operand.shape[1]):
            if natural.at(k) < self.layout.length and natural.at(k) + natural.width > 0:
                low, high = max(0, -read.at(k)), min(read.width, self.source.length - read.at(k))
                stretches[low, high].append(k)
        for (low, high), members in stretches.items():
            outputs = self._call(values[:, members, :, low:high])
            ahead = self.margin - low // self.rule.stride
            part = outputs[..., max(0, ahead) : ahead + natural.width, :]
            first = max(0, -ahead)
            last = first + part.shape[3]
            if last < min(natural.width, max(self.layout.length - natural.at(k) for k in members)):
                raise InvalidInputError(
                    f"{self.node.kind} gives {outputs.shape[3]} positions for {high - low}, too few for its rule "
                    f"{self.rule}"
                )
            result[:, members, :, first:last] = part
        return self.give(block, natural, value=result)

    def _read(self, window: Window) -> Window:
        """Return the stretch to call the function on.

        Its length and that of the sequence differ by a multiple of the stride, so that an operation that derives its
        padding from the length pads both alike.
        """
        rule = self.rule
        width = (window.width - 1 + self.margin) * rule.stride - rule.padding + self.last_tap + 1
        width += (self.source.length - width) % rule.stride
        return Window((window.start - self.margin) * rule.stride, window.step * rule.stride, width, window.multiples)

    def _call(self, values: Tensor) -> Tensor:
        """Call the function on (sequences, mutations, alternatives, width, channels)."""
        rows, shape = values.shape[:3], list(self.operand.node.shape or ())
        shape[self.axis] = values.shape[3]
        stretch = self.source.resized(values.shape[3]).to_framework(values.flatten(0, 2), shape)
        arguments: list[Any] = [self.constants.get(i, stretch) for i in range(len(self.operands))]
        outputs = self.function(*arguments)
        given = self.stretched.resized(outputs.shape[self.axis]).to_engine(outputs)
        return given.view(*rows, *given.shape[1:])

    def _check_length(self, length: int) -> None:
        rule, source = self.rule, self.source.length
        fewest = (source + rule.padding - self.last_tap - 1) // rule.stride + 1
        most = (source - 1 + rule.padding + max(rule.padding, self.last_tap)) // rule.stride + 1
        if not fewest <= length <= most:
            raise InvalidInputError(
                f"{self.node.kind} ({self.node.layer!r}) gives {length} positions for {source}; by its rule {rule} it "
                f"would give {fewest} to {most}"
            )


class CallableLocal(Local):
    """Old form of `Local`, which is a rule by itself."""

    def __call__(self, node: Node, operands: Sequence[Operand]) -> Operation:
        return LocalFunction(node, operands, self)


def _sole_changing(operands: Sequence[Operand]) -> tuple[Operand, Layout]:
    """Return the only operand that mutations can reach, and its layout."""
    reached = [operand for operand in operands if operand.reached]
    if len(reached) > 1:
        raise NoRuleError("several of its inputs depend on the sequence")
    if any(operand.node.op != "constant" for operand in operands if not operand.reached):
        raise NoRuleError("it reads other inputs that differ from sequence to sequence")
    (operand,) = reached
    if operand.layout is None:
        raise NoRuleError("the axes of its input could not be followed")
    return operand, operand.layout
