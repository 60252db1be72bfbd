"""The state of one walk over the plan, for a block of mutations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.execution.unmutated import ReferenceStore
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.ops.lazy_window import Program
from attribution_bench_plugins.fastism.planning.plan import Plan, Step, reached_window
from attribution_bench_plugins.fastism.values.window import Window, whole
from attribution_bench_plugins.fastism.values.windowed import Windowed, regrid


@dataclass(frozen=True)
class Emission:
    """Predictions of one output for some mutations of a group of sequences."""

    output: str
    positions: Sequence[int]
    """Mutated positions, in the order of the second axis."""
    values: Tensor
    """(sequences, positions, alternatives, *output)."""


class BlockRun:
    """The state of one walk: which mutations, and what each node's activations are under them."""

    def __init__(self, plan: Plan, references: ReferenceStore, count: int, alternatives: int) -> None:
        self.plan, self.alternatives = plan, alternatives
        self.references, self.count = references, count
        self.program = Program(references.buffers)
        self.windowed: dict[str, Windowed] = {}
        self.native: dict[str, Any] = {}

    @property
    def rows(self) -> int:
        """Mutated sequences in the block."""
        return self.references.count * self.count * self.alternatives

    def constant(self, name: str, like: Node, layout: Layout, window: Window) -> Tensor:
        """Return an unreached operand as it is broadcast to `like`, on windows."""
        return self.references.constant(name, like, layout, window, self.count)

    def run(self, steps: Sequence[Step]) -> None:
        """Run steps in order."""
        for step in steps:
            try:
                if step.operation is not None:
                    self._run_windowed(step)
                else:
                    operands = [self.framework_value(name) for name in step.node.inputs]
                    self.native[step.node.name] = step.node.call(*operands)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                error.add_note(f"while fastISM ran {step.node.layer!r} ({step.node.op}, {step.mode})")
                raise
            self._release(step)

    def _run_windowed(self, step: Step) -> None:
        operation = step.operation
        assert operation is not None
        operands = [self.windowed.get(self.plan.steps[name].source) for name in step.node.inputs]
        windows = [operand.window if operand is not None else None for operand in operands]
        window = reached_window(operation, windows, self.count)
        if not operation.layout.positional and operation.scale.denominator > 1:
            operands = [operand and operand.shared() for operand in operands]
        reached = [operand for operand in operands if operand is not None]
        if window.width == 0 or all(operand.window.width == 0 for operand in reached):
            like = reached[0].delta()
            untouched = like.new_zeros((*like.shape[:3], window.width, operation.layout.channels))
            result = operation.give(self, window, delta=untouched, clean=True)
        else:
            result = operation.run(operands, window, self, step.form)
        if result.window != window and result.holds_value:
            result = operation.give(self, window, value=result.take_value_on(window))
        elif result.window != window:
            delta = regrid(result.take_delta(), result.window, window)
            result = operation.give(self, window, delta=delta, clean=True)
        result.uses = step.uses
        if step.uses > 1:
            result.settle()
        self.windowed[step.node.name] = result

    def _release(self, step: Step) -> None:
        """Drop what has no reader left: the step's operands, or what a deferred one has read now."""
        for name in step.node.inputs:
            operand = self.windowed.get(self.plan.steps[name].source)
            if operand is not None:
                operand.uses -= 1
        for name in [name for name, operand in self.windowed.items() if not operand.uses]:
            del self.windowed[name]

    def framework_value(self, name: str) -> Any:
        """Return a node's whole value for every mutated sequence, as the model itself would have it."""
        if name in self.native:
            return self.native[name]
        step = self.plan.steps[name]
        node = step.node
        if step.mode in ("windowed", "vector"):
            assert step.layout is not None
            assert node.shape is not None
            value = self._every_position(self.windowed[step.source])
            self.native[name] = step.layout.to_framework(value.flatten(0, 2), node.shape)
        elif node.op == "batch_size":
            self.native[name] = self.rows
        elif name in self.plan.graph.extras:
            extra = self.references.inputs[name]
            self.native[name] = extra.repeat_interleave(self.count * self.alternatives, 0)
        else:
            self.native[name] = node.call(*(self.framework_value(operand) for operand in node.inputs))
        return self.native[name]

    def _every_position(self, operand: Windowed) -> Tensor:
        value = operand.value_on(whole(operand.length))
        return value.expand(*operand.shape[:3], *value.shape[3:])

    def outputs(self, positions: Sequence[int], *, late: bool) -> Iterator[Emission]:
        """Yield the outputs that this walk has computed."""
        own = [
            (output, name)
            for output, name in self.plan.graph.outputs.items()
            if self.plan.steps[name].late is late and self.plan.steps[name].mode != "constant"
        ]
        for _, name in own:
            operand = self.windowed.get(self.plan.steps[name].source)
            if operand is not None and name not in self.native:
                operand.settle_on(whole(operand.length))
        for output, name in own:
            value = self.framework_value(name)
            shape = (self.references.count, self.count, self.alternatives, *value.shape[1:])
            yield Emission(output, positions, value.reshape(shape))
