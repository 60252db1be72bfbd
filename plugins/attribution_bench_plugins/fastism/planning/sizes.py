"""Sizes of what runs at once: sequences of a group, mutations of a block, parts of the head, workers, and memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from attribution_bench_plugins.fastism.graph.layout import elements
from attribution_bench_plugins.fastism.planning.cost import LaunchCounts
from attribution_bench_plugins.fastism.planning.fusion import materialized_nodes
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.window import Positions, Window


@dataclass(frozen=True)
class SizePolicy:
    """Constants that size the work of one kind of device; `CPU` and `ACCELERATOR` are the two instances.

    Those called measured were chosen on one two-core CPU by the time of whole runs, when the code that they size was
    written; the history of the repository holds no record of the single figures. The others are estimates.
    """

    block_bytes: int
    """Bytes of the largest tensor of a block. A CPU: 12 MiB, which stay in its shared cache; measured, as 4 and 8 MiB
    were before kernels ran in chains. An accelerator: 2 GiB, since it waits for every operation to be started; an
    estimate."""
    full_bytes: int
    """The same in bytes for a node that runs in full, whose cost is in the model's own operations: 32 MiB; an
    estimate."""
    least_rows: int
    """Mutated sequences that a block holds at least, budget allowing, however large its tensors: 16. Products with
    fewer rows wait for their weights; measured, as 32 were before kernels ran in chains."""
    least_blocks: int | None
    """Blocks of positions that a sequence is divided into at least where tensors between kernels stay in a core's cache
    and need not fit `block_bytes`: 32, since windows are cut to the sequence for all positions of a block; measured.
    None where no kernels run: every tensor is to fit."""
    enough_rows: int
    """Mutated sequences of a block from which on starting its operations costs little, so that its positions need not
    be nearer than a phase. A CPU: 96; measured. An accelerator: 4096; an estimate."""
    blocks_per_worker: int
    """Blocks that each worker has at least, so that all end at about the same time: 4; an estimate."""
    split_bytes: int
    """Bytes of the largest tensor of a block from which on two blocks half as large, side by side, take less time:
    1 MiB; measured."""
    head_bytes: int | None
    """Bytes of the largest tensor of a part of the head, which stays in a CPU's shared cache from one step to the next:
    4 MiB; measured. None on an accelerator, which runs the head for all mutations of a group at once."""
    least_head_rows: int
    """Mutated sequences that a part of the head holds at least: 512. Products with fewer rows wait for their weights;
    an estimate."""
    most_workers: int
    """Blocks that run side by side at most. A CPU: 8, beyond which workers wait for Python's lock, and further cores go
    to the operations of each; an estimate. An accelerator: 1."""
    largest_default_budget: int | None
    """Bytes of the memory budget at most where the caller gives none. A CPU: 4 GiB, of memory that other programs need,
    too. None for no limit, on an accelerator."""
    default_budget_share: int = 4
    """The default budget is this part of the free memory: a quarter; an estimate."""
    block_budget_share: int = 8
    """The largest tensors of the blocks of all workers take this part of the budget at most: an eighth, as some further
    tensors live beside each; an estimate, which tests of the peak memory hold to."""
    group_budget_share: int = 2
    """What the sequences of a group keep, `bytes_per_sequence` each, takes this part of the budget at most: one half,
    the other is for blocks; an estimate, which tests of the peak memory hold to."""

    def default_budget(self, free: int) -> int:
        """Return the memory budget, in bytes, of a device with so many free bytes."""
        share = free // self.default_budget_share
        return share if self.largest_default_budget is None else min(self.largest_default_budget, share)


CPU = SizePolicy(
    block_bytes=12 * 2**20,
    full_bytes=32 * 2**20,
    least_rows=16,
    least_blocks=32,
    enough_rows=96,
    blocks_per_worker=4,
    split_bytes=2**20,
    head_bytes=4 * 2**20,
    least_head_rows=512,
    most_workers=8,
    largest_default_budget=4 * 2**30,
)
ACCELERATOR = replace(
    CPU,
    block_bytes=2 * 2**30,
    least_blocks=None,
    enough_rows=2**12,
    head_bytes=None,
    most_workers=1,
    largest_default_budget=None,
)


def size_policy(kind: str) -> SizePolicy:
    """Return the constants of a kind of device; see `devices`."""
    return CPU if kind == "cpu" else ACCELERATOR


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a device's memory, those that PyTorch holds in reserve included."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return int(psutil.virtual_memory().available)


@dataclass(frozen=True)
class Sizes:
    """How much of a saturation runs at once."""

    sequences: int
    """Sequences of a group."""
    positions: int
    """Mutated positions of a block, of all its sequences together."""

    def halved(self) -> "Sizes":
        """Return half as many of either."""
        return Sizes(max(1, self.sequences // 2), max(1, self.positions // 2))


def choose_sizes(plan: Plan, itemsize: int, alternatives: int, policy: SizePolicy, budget: int) -> Sizes:
    """Return how many sequences make a group, and how many mutated positions a block.

    Parameters
    ----------
    itemsize
        Bytes of one number.
    alternatives
        Mutations of one position.
    budget
        Bytes that the engine may use.
    """
    positions = positions_at_once(plan, itemsize, alternatives, policy, budget)
    phase = -(-plan.length // plan.stride)
    kept = bytes_per_sequence(plan, itemsize, alternatives)
    sequences = max(1, min(positions // phase, budget // policy.group_budget_share // kept))
    return Sizes(sequences, positions)


def positions_at_once(
    plan: Plan, itemsize: int, alternatives: int, policy: SizePolicy, budget: int, width: int = 1
) -> int:
    """Return how many positions, mutated over a width in each of their alternatives, make a block."""
    windows = plan.middle_windows if width == 1 else plan.windows(plan.middle, width)
    size = itemsize * alternatives
    windowed, entire = size * widest(plan, windows, plan.steps), size * largest_full(plan)
    most = max(1, budget // (policy.block_budget_share * workers_for(plan, policy)) // windowed)
    positions = max(policy.block_bytes // windowed, -(-policy.least_rows // alternatives))
    if policy.least_blocks is not None:
        # Tensors that stay between kernels need not fit.
        kept = size * widest(plan, windows, materialized_nodes(plan, windows))
        positions = max(positions, min(policy.block_bytes // kept, plan.length // policy.least_blocks))
    positions = min(most, positions)
    if entire:
        fitting = min(policy.full_bytes, budget // policy.block_budget_share) // entire
        positions = min(positions, max(1, fitting))
    return positions


def workers_for(plan: Plan, policy: SizePolicy) -> int:
    """Return how many blocks run side by side: one where the model's own operations run, which may not be safe to."""
    if any(step.mode == "full" for step in plan.steps.values()):
        return 1
    return min(policy.most_workers, torch.get_num_threads())


