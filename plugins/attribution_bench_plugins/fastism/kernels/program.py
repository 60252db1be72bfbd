"""Programs of kernels: calls that run in order for a chunk of rows at a time, so that intermediates stay cached."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.compiling import LLVM_TYPES, compiled
from attribution_bench_plugins.fastism.kernels.epilogue import NO_EPILOGUE, Epilogue
from attribution_bench_plugins.fastism.kernels.machine import Compiled, packed
from attribution_bench_plugins.fastism.kernels.window_kernel import PARAMETERS, WindowKernel
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Multiples, Window, as_array

CHUNK_BYTES = 2**20
"""Size of what one kernel reads and writes for a chunk of rows: it fits a core's second-level cache."""
LEAST_CHUNK_ROWS = 4
"""Fewest rows of a chunk: the weights are read once a chunk."""
PARAMETER_INDEX = {name: index for index, name in enumerate(PARAMETERS)}
"""The place of each parameter in the arguments of a kernel."""
Arguments = ctypes.c_int64 * len(PARAMETERS)
"""The arguments of a compiled function."""
SCRATCH_ALIGNMENT = 16
"""Elements to a multiple of which a row of a scratch buffer is rounded up."""


class KernelObserver(Protocol):
    """What watches kernels run, one call of one kernel at a time."""

    def run_kernel(self, call: "KernelCall", run: Callable[[], None]) -> None:
        """Run the kernel of a call for some rows."""


