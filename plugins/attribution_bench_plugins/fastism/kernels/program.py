"""Kernels that run one after the other for some rows at a time: what one writes, the next finds in the cache."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.kernel import (
    COMPILING,
    NO_EPILOGUE,
    PARAMETERS,
    TYPES,
    Epilogue,
    WindowKernel,
    compiled,
)
from attribution_bench_plugins.fastism.kernels.machine import Compiled, laid_out
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Window

CHUNK_BYTES = 2**20
"""Size of what one kernel reads and writes for the rows that are computed at a time: it stays in a core's cache."""
LEAST_CHUNK = 4
"""Rows of it at least: the weights are read for each chunk."""
PLACES = {name: place for place, name in enumerate(PARAMETERS)}
LINE = 16
"""Numbers that rows between kernels are rounded up to."""


@dataclass(frozen=True, eq=False)
class Call:
    """What a kernel writes: (n, count, alternatives, width, C_out), zero outside of a sequence of `length`."""

    kernel: WindowKernel
    x: "Tensor | Call"
    """(n, count, alternatives, source width, C_in): deltas on the source window, zero outside the sequence."""
    source: Window
    window: Window
    length: int
    epilogue: Epilogue = NO_EPILOGUE
    x_unmutated: Tensor | None = None
    """(n, L_in, C_in): what x is the delta of, for a kernel that reads it."""
    unmutated: Tensor | None = None
    """(n, L, C_out): what the kernel's sums are the delta of."""
    scale: Tensor | None = None
    """(C_out,): what each channel is multiplied by."""
    other: "Tensor | Call | None" = None
    """(n, count, alternatives, other width, C_out): the delta that is added, on its window."""
    other_window: Window | None = None
    node: str = ""
    """The node whose kernel it is."""

    @cached_property
    def shape(self) -> torch.Size:
        """What is written."""
        return torch.Size((*self.x.shape[:3], self.window.width, self.kernel.c_out))

    @property
    def dtype(self) -> torch.dtype:
        """The kind of its numbers."""
        return self.x.dtype

    @property
    def operands(self) -> "list[Tensor | Call]":
        """What it reads on windows."""
        return [self.x] if self.other is None else [self.x, self.other]


@dataclass(frozen=True)
class _Place:
    """Where a tensor of windows lies, (rows, width, channels) each row in one piece."""

    address: int
    row: int
    """Numbers from one row to the next."""
    moves: bool
    """Whether it holds all rows; otherwise those that are computed at a time."""


@dataclass(frozen=True)
class Entry:
    """One time that a function is called for some rows."""

    call: Call
    function: Compiled
    arguments: "ctypes.Array[ctypes.c_int64]"
    """Of which the first two, the rows, are still to be written; see `kernel.ROWS`."""


@dataclass(frozen=True)
class Prepared:
    """Calls with memory for what they write."""

    entries: list[Entry]
    rows: int
    chunk: int
    """Rows that are computed at a time."""
    results: list[Tensor | None]
    held: list[Tensor]
    """What is read and written beside the results."""

    def run(self) -> None:
        """Compute all rows."""
        addresses = [(entry.function.address, _address(entry.arguments)) for entry in self.entries]
        listed = laid_out([number for pair in addresses for number in pair])
        _in_turn()(laid_out([_address(listed), len(self.entries), self.rows, self.chunk]))


def run_calls(calls: Sequence[Call], kept: Sequence[bool], buffers: Buffers) -> list[Tensor | None]:
    """Run calls in order, each after those that it reads; returns what is written by those that are kept.

    All have the same rows, and numbers of one kind.
    """
    prepared = prepare(calls, kept, buffers)
    prepared.run()
    return prepared.results


