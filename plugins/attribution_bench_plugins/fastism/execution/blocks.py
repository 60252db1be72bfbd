"""One walk over the plan for each block of mutations."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.execution.head import Left, run_late
from attribution_bench_plugins.fastism.execution.interpreter import BlockRun, Emission
from attribution_bench_plugins.fastism.execution.unmutated import ReferenceStore
from attribution_bench_plugins.fastism.execution.workers import MOST_WORKERS, Workers
from attribution_bench_plugins.fastism.planning.fusion import written
from attribution_bench_plugins.fastism.planning.plan import (
    Plan,
    Step,
    bytes_per_sequence,
    largest_whole,
    widest,
)
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import Mutation, Windowed

CACHE_BYTES = {"cpu": 12 * 2**20}
"""Size of the largest tensor of a block: on a CPU one that stays in the shared cache."""
ACCELERATOR_BYTES = 2 * 2**30
"""The same on other devices, which wait for every operation to be started: budget allowing, few and large ones."""
LEAST_ROWS = 16
"""Mutated sequences of a block, budget allowing, however large: products with fewer rows wait for their weights."""
LEAST_BLOCKS = 32
"""Blocks that a sequence is divided into at least: windows are cut to the sequence for all positions of a block."""
ENOUGH_ROWS = {"cpu": 96}
"""Mutated sequences of a block from which on starting its operations costs little."""
ACCELERATOR_ROWS = 2**12
"""The same on other devices; an estimate."""
BLOCKS_EACH = 4
"""Blocks for each worker at least, that all end at about the same time."""
SPLIT_BYTES = 2**20
"""Size of the largest tensor of a block from which on two half as large, side by side, take less time."""
WHOLE_BYTES = 32 * 2**20
"""The same for nodes that run whole, whose cost is in the model's own operations."""


