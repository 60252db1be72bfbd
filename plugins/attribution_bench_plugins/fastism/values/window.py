"""Windows: arithmetic of affected ranges.

The mutated positions of a block have distances that are multiples of one stride. At every node of the graph, the
affected range of mutation k of the block is ``[start + step * k, start + step * k + width)``: one width, advancing by
one step. In a block of irregular positions, ``multiples[k]`` takes the place of k, and so it does behind a pool in a
block of positions nearer than a phase, whose ranges advance by whole positions now and then. With step 0 all mutations
of the block share one range.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Multiples = tuple[int, ...] | None
"""By how many strides each mutation of a block is after the first one; None for 0, 1, 2, ..."""
Members = slice | tuple[int, ...]
"""Some mutations of a block, as an index."""


@dataclass(frozen=True)
class Window:
    """Half-open ranges ``[start + step * k, start + step * k + width)`` of the mutations k of a block."""

    start: int
    step: int
    width: int
    multiples: Multiples = None
    """What takes the place of k where ranges advance irregularly: from 0 on, none smaller than the one before."""

    @classmethod
    def of_starts(cls, starts: NDArray[np.int64], width: int) -> "Window":
        """Return the ranges of a width from these starts on, none of which is before the one before."""
        first = int(starts[0])
        if starts[-1] == first:
            return cls(first, 0, width)
        step, multiples = _regular(tuple((starts - first).tolist()))
        return cls(first, step, width, multiples)

    def is_parallel_to(self, other: "Window") -> bool:
        """Whether mutations' ranges in both are equally far from each other."""
        return self.step == other.step and (self.multiples == other.multiples or self.step == 0)

    def at(self, k: int) -> int:
        """Return where the range of mutation k starts."""
        return self.start + self.step * (k if self.multiples is None else self.multiples[k])

    def starts(self, count: int) -> NDArray[np.int64]:
        """Return where each of `count` ranges starts, (count,)."""
        return self.start + self.step * as_array(self.multiples, count)

    def moved(self, offset: int) -> "Window":
        """Return the ranges `offset` positions further on."""
        return Window(self.start + offset, self.step, self.width, self.multiples)

    def repeated(self, factor: int) -> "Window":
        """Return the ranges of the positions, each of which became `factor` positions."""
        return Window(self.start * factor, self.step * factor, self.width * factor, self.multiples)

    def of(self, members: Members, times: int = 1) -> "Window":
        """Return the ranges of some mutations of the block; see `Positions.of`."""
        if self.step == 0:
            return self
        first, advance, multiples = _of_members(self.multiples, members, times)
        return Window(self.at(first), self.step * advance, self.width, multiples)

    def shared(self, count: int, length: int) -> "Window":
        """Return the smallest range with all of `count` ranges, cut to the sequence; width 0 where that is empty."""
        low, high = self.hull(count)
        low, high = max(0, low), min(length, high)
        return Window(min(low, length), 0, max(0, high - low))

    def cut(self, count: int, positions: range) -> "Window":
        """Return the narrowest window with what each of `count` ranges has of some positions; width 0 without any."""
        first, last = sorted((self.at(0), self.at(count - 1)))
        low, high = max(0, positions.start - last), min(self.width, positions.stop - first)
        return Window(self.start + low, self.step, high - low, self.multiples) if low < high else Window(0, 0, 0)

    def hull(self, count: int) -> tuple[int, int]:
        """Return the half-open range that `count` ranges cover together, which may leave the sequence."""
        first, last = self.start, self.at(count - 1)
        return min(first, last), max(first, last) + self.width

    def overhangs(self, count: int, length: int) -> bool:
        """Whether any of `count` ranges leaves ``[0, length)``."""
        low, high = self.hull(count)
        return low < 0 or high > length


def union(windows: Sequence[Window]) -> Window | None:
    """Return the smallest window with all of these, empty ones aside; None where their steps differ."""
    windows = [window for window in windows if window.width] or windows
    if len({window.step for window in windows}) > 1:
        return None
    start, stop = min(window.start for window in windows), max(window.start + window.width for window in windows)
    return Window(start, windows[0].step, stop - start, windows[0].multiples)


