"""Windows: arithmetic of affected ranges.

The mutated positions of a block have one stride. At every node of the graph, the affected range of mutation k of the
block is ``[start + step * k, start + step * k + width)``: one width, advancing by one step. With step 0 all mutations
of the block share one range.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Half-open ranges ``[start + step * k, start + step * k + width)`` of the mutations k of a block."""

    start: int
    step: int
    width: int

    def at(self, k: int) -> int:
        """Return where the range of mutation k starts."""
        return self.start + self.step * k

    def moved(self, offset: int) -> "Window":
        """Return the ranges `offset` positions further on."""
        return Window(self.start + offset, self.step, self.width)

    def repeated(self, factor: int) -> "Window":
        """Return the ranges of the positions, each of which became `factor` positions."""
        return Window(self.start * factor, self.step * factor, self.width * factor)

    def shared(self, count: int, length: int) -> "Window":
        """Return the smallest range with all of `count` ranges, cut to the sequence; width 0 where that is empty."""
        low = max(0, min(self.start, self.at(count - 1)))
        high = min(length, max(self.start, self.at(count - 1)) + self.width)
        return Window(min(low, length), 0, max(0, high - low))

    def cut(self, count: int, positions: range) -> "Window":
        """Return the narrowest window with what each of `count` ranges has of some positions; width 0 without any."""
        first, last = sorted((self.at(0), self.at(count - 1)))
        low, high = max(0, positions.start - last), min(self.width, positions.stop - first)
        return Window(self.start + low, self.step, high - low) if low < high else Window(0, 0, 0)

    def hull(self, count: int) -> tuple[int, int]:
        """Return the half-open range that `count` ranges cover together, which may leave the sequence."""
        first, last = self.start, self.start + self.step * (count - 1)
        return min(first, last), max(first, last) + self.width

    def overhangs(self, count: int, length: int) -> bool:
        """Whether any of `count` ranges leaves ``[0, length)``."""
        return min(self.start, self.at(count - 1)) < 0 or max(self.start, self.at(count - 1)) + self.width > length


def union(windows: Sequence[Window]) -> Window | None:
    """Return the smallest window with all of these, empty ones aside; None where their steps differ."""
    windows = [window for window in windows if window.width] or windows
    if len({window.step for window in windows}) > 1:
        return None
    start = min(window.start for window in windows)
    return Window(start, windows[0].step, max(window.start + window.width for window in windows) - start)


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
    return Window(start, window.step // stride, max(stops, default=start) - start)


def whole(length: int) -> Window:
    """Return the window of every position."""
    return Window(0, 0, length)


@dataclass(frozen=True)
class Positions:
    """The mutated positions of a block: ``start, start + stride, ...``, `count` of them."""

    start: int
    stride: int
    count: int

    @property
    def indices(self) -> range:
        """The positions."""
        return range(self.start, self.start + self.stride * self.count, self.stride)

    @property
    def slice(self) -> slice:
        """The positions, as an index."""
        return slice(self.start, self.start + self.stride * (self.count - 1) + 1, self.stride)

    def phase(self, first: int, step: int) -> "Positions":
        """Return every `step`-th of them from the one numbered `first` on."""
        return Positions(self.start + self.stride * first, self.stride * step, -(-(self.count - first) // step))
