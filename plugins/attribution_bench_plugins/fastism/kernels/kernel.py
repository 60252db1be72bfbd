"""What compiled convolutions of windows have in common: how they are called, and how they end."""

import abc
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.buffers import Buffers
from attribution_bench_plugins.fastism.kernels.machine import Compiled, machine
from attribution_bench_plugins.fastism.window import Window

TYPES = {torch.float32: "float", torch.float64: "double"}
"""Numbers that kernels are compiled for."""
PARAMETERS = (
    *("x", "x_row", "x_start", "x_step", "x_width", "c_in"),
    *("taps", "kernel", "up", "dilation", "offset"),
    *("out", "out_start", "out_step", "out_width", "c_out"),
    *("reference", "reference_sequence"),
    *("other", "other_row", "other_start", "other_step", "other_width"),
    *("rows", "count", "alternatives", "length", "scratch", "lists"),
    *("first", "columns", "inputs", "points", "evaluate", "interpolate", "group"),
)
"""The last line is of kernels by values at points."""
POINTERS = frozenset({"x", "taps", "out", "reference", "other", "scratch", "lists", "evaluate", "interpolate"})
MOST_POSITIONS = 9
"""Positions of a tile: with more, more are computed than there are."""
SINGLE = 1.3
"""A tile of single vectors takes as long as if it had so many times the channels: it waits for what it reads."""
_COMPILING = Lock()


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


def best_tile(channels: int, itemsize: int) -> Tile:
    """Return the tile for so many output channels: a vector of each operand must fit beside the sums."""
    here = machine()
    lanes = here.lanes(itemsize)
    most = 4 if here.vector_registers >= 32 else 2
    needed = -(-channels // lanes)
    # The fewest that are computed; of as many, those of the largest tile.
    sizes = range(min(most, needed), 0, -1)
    vectors = min(sizes, key=lambda size: -(-needed // size) * size * (SINGLE if size == 1 else 1))
    return Tile(lanes, vectors, min(MOST_POSITIONS, (here.vector_registers - 2 - vectors) // vectors))


def tile_sizes(tile: Tile) -> list[int]:
    """Return how many positions are multiplied at a time: as many as fit, and fewer for what is left."""
    return [tile.positions, *(size for size in (4, 2, 1) if size < tile.positions)]


class WindowKernel(abc.ABC):
    """Taps (K, C_in, C_out) laid out for registers: ``out[i * up + j * dilation + offset] += x[i] @ taps[j]``."""

    name: ClassVar[Literal["evaluate", "gather", "scatter"]]
    """How the code is found."""
    adds: ClassVar[bool]
    """Whether it can add another node's delta."""
    lists: ClassVar[int] = 0
    """Indices for each tap that a call needs room for."""

    def __init__(self, taps: Tensor, tile: Tile, *, up: int, dilation: int, offset: int) -> None:
        self.kernel, self.c_in, self.c_out = taps.shape
        self.tile, self.up, self.dilation, self.offset = tile, up, dilation, offset
        self.taps = self.laid_out(taps)

    @abc.abstractmethod
    def laid_out(self, taps: Tensor) -> Tensor:
        """Return the taps in the order in which they are read, (blocks, ..., channels of a tile), padded with zeros."""

    @abc.abstractmethod
    def scratch(self, source: Window) -> int:
        """Return how many numbers a call needs room for."""

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return what further arguments there are, of each time that the function is called."""
        return [{}]

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
        buffers: Buffers | None = None,
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
        buffers
            Where memory for the result comes from; PyTorch where there is none.
        """
        n, count, alternatives = x.shape[:3]
        x = _by_rows(x)
        shape = (n, count, alternatives, window.width, self.c_out)
        out = torch.empty(shape, dtype=x.dtype) if buffers is None else buffers.empty(shape, x.dtype)
        room = (self.scratch(source),)
        scratch = torch.empty(room, dtype=x.dtype) if buffers is None else buffers.empty(room, x.dtype)
        lists = torch.empty(self.lists * self.kernel, dtype=torch.int64)
        given = dict.fromkeys(PARAMETERS, 0)
        given.update(
            x=x.data_ptr(), x_row=x.stride(0), x_start=source.start, x_step=source.step, x_width=source.width,
            taps=self.taps.data_ptr(), kernel=self.kernel, up=self.up, dilation=self.dilation, offset=self.offset,
            out=out.data_ptr(), out_start=window.start, out_step=window.step, out_width=window.width,
            c_in=self.c_in, c_out=self.c_out, rows=len(x), count=count, alternatives=alternatives, length=length,
            scratch=scratch.data_ptr(), lists=lists.data_ptr(),
        )  # fmt: skip
        if reference is not None:
            given.update(reference=reference.data_ptr(), reference_sequence=reference.stride(0))
        if other is not None and other_window is not None:
            other = _by_rows(other)
            given.update(other=other.data_ptr(), other_row=other.stride(0), other_width=other_window.width)
            given.update(other_start=other_window.start, other_step=other_window.step)
        run = compiled(self.name, TYPES[x.dtype], self.tile, finish)
        for further in self.calls(source):
            run(given | further)
        return out


def _by_rows(x: Tensor) -> Tensor:
    """Return (rows, width, channels), each row in one piece."""
    x = x.flatten(0, 2)
    return x if x.stride()[1:] == (x.shape[2], 1) else x.contiguous()


def compiled(name: str, kind: str, tile: Tile, finish: Finish) -> Compiled:
    """Return a kernel for numbers of a kind, a tile and what follows, compiled once."""
    with _COMPILING:
        return _compile(name, kind, tile, finish)


@cache
def _compile(name: str, kind: str, tile: Tile, finish: Finish) -> Compiled:
    from attribution_bench_plugins.fastism.kernels.evaluate_code import EvaluateCode
    from attribution_bench_plugins.fastism.kernels.gather_code import GatherCode
    from attribution_bench_plugins.fastism.kernels.scatter_code import ScatterCode

    code: Any = {"evaluate": EvaluateCode, "gather": GatherCode, "scatter": ScatterCode}[name]
    return Compiled(code(kind, tile, finish).module, PARAMETERS)