@dataclass(frozen=True, eq=False)
class TableRows:
    """Deltas on windows that are entries of a table, which a kernel looks up as it reads them."""

    table: Tensor
    """(entries, width, C), contiguous."""
    entries: Tensor
    """(n, count, alternatives): indices, contiguous."""

    @property
    def shape(self) -> torch.Size:
        """The shape of the deltas."""
        return torch.Size((*self.entries.shape, *self.table.shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        """The element type of the deltas."""
        return self.table.dtype


@dataclass(frozen=True, eq=False)
class KernelCall:
    """A call of a kernel, which writes (n, count, alternatives, width, C_out): zero outside a sequence of `length`."""

    kernel: WindowKernel
    x: "Tensor | TableRows | KernelCall"
    """(n, count, alternatives, source width, C_in): deltas on the source window, zero outside the sequence where the
    kernel reads them there."""
    source: Window
    window: Window
    length: int
    epilogue: Epilogue = NO_EPILOGUE
    x_unmutated: Tensor | None = None
    """(n, L_in, C_in): the unmutated activation of x, for a kernel that reads it."""
    unmutated: Tensor | None = None
    """(n, L, C_out): the unmutated activation of the kernel's node."""
    scale: Tensor | None = None
    """(C_out,): the factor of each channel, where the epilogue scales."""
    other: "Tensor | KernelCall | None" = None
    """(n, count, alternatives, other width, C_out): the delta that the epilogue adds, on its own window."""
    other_window: Window | None = None
    node: str = ""
    """The node whose kernel it is."""

    @cached_property
    def shape(self) -> torch.Size:
        """The shape of the result."""
        return torch.Size((*self.x.shape[:3], self.window.width, self.kernel.c_out))

    @property
    def dtype(self) -> torch.dtype:
        """The element type of all operands and of the result."""
        return self.x.dtype

    @property
    def operands(self) -> "list[Tensor | TableRows | KernelCall]":
        """The deltas on windows that it reads: tensors, rows of a table, or the results of calls before it."""
        return [self.x] if self.other is None else [self.x, self.other]


@dataclass(frozen=True)
class _RowStorage:
    """The memory of a tensor of windows, (rows, width, channels), in which each row is contiguous."""

    address: int
    row: int
    """Elements from one row to the next."""
    moves: bool
    """Whether it holds all rows; otherwise it holds those of one chunk."""
    entries: int | None = None
    """The address of the index of each row, where it is a table of rows."""


@dataclass(frozen=True)
class _FunctionCall:
    """A call of a compiled function with its arguments; a kernel call takes one or several."""

    call: KernelCall
    function: Compiled
    arguments: "ctypes.Array[ctypes.c_int64]"
    """Those of `PARAMETERS`; the first two, the rows, are written when a chunk of rows is run."""


class _MultiplesInMemory:
    """The multiples of windows as kernels read them, which are there for as long as this is."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._held: dict[Multiples, tuple[NDArray[np.int64], int]] = {}
        """With their addresses: NumPy makes an object for each question after one."""

    def address(self, multiples: Multiples) -> int:
        """Return the address of the multiples of a window, one for each mutation."""
        held = self._held.get(multiples)
        if held is None:
            array = as_array(multiples, self.count)
            held = self._held[multiples] = array, array.ctypes.data
        return held[1]


def run_calls(
    calls: Sequence[KernelCall],
    kept: Sequence[bool],
    buffers: Buffers,
    observer: KernelObserver | None = None,
    *,
    chunk_bytes: int = CHUNK_BYTES,
    least_chunk_rows: int = LEAST_CHUNK_ROWS,
) -> list[Tensor | None]:
    """Run calls in order, and return the results of those that are kept, None for the others.

    Each call comes after those whose results it reads. All have the same rows and element type.
    """
    n, count, alternatives = calls[0].shape[:3]
    rows, dtype = n * count * alternatives, calls[0].dtype
    offsets, scratch_row = _scratch_offsets(calls, kept)
    chunk = rows
    if scratch_row:
        widest = max(_row_size(call) + sum(_row_size(operand) for operand in call.operands) for call in calls)
        least = max(call.kernel.least_rows(call.source) for call in calls)
        chunk = min(rows, max(least_chunk_rows, least, chunk_bytes // (widest * dtype.itemsize)))
    intermediates = buffers.empty((scratch_row * chunk,), dtype)
    scratch = buffers.empty((max(call.kernel.scratch(call.source) for call in calls),), dtype)
    lists = torch.empty(max(call.kernel.lists() for call in calls), dtype=torch.int64)
    multiples = _MultiplesInMemory(count)
    regular = multiples.address(None)  # It begins with a 0.
    same = {
        "count": count, "x_entries": regular, "other_multiples": regular, "alternatives": alternatives,
        "scratch": scratch.data_ptr(), "lists": lists.data_ptr(),
    }  # fmt: skip
    written: dict[KernelCall, _RowStorage] = {}
    held: list[Tensor] = []  # Copies of operands: their memory is read until all calls have run.
    results: list[Tensor | None] = []
    function_calls: list[_FunctionCall] = []

    def storage(operand: Tensor | TableRows | KernelCall) -> _RowStorage:
        if isinstance(operand, KernelCall):
            return written[operand]
        if isinstance(operand, TableRows):
            return _RowStorage(operand.table.data_ptr(), _row_size(operand), True, operand.entries.data_ptr())
        flat = operand.flatten(0, 2)
        flat = flat if flat.stride()[1:] == (flat.shape[2], 1) else flat.contiguous()
        held.append(flat)
        return _RowStorage(flat.data_ptr(), flat.stride(0), True)

    for call, keeps, offset in zip(calls, kept, offsets, strict=True):
        result = buffers.empty(call.shape, dtype) if keeps else None
        results.append(result)
        address = intermediates.data_ptr() + offset * chunk * dtype.itemsize if result is None else result.data_ptr()
        written[call] = _RowStorage(address, _row_size(call), keeps)
        x, out, source, window = storage(call.x), written[call], call.source, call.window
        given = {
            **same,
            "x": x.address, "x_row": x.row, "x_moves": x.moves, "c_in": call.kernel.c_in,
            "x_start": source.start, "x_step": source.step, "x_width": source.width,
            "x_multiples": multiples.address(source.multiples),
            "out": out.address, "out_moves": out.moves, "c_out": call.kernel.c_out,
            "out_start": window.start, "out_step": window.step, "out_width": window.width,
            "out_multiples": multiples.address(window.multiples),
            "length": call.length,
        }  # fmt: skip
        if x.entries is not None:
            given.update(x_entries=x.entries, x_listed=1)
        if call.x_unmutated is not None:
            given.update(x_unmutated=call.x_unmutated.data_ptr(), x_length=call.x_unmutated.shape[1])
            given.update(x_unmutated_sequence=call.x_unmutated.stride(0))
        if call.unmutated is not None:
            given.update(unmutated=call.unmutated.data_ptr(), unmutated_sequence=call.unmutated.stride(0))
        if call.scale is not None:
            given.update(scale=call.scale.data_ptr())
        if call.other is not None and call.other_window is not None:
            other, other_window = storage(call.other), call.other_window
            given.update(other=other.address, other_row=other.row, other_moves=other.moves)
            given.update(other_start=other_window.start, other_step=other_window.step, other_width=other_window.width)
            given.update(other_multiples=multiples.address(other_window.multiples))
        function = compiled(call.kernel.name, LLVM_TYPES[dtype], call.kernel.tile, call.epilogue)
        for own in call.kernel.calls(source):
            arguments = Arguments()
            for name, value in (given | own).items():
                arguments[PARAMETER_INDEX[name]] = value
            function_calls.append(_FunctionCall(call, function, arguments))
    _run_chunks(function_calls, rows, chunk, observer)
    return results


def _run_chunks(calls: Sequence[_FunctionCall], rows: int, chunk: int, observer: KernelObserver | None) -> None:
    """Compute all rows, chunk by chunk: in one call, or call by call through an observer."""
    if observer is None:
        addresses = [(each.function.address, ctypes.addressof(each.arguments)) for each in calls]
        pairs = packed([number for pair in addresses for number in pair])
        compiled("program")(packed([ctypes.addressof(pairs), len(calls), rows, chunk]))
        return
    for first in range(0, rows, chunk):
        for each in calls:
            each.arguments[0], each.arguments[1] = first, min(chunk, rows - first)
            observer.run_kernel(each.call, partial(each.function, each.arguments))


def _row_size(windows: Tensor | TableRows | KernelCall) -> int:
    """Return the elements of a row."""
    width, channels = windows.shape[3:]
    return width * channels


def _scratch_offsets(calls: Sequence[KernelCall], kept: Sequence[bool]) -> tuple[list[int], int]:
    """Return where each call that is not kept writes in the scratch buffer, and the buffer's size; in elements a row.

    Linear-scan allocation of scratch buffers: in the order of the calls, each result takes the first gap between
    results that are still live. A result is live until the last call that reads it.
    """
    last_reads = {call: i for i, reader in enumerate(calls) for call in reader.operands if isinstance(call, KernelCall)}
    offsets, total = [], 0
    live: list[tuple[int, int, int]] = []
    for i, (call, keeps) in enumerate(zip(calls, kept, strict=True)):
        offset = 0
        if not keeps:
            size = -(-_row_size(call) // SCRATCH_ALIGNMENT) * SCRATCH_ALIGNMENT
            live = sorted(interval for interval in live if interval[2] >= i)
            for start, stop, _ in live:
                if offset + size <= start:
                    break
                offset = max(offset, stop)
            live.append((offset, offset + size, last_reads.get(call, i)))
            total = max(total, offset + size)
        offsets.append(offset)
    return offsets, total
