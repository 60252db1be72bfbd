"""Overlapping regions of a genome merged into one score a position."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Overlaps = Literal["mean", "max", "first"]
"""What a position has that several regions cover: the mean of their scores, the one of largest magnitude, or that of
the region that comes first in the source."""


class Pile:
    """Scores of the regions that reach beyond a position, piled up until nothing more can come over them."""

    def __init__(self, size: int, overlaps: str) -> None:
        self._size, self._overlaps = size, overlaps
        self._start = 0
        self._value = np.zeros(0)
        self._count = np.zeros(0, dtype=np.int64)
        """Regions over each position."""
        self._owner = np.zeros(0, dtype=np.int64)
        """Row of the region whose score a position has, where one region gives it."""

    def add(self, start: int, scores: NDArray[np.float32], row: int) -> None:
        """Pile up a region's scores from a position on, none of them before those that are out already."""
        first, last = max(start, 0), min(start + len(scores), self._size)
        scores = scores[first - start : last - start]
        if not len(self._value):
            self._start = first
        missing = last - self._start - len(self._value)
        if missing > 0:
            self._value = np.concatenate([self._value, np.zeros(missing)])
            self._count = np.concatenate([self._count, np.zeros(missing, dtype=np.int64)])
            self._owner = np.concatenate([self._owner, np.zeros(missing, dtype=np.int64)])
        at = slice(first - self._start, last - self._start)
        new = self._count[at] == 0
        if self._overlaps == "mean":
            self._value[at] += scores
        else:
            better = np.abs(scores) > np.abs(self._value[at]) if self._overlaps == "max" else row < self._owner[at]
            take = new | better
            self._value[at] = np.where(take, scores, self._value[at])
            self._owner[at] = np.where(take, row, self._owner[at])
        self._count[at] += 1

    def before(self, position: int) -> Iterator[tuple[int, int, float]]:
        """Yield and forget (start, end, score) of the covered positions before one."""
        out = min(max(position - self._start, 0), len(self._value))
        count = self._count[:out]
        values = self._value[:out] / np.maximum(count, 1) if self._overlaps == "mean" else self._value[:out]
        covered = np.flatnonzero(count)
        starts, scores = (covered + self._start).tolist(), values[covered].astype(np.float32).tolist()
        self._start += out
        self._value, self._count, self._owner = self._value[out:], self._count[out:], self._owner[out:]
        for start, score in zip(starts, scores, strict=True):
            yield start, start + 1, score