def strided(window: Window, *, kernel: int, stride: int, dilation: int, padding: int) -> Window:
    """Return the positions ``i`` with a tap ``i * stride - padding + j * dilation`` in a window.

    The taps are followed one by one: with a stride and a dilation, no tap reads some of the positions.
    """
    starts, stops = [], []
    for tap in range(kernel):
        first = window.start + padding - tap * dilation
        start, stop = -(-first // stride), (first + window.width - 1) // stride + 1
        if start < stop:
            starts.append(start)
            stops.append(stop)
    start = min(starts, default=-(-(window.start + padding) // stride))
    return Window(start, window.step // stride, max(stops, default=start) - start, window.multiples)


def whole(length: int) -> Window:
    """Return the window of every position."""
    return Window(0, 0, length)


@dataclass(frozen=True)
class Positions:
    """The mutated positions of a block: ``start, start + stride, ...``, `count` of them, or irregular ones."""

    start: int
    stride: int
    count: int
    multiples: Multiples = None
    """By how many strides each position is after the first one, where they are irregular."""

    @classmethod
    def among(cls, positions: Sequence[int], stride: int) -> "Positions":
        """Return ascending positions whose distances are multiples of a stride, one at least."""
        start = positions[0]
        advance, multiples = _regular(tuple((position - start) // stride for position in positions))
        return cls(start, stride * advance, len(positions), multiples)

    @property
    def indices(self) -> Sequence[int]:
        """The positions."""
        if self.multiples is not None:
            return [self.start + self.stride * multiple for multiple in self.multiples]
        return range(self.start, self.start + self.stride * self.count, self.stride)

    @property
    def index(self) -> slice | Sequence[int]:
        """The positions, as an index of arrays."""
        if self.multiples is not None:
            return self.indices
        return slice(self.start, self.start + self.stride * (self.count - 1) + 1, self.stride)

    def window(self, width: int) -> Window:
        """Return the ranges of mutations of a width from these positions on."""
        return Window(self.start, self.stride, width, self.multiples)

    def between(self, low: int, stop: int) -> slice:
        """Return which of them lie in a range."""
        return slice(bisect_left(self.indices, low), bisect_left(self.indices, stop))

    def phases(self, times: int) -> Iterator[Members]:
        """Yield the members of each phase: positions whose distances are multiples of `times` strides."""
        if self.multiples is None:
            yield from (slice(first, None, times) for first in range(min(times, self.count)))
            return
        by_phase: dict[int, list[int]] = {}
        for k, multiple in enumerate(self.multiples):
            by_phase.setdefault(multiple % times, []).append(k)
        yield from map(tuple, by_phase.values())

    def of(self, members: Members, times: int = 1) -> "Positions":
        """Return some of them, whose distances are multiples of `times` strides."""
        first, advance, multiples = _of_members(self.multiples, members, times)
        count = len(range(self.count)[members]) if isinstance(members, slice) else len(members)
        return Positions(self.indices[first], self.stride * advance, count, multiples)


def as_array(multiples: Multiples, count: int) -> NDArray[np.int64]:
    """Return the multiples of `count` mutations, (count,)."""
    return np.arange(count, dtype=np.int64) if multiples is None else np.array(multiples, np.int64)


def _of_members(multiples: Multiples, members: Members, times: int) -> tuple[int, int, Multiples]:
    """Return the first of some mutations, their stride in strides of the block, and their own multiples."""
    if isinstance(members, slice) and multiples is None:
        return members.start or 0, members.step or 1, None
    if isinstance(members, slice):
        members = tuple(range(len(multiples or ())))[members]
    return members[0], *_of_irregular(multiples, members, times)


@lru_cache(maxsize=64)  # Every activation of a block is asked for the same members.
def _of_irregular(multiples: Multiples, members: tuple[int, ...], times: int) -> tuple[int, Multiples]:
    """Return the stride of some mutations in strides of the block, and their own multiples."""
    chosen = members if multiples is None else [multiples[k] for k in members]
    first = chosen[0]
    return _regular(tuple([multiple - first for multiple in chosen]), times)


def _regular(multiples: tuple[int, ...], times: int = 1) -> tuple[int, Multiples]:
    """Return the largest stride, in strides, of which all are multiples, and these: None for 0, 1, 2, ...

    The stride of a single one is `times`, and 1 that of several that are all 0.
    """
    stride = math.gcd(*multiples) or (times if len(multiples) == 1 else 1)
    count = len(multiples)
    if multiples[-1] == stride * (count - 1) and multiples == tuple(range(0, stride * count, stride)):
        return stride, None
    return stride, multiples if stride == 1 else tuple([multiple // stride for multiple in multiples])