@dataclass(frozen=True)
class Sizes:
    """How much runs at once."""

    sequences: int
    """In a group."""
    positions: int
    """Mutated ones in a block, of all its sequences together."""

    def halved(self) -> "Sizes":
        """Return half as many of either."""
        return Sizes(max(1, self.sequences // 2), max(1, self.positions // 2))


def choose_sizes(plan: Plan, itemsize: int, alternatives: int, device: str, budget: int) -> Sizes:
    """Return how many sequences and mutated positions make a block."""
    positions = positions_at_once(plan, itemsize, alternatives, device, budget)
    phase = -(-plan.length // plan.stride)
    kept = bytes_per_sequence(plan, itemsize, alternatives)
    sequences = max(1, min(positions // phase, budget // 2 // kept))
    return Sizes(sequences, positions)


def positions_at_once(plan: Plan, itemsize: int, alternatives: int, device: str, budget: int, width: int = 1) -> int:
    """Return how many mutations of a width, with so many alternatives each, make a block."""
    windows = plan.middle_windows if width == 1 else plan.windows(plan.middle, width)
    size = itemsize * alternatives
    windowed, entire = size * widest(plan, windows, plan.steps), size * largest_whole(plan)
    most = max(1, budget // (8 * workers_for(plan, device)) // windowed)
    fast = CACHE_BYTES.get(device, ACCELERATOR_BYTES)
    positions = max(fast // windowed, -(-LEAST_ROWS // alternatives))
    if device == "cpu":
        # What stays between kernels need not fit.
        kept = size * widest(plan, windows, written(plan, windows))
        positions = max(positions, min(fast // kept, plan.length // LEAST_BLOCKS))
    positions = min(most, positions)
    if entire:
        positions = min(positions, max(1, min(WHOLE_BYTES, budget // 8) // entire))
    return positions


def workers_for(plan: Plan, device: str) -> int:
    """Return how many blocks run side by side: one where the model's own operations run, which may not be safe to."""
    if device != "cpu" or any(step.mode == "whole" for step in plan.steps.values()):
        return 1
    return min(MOST_WORKERS, torch.get_num_threads())


def mutate(
    plan: Plan,
    references: ReferenceStore,
    there: Tensor,
    instead: Tensor,
    positions: Sequence[int],
    block_positions: int,
    progress: Callable[[int], None],
    workers: Workers,
) -> Iterator[Emission]:
    """Run every single-letter mutation of a group of sequences.

    Parameters
    ----------
    there, instead
        (sequences, L) and (sequences, L, alternatives): indices of the letter that is there and of those instead.
    positions
        The positions to mutate, ascending.
    block_positions
        Mutated positions in one block, of all sequences together.
    progress
        Called with the number of positions done in each block.
    """

    def letters(block: Positions) -> Windowed:
        window, at = Window(block.start, block.stride, 1), block.slice
        return Mutation(references, plan.graph.input, plan.length, window, there[:, at], instead[:, at], plan.letters)

    alternatives = instead.shape[2]
    most = min(
        max(1, block_positions // references.count),
        _fair_share(plan, references, len(positions), alternatives, workers.count),
    )
    blocks = _blocks(plan, references, positions, alternatives, most, workers.count)
    yield from walk(plan, references, blocks, alternatives, letters, progress, workers)


def _fair_share(plan: Plan, references: ReferenceStore, positions: int, alternatives: int, workers: int) -> int:
    """Return how many positions a block has at most, that every worker has one, where they are worth several."""
    itemsize = references.inputs[plan.graph.input].element_size()
    windowed = itemsize * alternatives * widest(plan, plan.middle_windows, plan.steps)
    worth = windowed * positions * references.count // SPLIT_BYTES
    return -(-positions // max(1, min(workers, worth)))


def _blocks(
    plan: Plan, references: ReferenceStore, positions: Sequence[int], alternatives: int, most: int, workers: int
) -> list[Positions]:
    """Return blocks whose positions are a phase apart, or nearer where they would have too few rows so far apart."""
    enough = ENOUGH_ROWS.get(references.device, ACCELERATOR_ROWS)
    blocks = list(phases(positions, plan.stride, most))
    for stride in plan.strides[-2::-1]:
        if references.count * len(positions) * alternatives >= enough * len(blocks):
            break
        larger = list(phases(positions, stride, most))
        if BLOCKS_EACH * workers <= len(larger) < len(blocks):
            blocks = larger
    return blocks


def walk(
    plan: Plan,
    references: ReferenceStore,
    blocks: Iterable[Positions],
    alternatives: int,
    mutated: Callable[[Positions], Windowed],
    progress: Callable[[int], None],
    workers: Workers,
) -> Iterator[Emission]:
    """Run blocks of mutations, each of which `mutated` gives as the windowed input."""
    early = _Early(plan, references, alternatives, plan.frontier())
    early_steps, late_steps = plan.running(late=False), plan.running(late=True)
    left: list[Left] = []

    def run_early(block: Positions) -> list[tuple[list[Emission], Left]]:
        run = BlockRun(plan, references, block.count, alternatives)
        mutation = mutated(block)
        mutation.uses = plan.steps[plan.graph.input].uses
        run.windowed[plan.graph.input] = mutation
        return list(early.run(run, block, early_steps))

    for done in workers.in_order(run_early, blocks):
        for emissions, what in done:
            yield from emissions
            left.append(what)
            progress(what.block.count)
    if late_steps:
        yield from run_late(plan, references, left, alternatives, workers)


@dataclass(frozen=True)
class _Early:
    """The early steps of a group's blocks."""

    plan: Plan
    references: ReferenceStore
    alternatives: int
    frontier: frozenset[str]
    """What the late steps read."""

    def run(self, run: BlockRun, block: Positions, steps: Sequence[Step]) -> Iterator[tuple[list[Emission], Left]]:
        """Run the steps that positions so far apart allow, then the others phase by phase."""
        plan = self.plan
        run.run([step for step in steps if block.stride % plan.apart[step.node.name] == 0])
        rest = [step for step in steps if block.stride % plan.apart[step.node.name]]
        if not rest:
            yield self._finished(run, block)
            return
        read = {plan.steps[name].source for step in rest for name in step.node.inputs} | self._kept
        left = {name: windowed for name, windowed in run.windowed.items() if name in read}
        for windowed in left.values():
            windowed.compute()
        times = min(stride for stride in plan.strides if stride > block.stride) // block.stride
        for first in range(min(times, block.count)):
            part = block.phase(first, times)
            phase = BlockRun(plan, self.references, part.count, self.alternatives)
            phase.windowed = {name: windowed.phase(first, times) for name, windowed in left.items()}
            yield from self.run(phase, part, rest)

    @cached_property
    def _kept(self) -> frozenset[str]:
        outputs = {self.plan.steps[name].source for name in self.plan.graph.outputs.values()}
        return self.frontier | outputs

    def _finished(self, run: BlockRun, block: Positions) -> tuple[list[Emission], Left]:
        for name in self.frontier:
            run.windowed[name].settle()
        emissions = list(run.outputs(block.indices, late=False))
        for name in self.frontier:
            run.windowed[name].compute()
        return emissions, Left(block, {name: run.windowed[name] for name in self.frontier})


def phases(positions: Sequence[int], stride: int, most: int) -> Iterator[Positions]:
    """Yield blocks of positions one stride apart, at most so many in each, that together are all of `positions`."""
    wanted = sorted(positions)
    by_phase: dict[int, list[int]] = {}
    for position in wanted:
        by_phase.setdefault(position % stride, []).append(position)
    for members in by_phase.values():
        start = 0
        for i in range(1, len(members) + 1):
            if i == len(members) or members[i] != members[i - 1] + stride or i - start == most:
                yield Positions(members[start], stride, i - start)
                start = i
