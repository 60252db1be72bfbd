"""The plan: what the engine does with each node of a graph, decided before anything runs."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Graph, Node
from attribution_bench_plugins.fastism.graph.layout import Layout, elements
from attribution_bench_plugins.fastism.ops.base import (
    Form,
    Fusion,
    MergingOperation,
    NoRuleError,
    Operand,
    Operation,
    Rule,
)
from attribution_bench_plugins.fastism.ops.channels_last import ChannelsLastConvolution
from attribution_bench_plugins.fastism.ops.hidden_nan import hides_nan
from attribution_bench_plugins.fastism.ops.normalisation import Affine
from attribution_bench_plugins.fastism.ops.registry import SPECS, OpSpec
from attribution_bench_plugins.fastism.ops.unsupported import why_full
from attribution_bench_plugins.fastism.planning.fusion import materialized_nodes, planned_fusion
from attribution_bench_plugins.fastism.planning.liveness import Schedule, schedule
from attribution_bench_plugins.fastism.planning.receptive_field import receptive_fields
from attribution_bench_plugins.fastism.planning.step import Mode, Step
from attribution_bench_plugins.fastism.values.window import Positions, Window


@dataclass(frozen=True)
class Stage:
    """Steps of the body that run for mutations at a constant stride."""

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
    wanted: Mapping[str, range]
    """Output -> the positions of it that are wanted; outputs that are not are missing."""

    @cached_property
    def fields(self) -> Mapping[str, range]:
        """Node -> its positions in the receptive field of what is wanted; nodes that do not matter are missing."""
        nodes = {self.graph.outputs[output]: positions for output, positions in self.wanted.items()}
        return receptive_fields(self.steps, nodes)

    @cached_property
    def cuts(self) -> Mapping[str, range]:
        """Those of the `fields` that are smaller than their nodes: windows are cut to them."""
        lengths = {name: step.layout.length for name, step in self.steps.items() if step.layout is not None}
        return {name: field for name, field in self.fields.items() if len(field) < lengths.get(name, 0)}

    def wanting(self, wanted: Mapping[str, range]) -> "Plan":
        """Return the plan for other wanted positions of outputs; a position of an output is that of its node."""
        return replace(self, wanted=MappingProxyType(dict(wanted)))

    @cached_property
    def stride(self) -> int:
        """Distance of the mutated positions of one phase, in letters: every window advances by a constant step."""
        return math.lcm(*self.min_strides.values())

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """The strides at which the positions of a block may begin, ascending; the last is `stride`.

        A block divides into phases before the first step that needs a larger stride, so that the steps before it run
        for more mutations at a time.
        """
        found = sorted({self.min_strides[step.node.name] for step in self.body} | {self.stride})
        divide = all(larger % smaller == 0 for smaller, larger in pairwise(found))
        return tuple(found) if divide and not self.full else (self.stride,)

    @cached_property
    def middle_windows(self) -> Mapping[str, Window]:
        """The windows of a one-letter mutation at the `middle`."""
        return self.windows(self.middle)

    @cached_property
    def middle_numbers(self) -> Mapping[str, int]:
        """Node -> how many numbers it has on its window of those."""
        return self.numbers_on(self.middle_windows)

    @cached_property
    def middle_materialized(self) -> frozenset[str]:
        """The `materialized_nodes` on those."""
        return materialized_nodes(self, self.middle_windows)

    @cached_property
    def unmutated_numbers(self) -> int:
        """How many numbers the unmutated activations of a sequence have."""
        return sum(elements(node.shape) for node in self.graph.nodes.values() if node.shape is not None)

    @cached_property
    def unmutated_macs(self) -> int:
        """The multiply-accumulates of an unmutated pass of a sequence."""
        nodes = self.graph.nodes
        return sum(
            SPECS[node.op].multiply_accumulates(node, [nodes[name] for name in node.inputs])
            for node in nodes.values()
            if node.shape is not None and not SPECS[node.op].traits.free
        )

    @property
    def middle(self) -> Positions:
        """A mutated position in the middle of the receptive field of what is wanted."""
        return Positions((self.reaching.start + self.reaching.stop) // 2 // self.stride * self.stride, self.stride, 1)

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
        return frozenset(self.steps[name].alias_of for name in self._outputs.values())

    @property
    def _outputs(self) -> Mapping[str, str]:
        """Output -> node of those that are wanted."""
        return {output: name for output, name in self.graph.outputs.items() if output in self.wanted}

    @cached_property
    def body_outputs(self) -> Mapping[str, str]:
        """Output -> node of those that blocks give."""
        steps = {output: self.steps[name] for output, name in self._outputs.items()}
        return {name: step.node.name for name, step in steps.items() if not step.is_head and step.mode != "constant"}

    @cached_property
    def head_outputs(self) -> Mapping[str, str]:
        """Output -> node of those that the head gives."""
        return {output: name for output, name in self._outputs.items() if self.steps[name].is_head}

    @cached_property
    def full(self) -> tuple[Step, ...]:
        """The steps that run in full."""
        return tuple(step for step in self._running if step.mode == "full")

    @property
    def reaching(self) -> range:
        """The positions whose mutations can change what is wanted: the input's receptive field."""
        return self.fields.get(self.graph.input, range(0))

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
    def unmutated_calls(self) -> Mapping[str, Callable[..., Any]]:
        """Node -> what runs it on unmutated sequences, where that is not the node's own call."""
        operations = {name: step.operation for name, step in self.steps.items()}
        return {
            n: op.unmutated_call for n, op in operations.items() if op is not None and op.unmutated_call is not None
        }

    @cached_property
    def unmutated_orders(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """Node -> what puts its unmutated activation into the order in memory in which a convolution reads it.

        Every reader finds it so: a sum of tensors in two orders is slow.
        """
        calls = self.unmutated_calls.items()
        convolutions = {name: call for name, call in calls if isinstance(call, ChannelsLastConvolution)}
        return {self.graph.nodes[name].inputs[0]: call.arranged for name, call in convolutions.items()}

    @cached_property
    def unmutated_needs(self) -> frozenset[str]:
        """Nodes whose unmutated values are kept in any case: inputs, outputs, and operands that no mutation reaches."""
        graph = self.graph
        needed = {graph.input, *graph.extras, *graph.outputs.values()}
        for step in (*self.body, *self.head):
            needed.update(operand for operand in step.node.inputs if self.steps[operand].mode == "constant")
        return frozenset(needed)

    @cached_property
    def unmutated_reads(self) -> frozenset[str]:
        """Those whose unmutated values may be read after the pass: what is needed, and nodes that run by a rule."""
        running = (step for step in (*self.body, *self.head) if step.operation is not None)
        return self.unmutated_needs | {step.node.name for step in running}

    @cached_property
    def read_unmutated(self) -> set[str]:
        """Those that blocks have read so far: what a first group of sequences reads is what later ones will."""
        return set()

    @cached_property
    def read_as_a_whole(self) -> set[str]:
        """Those that blocks have read beyond what their windows tell: later passes keep every position of them."""
        return set()

    def hiding_nan(self, like: Tensor) -> frozenset[str]:
        """Return the nodes after which a missing number may not be seen, of which numbers are as `like`'s.

        Those are nodes that run on windows and may hide NaN; and, where one that runs in full may, all of these.
        """
        if not self._hiding_nan:
            nodes = self.graph.nodes
            hiding = {
                step.node.name
                for step in self._running
                if hides_nan(step.node, [nodes[name] for name in step.node.inputs], like)
            }
            full = {step.node.name for step in self.full}
            self._hiding_nan.append(frozenset(hiding | full if hiding & full else hiding))
        return self._hiding_nan[0]

    @cached_property
    def _hiding_nan(self) -> list[frozenset[str]]:
        """What was found at first use, one set at most."""
        return []

    @cached_property
    def unmutated_last_uses(self) -> Mapping[str, frozenset[str]]:
        """Node -> the nodes that no node after it reads, those aside whose values are kept in any case."""
        later = set(self.unmutated_needs)
        last_uses: dict[str, frozenset[str]] = {}
        for name in reversed(list(self.graph.nodes)):
            last_uses[name] = frozenset((name, *self.graph.nodes[name].inputs)) - later
            later |= last_uses[name]
        return last_uses

    @cached_property
    def head_schedule(self) -> Schedule:
        """The head's steps with the last use of each value."""
        return schedule(self.head, self.aliases, self.output_sources)

    def stages(self, stride: int) -> tuple[Stage, ...]:
        """Return the stages of the body for a block that begins at a stride, a multiple of one of the `strides`.

        It divides into phases between two of them.
        """
        return self._kept_stages(stride, frozenset())

    def stages_of_kernels(self, stride: int) -> tuple[Stage, ...]:
        """Return the same where kernels can be compiled: what they compute needs no phases; see `undivided`."""
        return self._kept_stages(stride, self.undivided)

    @cached_property
    def undivided(self) -> frozenset[str]:
        """The steps that kernels compute, on windows that advance by any steps from mutation to mutation.

        Such a window is as wide as the widest of its phases, one position more than others. Starting the steps for
        each phase takes more time, as blocks that begin with neighbours have few rows.
        """
        fusion, two = planned_fusion(self, self.middle_windows), self.windows(replace(self.middle, count=2))
        return frozenset(
            step.node.name
            for step in self.body
            if step.operation is not None and step.operation.takes_any_advance
            if fusion[step.node.name] is not Fusion.NONE
            # The ranges of reversed positions advance the other way.
            if all(two[source].step >= 0 for name in step.node.inputs if (source := self.aliases[name]) in two)
        )

    def _kept_stages(self, stride: int, undivided: frozenset[str]) -> tuple[Stage, ...]:
        if (stride, undivided) not in self._stages:
            self._stages[stride, undivided] = tuple(self._divided(stride, undivided))
        return self._stages[stride, undivided]

    @cached_property
    def _stages(self) -> dict[tuple[int, frozenset[str]], tuple[Stage, ...]]:
        """The stages that were asked for: every block asks."""
        return {}

    def _divided(self, stride: int, undivided: frozenset[str]) -> Iterator[Stage]:
        rest, kept = self.body, self.live_across_blocks | self.output_sources
        for larger in dict.fromkeys(accumulate((stride, *self.strides), math.lcm)):
            steps, later = list[Step](), dict[str, Step]()
            for step in rest:
                name, reads_later = step.node.name, any(self.aliases[name] in later for name in step.node.inputs)
                if larger % self.min_strides[name] == 0 or (name in undivided and not reads_later):
                    steps.append(step)
                else:
                    later[name] = step
            rest = tuple(later.values())
            read_later = {self.aliases[name] for step in rest for name in step.node.inputs}
            if steps or larger == stride:
                yield Stage(larger, schedule(steps, self.aliases, kept | read_later))
            if not rest:
                return

    @property
    def _running(self) -> Iterator[Step]:
        """The steps that compute something of what is wanted."""
        for name, step in self.steps.items():
            if name in self.fields and step.alias_of == name and name != self.graph.input:
                yield step

    def reached(self, step: Step, windows: list[Window | None], block: Positions | int) -> Window:
        """Return the window of a step that runs by a rule, from those of its operands, in a block.

        Of a block whose positions may be nearer than a phase these are given, of another one their number.
        """
        assert step.operation is not None
        field = self.cuts.get(step.node.name)
        if isinstance(block, int):
            return reached_window(step.operation, windows, block, field)
        least = self.min_strides[step.node.name]
        times = math.lcm(least, block.stride) // block.stride
        return reached_window(step.operation, windows, block.count, field, block if times > 1 else None, times)

    def windows(self, positions: Positions, width: int = 1) -> dict[str, Window]:
        """Return the affected range of every windowed node under mutations of a width from these positions on."""
        windows = {self.graph.input: positions.window(width)}
        for name, step in self.steps.items():
            if step.operation is not None and step.alias_of == name and name in self.fields:
                inputs = [windows.get(self.aliases[operand]) for operand in step.node.inputs]
                windows[name] = reached_window(step.operation, inputs, positions.count, self.cuts.get(name))
        return windows

    def numbers_on(self, windows: Mapping[str, Window]) -> dict[str, int]:
        """Return node -> how many numbers it has on its window, for one mutation."""
        layouts = {name: self.steps[name].layout for name in windows}
        return {
            name: min(windows[name].width, layout.length) * layout.channels
            for name, layout in layouts.items()
            if layout is not None
        }


def reached_window(
    operation: Operation,
    windows: list[Window | None],
    count: int,
    field: range | None = None,
    near: Positions | None = None,
    times: int = 1,
) -> Window:
    """Return a node's window: the mutations' own ranges, or one range shared by all where that is no wider.

    Either is cut to a receptive field, if one is given. Of a block whose positions are `near`er than a phase, every
    `times`-th are a phase.
    """
    length = operation.layout.length
    if not operation.layout.positional:
        return Window(0, 0, 1)  # the stride of the plan does not account for nodes without positions
    steps = {window.step for window in windows if window is not None and window.width}
    if not steps:
        return Window(0, 0, 0)
    if near is not None:
        # Within a phase those that advance at all do so by as much.
        steps = {(step > 0) - (step < 0) for step in steps}
    if len(steps) > 1 or (near is not None and -1 in steps):
        near = None
        # Ranges that advance and ranges that are shared meet in one that is shared.
        windows = [
            window.shared(count, operand.layout.length) if window is not None and operand.layout is not None else None
            for window, operand in zip(windows, operation.operands, strict=True)
        ]
    natural = _of_phase(operation, windows, count) if near is None else _phase_by_phase(operation, windows, near, times)
    shared = natural.shared(count, length)
    if field is not None:
        natural, shared = natural.cut(count, field), shared.cut(1, field)
    return shared if shared.width <= natural.width else natural


def _of_phase(operation: Operation, windows: list[Window | None], count: int) -> Window:
    """Return the affected range of the output in a block of `count` mutations, whose ranges advance by constant steps.

    Raises
    ------
    RuntimeError
        Those of an operand advance by what is no whole number of the output's positions.
    """
    steps = [window.step for window in windows if window is not None and window.width]
    if count > 1 and any(step * operation.scale.numerator % operation.scale.denominator for step in steps):
        raise RuntimeError(
            f"the ranges that {operation.node.name} reads advance by {steps} positions, of which it makes "
            f"{operation.scale} each: mutations would not be told apart"
        )
    return operation.window_of_block(windows, count)


def _phase_by_phase(operation: Operation, windows: list[Window | None], block: Positions, times: int) -> Window:
    """Return the affected range of the output for every mutation of a block that holds several phases.

    Raises
    ------
    RuntimeError
        A range begins before that of an earlier mutation, as no operation's does that takes any advance.
    """
    given = [window for window in windows if window is not None]
    if operation.scale.denominator == 1 and len(given) == 1:
        return operation.window_of_block(windows, block.count)  # which only moves
    starts, stops = np.empty(block.count, np.int64), np.empty(block.count, np.int64)
    for members in block.phases(times):
        part = block.of(members, times)
        own = [window and window.of(members, times) for window in windows]
        if part.count == 1:
            own = [window and replace(window, step=0) for window in own]
        found = _of_phase(operation, own, part.count)
        index = members if isinstance(members, slice) else list(members)
        starts[index] = found.starts(part.count)
        stops[index] = starts[index] + found.width
    if (np.diff(starts) < 0).any():
        raise RuntimeError(f"the ranges of {operation.node.name} do not ascend from mutation to mutation")
    return Window.of_starts(starts, int((stops - starts).max()))


def make_plan(
    graph: Graph,
    layout: Layout,
    rules: Mapping[str, Rule] = MappingProxyType({}),
    specs: Mapping[str, OpSpec[Any]] = SPECS,
) -> Plan:
    """Decide for every node of a graph whose sequence input has this layout.

    `rules` are those of operations that belong to no family, by their kind; `specs` are those of all others, by op.

    A node with a rule runs on windows, however wide they are: measured on BPNet from 250 to 1000 letters, where windows
    hold every position, changing to the model's own operations was slower from any layer on.
    """
    return _Planner(graph, layout, rules, specs).plan()


class _Planner:
    """Decisions on the nodes of a graph."""

    def __init__(
        self, graph: Graph, layout: Layout, rules: Mapping[str, Rule], specs: Mapping[str, OpSpec[Any]]
    ) -> None:
        self.graph, self.rules, self.specs, self.reached = graph, rules, specs, graph.reached()
        self.reached_nodes = [node for name, node in graph.nodes.items() if name in self.reached - {graph.input}]
        self.operations: dict[str, Operation] = {}
        self.layouts: dict[str, Layout] = {graph.input: layout}
        self.reasons: dict[str, NoRuleError] = {}
        self.alias_of = {name: name for name in graph.nodes}
        for node in self.reached_nodes:
            try:
                operation = self._operation(node)
            except NoRuleError as error:
                self.reasons[node.name] = error
                continue
            self.operations[node.name], self.layouts[node.name] = operation, operation.layout
            if operation.is_alias:
                self.alias_of[node.name] = self.alias_of[node.inputs[0]]
        self.output_sources = [self.alias_of[name] for name in graph.outputs.values()]
        self.readers: dict[str, list[str]] = {name: [] for name in graph.nodes}
        """Node -> the nodes that read its tensors, once for each reading."""
        for name, node in graph.nodes.items():
            if self.alias_of[name] == name:
                for operand in node.inputs:
                    self.readers[self.alias_of[operand]].append(name)

    def plan(self) -> Plan:
        """Return the plan."""
        self._fold_batch_norms()
        head, layout = self._head(), self.layouts[self.graph.input]
        steps = {}
        for name, node in self.graph.nodes.items():
            source = self.alias_of[name]
            steps[name] = Step(
                node,
                self._mode(name),
                reason=str(self.reasons.get(name, "")),
                remedy=self.reasons[name].remedy if name in self.reasons else "",
                operation=self.operations.get(name),
                layout=self.layouts.get(name),
                alias_of=source,
                preferred_form=self._preferred_form(source),
                is_head=name in head,
                readers=len(self.readers[source]) + self.output_sources.count(name),
            )
        min_strides = MappingProxyType(self._min_strides())
        lengths = {output: steps[name].layout for output, name in self.graph.outputs.items()}
        wanted = {output: range(1 if known is None else known.length) for output, known in lengths.items()}
        return Plan(
            self.graph, MappingProxyType(steps), layout.length, layout.channels, min_strides, MappingProxyType(wanted)
        )

    def _operation(self, node: Node) -> Operation:
        operands = [Operand(i, self.layouts.get(i), i in self.reached, self.graph.nodes[i]) for i in node.inputs]
        for operand in operands:
            if operand.name in self.reasons:
                raise NoRuleError(f"it follows {operand.node.layer!r}, which runs in full")
        if node.shape is not None and 0 in node.shape:
            raise NoRuleError("it holds no numbers")
        rule = self.rules.get(node.kind) if node.is_opaque else self.specs[node.op].rule
        if rule is None:
            raise why_full(node, operands)
        return rule(node, operands)

    def _mode(self, name: str) -> Mode:
        if name == self.graph.input:
            return "windowed"
        if name not in self.reached:
            return "constant"
        if name in self.reasons:
            return "full"
        return "windowed" if self.layouts[name].positional else "global"

    def _fold_batch_norms(self) -> None:
        """Fold each batch norm into the linear map before it, where nothing else reads that map."""
        for operation in self.operations.values():
            if not isinstance(operation, Affine):
                continue
            before = self.alias_of[operation.node.inputs[0]]
            linear = self.operations.get(before)
            if linear is not None and len(self.readers[before]) == 1 and before not in self.output_sources:
                operation.absorbed = linear.scale_outputs(operation.scale_by)

    def _preferred_form(self, source: str) -> Form:
        """Return the form that a node's readers prefer: values if all of them do."""
        operations = [self.operations.get(reader) for reader in self.readers[source]]
        values = [operation is not None and self._reads_values(operation) for operation in operations]
        return "value" if values and all(values) else "delta"

    def _reads_values(self, operation: Operation) -> bool:
        """Whether an operation prefers values; one that reads either form passes on what its own readers prefer."""
        reads_either = isinstance(operation, Affine) and not operation.absorbed
        if reads_either and self._preferred_form(operation.node.name) == "value":
            return True
        return operation.preferred_form == "value"

    def _head(self) -> set[str]:
        """Return the nodes of the head: those without positions, and all that depend on them.

        There is no head where a branch without positions joins one with positions again.
        """
        head: set[str] = set()
        for node in self.reached_nodes:
            inputs = [name for name in node.inputs if name in self.reached]
            operation = self.operations.get(node.name)
            merges = isinstance(operation, MergingOperation)
            is_global = {name: self._mode(name) == "global" for name in (node.name, *inputs)}
            if operation is not None and operation.is_alias:
                if self.alias_of[node.name] in head:
                    head.add(node.name)
            elif merges or any(i in head for i in inputs) or all(is_global.values()):
                joins = any(i not in head and not is_global[i] for i in inputs)
                if not merges and (joins or not is_global[node.name]):
                    return set()
                head.add(node.name)
        return head

    def _min_strides(self) -> dict[str, int]:
        """Return the `min_strides` of a plan."""
        scales: dict[str, Fraction] = {self.graph.input: Fraction(1)}
        min_strides: dict[str, int] = {}
        for name, node in self.graph.nodes.items():
            operation = self.operations.get(name)
            min_strides[name] = math.lcm(*(min_strides[operand] for operand in node.inputs))
            inputs = [scales[operand] for operand in node.inputs if operand in scales]
            if operation is not None and inputs and operation.layout.positional:
                scales[name] = max(inputs) * operation.scale
                min_strides[name] = math.lcm(min_strides[name], scales[name].denominator)
        return min_strides
