"""The unmutated pass: activations of a group of sequences, laid out so that every window is a strided view."""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from types import MappingProxyType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Graph, Node
from attribution_bench_plugins.fastism.graph.layout import Layout, spread
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.precision import ProductPrecision
from attribution_bench_plugins.fastism.values import devices
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Window

Made = TypeVar("Made")


@dataclass(frozen=True)
class Part:
    """Some positions of an activation, all that is kept of it."""

    values: Tensor
    """With an axis for each label of its layout: rows, positions, what a position holds."""
    positions: range


class LaidOut:
    """An activation in the engine's order, laid out as far as it is read: a few mutations read little of it.

    It is one array throughout, so that positions are places in it. Those that nobody has asked for hold any numbers.
    """

    def __init__(self, layout: Layout, native: Tensor | Part, all_of_it: Callable[[], Tensor]) -> None:
        """Begin with what is kept of an activation; `all_of_it` returns it where other positions are read."""
        self.length, self.is_part = layout.length, isinstance(native, Part)
        self._layout, self._all_of_it = layout, all_of_it
        self._kept = native if isinstance(native, Part) else Part(layout.in_order(native), range(layout.length))
        rows_and_positions = "n" in layout.labels and "p" in layout.labels
        whole = None if isinstance(native, Part) or rows_and_positions else layout.to_engine(native)
        if whole is None and not self.is_part and self._kept.values.is_contiguous():
            whole = self._kept.values.reshape(-1, layout.length, layout.channels)
        self._array, self._filled = whole, (0, 0) if whole is None else (0, layout.length)
        self._filling = Lock()

    def array(self, low: int, high: int) -> Tensor:
        """Return (sequences, positions, channels), which holds the activation from `low` to `high` at least."""
        low, high = max(0, low), min(self.length, high)
        with self._filling:
            if self._array is None:
                values = self._kept.values
                self._array = values.new_empty(len(values), self.length, self._layout.channels)
            first, last = self._filled
            if low < high and not first <= low < high <= last:
                first, last = (first, last) if first < last else (low, low)
                self._fill(self._array, min(low, first), first)
                self._fill(self._array, last, max(high, last))
                self._filled = min(low, first), max(high, last)
            return self._array

    def between(self, low: int, high: int) -> Tensor:
        """Return the activation from one position of the sequence to another, (sequences, high - low, channels).

        No more is laid out than is kept, as `array` does.
        """
        with self._filling:
            kept = self._kept_between(low, high)
            # The rows are counted, since an empty range leaves them open.
            return kept.reshape(len(kept), high - low, self._layout.channels)

    def _fill(self, array: Tensor, low: int, high: int) -> None:
        if low < high:
            part = self._kept_between(low, high)
            array[:, low:high].view(part.shape).copy_(part)

    def _kept_between(self, low: int, high: int) -> Tensor:
        """Return a range of positions of what is kept, which is every position once others were read."""
        if low < high and not (low in self._kept.positions and high - 1 in self._kept.positions):
            self._kept = Part(self._layout.in_order(self._all_of_it()), range(self.length))
        first = self._kept.positions.start
        return self._kept.values[:, low - first : high - first] if low < high else self._kept.values[:, :0]


class Padded:
    """An activation (sequences, positions, channels) with as many zeros on both sides as its windows have needed."""

    def __init__(self, length: int, array: Callable[[int, int], Tensor]) -> None:
        self.length, self._array = length, array
        """`array` gives the activation without zeros, which holds the range that it is called with at least."""
        self._padded: tuple[Tensor, int] | None = None
        """The array and how many zeros are on either side: one pair, as several threads may widen it."""

    @classmethod
    def of(cls, array: Tensor) -> "Padded":
        """Return one of an activation that is there as a whole."""
        return cls(array.shape[1], lambda low, high: array)

    def view(self, window: Window, count: int) -> Tensor:
        """Return the windows of `count` mutations, (sequences, count, 1, width, channels), without a copy.

        Windows that walk backwards, and those of irregular positions, are copied.
        """
        if self.length == 1 and window.step == 0 and window.width == 1:
            return self._array(0, 1)[:, None, None].expand(-1, count, -1, -1, -1)
        low, high = window.hull(count)
        part = self._between(low, high)
        if window.step == 0:
            return part[:, None, None].expand(-1, count, -1, -1, -1)
        if window.multiples is not None:
            starts = (window.starts(count) - low).tolist()
            return torch.stack([part[:, start : start + window.width] for start in starts], 1)[:, :, None]
        windows = part.unfold(1, window.width, abs(window.step)).transpose(2, 3)[:, :, None]
        return windows if window.step > 0 else windows.flip(1)

    def _between(self, low: int, high: int) -> Tensor:
        """Return the activation from one position to another, zero where they leave the sequence."""
        needed = max(-low, high - self.length, 0)
        if self._padded is None and needed == 0:
            return self._array(low, high)[:, low:high]
        array, margin = self._padded or (self._array(0, self.length), 0)
        if needed > margin:
            grow = max(needed, 2 * margin) - margin
            array, margin = self._padded = F.pad(array, (0, 0, grow, grow)), margin + grow
        return array[:, margin + low : margin + high]


