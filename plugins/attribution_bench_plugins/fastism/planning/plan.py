"""What the engine will do with each node of a graph, decided before anything runs."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from attribution_bench_plugins.fastism.graph.ir import Graph, Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.ops.base import Form, MergingOperation, NoRuleError, Operand, Operation, Rule
from attribution_bench_plugins.fastism.ops.normalisation import Affine
from attribution_bench_plugins.fastism.ops.registry import SPECS, OpSpec
from attribution_bench_plugins.fastism.ops.unsupported import why_whole
from attribution_bench_plugins.fastism.planning.liveness import Schedule, schedule
from attribution_bench_plugins.fastism.planning.step import Mode, Step
from attribution_bench_plugins.fastism.values.window import Positions, Window


@dataclass(frozen=True)
class Stage:
    """A part of the body that runs for mutations a given stride apart."""

    stride: int
    """Distance of the mutated positions, in letters."""
    schedule: Schedule


@dataclass(frozen=True, eq=False)
class Plan:
    """Steps in order; pure data but for the operations' prepared weights."""

    graph: Graph
    steps: Mapping[str, Step]
    length: int
    letters: int
    min_strides: Mapping[str, int]
    """Node -> the smallest distance of mutated positions, in letters, at which its windows, and those before, advance
    by a constant step: the least common multiple of the strides up to it."""

    @cached_property
    def stride(self) -> int:
        """Mutated positions of one phase are this far apart, so that every window advances by a constant step."""
        return math.lcm(*self.min_strides.values())

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """The distances with which the positions of a block may begin, ascending; the last is `stride`.

        A block divides into phases before the first step that needs a larger stride. The steps before that run for
        more mutations at a time.
        """
        found = sorted({self.min_strides[step.node.name] for step in self.body} | {self.stride})
        divide = all(larger % smaller == 0 for smaller, larger in pairwise(found))
        return tuple(found) if divide and all(step.mode != "full" for step in self.body) else (self.stride,)

    @cached_property
    def middle_windows(self) -> Mapping[str, Window]:
        """The windows of one letter in the middle of the sequence."""
        return self.windows(self.middle)

    @property
    def middle(self) -> Positions:
        """A mutated position in the middle of the sequence."""
        return Positions(self.length // 2 // self.stride * self.stride, self.stride, 1)

    @cached_property
    def body(self) -> tuple[Step, ...]:
        """The steps that run block by block, on windows."""
        return tuple(step for step in self._running if not step.is_head)

    @cached_property
    def head(self) -> tuple[Step, ...]:
        """The steps after the position axis is gone, which run for the mutations of every phase together."""
        return tuple(step for step in self._running if step.is_head)

    @cached_property
    def output_sources(self) -> frozenset[str]:
        """The nodes whose tensors are outputs."""
        return frozenset(self.steps[name].alias_of for name in self.graph.outputs.values())

    @cached_property
    def body_outputs(self) -> Mapping[str, str]:
        """Output -> node of those that blocks give."""
        return self._reached_outputs(is_head=False)

    @cached_property
    def head_outputs(self) -> Mapping[str, str]:
        """Output -> node of those that the head gives."""
        return self._reached_outputs(is_head=True)

    @cached_property
    def live_across_blocks(self) -> frozenset[str]:
        """The nodes that the head reads: their activations are kept until every block of a group has run."""
        return frozenset(
            self.steps[name].alias_of
            for step in self.head
            for name in step.node.inputs
            if not self.steps[name].is_head and self.steps[name].mode != "constant"
        )

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """Node -> the node whose tensors it shares."""
        return {name: step.alias_of for name, step in self.steps.items()}

    @cached_property
    def head_schedule(self) -> Schedule:
        """The head's steps with the last use of each value."""
        return schedule(self.head, self.aliases, self.output_sources)

    def stages(self, stride: int) -> tuple[Stage, ...]:
        """Return the stages of the body for a block that begins with mutations `stride` letters apart.

        The block divides into phases before each stage but the first.
        """
        if stride not in self._stages:
            self._stages[stride] = tuple(self._planned_stages(stride))
        return self._stages[stride]

    @cached_property
    def _stages(self) -> dict[int, tuple[Stage, ...]]:
        return {}

    def _planned_stages(self, stride: int) -> Iterator[Stage]:
        rest, kept = self.body, self.live_across_blocks | self.output_sources
        for larger in (stride, *(known for known in self.strides if known > stride)):
            steps = [step for step in rest if larger % self.min_strides[step.node.name] == 0]
            rest = tuple(step for step in rest if larger % self.min_strides[step.node.name])
            read_later = {self.aliases[name] for step in rest for name in step.node.inputs}
            yield Stage(larger, schedule(steps, self.aliases, kept | read_later))
            if not rest:
                return

    def _reached_outputs(self, *, is_head: bool) -> dict[str, str]:
        return {
            output: name
            for output, name in self.graph.outputs.items()
            if self.steps[name].is_head is is_head and self.steps[name].mode != "constant"
        }

    @property
    def _running(self) -> Iterator[Step]:
        """The steps that compute something."""
        for name, step in self.steps.items():
            if step.mode != "constant" and step.alias_of == name and name != self.graph.input:
                yield step

    def windows(self, positions: Positions, width: int = 1) -> dict[str, Window]:
        """Return for every windowed node the windows that mutations of a width from these positions on reach."""
        windows = {self.graph.input: Window(positions.start, positions.stride, width)}
        for name, step in self.steps.items():
            if step.mode in ("windowed", "global") and step.operation is not None and step.alias_of == name:
                inputs = [windows.get(self.aliases[operand]) for operand in step.node.inputs]
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


def make_plan(
    graph: Graph,
    layout: Layout,
    rules: Mapping[str, Rule] = MappingProxyType({}),
    specs: Mapping[str, OpSpec[Any]] = SPECS,
) -> Plan:
    """Decide for every node of a graph whose sequence input has this layout.

    `rules` are those of operations that belong to no family, by their kind; `specs` are those of all others, by op.

    A node with a rule runs on windows, however wide they are: measured on BPNet from 250 to 1000 letters, where they
    reach every position, going over to the model's own operations was slower from any layer on.
    """
    reached = graph.reached()
    steps: dict[str, Step] = {}
    operations: dict[str, Operation | None] = {}
    layouts: dict[str, Layout | None] = {graph.input: layout}
    reasons: dict[str, str] = {}
    alias_of: dict[str, str] = {}
    for name, node in graph.nodes.items():
        alias_of[name] = name
        operations[name] = None
        if name not in reached or name == graph.input:
            continue
        operands = [Operand(i, layouts.get(i), i in reached, graph.nodes[i]) for i in node.inputs]
        try:
            operation = _operation(node, operands, reasons, rules, specs)
        except NoRuleError as error:
            reasons[name] = str(error)
            layouts[name] = None
            continue
        operations[name] = operation
        layouts[name] = operation.layout
        if operation.is_alias:
            alias_of[name] = alias_of[node.inputs[0]]
    consumers = _consumers(graph, alias_of)
    _absorb(graph, operations, alias_of, consumers)
    head = _head(graph, reached, operations, layouts, alias_of)
    for name, node in graph.nodes.items():
        where = layouts.get(name)
        mode: Mode = "constant"
        if name in reached:
            mode = "full" if name in reasons else "windowed"
            if mode == "windowed" and where is not None and not where.positional and name != graph.input:
                mode = "global"
        readers = [operations[reader] for reader in consumers[alias_of[name]]]
        preferred_form: Form = "delta"
        if readers and all(
            reader is not None and _prefers(reader, operations, consumers) == "value" for reader in readers
        ):
            preferred_form = "value"
        reads = len(readers) + sum(alias_of[output] == name for output in graph.outputs.values())
        steps[name] = Step(
            node,
            mode,
            reasons.get(name, ""),
            operations[name],
            where,
            alias_of[name],
            preferred_form,
            name in head,
            reads,
        )
    min_strides = MappingProxyType(_min_strides(graph, operations))
    return Plan(graph, MappingProxyType(steps), layout.length, layout.channels, min_strides)


def _operation(
    node: Node,
    operands: list[Operand],
    reasons: Mapping[str, str],
    rules: Mapping[str, Rule],
    specs: Mapping[str, OpSpec[Any]],
) -> Operation:
    whole = [operand.node.layer for operand in operands if operand.name in reasons]
    if whole:
        raise NoRuleError(f"it follows {whole[0]!r}, which runs whole")
    if node.shape is not None and 0 in node.shape:
        raise NoRuleError("it holds no numbers")
    rule = rules.get(node.kind) if node.is_opaque else specs[node.op].rule
    if rule is None:
        raise NoRuleError(why_whole(node))
    return rule(node, operands)


def _consumers(graph: Graph, alias_of: Mapping[str, str]) -> dict[str, list[str]]:
    """Return for each alias_of the nodes that read its tensors, once for each reading."""
    consumers: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for name, node in graph.nodes.items():
        if alias_of[name] == name:
            for operand in node.inputs:
                consumers[alias_of[operand]].append(name)
    return consumers


def _absorb(
    graph: Graph,
    operations: Mapping[str, Operation | None],
    alias_of: Mapping[str, str],
    consumers: Mapping[str, list[str]],
) -> None:
    """Fold each batch norm into the linear map before it, where nothing else reads that map."""
    outputs = {alias_of[name] for name in graph.outputs.values()}
    for operation in operations.values():
        if not isinstance(operation, Affine):
            continue
        before = alias_of[operation.node.inputs[0]]
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
    return operation.preferred_form


def _head(
    graph: Graph,
    reached: frozenset[str],
    operations: Mapping[str, Operation | None],
    layouts: Mapping[str, Layout | None],
    alias_of: Mapping[str, str],
) -> frozenset[str]:
    """Return the nodes of the head: those from which on no positions are left.

    There is no head where a branch without positions joins one with positions again.
    """

    def vector(name: str) -> bool:
        layout = layouts.get(name)
        return layout is not None and not layout.positional

    head: set[str] = set()
    for name, node in graph.nodes.items():
        if name not in reached or name == graph.input:
            continue
        inputs = [i for i in node.inputs if i in reached]
        operation = operations[name]
        merges = isinstance(operation, MergingOperation)
        if operation is not None and operation.is_alias:
            if alias_of[name] in head:
                head.add(name)
        elif any(i in head for i in inputs) or merges or (vector(name) and all(vector(i) for i in inputs)):
            if not merges and any(i not in head and not vector(i) for i in inputs):
                return frozenset()
            head.add(name)
    return frozenset(head)


def _min_strides(graph: Graph, operations: Mapping[str, Operation | None]) -> dict[str, int]:
    """Return for each node the smallest distance of mutated positions at which windows advance by whole steps."""
    scales: dict[str, Fraction] = {graph.input: Fraction(1)}
    min_strides: dict[str, int] = {}
    for name, node in graph.nodes.items():
        operation = operations.get(name)
        min_strides[name] = math.lcm(*(min_strides[i] for i in node.inputs))
        inputs = [scales[i] for i in node.inputs if i in scales]
        if operation is not None and inputs and operation.layout.positional:
            scales[name] = max(inputs) * operation.scale
            min_strides[name] = math.lcm(min_strides[name], scales[name].denominator)
    return min_strides
