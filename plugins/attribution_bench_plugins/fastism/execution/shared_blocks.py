"""Substitutions of a list that share blocks, chosen before anything runs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.planning.policy import Savings
from attribution_bench_plugins.fastism.planning.sizes import Division
from attribution_bench_plugins.fastism.values.window import Positions


class BlockSizes(Protocol):
    """What sizes blocks; `Sizer` is the one that the engine uses."""

    @property
    def stride(self) -> int:
        """Distance of the positions of a block, in letters, from stage to stage."""

    @property
    def workers(self) -> int:
        """Blocks that run side by side."""

    def positions_at_once(self, alternatives: int, width: int) -> int:
        """Return how many mutated positions, of all sequences together, a block may hold."""

    def division(self, at_once: int, positions: Sequence[int], rows: tuple[int, int], workers: int) -> Division:
        """Return how positions of some sequences are divided into blocks."""


@dataclass(frozen=True, eq=False)
class Sites:
    """Where a list of mutations substitutes letters; a mutation is called by its number in the list."""

    numbers: Mapping[tuple[int, int], Mapping[int, Sequence[int]]]
    """(width, position) -> sequence -> numbers of the substitutions there that can change what is selected."""
    unreached: Sequence[int]
    """Numbers of those that cannot."""

    @classmethod
    def of(cls, edits: Sequence[Edit], reaching: range) -> "Sites":
        """Return the sites of a list; what is selected depends on the `reaching` positions of a sequence."""
        numbers: dict[tuple[int, int], dict[int, list[int]]] = {}
        unreached, start, stop = [], reaching.start, reaching.stop
        for number, edit in enumerate(edits):
            width, position = edit.columns.shape[1], edit.position
            if width == edit.deleted and position < stop and start < position + width:
                numbers.setdefault((width, position), {}).setdefault(edit.sequence, []).append(number)
            elif width == edit.deleted:
                unreached.append(number)
        return cls(numbers, unreached)


@dataclass(frozen=True, eq=False)
class Batch:
    """Substitutions of one width at the same positions of several sequences, equally many at each."""

    width: int
    numbers: Mapping[int, NDArray[np.int64]]
    """Position -> numbers of the substitutions in their list, (sequences, alternatives)."""
    blocks: Sequence[Positions]

    @cached_property
    def every(self) -> NDArray[np.int64]:
        """(sequences, positions, alternatives) numbers of all."""
        return self.at(list(self.numbers))

    @property
    def alternatives(self) -> int:
        """Substitutions at one position of one sequence."""
        return int(self.every.shape[2])

    def at(self, positions: Sequence[int]) -> NDArray[np.int64]:
        """Return the numbers at some positions, (sequences, positions, alternatives)."""
        return np.stack([self.numbers[position] for position in positions], axis=1)


@dataclass(frozen=True, eq=False)
class Group:
    """Sequences with the substitutions that they share."""

    sequences: NDArray[np.int64]
    batches: Sequence[Batch]

    @property
    def rows_at_once(self) -> int:
        """Mutated sequences of its largest block."""
        largest = (batch.alternatives * max(block.count for block in batch.blocks) for batch in self.batches)
        return len(self.sequences) * max(largest)


@dataclass(frozen=True, eq=False)
class Grid:
    """Substitutions of one width at some positions, equally many at each."""

    width: int
    alternatives: int
    """Substitutions at one position of one sequence."""
    positions: Sequence[int]
    phases: int
    """Blocks of any size that they would make."""

    @property
    def mutations(self) -> int:
        """Substitutions of one sequence."""
        return len(self.positions) * self.alternatives


@dataclass(frozen=True, eq=False)
class Sharing:
    """Sequences that share sites, and what each of them has there."""

    sequences: Sequence[int]
    grids: Sequence[Grid]

    @property
    def mutations(self) -> int:
        """Substitutions of all sequences."""
        return len(self.sequences) * sum(grid.mutations for grid in self.grids)

    @property
    def blocks(self) -> int:
        """Blocks of any size that they would make, in one group."""
        return sum(grid.phases for grid in self.grids)

    def worthwhile(self, savings: Savings) -> "Sharing":
        """Return the part with the grids that save more than their blocks cost."""
        count = len(self.sequences)
        grids = [grid for grid in self.grids if savings.of(count * grid.mutations, grid.phases) > 0]
        return Sharing(self.sequences, grids)


def sharing(sites: Sites, stride: int) -> list[Sharing]:
    """Return which sequences share which of their sites; a sequence may be in several, a substitution is in one.

    Parameters
    ----------
    stride
        Distance of the positions of a block, in letters.
    """
    counted: dict[tuple[int, tuple[tuple[int, int], ...]], list[int]] = defaultdict(list)
    for (width, position), numbers in sites.numbers.items():
        counted[width, tuple(sorted([(sequence, len(own)) for sequence, own in numbers.items()]))].append(position)
    alike: dict[tuple[int, ...], dict[tuple[int, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for (width, counts), positions in counted.items():
        as_many = defaultdict(list)
        for sequence, count in counts:
            as_many[count].append(sequence)
        for count, sequences in as_many.items():
            alike[tuple(sequences)][width, count] += positions
    return [
        Sharing(
            sequences,
            [
                Grid(width, count, positions, len({position % stride for position in positions}))
                for (width, count), positions in grids.items()
            ],
        )
        for sequences, grids in alike.items()
    ]


def worthwhile(found: Sequence[Sharing], savings: Savings) -> list[Sharing]:
    """Return what is cheaper in shared blocks than by full passes.

    Every block has a cost however few substitutions it holds, and so has each group. The unmutated pass of a sequence
    is needed in any case, but only once.
    """
    grouped: set[int] = set()
    chosen = []
    for part in (each.worthwhile(savings) for each in found):
        again = len(grouped.intersection(part.sequences))
        if savings.of(part.mutations, part.blocks, 1, again) > 0:
            grouped.update(part.sequences)
            chosen.append(part)
    return chosen


def shared_blocks(
    sites: Sites, chosen: Iterable[Sharing], sizes: BlockSizes, sequences_at_once: int, rows_at_once: int | None = None
) -> Iterator[Group]:
    """Yield the groups, with blocks of limited size, that some sequences and their sites make.

    Parameters
    ----------
    sequences_at_once
        Sequences that a group may hold.
    rows_at_once
        Mutated sequences that a block may hold, where these are fewer than its size allows.
    """

    def positions_at_once(alternatives: int, width: int) -> int:
        fitting = sizes.positions_at_once(alternatives, width)
        return fitting if rows_at_once is None else max(1, min(fitting, rows_at_once // alternatives))

    for each in chosen:
        together, sized = min(sequences_at_once, len(each.sequences)), []
        for grid in each.grids:
            at_a_time = min(grid.alternatives, positions_at_once(1, grid.width))
            for first in range(0, grid.alternatives, at_a_time):
                part = slice(first, min(first + at_a_time, grid.alternatives))
                most = positions_at_once(part.stop - first, grid.width)
                sized.append((grid, part, most))
                phase = max(Counter(position % sizes.stride for position in grid.positions).values())
                together = max(1, min(together, most // min(most, phase)))
        for start in range(0, len(each.sequences), together):
            sequences = each.sequences[start : start + together]
            batches = [_batch(grid, part, most, sites, sequences, sizes) for grid, part, most in sized]
            yield Group(np.array(sequences), batches)


def _batch(grid: Grid, part: slice, most: int, sites: Sites, sequences: Sequence[int], sizes: BlockSizes) -> Batch:
    """Return a part of the substitutions of a grid that some of its sequences have at each position."""
    numbers = {}
    for position in grid.positions:
        at = sites.numbers[grid.width, position]
        numbers[position] = np.array([at[sequence][part] for sequence in sequences])
    rows = len(sequences), part.stop - part.start
    return Batch(grid.width, numbers, sizes.division(most, grid.positions, rows, sizes.workers).of(grid.positions))