class PaddedPart(Padded):
    """An activation of which a part is kept: zeros are put beside what a block reads, for each block anew.

    It takes what gives exactly the range that it is called with.
    """

    def _between(self, low: int, high: int) -> Tensor:
        first, last = (min(max(0, place), self.length) for place in (low, high))
        before = min(max(0, -low), high - low)
        inside = self._array(first, last)
        return F.pad(inside, (0, 0, before, high - low - (last - first) - before))


@dataclass(frozen=True, eq=False)
class UnmutatedPass:
    """The pass of one group of sequences; what it gave is not among what it holds, so that no cycle keeps memory."""

    plan: Plan
    inputs: Mapping[str, Tensor]
    ranges: Mapping[str, range]
    """Node -> the positions that are kept of it, for those of which a part is."""

    precision: ProductPrecision | None = None
    """In which products are computed, whatever blocks that run at the time are to compute theirs in."""
    running: Lock = field(default_factory=Lock)
    """Held by a pass that runs, as PyTorch's settings are those of all threads."""

    @property
    def rows(self) -> int:
        """Sequences of the group."""
        return int(self.inputs[self.plan.graph.input].shape[0])

    def every_position(self, name: str) -> Tensor:
        """Return every position of a node of which a part was kept, by another pass; later ones keep it whole."""
        self.plan.read_as_a_whole.add(name)
        value: Tensor = self.run(frozenset((name,)), whole=frozenset((name,)))[name]
        return value

    def run(self, kept: Set[str], whole: Set[str] = frozenset()) -> dict[str, Any]:
        """Run every node, by the faster calls that operations know; returns what is to be kept, and what is needed.

        Of nodes in `ranges` a `Part` is kept, unless they are to be `whole`.
        """
        with self.running, nullcontext() if self.precision is None else self.precision.in_force():
            return self._run(kept, whole)

    def _run(self, kept: Set[str], whole: Set[str]) -> dict[str, Any]:
        plan, values = self.plan, dict[str, Any]()
        for name, node in plan.graph.nodes.items():
            operands = (values[operand] for operand in node.inputs)
            if name in self.inputs:
                values[name] = self.inputs[name]
            elif node.op == "batch_size":
                values[name] = self.rows
            elif (faster := plan.unmutated_calls.get(name)) is not None:
                values[name] = faster(*operands)
            else:
                # An operation that nothing is known of may read memory: its operands are as the model would have them.
                values[name] = node.call(*(map(_contiguous, operands) if node.is_opaque else operands))
            if (ordered := plan.unmutated_orders.get(name)) is not None:
                values[name] = ordered(values[name])
            for operand in plan.unmutated_last_uses[name]:
                if operand not in kept:
                    del values[operand]
                elif operand in self.ranges and operand not in whole:
                    values[operand] = self._part(operand, values[operand])
        return values

    def _part(self, name: str, value: Tensor) -> Part:
        """Return what is kept of a node in `ranges`."""
        layout, positions = self.plan.steps[name].layout, self.ranges[name]
        assert layout is not None
        return Part(layout.in_order(value)[:, positions.start : positions.stop].clone(), positions)


