"""The run of a group of sequences: a walk over the plan for each block of mutations, then the head for all blocks."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter, Emission, Observer
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.kernels.compiling import can_compile
from attribution_bench_plugins.fastism.ops.base import MergingOperation
from attribution_bench_plugins.fastism.planning.plan import Plan, Stage
from attribution_bench_plugins.fastism.planning.sizes import Sizer
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import Windowed


@dataclass(frozen=True)
class BlockActivations:
    """Activations of a block that the head reads."""

    positions: Positions
    windowed: Mapping[str, Windowed]

    def between(self, low: int, stop: int) -> "BlockActivations | None":
        """Return the part of the positions in a range; None where the block has none there."""
        members = self.positions.between(low, stop)
        if members.start == members.stop:
            return None
        windowed = {name: activation.of(members) for name, activation in self.windowed.items()}
        return BlockActivations(self.positions.of(members), windowed)


Lost = tuple[Sequence[int], torch.Tensor]
"""Mutated positions, and (sequences, positions, alternatives) whether a number of the mutation was lost."""


@dataclass(frozen=True, eq=False)
class GroupRun:
    """The mutations of one group of sequences, with what their blocks share."""

    sizer: Sizer
    unmutated: UnmutatedActivations
    workers: Workers
    observer: Observer | None = None
    """Watches every step, one at a time: there must be one worker then."""
    lost: list[Lost] = field(default_factory=list)
    """The mutations so far of which a step that may hide NaN has read any."""

    @property
    def plan(self) -> Plan:
        """The plan of the model."""
        return self.unmutated.plan

    def run(
        self,
        blocks: Iterable[Positions],
        alternatives: int,
        mutated: Callable[[Positions], Windowed],
        progress: Callable[[int], None],
    ) -> Iterator[Emission]:
        """Run blocks of mutations, then the head.

        Parameters
        ----------
        alternatives
            Mutations of each position of a sequence.
        mutated
            Returns the mutated input of a block.
        progress
            Called with the number of positions done in each block.
        """
        activations = list[BlockActivations]()

        def run_body(block: Positions) -> list[tuple[list[Emission], BlockActivations]]:
            given = {self.plan.graph.input: mutated(block)}
            interpreter = BlockInterpreter(self.unmutated, block.count, alternatives, given, self.observer, block)
            stages = self.plan.stages_of_kernels if self._runs_kernels else self.plan.stages
            return list(self._run_stages(interpreter, block, stages(block.stride)))

        for done in self.workers.in_order(run_body, blocks):
            for emissions, kept in done:
                yield from emissions
                activations.append(kept)
                progress(kept.positions.count)
        if self.plan.head:
            yield from self._run_head(activations, alternatives)

    @property
    def _runs_kernels(self) -> bool:
        return can_compile(self.unmutated.inputs[self.plan.graph.input])

    def _remember_lost(self, positions: Sequence[int], interpreter: BlockInterpreter) -> None:
        if interpreter.lost is not None:
            self.lost.append((positions, interpreter.lost))

    def _run_stages(
        self, interpreter: BlockInterpreter, block: Positions, stages: Sequence[Stage]
    ) -> Iterator[tuple[list[Emission], BlockActivations]]:
        """Run a stage of the body, then the further ones phase by phase; yields what each phase emits and keeps."""
        stage, *rest = stages
        interpreter.run(stage.schedule)
        self._remember_lost(block.indices, interpreter)
        windowed = interpreter.windowed
        if not rest:
            for name in self.plan.live_across_blocks:
                windowed[name].schedule()
            emissions = list(interpreter.outputs(block.indices, self.plan.body_outputs))
            for name in self.plan.live_across_blocks:
                windowed[name].materialize()
            kept = {name: windowed[name] for name in self.plan.live_across_blocks}
            yield emissions, BlockActivations(block, kept)
            return
        for activation in windowed.values():
            activation.materialize_before_phases()
        times = math.lcm(rest[0].stride, block.stride) // block.stride
        for members in block.phases(times):
            part = block.of(members, times)
            given = {name: activation.of(members, times) for name, activation in windowed.items()}
            phase = BlockInterpreter(self.unmutated, part.count, interpreter.alternatives, given, self.observer, part)
            yield from self._run_stages(phase, part, rest)

    def _run_head(self, blocks: Sequence[BlockActivations], alternatives: int) -> Iterator[Emission]:
        """Run the head on the activations of all blocks, one range of positions after the other.

        Neighbours are in one range, whatever their phase: they multiply the same rows of a dense layer.
        """
        positions = sorted({position for block in blocks for position in block.positions.indices})
        rows = self.unmutated.count, alternatives
        size = self.sizer.head_positions(len(positions), rows, self.workers.count)

        def run(part: list[int]) -> list[Emission]:
            found = [block.between(part[0], part[-1] + 1) for block in blocks]
            return self._run_part([block for block in found if block is not None], alternatives)

        for emissions in self.workers.in_order(run, [positions[i : i + size] for i in range(0, len(positions), size)]):
            yield from emissions

    def _run_part(self, blocks: Sequence[BlockActivations], alternatives: int) -> list[Emission]:
        plan = self.plan
        positions = [position for block in blocks for position in block.positions.indices]
        parts = {name: [block.windowed[name] for block in blocks] for name in plan.live_across_blocks}
        given = {}
        for name, activations in parts.items():
            layout = plan.steps[name].layout
            if layout is not None and not layout.positional:
                delta = torch.cat([activation.delta() for activation in activations], 1)
                given[name] = Windowed(self.unmutated, name, 1, Window(0, 0, 1), delta=delta, is_masked=True)
        interpreter = BlockInterpreter(self.unmutated, len(positions), alternatives, given, self.observer)
        for step in plan.head_schedule.steps:
            operation, last_uses = step.operation, plan.head_schedule.last_uses[step.node.name]
            source = plan.aliases[step.node.inputs[0]]
            # An activation of the head that has positions again is no part of a block.
            if isinstance(operation, MergingOperation) and source in parts:
                interpreter.run_merged(step, operation, parts[source], last_uses)
            else:
                interpreter.run_step(step, last_uses)
        self._remember_lost(positions, interpreter)
        return list(interpreter.outputs(positions, plan.head_outputs))
