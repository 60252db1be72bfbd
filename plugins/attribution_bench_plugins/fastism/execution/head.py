"""The steps that run for mutations of every phase together: from where no positions are left."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from attribution_bench_plugins.fastism.execution.interpreter import BlockRun, Emission
from attribution_bench_plugins.fastism.execution.unmutated import ReferenceStore
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.ops.base import MergingOperation
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import Windowed

LATE_BYTES = 4 * 2**20
"""Size of the largest tensor of a part, on a CPU: it stays in the shared cache from one step to the next."""
LEAST_LATE_ROWS = 512
"""Mutated sequences of a part at least: products with fewer rows wait for their weights."""


@dataclass(frozen=True)
class Left:
    """What a block leaves to the late steps."""

    block: Positions
    windowed: Mapping[str, Windowed]

    def between(self, low: int, stop: int) -> "Left | None":
        """Return what is left of its positions in a range; None where it has none there."""
        block = self.block
        first = max(0, -((block.start - low) // block.stride))
        last = min(block.count, -((block.start - stop) // block.stride))
        if first >= last:
            return None
        positions = Positions(block.start + first * block.stride, block.stride, last - first)
        return Left(positions, {name: _part(whole, first, last) for name, whole in self.windowed.items()})


def run_late(
    plan: Plan, references: ReferenceStore, left: Sequence[Left], alternatives: int, workers: Workers
) -> Iterator[Emission]:
    """Run the late steps on what all blocks left, for a range of positions after the other.

    Neighbours are in one range, whatever their phase: they reach the same rows of a dense layer.
    """
    positions = sorted({position for what in left for position in what.block.indices})
    size = _positions_at_once(plan, references, len(positions), alternatives, workers.count)
    parts = [positions[i : i + size] for i in range(0, len(positions), size)]

    def run(part: list[int]) -> list[Emission]:
        found = [what.between(part[0], part[-1] + 1) for what in left]
        return _run(plan, references, [what for what in found if what is not None], alternatives)

    for emissions in workers.in_order(run, parts):
        yield from emissions


def _positions_at_once(plan: Plan, references: ReferenceStore, positions: int, alternatives: int, workers: int) -> int:
    if references.device != "cpu":
        return max(1, positions)
    rows = references.count * alternatives
    channels = max((step.layout.channels for step in plan.running(late=True) if step.layout is not None), default=1)
    itemsize = references.inputs[plan.graph.input].element_size()
    fitting = max(1, -(-LEAST_LATE_ROWS // rows), LATE_BYTES // (channels * itemsize * rows))
    # As many parts for every worker.
    parts = -(-positions // (fitting * workers)) * workers if positions > fitting else 1
    return -(-positions // parts) if positions else 1


def _run(plan: Plan, references: ReferenceStore, left: Sequence[Left], alternatives: int) -> list[Emission]:
    positions = [position for what in left for position in what.block.indices]
    run = BlockRun(plan, references, len(positions), alternatives)
    waiting = {name: [what.windowed[name] for what in left] for name in plan.frontier()}
    for name, parts in waiting.items():
        layout = plan.steps[name].layout
        assert layout is not None
        if not layout.positional:
            delta = torch.cat([part.delta() for part in parts], 1)
            merged = Windowed(references, name, 1, Window(0, 0, 1), delta=delta, clean=True)
            merged.uses = plan.steps[name].uses
            run.windowed[name] = merged
    for step in plan.running(late=True):
        operation = step.operation
        source = plan.steps[step.node.inputs[0]].source
        if isinstance(operation, MergingOperation) and source in waiting:  # not where a vector got positions again
            result = operation.run_merged(waiting[source], run)
            result.uses = step.uses
            run.windowed[step.node.name] = result
        else:
            run.run([step])
    return list(run.outputs(positions, late=True))


def _part(whole: Windowed, first: int, last: int) -> Windowed:
    """Return some mutations of a block."""
    window = Window(whole.window.at(first), whole.window.step, whole.window.width)
    delta = whole.delta()[:, first:last]
    return Windowed(whole.references, whole.source, whole.length, window, delta=delta, clean=True, uses=whole.uses)