class UnmutatedActivations:
    """Activations of one group of sequences, laid out on first use; blocks that run side by side share them.

    Blocks read few of them: those that earlier groups have read are kept, so that the memory of the others is free for
    the next layers while it is in the cache. Whatever is read after all is there at the cost of another pass.
    """

    def __init__(
        self,
        plan: Plan,
        inputs: Mapping[str, Tensor],
        ranges: Mapping[str, range] = MappingProxyType({}),
        precision: ProductPrecision | None = None,
    ) -> None:
        """Run the pass; of the nodes in `ranges` these positions are kept, others are there at the cost of another.

        Later passes are run in a precision of products; None for that which is set when they run.
        """
        self.plan, self.inputs, self._pass = plan, inputs, UnmutatedPass(plan, inputs, ranges, precision)
        self.count, self.device = self._pass.rows, devices.kind(inputs[plan.graph.input].device)
        self.hiding_nan = plan.hiding_nan(inputs[plan.graph.input])
        """Nodes after which a missing number may not be seen; see `Plan.hiding_nan`."""
        self._laid_out: dict[str, LaidOut] = {}
        self._padded: dict[tuple[str, str], Padded] = {}
        self._summaries: dict[tuple[str, str], Tensor] = {}
        self._making = Lock()
        self._native = self._pass.run(plan.read_unmutated or plan.unmutated_reads)
        self.buffers = Buffers()

    def output(self, name: str) -> Tensor:
        """Return a node that is an output, as the model gives it."""
        value: Tensor = self._native[name].contiguous()
        return value

    def view(self, source: str, window: Window, count: int) -> Tensor:
        """Return a node's unmutated activation on windows; see `Padded.view`."""
        return self._once(self._padded, (source, ""), lambda: self._padded_source(source)).view(window, count)

    def array(self, source: str, window: Window, count: int) -> Tensor:
        """Return a node's activation (sequences, positions, channels), contiguous, which is there on the windows.

        What it holds at other positions of the sequence means nothing.
        """
        return self._source(source).array(*window.hull(count))

    def derived(self, source: str, name: str, function: Callable[[Tensor], Tensor]) -> Padded:
        """Return a function of a node's unmutated activation; the function must map 0 to 0.

        It is computed once, but of an activation of which a part is kept for each window anew.
        """
        return self._once(self._padded, (source, name), lambda: self._padded_derived(source, function))

    def summary(self, source: str, name: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return any function of a node's unmutated activation (sequences, positions, channels), computed once."""
        return self._once(self._summaries, (source, name), lambda: function(self._whole(source)))

    def constant(self, name: str, like: Node, layout: Layout, window: Window, count: int) -> Tensor:
        """Return an unreached node as it is broadcast to another, on windows."""
        padded = self._once(self._padded, (name, like.name), lambda: Padded.of(self._broadcast(name, like, layout)))
        if padded.length == 1 and layout.length > 1:
            return padded.view(Window(0, 0, 1), count)
        return padded.view(window, count)

    def _padded_source(self, source: str) -> Padded:
        activation = self._lay_out(source)
        if activation.is_part:
            return PaddedPart(activation.length, activation.between)
        return Padded(activation.length, activation.array)

    def _padded_derived(self, source: str, function: Callable[[Tensor], Tensor]) -> Padded:
        activation = self._lay_out(source)
        if activation.is_part:
            return PaddedPart(activation.length, lambda low, high: function(activation.between(low, high)))
        return Padded.of(function(self._whole(source)))

    def _source(self, source: str) -> LaidOut:
        with self._making:
            return self._lay_out(source)

    def _whole(self, source: str) -> Tensor:
        activation = self._lay_out(source)
        return activation.array(0, activation.length)

    def _lay_out(self, source: str) -> LaidOut:
        """Return an activation in the engine's order, made once; called by one thread at a time."""
        if source not in self._laid_out:
            self.plan.read_unmutated.add(source)
            layout = self.plan.steps[source].layout
            assert layout is not None
            self._laid_out[source] = LaidOut(layout, self._kept(source), partial(self._pass.every_position, source))
        return self._laid_out[source]

    def _kept(self, name: str) -> Any:
        """Return a node's value at every position; runs another pass where it was not kept. Called by one at a time."""
        if name not in self._native:
            self._native = self._pass.run(self.plan.unmutated_reads)
        return self._native[name]

    def _broadcast(self, name: str, like: Node, layout: Layout) -> Tensor:
        value, shape = self._kept(name), like.shape
        assert shape is not None
        value = value.reshape((1,) * (len(shape) - value.dim()) + tuple(value.shape))
        axes = tuple(
            "" if labels != "n" and value.shape[axis] == 1 else labels for axis, labels in enumerate(layout.axes)
        )
        kept = "".join(axes)
        length = layout.length if "p" in kept else 1
        known = Layout(axes, tuple(item for item in layout.channel_sizes if item[0] in kept), length)
        sizes = [size if label in kept else 1 for label, size in layout.channel_sizes]
        return spread(known.to_engine(value), sizes, [size for _, size in layout.channel_sizes])

    def _once(self, made: dict[tuple[str, str], Made], key: tuple[str, str], make: Callable[[], Made]) -> Made:
        with self._making:
            if key not in made:
                made[key] = make()
            return made[key]


def run_graph(graph: Graph, inputs: Mapping[str, Tensor], rows: int, keep: frozenset[str]) -> dict[str, Any]:
    """Run every node as the model does; returns the values to keep."""
    reads = Counter(name for node in graph.nodes.values() for name in node.inputs)
    values: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        if name in inputs:
            values[name] = inputs[name]
        elif node.op == "batch_size":
            values[name] = rows
        else:
            values[name] = node.call(*(values[operand] for operand in node.inputs))
        for operand in node.inputs:
            reads[operand] -= 1
            if not reads[operand] and operand not in keep:
                values.pop(operand, None)
    return {name: value for name, value in values.items() if name in keep}


def _contiguous(value: Any) -> Any:
    """Return a tensor contiguous, and any other value as it is."""
    return value.contiguous() if isinstance(value, Tensor) else value
