"""Substitutions of a list that share blocks, chosen before anything runs."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.planning.sizes import phases
from attribution_bench_plugins.fastism.values.window import Positions


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


def shared_blocks(
    edits: Sequence[Edit | None],
    stride: int,
    at_once: Callable[[int, int], int],
    *,
    sequences_at_once: int,
    fewest: float,
) -> Iterator[Group]:
    """Yield the substitutions that fill blocks; a sequence may be in several groups, a substitution is in one at most.

    The others are cheaper by full passes: every block has a cost however few substitutions it holds, and so has each
    sequence of a group.

    Parameters
    ----------
    edits
        The list, with None in the place of mutations that run in no block.
    stride
        Distance of the positions of a block, in letters.
    at_once
        (alternatives, width) to the mutated positions, of all sequences together, that a block may hold.
    sequences_at_once
        Sequences that a group may hold.
    fewest
        Substitutions that a block must hold on average.
    """
    if fewest > len(edits):
        return
    grouped: set[int] = set()
    for sequences, numbers in _alike(edits, at_once).items():
        batches, together = [], min(sequences_at_once, len(sequences))
        for (width, _, alternatives), at in numbers.items():
            most = at_once(alternatives, width)
            blocks = list(phases(list(at), stride, most))
            batches.append(Batch(width, at, blocks))
            together = min(together, most // max(block.count for block in blocks))
        together = max(1, together)
        filled = [b for b in batches if together * b.alternatives * len(b.numbers) >= fewest * len(b.blocks)]
        each = sum(batch.every[0].size for batch in filled)
        # Each sequence of a group costs an unmutated pass, as much as a mutation; one such pass is needed in any case.
        if each == 0 or (each == 1 and not grouped.isdisjoint(sequences)):
            continue
        grouped.update(sequences)
        for first in range(0, len(sequences), together):
            part = slice(first, first + together)
            own = [{position: numbers[part] for position, numbers in batch.numbers.items()} for batch in filled]
            batched = [replace(batch, numbers=numbers) for batch, numbers in zip(filled, own, strict=True)]
            yield Group(np.array(sequences[part]), batched)


Shape = tuple[int, int, int]
"""Width, alternatives before these at the same position, alternatives."""


def _alike(
    edits: Sequence[Edit | None], at_once: Callable[[int, int], int]
) -> dict[tuple[int, ...], dict[Shape, dict[int, NDArray[np.int64]]]]:
    """Return sequences -> shape -> position -> numbers (sequences, alternatives)."""
    sites: dict[tuple[int, int], dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, edit in enumerate(edits):
        if edit is not None and edit.substitutes:
            sites[edit.width, edit.position][edit.sequence].append(number)
    alike: dict[tuple[int, ...], dict[Shape, dict[int, NDArray[np.int64]]]] = defaultdict(lambda: defaultdict(dict))
    for (width, position), numbers in sites.items():
        as_many = defaultdict(list)
        for sequence in sorted(numbers):
            as_many[len(numbers[sequence])].append(sequence)
        most = at_once(1, width)
        for count, sequences in as_many.items():
            every = np.array([numbers[sequence] for sequence in sequences])
            for first in range(0, count, most):
                part = every[:, first : first + most]
                alike[tuple(sequences)][width, first, part.shape[1]][position] = part
    return alike
