"""One walk over the plan for each block of mutations."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.execution.head import BlockActivations, run_head
from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter, Emission
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import MOST_WORKERS, Workers
from attribution_bench_plugins.fastism.planning.fusion import materialized_nodes
from attribution_bench_plugins.fastism.planning.plan import (
    Plan,
    Stage,
    bytes_per_sequence,
    largest_whole,
    widest,
)
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed

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
        kept = size * widest(plan, windows, materialized_nodes(plan, windows))
        positions = max(positions, min(fast // kept, plan.length // LEAST_BLOCKS))
    positions = min(most, positions)
    if entire:
        positions = min(positions, max(1, min(WHOLE_BYTES, budget // 8) // entire))
    return positions


def workers_for(plan: Plan, device: str) -> int:
    """Return how many blocks run side by side: one where the model's own operations run, which may not be safe to."""
    if device != "cpu" or any(step.mode == "full" for step in plan.steps.values()):
        return 1
    return min(MOST_WORKERS, torch.get_num_threads())


def mutate(
    plan: Plan,
    unmutated: UnmutatedActivations,
    ref: Tensor,
    alt: Tensor,
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
        return MutatedInput(unmutated, plan.graph.input, plan.length, window, ref[:, at], alt[:, at], plan.letters)

    alternatives = alt.shape[2]
    most = min(
        max(1, block_positions // unmutated.count),
        _fair_share(plan, unmutated, len(positions), alternatives, workers.count),
    )
    blocks = _blocks(plan, unmutated, positions, alternatives, most, workers.count)
    yield from walk(plan, unmutated, blocks, alternatives, letters, progress, workers)


def _fair_share(plan: Plan, unmutated: UnmutatedActivations, positions: int, alternatives: int, workers: int) -> int:
    """Return how many positions a block has at most, that every worker has one, where they are worth several."""
    itemsize = unmutated.inputs[plan.graph.input].element_size()
    windowed = itemsize * alternatives * widest(plan, plan.middle_windows, plan.steps)
    worth = windowed * positions * unmutated.count // SPLIT_BYTES
    return -(-positions // max(1, min(workers, worth)))


def _blocks(
    plan: Plan, unmutated: UnmutatedActivations, positions: Sequence[int], alternatives: int, most: int, workers: int
) -> list[Positions]:
    """Return blocks whose positions are a phase apart, or nearer where they would have too few rows so far apart."""
    enough = ENOUGH_ROWS.get(unmutated.device, ACCELERATOR_ROWS)
    blocks = list(phases(positions, plan.stride, most))
    for stride in plan.strides[-2::-1]:
        if unmutated.count * len(positions) * alternatives >= enough * len(blocks):
            break
        larger = list(phases(positions, stride, most))
        if BLOCKS_EACH * workers <= len(larger) < len(blocks):
            blocks = larger
    return blocks


def walk(
    plan: Plan,
    unmutated: UnmutatedActivations,
    blocks: Iterable[Positions],
    alternatives: int,
    mutated: Callable[[Positions], Windowed],
    progress: Callable[[int], None],
    workers: Workers,
) -> Iterator[Emission]:
    """Run blocks of mutations, each of which `mutated` gives as the windowed input."""
    activations: list[BlockActivations] = []

    def run_body(block: Positions) -> list[tuple[list[Emission], BlockActivations]]:
        given = {plan.graph.input: mutated(block)}
        run = BlockInterpreter(plan, unmutated, block.count, alternatives, given)
        return list(_run_stages(run, block, plan.stages(block.stride)))

    for done in workers.in_order(run_body, blocks):
        for emissions, left in done:
            yield from emissions
            activations.append(left)
            progress(left.block.count)
    if plan.head:
        yield from run_head(plan, unmutated, activations, alternatives, workers)


def _run_stages(
    run: BlockInterpreter, block: Positions, stages: Sequence[Stage]
) -> Iterator[tuple[list[Emission], BlockActivations]]:
    """Run a stage of the body, then the further ones phase by phase; gives what each phase emits and leaves."""
    stage, *rest = stages
    run.run(stage.schedule)
    if not rest:
        yield _finished(run, block)
        return
    for windowed in run.windowed.values():
        windowed.materialize()
    times = rest[0].stride // block.stride
    for first in range(min(times, block.count)):
        part = block.phase(first, times)
        given = {name: windowed.phase(first, times) for name, windowed in run.windowed.items()}
        phase = BlockInterpreter(run.plan, run.unmutated, part.count, run.alternatives, given)
        yield from _run_stages(phase, part, rest)


def _finished(run: BlockInterpreter, block: Positions) -> tuple[list[Emission], BlockActivations]:
    """Return the outputs of a block whose steps have run, and the activations that the head reads."""
    plan = run.plan
    for name in plan.live_across_blocks:
        run.windowed[name].schedule()
    emissions = list(run.outputs(block.indices, plan.body_outputs))
    for name in plan.live_across_blocks:
        run.windowed[name].materialize()
    return emissions, BlockActivations(block, {name: run.windowed[name] for name in plan.live_across_blocks})


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
