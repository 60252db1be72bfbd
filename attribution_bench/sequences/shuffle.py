"""Dinucleotide shuffles: random sequences with the neighbours of the original, the references of DeepSHAP."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError


def dinucleotide_shuffle(one_hot: NDArray[Any], count: int, generator: np.random.Generator) -> NDArray[Any]:
    """Shuffle a sequence, keeping its first letter, its last letter and how often each pair of neighbours occurs.

    A sequence is a walk over its letters that uses each pair of neighbours once. Every other such walk is equally
    likely here: the last way out of each letter is drawn as a random tree that leads to the last letter, and the ways
    out before it in any order (Altschul and Erickson, Mol. Biol. Evol. 2:526, 1985; the tree by Wilson, STOC 1996).

    Parameters
    ----------
    one_hot
        (A, L). An unknown letter, an all-zero column, stays where it is; the stretches between are shuffled each.
    count
        Number of shuffles, at least 1.
    generator
        Source of randomness; the same state gives the same shuffles.

    Returns
    -------
    (count, A, L) of the same type.

    Raises
    ------
    InvalidInputError
        The array has not two axes, or count is less than 1.
    """
    if one_hot.ndim != 2:
        raise InvalidInputError(f"one sequence (A, L) is shuffled at a time, but the array has shape {one_hot.shape}")
    if count < 1:
        raise InvalidInputError(f"count must be at least 1, not {count}")
    known = np.asarray(one_hot.any(axis=0))
    letters = one_hot.argmax(axis=0)
    edges = np.flatnonzero(np.diff(known, prepend=False, append=False))
    shuffled = np.tile(letters, (count, 1))
    for start, stop in edges.reshape(-1, 2):
        stretch = letters[start:stop]
        pairs = np.zeros((len(one_hot), len(one_hot)), dtype=np.int64)
        np.add.at(pairs, (stretch[:-1], stretch[1:]), 1)
        for row in shuffled:
            row[start:stop] = _walk(pairs, int(stretch[0]), int(stretch[-1]), generator)
    identity = np.eye(len(one_hot), dtype=one_hot.dtype)
    return np.ascontiguousarray((identity[shuffled] * known[:, None].astype(one_hot.dtype)).transpose(0, 2, 1))


def _walk(pairs: NDArray[np.int64], first: int, last: int, generator: np.random.Generator) -> list[int]:
    """Return a random walk from first to last that uses each pair of letters as often as counted."""
    exits = _last_exits(pairs, last, generator)
    ways = []
    for letter, counts in enumerate(pairs):
        final = [exits[letter]] if letter in exits else []
        before = counts.copy()
        before[final] -= 1
        order: list[int] = generator.permutation(np.repeat(np.arange(len(counts)), before)).tolist()
        ways.append(iter(order + final))
    walk = [first]
    for _ in range(int(pairs.sum())):
        walk.append(next(ways[walk[-1]]))
    return walk


def _last_exits(pairs: NDArray[np.int64], last: int, generator: np.random.Generator) -> dict[int, int]:
    """Draw for each letter the letter that follows its last occurrence, so that following them leads to the last one.

    Random walks from each letter in turn to what the tree holds already; the last way out of each visited letter
    joins it, which erases the loops.
    """
    following = {letter: np.repeat(np.arange(len(row)), row) for letter, row in enumerate(pairs) if row.any()}
    exits: dict[int, int] = {}
    reached = {last}
    for start in following:
        letter, path = start, {}
        while letter not in reached:
            path[letter] = int(generator.choice(following[letter]))
            letter = path[letter]
        letter = start
        while letter not in reached:
            reached.add(letter)
            exits[letter] = path[letter]
            letter = path[letter]
    return exits
