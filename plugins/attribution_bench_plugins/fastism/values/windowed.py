"""Windowed activations: a node's tensors on windows, as deltas or as values."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.values import devices
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Members, Window

MASKED_AT_ONCE = 8
"""Neighbouring mutations whose windows leave the sequence are zeroed one by one up to this number, else by a mask."""


class ViewedActivation(Protocol):
    """An unmutated activation of which every window is a view."""

    def view(self, window: Window, count: int) -> Tensor:
        """Return the windows of `count` mutations, (sequences, count, 1, width, channels)."""


class Unmutated(Protocol):
    """The unmutated activations of a group of sequences, in the engine's order."""

    buffers: Buffers
    """Memory for tensors that are computed from them."""

    def view(self, source: str, window: Window, count: int) -> Tensor:
        """Return a node's activation on the windows of `count` mutations, (n, count, 1, width, channels)."""

    def array(self, source: str, window: Window, count: int) -> Tensor:
        """Return a node's activation (n, positions, channels), contiguous, which is there on the windows alone."""

    def derived(self, source: str, name: str, function: Callable[[Tensor], Tensor]) -> ViewedActivation:
        """Return a function of a node's activation, computed once; it must keep zero at zero."""

    def summary(self, source: str, name: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return any function of a node's activation (sequences, positions, channels), computed once."""


class LazyReaders(Protocol):
    """Lazy windows of a block, which will read their operands when they are materialized."""

    def read(self, windowed: "Windowed") -> bool:
        """Whether one of them reads a window."""


class Windowed:
    """A node's activations under the mutations of a block, restricted to their affected ranges.

    Tensors are (sequences, mutated positions, alternatives, width, channels). ``delta`` is mutated minus unmutated,
    and is zero outside the sequence once it is masked; ``value`` is the mutated activation, and means nothing outside
    the sequence. Either is computed from the other when it is asked for. A step may overwrite a tensor that it takes
    from the activations whose last use it is.

    A subclass whose tensors are computed later overrides `materialize`, which every accessor calls.
    """

    def __init__(
        self,
        unmutated: Unmutated,
        source: str,
        length: int,
        window: Window,
        *,
        delta: Tensor | None = None,
        value: Tensor | None = None,
        is_masked: bool = False,
    ) -> None:
        self.unmutated, self.source, self.length, self.window = unmutated, source, length, window
        self._delta, self._value, self._is_masked = delta, value, is_masked
        self._lazy_readers: LazyReaders | None = None
        """Set when the last step that reads this runs."""
        held = delta if delta is not None else value
        self.shape = held.shape if held is not None else torch.Size()

    @property
    def holds_value(self) -> bool:
        """Whether the value needs no pass over the unmutated activation."""
        return self._value is not None

    def give_up(self, lazy_readers: LazyReaders) -> None:
        """Let the current step overwrite the tensors: after it, at most these lazy windows read them."""
        self._lazy_readers = lazy_readers

    @property
    def is_overwritable(self) -> bool:
        """Whether the tensors may be overwritten: nothing else will read them."""
        return self._lazy_readers is not None and not self._lazy_readers.read(self)

    def schedule(self) -> None:
        """Decide what is computed: nothing more is fused into a lazy window."""

    def schedule_on(self, window: Window) -> None:
        """Do the same where the value on a window will be read."""
        self.prefer_value(window)
        self.prefer_value(self.window)
        self.schedule()

    def prefer_value(self, window: Window) -> None:
        """Let a lazy window compute the value, on a window that holds its own, where that is possible."""

    def materialize(self) -> None:
        """Compute the delta or the value, where neither is computed yet."""

    def materialize_before_phases(self) -> None:
        """Compute what a kernel was to compute, before the block divides: the kernel would run for each phase again."""
        self.materialize()

    def delta(self) -> Tensor:
        """Return the delta, zero outside the sequence; not to be overwritten."""
        self.materialize()
        if self._delta is None:
            assert self._value is not None
            self._delta = self._value - self._unmutated_view()
            self._is_masked = False
        if not self._is_masked:
            mask_outside(self._delta, self.window, self.length)
            self._is_masked = True
        return self._delta

    def value(self) -> Tensor:
        """Return the value; not to be overwritten."""
        self.prefer_value(self.window)
        self.materialize()
        if self._value is None:
            assert self._delta is not None
            self._value = self._delta + self._unmutated_view()
        return self._value

    def take_delta(self) -> Tensor:
        """Return the delta, zero outside the sequence, for the caller to overwrite."""
        self.materialize()
        if not self.is_overwritable:
            return self.delta().clone()
        if self._delta is None:
            assert self._value is not None
            self._delta, self._value = self._value.sub_(self._unmutated_view()), None
            self._is_masked = False
        return self.delta()

    def take_raw_delta(self) -> tuple[Tensor, bool]:
        """Return the delta for the caller to overwrite, and whether it is zero outside the sequence already."""
        self.materialize()
        if self._delta is None or not self.is_overwritable:
            return self.take_delta(), True
        return self._delta, self._is_masked

    def take_value(self) -> Tensor:
        """Return the value for the caller to overwrite."""
        self.prefer_value(self.window)
        self.materialize()
        if self._value is not None:
            return self._value if self.is_overwritable else self._value.clone()
        assert self._delta is not None
        if not self.is_overwritable:
            return self._delta + self._unmutated_view()
        taken, self._delta = self._delta, None
        return taken.add_(self._unmutated_view())

    def value_on(self, window: Window) -> Tensor:
        """Return the value on another window, unmutated around its own; not to be overwritten."""
        self.prefer_value(window)
        return self.value() if self.window == window else self._placed(window)

    def take_value_on(self, window: Window) -> Tensor:
        """Return the value on another window, unmutated around its own, for the caller to overwrite."""
        self.prefer_value(window)
        return self.take_value() if self.window == window else self._placed(window)

    def shared(self) -> "Windowed":
        """Return this on one range for all mutations of the block, whatever their step."""
        if self.window.step == 0:
            return self
        window = self.window.shared(self.shape[1], self.length)
        delta = regrid(self.delta(), self.window, window)
        shared = Windowed(self.unmutated, self.source, self.length, window, delta=delta, is_masked=True)
        if self.is_overwritable:
            # Its tensors may be this one's own.
            shared._lazy_readers = self._lazy_readers
        return shared

    def of(self, members: Members, times: int = 1) -> "Windowed":
        """Return some mutations of the block, whose distances are multiples of `times` of its strides.

        They are views of the same tensors where they are a slice, else copies.
        """
        self.materialize()
        return Windowed(
            self.unmutated,
            self.source,
            self.length,
            self.window.of(members, times),
            delta=None if self._delta is None else self._delta[:, members],
            value=None if self._value is None else self._value[:, members],
            is_masked=self._is_masked,
        )

    def _placed(self, window: Window) -> Tensor:
        around = self.unmutated.view(self.source, window, self.shape[1])
        around = around.expand(*self.shape[:3], *around.shape[3:])
        # The result is never a view: that of a single contiguous window would be the unmutated activation itself.
        own = self.value() if self.holds_value else self.delta()
        if not self.window.is_parallel_to(window) and not devices.on_cpu(around):
            moved, inside = shifted(own, self.window, window)
            return torch.where(inside, moved if self.holds_value else moved + around, around)
        placed = torch.empty(around.shape, dtype=around.dtype, device=around.device)
        for k, low, high, offset in _overlaps(self.window, window, self.shape[1]):
            unmutated, into = around[:, k], placed[:, k]
            into[..., :low, :].copy_(unmutated[..., :low, :])
            into[..., high:, :].copy_(unmutated[..., high:, :])
            part, affected = own[:, k, ..., low - offset : high - offset, :], into[..., low:high, :]
            if low < high and self.holds_value:
                affected.copy_(part)
            elif low < high:
                torch.add(unmutated[..., low:high, :], part, out=affected)
        return placed

    def _unmutated_view(self) -> Tensor:
        return self.unmutated.view(self.source, self.window, self.shape[1])


class MutatedInput(Windowed):
    """The mutated input itself: windows one position wide, each an alternative letter in place of the reference."""

    def __init__(
        self, unmutated: Unmutated, source: str, length: int, window: Window, ref: Tensor, alt: Tensor, letters: int
    ) -> None:
        super().__init__(unmutated, source, length, window, is_masked=True)
        self.ref, self.alt, self.letters = ref, alt, letters
        """(n, positions) and (n, positions, alternatives): letter indices; `letters` where unknown."""
        self.shape = torch.Size((*alt.shape, 1, letters))

    def of(self, members: Members, times: int = 1) -> "MutatedInput":
        """Return some mutations of the block; see `Windowed.of`."""
        window, ref, alt = self.window.of(members, times), self.ref[:, members], self.alt[:, members]
        return MutatedInput(self.unmutated, self.source, self.length, window, ref, alt, self.letters)

    def pairs(self) -> Tensor:
        """Return the index of each (reference, alternative) pair of letters among all (letters + 1) ** 2."""
        return self.ref[:, :, None] * (self.letters + 1) + self.alt

    def materialize(self) -> None:
        """Compute the delta: the difference of two one-hot columns."""
        if self._delta is None and self._value is None:
            like = self._unmutated_view()
            code = torch.eye(self.letters + 1, self.letters, dtype=like.dtype, device=like.device)
            self._delta = (code[self.alt] - code[self.ref][:, :, None])[:, :, :, None]


class LookedUp(Windowed):
    """Deltas that are entries of a table (entries, width, channels): what a mutation of a single letter changes.

    They are written once something reads them that does not look them up itself.
    """

    def __init__(
        self, unmutated: Unmutated, source: str, length: int, window: Window, table: Tensor, entries: Tensor
    ) -> None:
        """Take the entries' indices (n, positions, alternatives)."""
        super().__init__(unmutated, source, length, window)
        self.table, self.entries = table, entries.contiguous()
        self.shape = torch.Size((*entries.shape, *table.shape[1:]))

    @property
    def is_written(self) -> bool:
        """Whether the delta or the value is a tensor by now."""
        return self._delta is not None or self._value is not None

    def of(self, members: Members, times: int = 1) -> Windowed:
        """Return some mutations of the block; see `Windowed.of`."""
        if self.is_written:
            return super().of(members, times)
        window, entries = self.window.of(members, times), self.entries[:, members]
        return LookedUp(self.unmutated, self.source, self.length, window, self.table, entries)

    def materialize_before_phases(self) -> None:
        """Do nothing: no kernel computes it."""

    def materialize(self) -> None:
        """Write the entries."""
        if not self.is_written:
            self._delta = self.table.index_select(0, self.entries.flatten()).view(self.shape)


def mask_outside(tensor: Tensor, window: Window, length: int, fill: float = 0) -> None:
    """Overwrite, in place, the positions outside ``[0, length)``."""
    count, width = tensor.shape[1], tensor.shape[3]
    if not window.overhangs(count, length):
        return
    outside = [k for k in range(count) if window.at(k) < 0 or window.at(k) + width > length]
    for run in _runs(outside):
        if len(run) > MASKED_AT_ONCE:
            starts = torch.as_tensor(window.starts(count)[run.start : run.stop], device=tensor.device)
            index = starts[:, None] + torch.arange(width, device=tensor.device)
            outside_mask = (index < 0) | (index >= length)
            tensor[:, run.start : run.stop].masked_fill_(outside_mask[None, :, None, :, None], fill)
            continue
        for k in run:
            start = window.at(k)
            if start < 0:
                tensor[:, k, :, : min(-start, width)].fill_(fill)
            if start + width > length:
                tensor[:, k, :, max(0, length - start) :].fill_(fill)


def _runs(numbers: Sequence[int]) -> list[range]:
    """Return ascending numbers as ranges of consecutive ones."""
    runs: list[range] = []
    for number in numbers:
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs


def regrid(delta: Tensor, old: Window, new: Window) -> Tensor:
    """Return deltas on another window, zero outside the old one."""
    if old == new:
        return delta
    count, width = delta.shape[1], delta.shape[3]
    steady, first = old.is_parallel_to(new), old.start - new.start
    if steady and first <= 0 and first + width >= new.width:
        return delta[:, :, :, -first : new.width - first]
    if not steady and not devices.on_cpu(delta):
        moved, inside = shifted(delta, old, new)
        return moved.masked_fill_(~inside, 0)
    offsets = old.starts(count) - new.starts(count)
    covered = offsets.max() <= 0 and offsets.min() + width >= new.width
    shape = (*delta.shape[:3], new.width, delta.shape[4])
    result = delta.new_empty(shape) if covered else delta.new_zeros(shape)
    for k, low, high, offset in _overlaps(replace(old, width=width), new, count):
        if low < high:
            result[:, k, ..., low:high, :] = delta[:, k, ..., low - offset : high - offset, :]
    return result


def _overlaps(old: Window, new: Window, count: int) -> Iterator[tuple[int | slice, int, int, int]]:
    """Yield where each mutation's ranges in two windows overlap; all mutations at once where these are parallel.

    A tuple is: the mutations, as an index; where the overlap starts and stops in the new range; where the old range
    starts in the new one.
    """
    mutations: Sequence[int | slice] = [slice(None)] if old.is_parallel_to(new) else range(count)
    for k in mutations:
        first = 0 if isinstance(k, slice) else k
        offset = old.at(first) - new.at(first)
        low = min(max(0, offset), new.width)
        yield k, low, max(low, min(new.width, offset + old.width)), offset


def shifted(tensor: Tensor, old: Window, new: Window) -> tuple[Tensor, Tensor]:
    """Return (n, count, alternatives, width, channels) moved to another window, and a mask (count, 1, width, 1).

    The mask is False where the moved tensor holds any numbers. All mutations are moved at once, whatever the distance
    of each, so that an accelerator starts one operation for all.
    """
    count, width = tensor.shape[1], tensor.shape[3]
    starts = torch.as_tensor(new.starts(count) - old.starts(count), device=tensor.device)
    index = starts[:, None] + torch.arange(new.width, device=tensor.device)
    inside = (index >= 0) & (index < width)
    index = index.clamp_(0, width - 1)[:, None, :, None]
    moved = tensor.gather(3, index.expand(*tensor.shape[:3], new.width, tensor.shape[4]))
    return moved, inside[:, None, :, None]
