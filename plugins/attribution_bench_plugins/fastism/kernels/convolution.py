"""Convolution of windows in one pass, with the ReLU and the sum that follow it."""

import ctypes
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Literal

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.machine import Compiled, machine
from attribution_bench_plugins.fastism.window import Window

TYPES = {torch.float32: "float", torch.float64: "double"}
"""Numbers that kernels are compiled for."""
PARAMETERS = (
    *("x", "x_row", "x_start", "x_step", "x_width", "c_in"),
    *("taps", "kernel", "dilation", "offset"),
    *("out", "out_start", "out_step", "out_width", "c_out"),
    *("reference", "reference_sequence"),
    *("other", "other_row", "other_start", "other_step", "other_width"),
    *("rows", "count", "alternatives", "length", "scratch", "lists"),
)
MOST_POSITIONS = 9
"""Positions of a tile: with more, more are computed than there are."""
_COMPILING = Lock()
POINTERS = frozenset({"x", "taps", "out", "reference", "other", "scratch", "lists"})


@dataclass(frozen=True)
class Finish:
    """What becomes of a convolution's sums, the deltas of a node, before they are written."""

    steps: tuple[Literal["rectify", "add"], ...] = ()
    """In order, each at most once. ``rectify``: ReLU. ``add``: the delta of another node."""
    value: bool = False
    """The value is written, not the delta; nothing is added after a ReLU then."""

    @property
    def rectified(self) -> bool:
        """Whether a ReLU is among the steps."""
        return "rectify" in self.steps

    @property
    def reads_reference(self) -> bool:
        """Whether the unmutated activation is needed: before the ReLU, or of what is written."""
        return self.rectified or self.value


@dataclass(frozen=True)
class Tile:
    """The sums that are kept in registers at a time."""

    lanes: int
    vectors: int
    positions: int

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.lanes * self.vectors


def best_tile(c_out: int, itemsize: int) -> Tile:
    """Return the tile for so many output channels: a vector of each operand must fit beside the sums."""
    here = machine()
    lanes = here.lanes(itemsize)
    most = 4 if here.vector_registers >= 32 else 2
    vectors = min(most, -(-c_out // lanes))
    return Tile(lanes, vectors, min(MOST_POSITIONS, (here.vector_registers - 2 - vectors) // vectors))


def computed_products(source: int, kernel: int, dilation: int, tile: Tile) -> int:
    """Return of how many positions and taps a kernel multiplies, for so many positions: all of a tile's."""
    ranges = ((j * dilation, j * dilation + source) for j in range(kernel))
    tiles = sum(-(-stop // tile.positions) - start // tile.positions for start, stop in ranges)
    return tiles * tile.positions


class ConvolutionKernel:
    """Taps (K, C_in, C_out) at stride one, laid out for registers."""

    def __init__(self, taps: Tensor, *, dilation: int, offset: int) -> None:
        self.kernel, self.c_in, self.c_out = taps.shape
        self.dilation, self.offset = dilation, offset
        self.tile = best_tile(self.c_out, taps.element_size())
        blocks = -(-self.c_out // self.tile.channels)
        padded = taps.new_zeros((self.kernel, self.c_in, blocks * self.tile.channels))
        padded[:, :, : self.c_out] = taps
        self.taps = torch.unflatten(padded, 2, (blocks, -1)).permute(2, 0, 1, 3).contiguous()

    def __call__(
        self,
        x: Tensor,
        source: Window,
        window: Window,
        length: int,
        finish: Finish = Finish(),
        reference: Tensor | None = None,
        other: Tensor | None = None,
        other_window: Window | None = None,
    ) -> Tensor:
        """Return (n, count, alternatives, width, C_out) on a window of a sequence of `length`, zero outside of it.

        Parameters
        ----------
        x
            (n, count, alternatives, source width, C_in): deltas on the source window, zero outside the sequence.
        reference
            (n, L, C_out): what the sums are the delta of.
        other
            (n, count, alternatives, other width, C_out): the delta that is added, on its window.
        """
        n, count, alternatives = x.shape[:3]
        rows = n * count * alternatives
        x = _by_rows(x)
        out = torch.empty((n, count, alternatives, window.width, self.c_out), dtype=x.dtype)
        numbers = self.tile.positions * (self.kernel * self.c_in + self.tile.channels)
        scratch = torch.empty(numbers, dtype=x.dtype)
        lists = torch.empty(2 * self.kernel, dtype=torch.int64)
        given = {
            **{"x": x.data_ptr(), "x_row": x.stride(0), "c_in": self.c_in},
            **{"x_start": source.start, "x_step": source.step, "x_width": source.width},
            **{"taps": self.taps.data_ptr(), "kernel": self.kernel, "dilation": self.dilation, "offset": self.offset},
            **{"out": out.data_ptr(), "out_start": window.start, "out_step": window.step, "out_width": window.width},
            **{"c_out": self.c_out, "rows": rows, "count": count, "alternatives": alternatives, "length": length},
            **{"scratch": scratch.data_ptr(), "lists": lists.data_ptr()},
            **dict.fromkeys(("reference", "reference_sequence"), 0),
            **dict.fromkeys(("other", "other_row", "other_start", "other_step", "other_width"), 0),
        }
        if reference is not None:
            given["reference"], given["reference_sequence"] = reference.data_ptr(), reference.stride(0)
        if other is not None and other_window is not None:
            other = _by_rows(other)
            given["other"], given["other_row"] = other.data_ptr(), other.stride(0)
            given["other_start"], given["other_step"] = other_window.start, other_window.step
            given["other_width"] = other_window.width
        compiled(TYPES[x.dtype], self.tile, finish)(*(given[name] for name in PARAMETERS))
        return out


def _by_rows(x: Tensor) -> Tensor:
    """Return (rows, width, channels), each row in one piece."""
    x = x.flatten(0, 2)
    return x if x.stride()[1:] == (x.shape[2], 1) else x.contiguous()


def compiled(kind: str, tile: Tile, finish: Finish) -> Compiled:
    """Return the kernel for numbers of a kind, a tile and what follows, compiled once."""
    with _COMPILING:
        return _compile(kind, tile, finish)


@cache
def _compile(kind: str, tile: Tile, finish: Finish) -> Compiled:
    from attribution_bench_plugins.fastism.kernels.convolution_code import write

    types = [ctypes.c_void_p if name in POINTERS else ctypes.c_int64 for name in PARAMETERS]
    return Compiled(write(kind, tile, finish), "convolve", ctypes.CFUNCTYPE(None, *types))