def saturation_blocks(
    plan: Plan,
    policy: SizePolicy,
    sizes: Sizes,
    positions: Sequence[int],
    rows: tuple[int, int],
    itemsize: int,
    workers: int,
) -> list[Positions]:
    """Return the blocks of a group's mutated positions.

    They are a phase apart, or nearer where blocks of positions so far apart would have too few rows.

    Parameters
    ----------
    positions
        The positions to mutate, ascending.
    rows
        Mutated sequences of one position: (sequences of the group, alternatives).
    workers
        Blocks that run side by side.
    """
    count, alternatives = rows
    # Every worker has a block, where the positions are worth several.
    windowed = itemsize * alternatives * widest(plan, plan.middle_windows, plan.steps)
    worth = windowed * len(positions) * count // policy.split_bytes
    fair = -(-len(positions) // max(1, min(workers, worth)))
    most = min(max(1, sizes.positions // count), fair)
    blocks = list(phases(positions, plan.stride, most))
    for stride in plan.strides[-2::-1]:
        if count * len(positions) * alternatives >= policy.enough_rows * len(blocks):
            break
        larger = list(phases(positions, stride, most))
        if policy.blocks_per_worker * workers <= len(larger) < len(blocks):
            blocks = larger
    return blocks


def head_positions(
    plan: Plan, policy: SizePolicy, positions: int, rows: tuple[int, int], itemsize: int, workers: int
) -> int:
    """Return for how many of some positions the head runs at once; `rows` as for `saturation_blocks`."""
    if policy.head_bytes is None:
        return max(1, positions)
    count, alternatives = rows
    row = count * alternatives
    channels = max((step.layout.channels for step in plan.head if step.layout is not None), default=1)
    fitting = max(1, -(-policy.least_head_rows // row), policy.head_bytes // (channels * itemsize * row))
    # As many parts for every worker.
    parts = -(-positions // (fitting * workers)) * workers if positions > fitting else 1
    return -(-positions // parts) if positions else 1


def phases(positions: Sequence[int], stride: int, most: int) -> Iterator[Positions]:
    """Yield blocks of positions one stride apart, at most `most` in each, that together are all of `positions`."""
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


def launch_counts(plan: Plan, sizes: Sizes, count: int, positions: Sequence[int], alternatives: int) -> LaunchCounts:
    """Return in how many pieces the mutations at some positions of `count` sequences run."""
    groups = -(-count // sizes.sequences)
    blocks = sum(1 for _ in phases(positions, plan.stride, max(1, sizes.positions // min(count, sizes.sequences))))
    return LaunchCounts(count * len(positions) * alternatives, groups * blocks, groups)


def fewest_launches(plan: Plan, count: int, positions: NDArray[np.int64], alternatives: int) -> LaunchCounts:
    """Return the least pieces in which such mutations run, however large blocks and groups are; costs no time."""
    every = len(positions) == plan.length
    blocks = min(plan.stride, plan.length) if every else len(np.unique(positions % plan.stride))
    return LaunchCounts(count * len(positions) * alternatives, blocks, 1)


def widest(plan: Plan, windows: Mapping[str, Window], names: Iterable[str]) -> int:
    """Return how many numbers the largest of some windowed nodes has for one mutation."""
    largest = 1
    for name in names:
        window, layout = windows.get(name), plan.steps[name].layout
        if window is not None and layout is not None:
            largest = max(largest, min(window.width, layout.length) * layout.channels)
    return largest


def largest_full(plan: Plan) -> int:
    """Return how many numbers the largest node that runs in full has; 0 where none does."""
    shapes = [step.node.shape for step in plan.steps.values() if step.mode == "full"]
    return max((elements(shape) for shape in shapes if shape is not None), default=0)


def bytes_per_sequence(plan: Plan, itemsize: int, alternatives: int) -> int:
    """Return the bytes that a sequence keeps while its mutations run, besides those of a block.

    Every unmutated activation twice, as the model gives it and in the engine's order; and twice for each of its
    mutations, `alternatives` of them at every position, the activations that the head reads, which puts them together,
    and the largest that the head makes of them.
    """
    numbers = 2 * sum(elements(node.shape) for node in plan.graph.nodes.values() if node.shape is not None)
    windows = plan.middle_windows
    for name in plan.live_across_blocks:
        layout = plan.steps[name].layout
        if layout is not None:
            numbers += 2 * min(windows[name].width, layout.length) * layout.channels * alternatives * plan.length
    head = [step.layout.channels for step in plan.head if step.layout is not None]
    numbers += 2 * max(head, default=0) * alternatives * plan.length
    return max(1, numbers * itemsize)
