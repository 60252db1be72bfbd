"""The head: the steps after the position axis is gone, which run for the mutations of every phase together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from attribution_bench_plugins.fastism.execution.group_run import GroupRun
from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter, Emission
from attribution_bench_plugins.fastism.ops.base import MergingOperation
from attribution_bench_plugins.fastism.planning.sizes import head_positions
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import Windowed


@dataclass(frozen=True)
class BlockActivations:
    """What a block leaves to the head."""

    block: Positions
    windowed: Mapping[str, Windowed]

    def between(self, low: int, stop: int) -> "BlockActivations | None":
        """Return what is left of its positions in a range; None where it has none there."""
        block = self.block
        first = max(0, -((block.start - low) // block.stride))
        last = min(block.count, -((block.start - stop) // block.stride))
        if first >= last:
            return None
        positions = Positions(block.start + first * block.stride, block.stride, last - first)
        return BlockActivations(positions, {name: _part(whole, first, last) for name, whole in self.windowed.items()})


def run_head(group: GroupRun, left: Sequence[BlockActivations], alternatives: int) -> Iterator[Emission]:
    """Run the head on what all blocks left, one range of positions after the other.

    Neighbours are in one range, whatever their phase: they multiply the same rows of a dense layer.
    """
    plan, unmutated = group.plan, group.unmutated
    positions = sorted({position for what in left for position in what.block.indices})
    itemsize = unmutated.inputs[plan.graph.input].element_size()
    rows = unmutated.count, alternatives
    size = head_positions(plan, group.policy, len(positions), rows, itemsize, group.workers.count)
    parts = [positions[i : i + size] for i in range(0, len(positions), size)]

    def run(part: list[int]) -> list[Emission]:
        found = [what.between(part[0], part[-1] + 1) for what in left]
        return _run(group, [what for what in found if what is not None], alternatives)

    for emissions in group.workers.in_order(run, parts):
        yield from emissions


def _run(group: GroupRun, left: Sequence[BlockActivations], alternatives: int) -> list[Emission]:
    plan, unmutated = group.plan, group.unmutated
    positions = [position for what in left for position in what.block.indices]
    parts = {name: [what.windowed[name] for what in left] for name in plan.live_across_blocks}
    given = {}
    for name, vectors in parts.items():
        layout = plan.steps[name].layout
        assert layout is not None
        if not layout.positional:
            delta = torch.cat([vector.delta() for vector in vectors], 1)
            given[name] = Windowed(unmutated, name, 1, Window(0, 0, 1), delta=delta, is_masked=True)
    run = BlockInterpreter(plan, unmutated, len(positions), alternatives, given, group.observer)
    for step in plan.head_schedule.steps:
        operation, last_uses = step.operation, plan.head_schedule.last_uses[step.node.name]
        source = plan.aliases[step.node.inputs[0]]
        # A vector that has got positions again is no part of a block.
        if isinstance(operation, MergingOperation) and source in parts:
            run.run_merged(step, operation, parts[source], last_uses)
        else:
            run.run_step(step, last_uses)
    return list(run.outputs(positions, plan.head_outputs))


def _part(whole: Windowed, first: int, last: int) -> Windowed:
    """Return some mutations of a block."""
    window = Window(whole.window.at(first), whole.window.step, whole.window.width)
    delta = whole.delta()[:, first:last]
    return Windowed(whole.unmutated, whole.source, whole.length, window, delta=delta, is_masked=True)
