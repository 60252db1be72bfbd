"""What the engine will do with each node of a graph, decided before anything runs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from attribution_bench_plugins.fastism.graph.ir import Graph, Node
from attribution_bench_plugins.fastism.graph.layout import Layout, elements
from attribution_bench_plugins.fastism.ops import RULES, NoRuleError, Operand, Operation, Rule
from attribution_bench_plugins.fastism.ops.base import Form, MergingOperation
from attribution_bench_plugins.fastism.ops.normalisation import Affine
from attribution_bench_plugins.fastism.ops.reshaping import Relabelling
from attribution_bench_plugins.fastism.ops.unsupported import why_whole
from attribution_bench_plugins.fastism.values.window import Positions, Window

Mode = Literal["constant", "windowed", "vector", "whole"]


@dataclass(frozen=True, eq=False)
class Step:
    """One node of the plan."""

    node: Node
    mode: Mode
    """``constant``: no mutation reaches it. ``windowed``: deltas on a window. ``vector``: it has no positions.
    ``whole``: the model's own operation on every position."""
    reason: str
    """Why it runs whole; empty otherwise."""
    operation: Operation | None
    layout: Layout | None
    source: str
    """The node whose tensors it shares: its own name, but for a relabelling."""
    form: Form
    """What its consumers would rather have."""
    late: bool
    """Whether it runs once for mutations of all phases together, after the nodes with positions."""
    uses: int
    """How often its tensors are read."""