def prepare(calls: Sequence[Call], kept: Sequence[bool], buffers: Buffers) -> Prepared:
    """Lay out what calls read and write; see `run_calls`."""
    n, count, alternatives = calls[0].shape[:3]
    rows, dtype = n * count * alternatives, calls[0].dtype
    offsets, room = _scratch_offsets(calls, kept)
    chunk = rows
    if room:
        widest = max(_row(call) + sum(_row(operand) for operand in call.operands) for call in calls)
        least = max(call.kernel.least_rows(call.source) for call in calls)
        chunk = min(rows, max(LEAST_CHUNK, least, CHUNK_BYTES // (widest * dtype.itemsize)))
    between = buffers.empty((room * chunk,), dtype)
    scratch = buffers.empty((max(call.kernel.scratch(call.source) for call in calls),), dtype)
    lists = torch.empty(max(call.kernel.lists() for call in calls), dtype=torch.int64)
    prepared = Prepared([], rows, chunk, [], [between, scratch, lists])
    places: dict[Call, _Place] = {}

    def place(operand: Tensor | Call) -> _Place:
        if isinstance(operand, Call):
            return places[operand]
        flat = operand.flatten(0, 2)
        flat = flat if flat.stride()[1:] == (flat.shape[2], 1) else flat.contiguous()
        prepared.held.append(flat)
        return _Place(flat.data_ptr(), flat.stride(0), True)

    for call, stays, offset in zip(calls, kept, offsets, strict=True):
        result = buffers.empty(call.shape, dtype) if stays else None
        prepared.results.append(result)
        if result is not None:
            places[call] = _Place(result.data_ptr(), _row(call), True)
        else:
            places[call] = _Place(between.data_ptr() + offset * chunk * dtype.itemsize, _row(call), False)
        x, out, source, window = place(call.x), places[call], call.source, call.window
        given = {
            "x": x.address, "x_row": x.row, "x_moves": x.moves, "c_in": call.kernel.c_in,
            "x_start": source.start, "x_step": source.step, "x_width": source.width,
            "out": out.address, "out_moves": out.moves, "c_out": call.kernel.c_out,
            "out_start": window.start, "out_step": window.step, "out_width": window.width,
            "count": count, "alternatives": alternatives, "length": call.length,
            "scratch": scratch.data_ptr(), "lists": lists.data_ptr(),
        }  # fmt: skip
        if call.x_unmutated is not None:
            given.update(x_unmutated=call.x_unmutated.data_ptr(), x_length=call.x_unmutated.shape[1])
            given.update(x_unmutated_sequence=call.x_unmutated.stride(0))
        if call.unmutated is not None:
            given.update(unmutated=call.unmutated.data_ptr(), unmutated_sequence=call.unmutated.stride(0))
        if call.scale is not None:
            given.update(scale=call.scale.data_ptr())
        if call.other is not None and call.other_window is not None:
            other, beside = place(call.other), call.other_window
            given.update(other=other.address, other_row=other.row, other_moves=other.moves)
            given.update(other_start=beside.start, other_step=beside.step, other_width=beside.width)
        function = compiled(call.kernel.name, TYPES[dtype], call.kernel.tile, call.epilogue)
        for further in call.kernel.calls(source):
            arguments = (ctypes.c_int64 * len(PARAMETERS))()
            for name, value in (given | further).items():
                arguments[PLACES[name]] = value
            prepared.entries.append(Entry(call, function, arguments))
    return prepared


def _row(windows: Tensor | Call) -> int:
    """Return the numbers of a row."""
    width, channels = windows.shape[3:]
    return width * channels


def _scratch_offsets(calls: Sequence[Call], kept: Sequence[bool]) -> tuple[list[int], int]:
    """Return where each call that is not kept writes, and how much room they need together, in numbers of one row.

    Those share room of which the one is read for the last time before the other is written.
    """
    last = {call: i for i, reader in enumerate(calls) for call in reader.operands if isinstance(call, Call)}
    offsets, room = [], 0
    living: list[tuple[int, int, int]] = []
    for i, (call, stays) in enumerate(zip(calls, kept, strict=True)):
        offset = 0
        if not stays:
            size = -(-_row(call) // LINE) * LINE
            living = sorted(piece for piece in living if piece[2] >= i)
            for start, stop, _ in living:
                if offset + size <= start:
                    break
                offset = max(offset, stop)
            living.append((offset, offset + size, last.get(call, i)))
            room = max(room, offset + size)
        offsets.append(offset)
    return offsets, room


def _address(array: "ctypes.Array[ctypes.c_int64]") -> int:
    return ctypes.addressof(array)


def _in_turn() -> Compiled:
    with COMPILING:
        return _compile_in_turn()


@cache
def _compile_in_turn() -> Compiled:
    from attribution_bench_plugins.fastism.kernels.program_code import ProgramCode

    return Compiled(ProgramCode().module)
