"""Sizes of the work: sequences of a group, mutations of a block, parts of the head, workers, and memory."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.environment import free_host_memory
from attribution_bench_plugins.fastism.graph.layout import elements
from attribution_bench_plugins.fastism.planning.cost import LaunchCounts
from attribution_bench_plugins.fastism.planning.fusion import materialized_nodes
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.window import Positions


@dataclass(frozen=True)
class SizePolicy:
    """Constants that size the work of one kind of device; `CPU` and `ACCELERATOR` are the two instances.

    Those called measured were chosen on one two-core CPU by the time of complete runs, when the code that they size was
    written; the history of the repository holds no record of the single figures. The others are estimates.
    """

    block_bytes: int
    """Bytes of the largest tensor of a block. A CPU: 12 MiB, which stay in its shared cache; measured, as 4 and 8 MiB
    were before kernels ran in chains. An accelerator: 2 GiB, since starting operations takes most of its time; an
    estimate."""
    full_bytes: int
    """The same in bytes for a node that runs in full, whose cost is in the model's own operations: 32 MiB; an
    estimate."""
    least_rows: int
    """Mutated sequences that a block holds at least, budget allowing, however large its tensors: 16. Products with
    fewer rows are bound by reading their weights; measured, as 32 were before kernels ran in chains."""
    least_blocks: int | None
    """Blocks of positions that a sequence is divided into at least where tensors between kernels stay in a core's cache
    and need not fit `block_bytes`: 32, since windows are cut to the sequence for all positions of a block; an estimate.
    None where no kernels run: every tensor is to fit."""
    enough_rows: int
    """Mutated sequences of a block from which on starting its operations costs little, so that its positions need not
    be nearer than a phase. A CPU: 96; an estimate. An accelerator: 4096; an estimate."""
    blocks_per_worker: int
    """Blocks that each worker has at least, so that all end at about the same time: 4; an estimate."""
    split_bytes: int
    """Bytes of the largest tensor of a block from which on two blocks half as large, side by side, take less time:
    1 MiB; an estimate."""
    head_bytes: int | None
    """Bytes of the largest tensor of a part of the head, which stays in a CPU's shared cache from one step to the next:
    4 MiB; an estimate. None on an accelerator, which runs the head for all mutations of a group at once."""
    least_head_rows: int
    """Mutated sequences that a part of the head holds at least: 512. Products with fewer rows are bound by reading
    their weights; an estimate."""
    single_thread_macs: int
    """Multiply-accumulates at most of an unmutated pass that takes one thread where several blocks of each worker
    follow it: PyTorch's threads, once they have worked, keep a core busy as they wait for more, for some milliseconds
    in which the workers need it. A CPU: 4e8, about as long; an estimate. An accelerator: 0."""
    most_workers: int
    """Blocks that run side by side at most. A CPU: 8, beyond which workers block each other on Python's lock; further
    cores go to the operations of each; an estimate. An accelerator: 1."""
    largest_default_budget: int | None
    """Bytes of the memory budget at most where the caller gives none. A CPU: 4 GiB, of memory that other programs need,
    too. None for no limit, on an accelerator."""
    default_budget_share: int = 4
    """The default budget is this part of the free memory: a quarter; an estimate."""
    block_budget_share: int = 8
    """The largest tensors of the blocks of all workers take this part of the budget at most: an eighth, as some further
    tensors are live with each; an estimate, which tests of the peak memory hold to."""
    most_segments: int = 64
    """Parts that a sequence is divided into at most where its unmutated activations do not fit the budget: each costs
    an unmutated pass; an estimate."""
    group_budget_share: int = 2
    """What the sequences of a group keep, `bytes_per_sequence` each, takes this part of the budget at most: one half,
    the other is for blocks; an estimate, which tests of the peak memory hold to."""

    def default_budget(self, free: int) -> int:
        """Return the memory budget, in bytes, of a device with `free` bytes."""
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
    single_thread_macs=400_000_000,
    most_workers=8,
    largest_default_budget=4 * 2**30,
)
ACCELERATOR = replace(
    CPU,
    block_bytes=2 * 2**30,
    least_blocks=None,
    enough_rows=2**12,
    head_bytes=None,
    single_thread_macs=0,
    most_workers=1,
    largest_default_budget=None,
)


def size_policy(kind: str) -> SizePolicy:
    """Return the constants of a kind of device; see `devices`."""
    return CPU if kind == "cpu" else ACCELERATOR


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a device's memory, those that PyTorch holds in reserve included.

    Of the host's memory it is what this process may take, where a job runs several on the machine or ends those that
    take too much.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return free_host_memory()


@dataclass(frozen=True)
class Sizes:
    """Sizes of a saturation."""

    sequences: int
    """Sequences of a group."""
    positions: int
    """Mutated positions of a block, of all its sequences together."""
    alternatives: int
    """Alternatives of each position in a block: all of them where memory allows."""

    @property
    def are_smallest(self) -> bool:
        """Whether a block is one mutation."""
        return self == Sizes(1, 1, 1)

    def halved(self) -> "Sizes":
        """Return half as many sequences and positions; of one position of one sequence half as many alternatives."""
        if (self.sequences, self.positions) == (1, 1):
            return replace(self, alternatives=max(1, self.alternatives // 2))
        return replace(self, sequences=max(1, self.sequences // 2), positions=max(1, self.positions // 2))


@dataclass(frozen=True)
class Division:
    """How mutated positions are divided into blocks."""

    stride: int
    """Distances of the positions of a block are multiples of it."""
    most: int
    """Positions of a block at most."""
    blocks: int
    """Blocks of all the positions."""

    @classmethod
    def counted(cls, positions: Iterable[int], stride: int, most: int) -> "Division":
        """Count the blocks of some positions."""
        of_phases = Counter(position % stride for position in positions).values()
        return cls(stride, most, sum(-(-count // most) for count in of_phases))

    def of(self, positions: Sequence[int]) -> list[Positions]:
        """Return the blocks of the positions that were counted."""
        return list(phases(positions, self.stride, self.most))


@dataclass(frozen=True, eq=False)
class Sizer:
    """Sizes the work of one plan on one kind of device.

    `alternatives` are the mutations of one position throughout.
    """

    plan: Plan
    policy: SizePolicy
    itemsize: int
    """Bytes of one number."""
    budget: int
    """Bytes that the engine may use."""

    @property
    def stride(self) -> int:
        """The distance of mutations at which windows of every node of the body advance by whole positions."""
        return self.plan.stride

    @property
    def workers(self) -> int:
        """Blocks that run side by side: one where the model's own operations run, which may not be thread-safe."""
        if self.plan.full:
            return 1
        return min(self.policy.most_workers, torch.get_num_threads())

    def sizes(self, alternatives: int, most_sequences: int | None = None) -> Sizes:
        """Return how many sequences make a group, and how many mutated positions a block."""
        together = self.alternatives_at_once(alternatives)
        positions = self.positions_at_once(together)
        phase = -(-self.plan.length // self.plan.stride)
        sequences = max(1, min(positions // phase, self.sequences_at_once(alternatives)))
        return Sizes(min(sequences, most_sequences or sequences), positions, together)

    def alternatives_at_once(self, alternatives: int) -> int:
        """Return how many alternatives of a position run together: all, unless so many of one would not fit."""
        windowed = self.workers * _largest(self.plan.middle_numbers, self.plan.steps)
        each = self.itemsize * max(windowed, self._largest_full())
        return max(1, min(alternatives, self.budget // self.policy.block_budget_share // each))

    def positions_at_once(self, alternatives: int, width: int = 1) -> int:
        """Return how many positions, mutated over a width in each of their alternatives, make a block."""
        plan, policy, size = self.plan, self.policy, self.itemsize * alternatives
        windows = plan.middle_windows if width == 1 else plan.windows(plan.middle, width)
        numbers = plan.middle_numbers if width == 1 else plan.numbers_on(windows)
        windowed, full = size * _largest(numbers, plan.steps), size * self._largest_full()
        most = max(1, self.budget // (policy.block_budget_share * self.workers) // windowed)
        positions = max(policy.block_bytes // windowed, -(-policy.least_rows // alternatives))
        if policy.least_blocks is not None:
            # Tensors that stay between kernels need not fit.
            materialized = plan.middle_materialized if width == 1 else materialized_nodes(plan, windows)
            kept = size * _largest(numbers, materialized)
            positions = max(positions, min(policy.block_bytes // kept, plan.length // policy.least_blocks))
        positions = min(most, positions)
        if full:
            positions = min(positions, max(1, min(policy.full_bytes, self.budget // policy.block_budget_share) // full))
        return positions

    def sequences_at_once(self, alternatives: int) -> int:
        """Return how many sequences make a group by the bytes that they keep while their mutations run."""
        return max(1, self.budget // self.policy.group_budget_share // self.bytes_per_sequence(alternatives))

    def bytes_per_sequence(self, alternatives: int) -> int:
        """Return the bytes that a sequence keeps while its mutations run, besides those of a block.

        Every unmutated activation twice, as the model gives it and in the engine's order; and twice for each of its
        mutations, `alternatives` of them at every position, the activations that the head reads, which puts them
        together, and the largest that the head makes of them.
        """
        plan = self.plan
        head = max((step.layout.channels for step in plan.head if step.layout is not None), default=0)
        each = head + sum(_largest(plan.middle_numbers, [name]) for name in plan.live_across_blocks)
        return max(1, 2 * (plan.unmutated_numbers + each * alternatives * plan.length) * self.itemsize)

    @property
    def segment_letters(self) -> int | None:
        """Letters of a sequence whose mutations share what one unmutated pass keeps; None for all of them.

        Where every unmutated activation of one sequence takes more than its part of the budget, what is kept is cut
        to what mutations of some letters read: to as large a part of the sequence as fits, as an estimate.
        """
        whole = 2 * self.plan.unmutated_numbers * self.itemsize
        fitting = self.budget // self.policy.group_budget_share
        if whole <= fitting:
            return None
        return max(1, -(-self.plan.length // self.policy.most_segments), self.plan.length * fitting // whole)

    def blocks(self, sizes: Sizes, positions: Sequence[int], rows: tuple[int, int], workers: int) -> list[Positions]:
        """Return the blocks of a group's mutated positions in a saturation; see `division`."""
        return self.division(sizes.positions, positions, rows, workers).of(positions)

    def division(self, at_once: int, positions: Sequence[int], rows: tuple[int, int], workers: int) -> "Division":
        """Return how a group's mutated positions are divided into blocks.

        They are a phase apart, or nearer where blocks of a phase would have too few rows.

        Parameters
        ----------
        at_once
            Mutated positions of a block, of all sequences of the group together.
        positions
            The positions to mutate.
        rows
            Mutated sequences of one position: (sequences of the group, alternatives).
        workers
            Blocks that run side by side.
        """
        plan, policy, (count, alternatives) = self.plan, self.policy, rows
        # Every worker has a block, where the positions are worth several.
        windowed = self.itemsize * alternatives * _largest(plan.middle_numbers, plan.steps)
        worth = windowed * len(positions) * count // policy.split_bytes
        fair = -(-len(positions) // max(1, min(workers, worth)))
        most = min(max(1, at_once // count), fair)
        division = Division.counted(positions, plan.stride, most)
        for stride in plan.strides[-2::-1]:
            enough = count * len(positions) * alternatives >= policy.enough_rows * division.blocks
            if enough or division.blocks <= policy.blocks_per_worker * workers:
                break
            larger = Division.counted(positions, stride, most)
            if policy.blocks_per_worker * workers <= larger.blocks < division.blocks:
                division = larger
        return division

    def threads_of_pass(self, sequences: int, blocks: int, workers: int) -> int | None:
        """Return on how many of PyTorch's threads the unmutated pass of a group runs, before its blocks do.

        None is for as many as there are.
        """
        is_short = sequences * self.plan.unmutated_macs <= self.policy.single_thread_macs
        several = workers > 1 and blocks >= self.policy.blocks_per_worker * workers
        return 1 if is_short and several else None

    def head_positions(self, positions: int, rows: tuple[int, int], workers: int) -> int:
        """Return for how many of some positions the head runs at once; `rows` and `workers` as for `blocks`."""
        policy, row = self.policy, math.prod(rows)
        if policy.head_bytes is None or not positions:
            return max(1, positions)
        channels = max((step.layout.channels for step in self.plan.head if step.layout is not None), default=1)
        fitting = max(-(-policy.least_head_rows // row), policy.head_bytes // (channels * self.itemsize * row))
        # As many parts for every worker.
        parts = -(-positions // (fitting * workers)) * workers if positions > fitting else 1
        return -(-positions // parts)

    def _largest_full(self) -> int:
        """Return how many numbers the largest node that runs in full has; 0 where none does."""
        shapes = [step.node.shape for step in self.plan.full]
        return max((elements(shape) for shape in shapes if shape is not None), default=0)


def _largest(numbers: Mapping[str, int], names: Iterable[str]) -> int:
    """Return how many numbers the largest of some nodes has, 1 at least; those without a window have none."""
    return max((numbers.get(name, 0) for name in names), default=0) or 1


def phases(positions: Sequence[int], stride: int, most: int) -> Iterator[Positions]:
    """Yield blocks of at most `most` positions each; distances of those of a block are multiples of `stride`."""
    by_phase: dict[int, list[int]] = {}
    for position in sorted(positions):
        by_phase.setdefault(position % stride, []).append(position)
    for members in by_phase.values():
        for first in range(0, len(members), most):
            yield Positions.among(members[first : first + most], stride)


def launch_counts(plan: Plan, sizes: Sizes, count: int, positions: Sequence[int], alternatives: int) -> LaunchCounts:
    """Return the mutations, blocks and groups of a saturation of some positions of `count` sequences.

    Full passes instead of it are counted in batches of any size.
    """
    groups, asked = -(-count // sizes.sequences), count * len(positions) * alternatives
    reaching = [position for position in positions if position in plan.reaching]
    blocks = sum(1 for _ in phases(reaching, plan.stride, max(1, sizes.positions // min(count, sizes.sequences))))
    blocks *= -(-alternatives // sizes.alternatives)
    return LaunchCounts(asked, count * len(reaching) * alternatives, groups * blocks, groups)


def fewest_launches(
    plan: Plan, count: int, positions: NDArray[np.int64], alternatives: int, batch_size: int
) -> LaunchCounts:
    """Return `launch_counts` for blocks and groups of any size, and full passes in batches.

    For every position of a model it takes no time. The sequences as they are go before full passes of mutations.
    """
    asked, reach = count * len(positions) * alternatives, plan.reaching
    batches = -(-count // batch_size) - (-asked // batch_size)
    if len(positions) == plan.length:
        return LaunchCounts(asked, count * len(reach) * alternatives, min(plan.stride, len(reach)), 1, batches)
    reaching = positions[(positions >= reach.start) & (positions < reach.stop)].tolist()
    blocks = sum(1 for _ in phases(reaching, plan.stride, len(reaching)))
    return LaunchCounts(asked, count * len(reaching) * alternatives, blocks, 1, batches)
