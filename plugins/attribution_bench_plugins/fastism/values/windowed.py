"""What flows along the graph while a block of mutations runs: tensors on windows, as deltas or as values."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.values import devices
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Window

MASKED_AT_ONCE = 8
"""Neighbouring mutations whose windows leave the sequence: up to this many are zeroed one by one, more by a mask."""


class ViewedActivation(Protocol):
    """An unmutated activation of which every window is a view."""

    def view(self, window: Window, count: int) -> Tensor:
        """Return the windows of `count` mutations, (sequences, count, 1, width, channels)."""


class Unmutated(Protocol):
    """The unmutated activations of a group of sequences, in the engine's order."""

    buffers: Buffers
    """Memory for what is computed from them."""

    def view(self, source: str, window: Window, count: int) -> Tensor:
        """Return a node's reference on the windows of `count` mutations, (n, count, 1, width, channels)."""

    def derived(self, source: str, name: str, function: Callable[[Tensor], Tensor]) -> ViewedActivation:
        """Return a function of a node's reference, computed once; it must keep zero at zero."""

    def summary(self, source: str, name: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return any function of a node's reference (sequences, positions, channels), computed once."""


class LazyReaders(Protocol):
    """Lazy windows of a block, which will read their operands when they are materialized."""

    def read(self, windowed: "Windowed") -> bool:
        """Whether one that is still to be materialized reads a window."""


class Windowed:
    """A node's activations under the mutations of a block, restricted to the window that they reach.

    Tensors are (sequences, mutated positions, letters, width, channels). ``delta`` is mutated minus reference, and is
    zero outside the sequence once it is clean; ``value`` is mutated itself, and means nothing outside the sequence.
    Either is derived from the other when it is asked for. An owner of the last use may overwrite what it takes.
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
        """Known once the step that runs is the last one that reads this."""
        held = delta if delta is not None else value
        self.shape = held.shape if held is not None else torch.Size()

    @property
    def holds_value(self) -> bool:
        """Whether the value is at hand without a pass over the reference."""
        return self._value is not None

    def give_up(self, lazy_readers: LazyReaders) -> None:
        """Let the step that runs now overwrite the tensors: nothing reads them after it but these lazy windows."""
        self._lazy_readers = lazy_readers

    @property
    def is_overwritable(self) -> bool:
        """Whether the tensors may be overwritten: nobody else will read them."""
        return self._lazy_readers is not None and not self._lazy_readers.read(self)

    def schedule(self) -> None:
        """Fix what will be computed, where it is lazy: nothing more is fused into it."""

    def schedule_on(self, window: Window) -> None:
        """Do the same where the value on a window is what will be read."""
        self.schedule()

    def materialize(self) -> None:
        """Compute it, where it is lazy."""

    def delta(self) -> Tensor:
        """Return the delta, zero outside the sequence; not to be overwritten."""
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
        if self._value is None:
            assert self._delta is not None
            self._value = self._delta + self._unmutated_view()
        return self._value

    def take_delta(self) -> Tensor:
        """Return the delta, zero outside the sequence, for the caller to overwrite."""
        if not self.is_overwritable:
            return self.delta().clone()
        if self._delta is None:
            assert self._value is not None
            self._delta, self._value = self._value.sub_(self._unmutated_view()), None
            self._is_masked = False
        return self.delta()

    def take_raw_delta(self) -> tuple[Tensor, bool]:
        """Return the delta for the caller to overwrite, and whether it is zero outside the sequence already."""
        if self._delta is None or not self.is_overwritable:
            return self.take_delta(), True
        return self._delta, self._is_masked

    def take_value(self) -> Tensor:
        """Return the value for the caller to overwrite."""
        if self._value is not None:
            return self._value if self.is_overwritable else self._value.clone()
        assert self._delta is not None
        if not self.is_overwritable:
            return self._delta + self._unmutated_view()
        taken = self._delta
        self._delta = None
        return taken.add_(self._unmutated_view())

    def value_on(self, window: Window) -> Tensor:
        """Return the value on another window, unmutated around its own; not to be overwritten."""
        return self.value() if self.window == window else self._placed(window)

    def take_value_on(self, window: Window) -> Tensor:
        """Return the value on another window, unmutated around its own, for the caller to overwrite."""
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

    def phase(self, first: int, step: int) -> "Windowed":
        """Return every `step`-th mutation from `first` on; their numbers are shared, and none of them is another's."""
        self.materialize()
        return Windowed(
            self.unmutated,
            self.source,
            self.length,
            self._phase_window(first, step),
            delta=None if self._delta is None else self._delta[:, first::step],
            value=None if self._value is None else self._value[:, first::step],
            is_masked=self._is_masked,
        )

    def _phase_window(self, first: int, step: int) -> Window:
        return Window(self.window.at(first), self.window.step * step, self.window.width)

    def _placed(self, window: Window) -> Tensor:
        around = self.unmutated.view(self.source, window, self.shape[1])
        around = around.expand(*self.shape[:3], *around.shape[3:])
        # A tensor of its own even where it is one window that is contiguous already: that is the reference itself.
        own = self.value() if self.holds_value else self.delta()
        steady = self.window.step == window.step
        if not steady and not devices.on_cpu(around):
            moved, inside = shifted(own, self.window, window)
            return torch.where(inside, moved if self.holds_value else moved + around, around)
        placed = torch.empty(around.shape, dtype=around.dtype, device=around.device)
        for k in (slice(None),) if steady else range(self.shape[1]):
            offset = self.window.at(0 if isinstance(k, slice) else k) - window.at(0 if isinstance(k, slice) else k)
            low = min(max(0, offset), window.width)
            high = max(low, min(window.width, offset + self.window.width))
            unmutated, into = around[:, k], placed[:, k]
            into[..., :low, :].copy_(unmutated[..., :low, :])
            into[..., high:, :].copy_(unmutated[..., high:, :])
            part, reached = own[:, k, ..., low - offset : high - offset, :], into[..., low:high, :]
            if low < high and self.holds_value:
                reached.copy_(part)
            elif low < high:
                torch.add(unmutated[..., low:high, :], part, out=reached)
        return placed

    def _unmutated_view(self) -> Tensor:
        return self.unmutated.view(self.source, self.window, self.shape[1])


class MutatedInput(Windowed):
    """The mutated input itself: one position wide, one letter for another."""

    def __init__(
        self,
        unmutated: Unmutated,
        source: str,
        length: int,
        window: Window,
        ref: Tensor,
        alt: Tensor,
        letters: int,
    ) -> None:
        super().__init__(unmutated, source, length, window, is_masked=True)
        self.ref, self.alt, self.letters = ref, alt, letters
        """(n, positions) and (n, positions, alternatives): letter indices; `letters` where unknown."""
        self.shape = torch.Size((*alt.shape, 1, letters))

    def phase(self, first: int, step: int) -> "MutatedInput":
        """Return every `step`-th mutation from `first` on; see Windowed."""
        window, letters = self._phase_window(first, step), slice(first, None, step)
        ref, alt = self.ref[:, letters], self.alt[:, letters]
        return MutatedInput(self.unmutated, self.source, self.length, window, ref, alt, self.letters)

    def pairs(self) -> Tensor:
        """Return the index of each (letter there, letter instead) pair among all (letters + 1) ** 2, flat."""
        return (self.ref[:, :, None] * (self.letters + 1) + self.alt).reshape(-1)

    def delta(self) -> Tensor:
        """Return the difference of two one-hot columns."""
        if self._delta is None:
            like = self.unmutated.view(self.source, self.window, 1)
            code = torch.eye(self.letters + 1, self.letters, dtype=like.dtype, device=like.device)
            self._delta = (code[self.alt] - code[self.ref][:, :, None])[:, :, :, None]
        return self._delta

    def value(self) -> Tensor:
        """Return the one-hot column of the letter instead."""
        self.delta()
        return super().value()

    def take_delta(self) -> Tensor:
        """Return the difference of two one-hot columns, for the caller to overwrite."""
        return self.delta().clone()

    def take_raw_delta(self) -> tuple[Tensor, bool]:
        """Return the difference of two one-hot columns, for the caller to overwrite."""
        return self.take_delta(), True

    def take_value(self) -> Tensor:
        """Return the one-hot column of the letter instead, for the caller to overwrite."""
        return self.value().clone()


def mask_outside(tensor: Tensor, window: Window, length: int, fill: float = 0) -> None:
    """Overwrite, in place, what lies outside ``[0, length)``."""
    count, width = tensor.shape[1], tensor.shape[3]
    if not window.overhangs(count, length):
        return
    outside = [k for k in range(count) if window.at(k) < 0 or window.at(k) + width > length]
    for run in _runs(outside):
        if len(run) > MASKED_AT_ONCE:
            starts = window.at(run.start) + window.step * torch.arange(len(run), device=tensor.device)[:, None]
            index = starts + torch.arange(width, device=tensor.device)
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
    """Return deltas on another window; what the new one does not hold is dropped, what the old one lacks is zero."""
    if old == new:
        return delta
    count, width = delta.shape[1], delta.shape[3]
    if old.step == new.step:
        offset = old.start - new.start
        low, high = max(0, offset), min(new.width, offset + width)
        if low == 0 and high == new.width:
            return delta[:, :, :, low - offset : high - offset]
        result = delta.new_zeros((*delta.shape[:3], new.width, delta.shape[4]))
        if low < high:
            result[:, :, :, low:high] = delta[:, :, :, low - offset : high - offset]
        return result
    if not devices.on_cpu(delta):
        moved, inside = shifted(delta, old, new)
        return moved.masked_fill_(~inside, 0)
    shape = (*delta.shape[:3], new.width, delta.shape[4])
    offsets = [old.at(k) - new.at(k) for k in (0, count - 1)]
    covered = max(offsets) <= 0 and min(offsets) + width >= new.width
    result = delta.new_empty(shape) if covered else delta.new_zeros(shape)
    for k in range(count):
        offset = old.at(k) - new.at(k)
        low, high = max(0, offset), min(new.width, offset + width)
        if low < high:
            result[:, k, :, low:high] = delta[:, k, :, low - offset : high - offset]
    return result


def shifted(tensor: Tensor, old: Window, new: Window) -> tuple[Tensor, Tensor]:
    """Return (n, count, alternatives, width, channels) moved from one window to another, and where that means anything.

    All mutations at once, however far each moves: an accelerator starts one operation for all. The second tensor is
    (count, 1, width, 1); where it is False the first holds anything.
    """
    count, width = tensor.shape[1], tensor.shape[3]
    starts = new.start - old.start + (new.step - old.step) * torch.arange(count, device=tensor.device)
    index = starts[:, None] + torch.arange(new.width, device=tensor.device)
    inside = (index >= 0) & (index < width)
    index = index.clamp_(0, width - 1)[:, None, :, None]
    moved = tensor.gather(3, index.expand(*tensor.shape[:3], new.width, tensor.shape[4]))
    return moved, inside[:, None, :, None]