@dataclass(frozen=True)
class Plan:
    """Steps in order; pure data but for the operations' prepared weights."""

    graph: Graph
    steps: Mapping[str, Step]
    length: int
    letters: int
    apart: Mapping[str, int]
    """Node -> the smallest distance of mutated positions at which its windows, and those before, advance by a constant
    step."""

    @cached_property
    def stride(self) -> int:
        """Mutated positions of one phase are this far apart, so that every window advances by a constant step."""
        return math.lcm(*self.apart.values())

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """The distances with which the positions of a block may begin, ascending; the last is `stride`.

        A block divides into phases before the first step that needs them further apart. Steps before that are done for
        more mutations at a time.
        """
        early = self.running(late=False)
        found = sorted({self.apart[step.node.name] for step in early} | {self.stride})
        divide = all(larger % smaller == 0 for smaller, larger in pairwise(found))
        return tuple(found) if divide and all(step.mode != "whole" for step in early) else (self.stride,)

    @cached_property
    def middle_windows(self) -> Mapping[str, Window]:
        """The windows of one letter in the middle of the sequence."""
        return self.windows(self.middle)

    @property
    def middle(self) -> Positions:
        """A mutated position in the middle of the sequence."""
        return Positions(self.length // 2 // self.stride * self.stride, self.stride, 1)

    def running(self, *, late: bool) -> list[Step]:
        """Return the steps that do something, early ones or late ones."""
        return [
            step
            for step in self.steps.values()
            if step.mode != "constant"
            and step.source == step.node.name
            and step.late is late
            and step.node.name != self.graph.input
        ]

    def frontier(self) -> frozenset[str]:
        """Return the nodes that late steps read: theirs are kept until every block of a group has run."""
        return frozenset(
            self.steps[name].source
            for step in self.running(late=True)
            for name in step.node.inputs
            if not self.steps[name].late and self.steps[name].mode != "constant"
        )

    def windows(self, positions: Positions, width: int = 1) -> dict[str, Window]:
        """Return for every windowed node the windows that mutations of a width from these positions on reach."""
        windows = {self.graph.input: Window(positions.start, positions.stride, width)}
        for name, step in self.steps.items():
            if step.mode in ("windowed", "vector") and step.operation is not None and step.source == name:
                inputs = [windows.get(self.steps[operand].source) for operand in step.node.inputs]
                windows[name] = reached_window(step.operation, inputs, positions.count)
        return windows


def reached_window(operation: Operation, windows: list[Window | None], count: int) -> Window:
    """Return a node's window: the mutations' own ranges, or one range shared by all where that is no wider."""
    length = operation.layout.length
    if not operation.layout.positional:
        return Window(0, 0, 1)  # whatever the phase, which the stride of the plan does not see to here
    known = [window for window in windows if window is not None and window.width]
    if not known:
        return Window(0, 0, 0)
    if any(window.step != known[0].step for window in known):
        # Ranges that advance and ranges that are shared meet in one that is shared.
        windows = [
            window.shared(count, operand.layout.length) if window is not None and operand.layout is not None else None
            for window, operand in zip(windows, operation.operands, strict=True)
        ]
    natural = operation.window(windows)
    shared = natural.shared(count, length)
    return shared if shared.width <= natural.width else natural


def make_plan(graph: Graph, layout: Layout, rules: Mapping[str, Rule] = MappingProxyType({})) -> Plan:
    """Decide for every node of a graph whose sequence input has this layout.

    `rules` are those of operations that belong to no family, by their kind.

    A node with a rule runs on windows, however wide they are: measured on BPNet from 250 to 1000 letters, where they
    reach every position, going over to the model's own operations was slower from any layer on.
    """
    reached = graph.reached()
    steps: dict[str, Step] = {}
    operations: dict[str, Operation | None] = {}
    layouts: dict[str, Layout | None] = {graph.input: layout}
    reasons: dict[str, str] = {}
    source: dict[str, str] = {}
    for name, node in graph.nodes.items():
        source[name] = name
        operations[name] = None
        if name not in reached or name == graph.input:
            continue
        operands = [Operand(i, layouts.get(i), i in reached, graph.nodes[i]) for i in node.inputs]
        try:
            operation = _operation(node, operands, reasons, rules)
        except NoRuleError as error:
            reasons[name] = str(error)
            layouts[name] = None
            continue
        operations[name] = operation
        layouts[name] = operation.layout
        if isinstance(operation, Relabelling):
            source[name] = source[node.inputs[0]]
    consumers = _consumers(graph, source)
    _absorb(graph, operations, source, consumers)
    late = _late(graph, reached, operations, layouts, source)
    for name, node in graph.nodes.items():
        where = layouts.get(name)
        mode: Mode = "constant"
        if name in reached:
            mode = "whole" if name in reasons else "windowed"
            if mode == "windowed" and where is not None and not where.positional and name != graph.input:
                mode = "vector"
        readers = [operations[reader] for reader in consumers[source[name]]]
        form: Form = "delta"
        if readers and all(
            reader is not None and _prefers(reader, operations, consumers) == "value" for reader in readers
        ):
            form = "value"
        uses = len(readers) + sum(source[output] == name for output in graph.outputs.values())
        steps[name] = Step(
            node, mode, reasons.get(name, ""), operations[name], where, source[name], form, name in late, uses
        )
    apart = MappingProxyType(_apart(graph, operations))
    return Plan(graph, MappingProxyType(steps), layout.length, layout.channels, apart)


def _operation(node: Node, operands: list[Operand], reasons: Mapping[str, str], rules: Mapping[str, Rule]) -> Operation:
    whole = [operand.node.layer for operand in operands if operand.name in reasons]
    if whole:
        raise NoRuleError(f"it follows {whole[0]!r}, which runs whole")
    if node.shape is not None and 0 in node.shape:
        raise NoRuleError("it holds no numbers")
    rule = rules.get(node.kind) if node.op == "opaque" else RULES.get(node.op)
    if rule is None:
        raise NoRuleError(why_whole(node))
    return rule(node, operands)


def _consumers(graph: Graph, source: Mapping[str, str]) -> dict[str, list[str]]:
    """Return for each source the nodes that read its tensors, once for each reading."""
    consumers: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for name, node in graph.nodes.items():
        if source[name] == name:
            for operand in node.inputs:
                consumers[source[operand]].append(name)
    return consumers


def _absorb(
    graph: Graph,
    operations: Mapping[str, Operation | None],
    source: Mapping[str, str],
    consumers: Mapping[str, list[str]],
) -> None:
    """Fold each batch norm into the linear map before it, where nothing else reads that map."""
    outputs = {source[name] for name in graph.outputs.values()}
    for operation in operations.values():
        if not isinstance(operation, Affine):
            continue
        before = source[operation.node.inputs[0]]
        linear = operations[before]
        if linear is not None and len(consumers[before]) == 1 and before not in outputs:
            operation.absorbed = linear.scale_outputs(operation.scale_by)


def _prefers(
    operation: Operation, operations: Mapping[str, Operation | None], consumers: Mapping[str, list[str]]
) -> Form:
    """Return the form that an operation reads; one that reads either passes on what its own readers prefer."""
    if isinstance(operation, Affine) and not operation.absorbed:
        readers = [operations[name] for name in consumers[operation.node.name]]
        if readers and all(r is not None and _prefers(r, operations, consumers) == "value" for r in readers):
            return "value"
    return operation.wants


def _late(
    graph: Graph,
    reached: frozenset[str],
    operations: Mapping[str, Operation | None],
    layouts: Mapping[str, Layout | None],
    source: Mapping[str, str],
) -> frozenset[str]:
    """Return the nodes that run for mutations of all phases together: from where no positions are left.

    None where a branch without positions joins one with positions again.
    """

    def vector(name: str) -> bool:
        layout = layouts.get(name)
        return layout is not None and not layout.positional

    late: set[str] = set()
    for name, node in graph.nodes.items():
        if name not in reached or name == graph.input:
            continue
        inputs = [i for i in node.inputs if i in reached]
        operation = operations[name]
        merges = isinstance(operation, MergingOperation)
        if isinstance(operation, Relabelling):
            if source[name] in late:
                late.add(name)
        elif any(i in late for i in inputs) or merges or (vector(name) and all(vector(i) for i in inputs)):
            if not merges and any(i not in late and not vector(i) for i in inputs):
                return frozenset()
            late.add(name)
    return frozenset(late)


def _apart(graph: Graph, operations: Mapping[str, Operation | None]) -> dict[str, int]:
    """Return for each node the smallest distance of mutated positions at which windows advance by whole steps."""
    scales: dict[str, Fraction] = {graph.input: Fraction(1)}
    apart: dict[str, int] = {}
    for name, node in graph.nodes.items():
        operation = operations.get(name)
        apart[name] = math.lcm(*(apart[i] for i in node.inputs))
        inputs = [scales[i] for i in node.inputs if i in scales]
        if operation is not None and inputs and operation.layout.positional:
            scales[name] = max(inputs) * operation.scale
            apart[name] = math.lcm(apart[name], scales[name].denominator)
    return apart


def widest(plan: Plan, windows: Mapping[str, Window], names: Iterable[str]) -> int:
    """Return how many numbers the largest of some windowed nodes has for one mutation."""
    largest = 1
    for name in names:
        window, layout = windows.get(name), plan.steps[name].layout
        if window is not None and layout is not None:
            largest = max(largest, min(window.width, layout.length) * layout.channels)
    return largest


def largest_whole(plan: Plan) -> int:
    """Return how many numbers the largest node that runs whole has; 0 where none does."""
    shapes = [step.node.shape for step in plan.steps.values() if step.mode == "whole"]
    return max((elements(shape) for shape in shapes if shape is not None), default=0)


def bytes_per_sequence(plan: Plan, itemsize: int, alternatives: int) -> int:
    """Return the bytes that a sequence keeps while its mutations run, besides those of a block.

    Every unmutated activation twice, as the model gives it and in the engine's order; and twice for each of its
    mutations, of so many letters at every position, what waits for the late steps, which put it together, and the
    largest that they make of it.
    """
    numbers = 2 * sum(elements(node.shape) for node in plan.graph.nodes.values() if node.shape is not None)
    windows = plan.middle_windows
    for name in plan.frontier():
        layout = plan.steps[name].layout
        if layout is not None:
            numbers += 2 * min(windows[name].width, layout.length) * layout.channels * alternatives * plan.length
    late = [step.layout.channels for step in plan.running(late=True) if step.layout is not None]
    numbers += 2 * max(late, default=0) * alternatives * plan.length
    return max(1, numbers * itemsize)
