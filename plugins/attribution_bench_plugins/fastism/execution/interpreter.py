"""The interpreter of a plan, for one block of mutations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.kernels.program import KernelObserver
from attribution_bench_plugins.fastism.ops.base import MergingOperation, Operation
from attribution_bench_plugins.fastism.ops.lazy_window import Program
from attribution_bench_plugins.fastism.planning.liveness import Schedule, overwritable
from attribution_bench_plugins.fastism.planning.step import Step
from attribution_bench_plugins.fastism.values.window import Positions, Window, whole
from attribution_bench_plugins.fastism.values.windowed import Windowed, mask_outside, regrid


@dataclass(frozen=True)
class Emission:
    """Predictions of one output for some mutations of a group of sequences."""

    output: str
    positions: Sequence[int]
    """Mutated positions, in the order of the second axis."""
    values: Tensor
    """(sequences, positions, alternatives, *output)."""


class Observer(KernelObserver, Protocol):
    """What watches interpreters: it runs each step and each call of a kernel itself, and may time them.

    The results of lazy windows are computed by kernels that run within the step that reads their numbers.
    """

    def run_step(self, step: Step, run: Callable[[], None]) -> None:
        """Run a step of the plan for one block of mutations, or for the head."""


class BlockInterpreter:
    """Runs steps of the plan for one block of mutations, and holds what each node's activations are under them.

    It runs a schedule step by step: `run` takes the operands from ``windowed``, lets the operation compute the result
    on its affected range, and drops every value after its last use. Results may be lazy windows,
    which the block's `Program` materializes.
    """

    def __init__(
        self,
        unmutated: UnmutatedActivations,
        count: int,
        alternatives: int,
        windowed: Mapping[str, Windowed],
        observer: Observer | None = None,
        positions: Positions | None = None,
    ) -> None:
        """Begin with the activations of the nodes that no step of the schedule gives.

        Where the mutated positions may be nearer than a phase, they are given.
        """
        self.plan, self.unmutated, self.observer = unmutated.plan, unmutated, observer
        self.count, self.alternatives, self._block = count, alternatives, positions or count
        self.windowed = dict(windowed)
        self._computed = set(windowed)
        self.program = Program(unmutated.buffers, self.windowed, observer)
        self.native: dict[str, Any] = {}
        self.lost: Tensor | None = None
        """(sequences, positions, alternatives) Whether a step that may hide NaN has read any of a mutation, for which
        the model itself may have a number. None before there was such a step."""
        self._looked_at: set[str] = set()
        """Nodes of which any step has read for NaN."""

    @property
    def rows(self) -> int:
        """Mutated sequences in the block."""
        return self.unmutated.count * self.count * self.alternatives

    def constant(self, name: str, like: Node, layout: Layout, window: Window) -> Tensor:
        """Return an unreached operand as it is broadcast to `like`, on windows."""
        return self.unmutated.constant(name, like, layout, window, self.count)

    def run(self, schedule: Schedule) -> None:
        """Run the steps of a schedule in order."""
        for step in schedule.steps:
            self.run_step(step, schedule.last_uses[step.node.name])

    def run_step(self, step: Step, last_uses: frozenset[str]) -> None:
        """Run one step, and drop the values that nothing reads after it."""
        self._observed(step, partial(self._run, step, last_uses), last_uses)

    def run_merged(
        self, step: Step, operation: MergingOperation, parts: Sequence[Windowed], last_uses: frozenset[str]
    ) -> None:
        """Run one step of the head on its operand as several blocks give it."""
        self._observed(step, lambda: self._keep(step, operation.run_merged(parts, self)), last_uses)

    def _observed(self, step: Step, run: Callable[[], None], last_uses: frozenset[str]) -> None:
        if self.observer is None:
            run()
        else:
            self.observer.run_step(step, run)
        for name in last_uses:
            self.windowed.pop(name, None)
            self.native.pop(name, None)
        for name in step.node.inputs:
            if self.plan.aliases[name] in last_uses:
                self.native.pop(name, None)

    def _run(self, step: Step, last_uses: frozenset[str]) -> None:
        try:
            looks = step.node.name in self.unmutated.hiding_nan
            if step.operation is not None:
                if looks:
                    self._look_for_nan(step, Windowed.value)
                self._run_windowed(step, step.operation, last_uses)
            else:
                operands = [self.framework_value(name) for name in step.node.inputs]
                if looks:
                    self._look_for_nan(step, _held)
                self.native[step.node.name] = step.node.call(*operands)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            error.add_note(f"while fastISM ran {step.node.layer!r} ({step.node.op}, {step.mode})")
            raise

    def _look_for_nan(self, step: Step, read: Callable[[Windowed], Tensor]) -> None:
        """Remember the mutations of which a step reads NaN: the difference of two infinities is none of the model's."""
        for name in {self.plan.aliases[name] for name in step.node.inputs} - self._looked_at:
            operand = self.windowed.get(name)
            if operand is None or operand.window.width == 0:
                continue
            numbers = read(operand)
            if numbers.is_floating_point() or numbers.is_complex():
                # A sum is NaN where any of its terms is, and reads each once.
                sums = numbers.sum(4, keepdim=True)
                mask_outside(sums, operand.window, operand.length)
                total = sums.sum((3, 4))
                # An infinite delta may be that to an infinite number: its value is NaN.
                lost = total.isnan() if operand.holds_value else ~total.isfinite()
                self.lost = lost if self.lost is None else self.lost | lost
            self._looked_at.add(name)

    def _keep(self, step: Step, result: Windowed) -> None:
        """Keep a step's result for its readers; where there are several, nothing is fused into it."""
        if step.readers > 1:
            result.schedule()
        self.windowed[step.node.name] = result
        self._computed.add(step.node.name)

    def _run_windowed(self, step: Step, operation: Operation, last_uses: frozenset[str]) -> None:
        for name in overwritable(step, self.plan.aliases, last_uses):
            if name in self.windowed:
                self.windowed[name].give_up(self.program)
        operands = [self.windowed.get(self.plan.aliases[name]) for name in step.node.inputs]
        windows = [operand.window if operand is not None else None for operand in operands]
        window = self.plan.reached(step, windows, self._block)
        if not operation.layout.positional and operation.scale.denominator > 1:
            operands = [operand and operand.shared() for operand in operands]
        reached = [operand for operand in operands if operand is not None]
        if window.width == 0 or all(operand.window.width == 0 for operand in reached):
            # Nothing that it reads is computed where it reads padding alone; what was computed is not given up before.
            if not reached and not self._computed.isdisjoint(self.plan.aliases[name] for name in step.node.inputs):
                raise LookupError(f"what {step.node.name} reads was given up")
            like = reached[0].delta() if reached else self.unmutated.view(step.node.name, Window(0, 0, 1), 1)
            rows = self.unmutated.count, self.count, self.alternatives
            unchanged = like.new_zeros((*rows, window.width, operation.layout.channels))
            result = operation.give(self, window, delta=unchanged, is_masked=True)
        else:
            result = operation.run(operands, window, self, step.preferred_form)
        self._keep(step, self._on_window(operation, result, window))

    def _on_window(self, operation: Operation, result: Windowed, window: Window) -> Windowed:
        """Return a step's result, which nothing has read yet, on the window that was planned."""
        if result.window == window:
            return result
        result.give_up(self.program)
        if result.holds_value:
            return operation.give(self, window, value=result.take_value_on(window))
        delta = regrid(result.take_delta(), result.window, window)
        return operation.give(self, window, delta=delta, is_masked=True)

    def framework_value(self, name: str) -> Any:
        """Return a node's value at every position of every mutated sequence, as the model itself would have it."""
        if name in self.native:
            return self.native[name]
        step = self.plan.steps[name]
        node = step.node
        if step.mode in ("windowed", "global"):
            assert step.layout is not None
            assert node.shape is not None
            operand = self.windowed[step.alias_of]
            value = operand.value_on(whole(operand.length))
            value = value.expand(*operand.shape[:3], *value.shape[3:])
            self.native[name] = step.layout.to_framework(value.flatten(0, 2), node.shape)
        elif node.op == "batch_size":
            self.native[name] = self.rows
        elif name in self.plan.graph.extras:
            extra = self.unmutated.inputs[name]
            self.native[name] = extra.repeat_interleave(self.count * self.alternatives, 0)
        else:
            self.native[name] = node.call(*(self.framework_value(operand) for operand in node.inputs))
        return self.native[name]

    def outputs(self, positions: Sequence[int], names: Mapping[str, str]) -> Iterator[Emission]:
        """Yield some of the plan's outputs (output -> node), for the mutated positions of this block."""
        for name in names.values():
            operand = self.windowed.get(self.plan.aliases[name])
            if operand is not None and name not in self.native:
                operand.schedule_on(whole(operand.length))
        for output, name in names.items():
            value = self.framework_value(name)
            shape = (self.unmutated.count, self.count, self.alternatives, *value.shape[1:])
            yield Emission(output, positions, value.reshape(shape))


def _held(operand: Windowed) -> Tensor:
    """Return what an activation, which was read, is held as."""
    return operand.value() if operand.holds_value else operand.delta()
