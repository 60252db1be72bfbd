"""One walk over the plan for each block of mutations."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.deferral import written
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.ops.base import MergingOperation
from attribution_bench_plugins.fastism.ops.deferred import Program
from attribution_bench_plugins.fastism.plan import (
    Plan,
    Step,
    bytes_per_sequence,
    largest_whole,
    reached_window,
    widest,
)
from attribution_bench_plugins.fastism.references import ReferenceStore
from attribution_bench_plugins.fastism.values import Mutation, Windowed, regrid
from attribution_bench_plugins.fastism.window import Positions, Window, whole
from attribution_bench_plugins.fastism.workers import MOST_WORKERS, in_order

CACHE_BYTES = {"cpu": 12 * 2**20}
"""Size of the largest tensor of a block: on a CPU one that stays in the shared cache."""
ACCELERATOR_BYTES = 512 * 2**20
LEAST_ROWS = 16
"""Mutated sequences of a block, budget allowing, however large: products with fewer rows wait for their weights."""
LEAST_BLOCKS = 32
"""Blocks that a sequence is divided into at least: windows are cut to the sequence for all positions of a block."""
SPLIT_BYTES = 2**20
"""Size of the largest tensor of a block from which on two half as large, side by side, take less time."""
WHOLE_BYTES = 32 * 2**20
"""The same for nodes that run whole, whose cost is in the model's own operations."""


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


@dataclass(frozen=True)
class Sizes:
    """How much runs at once."""

    sequences: int
    positions: int

    def halved(self) -> "Sizes":
        """Return half as many sequences, or half as many positions of the last one."""
        if self.sequences > 1:
            return Sizes(self.sequences // 2, self.positions)
        return Sizes(1, max(1, self.positions // 2))


def choose_sizes(plan: Plan, itemsize: int, alternatives: int, device: str, budget: int) -> Sizes:
    """Return how many sequences and mutated positions make a block."""
    positions = positions_at_once(plan, itemsize, alternatives, device, budget)
    phase = -(-plan.length // plan.stride)
    kept = bytes_per_sequence(plan, itemsize, alternatives)
    sequences = max(1, min(positions // phase, budget // 2 // kept))
    return Sizes(sequences, min(positions, phase))


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
) -> Iterator[Emission]:
    """Run every single-letter mutation of a group of sequences.

    Parameters
    ----------
    there, instead
        (sequences, L) and (sequences, L, alternatives): indices of the letter that is there and of those instead.
    positions
        The positions to mutate, ascending.
    block_positions
        Mutated positions in one block.
    progress
        Called with the number of positions done in each block.
    """

    def letters(block: Positions) -> Windowed:
        index = torch.as_tensor(list(block.indices), device=there.device)
        window = Window(block.start, block.stride, 1)
        return Mutation(
            references, plan.graph.input, plan.length, window, there[:, index], instead[:, index], plan.letters
        )

    most = min(block_positions, _fair_share(plan, references, len(positions), instead.shape[2], instead.device))
    blocks = phases(positions, plan.stride, most)
    yield from walk(plan, references, blocks, instead.shape[2], letters, progress)


def _fair_share(plan: Plan, references: ReferenceStore, positions: int, alternatives: int, device: torch.device) -> int:
    """Return how many positions a block has at most, that every worker has one, where they are worth several."""
    itemsize = references.inputs[plan.graph.input].element_size()
    windowed = itemsize * alternatives * widest(plan, plan.middle_windows, plan.steps)
    worth = windowed * positions * references.count // SPLIT_BYTES
    return -(-positions // max(1, min(workers_for(plan, device.type), worth)))


def walk(
    plan: Plan,
    references: ReferenceStore,
    blocks: Iterable[Positions],
    alternatives: int,
    mutated: Callable[[Positions], Windowed],
    progress: Callable[[int], None],
) -> Iterator[Emission]:
    """Run blocks of mutations, each of which `mutated` gives as the windowed input."""
    early, late, frontier = plan.running(late=False), plan.running(late=True), plan.frontier()
    waiting: dict[str, list[Windowed]] = {name: [] for name in frontier}
    done: list[int] = []

    def run_early(block: Positions) -> tuple[Positions, list[Emission], dict[str, Windowed]]:
        run = BlockRun(plan, references, block.count, alternatives)
        mutation = mutated(block)
        mutation.uses = plan.steps[plan.graph.input].uses
        run.windowed[plan.graph.input] = mutation
        run.run(early)
        for name in frontier:
            run.windowed[name].settle()
        emissions = list(run.outputs(block.indices, late=False))
        for name in frontier:
            run.windowed[name].compute()
        return block, emissions, {name: run.windowed[name] for name in frontier}

    workers = workers_for(plan, references.device)
    for block, emissions, left in in_order(run_early, blocks, workers=workers):
        yield from emissions
        for name, operand in left.items():
            waiting[name].append(operand)
        done.extend(block.indices)
        progress(block.count)
    if late:
        yield from _run_late(plan, references, waiting, late, done, alternatives)


def _run_late(
    plan: Plan,
    references: ReferenceStore,
    waiting: dict[str, list[Windowed]],
    steps: Sequence[Step],
    positions: Sequence[int],
    alternatives: int,
) -> Iterator[Emission]:
    """Run the steps without positions for the mutations of every block together."""
    run = BlockRun(plan, references, len(positions), alternatives)
    for name, parts in waiting.items():
        layout = plan.steps[name].layout
        assert layout is not None
        if not layout.positional:
            delta = torch.cat([part.delta() for part in parts], 1)
            merged = Windowed(references, name, 1, Window(0, 0, 1), delta=delta, clean=True)
            merged.uses = plan.steps[name].uses
            run.windowed[name] = merged
    for step in steps:
        operation = step.operation
        source = plan.steps[step.node.inputs[0]].source
        if isinstance(operation, MergingOperation) and source in waiting:  # not where a vector got positions again
            result = operation.run_merged(waiting[source], run)
            result.uses = step.uses
            run.windowed[step.node.name] = result
        else:
            run.run([step])
    yield from run.outputs(positions, late=True)


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
