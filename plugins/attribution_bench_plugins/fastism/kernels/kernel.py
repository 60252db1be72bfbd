"""What compiled functions of windows have in common: what they are given, and how they end."""

import abc
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.machine import Compiled, has_compiler, machine
from attribution_bench_plugins.fastism.values import devices
from attribution_bench_plugins.fastism.values.window import Window

TYPES = {torch.float32: "float", torch.float64: "double"}
"""Numbers that kernels are compiled for."""
ROWS = ("first_row", "rows")
"""The first of the parameters: the rows that are computed, of those that there are."""
PARAMETERS = (
    *ROWS,
    *("x", "x_row", "x_moves", "x_start", "x_step", "x_width", "c_in"),
    *("x_unmutated", "x_unmutated_sequence", "x_length"),
    *("taps", "kernel", "up", "dilation", "offset"),
    *("out", "out_moves", "out_start", "out_step", "out_width", "c_out"),
    *("unmutated", "unmutated_sequence", "scale"),
    *("other", "other_row", "other_moves", "other_start", "other_step", "other_width"),
    *("count", "alternatives", "length", "scratch", "lists"),
    *("first", "columns", "inputs", "points", "evaluate", "interpolate", "group"),
)
"""A tensor moves (1) where it holds all rows, and not (0) where it holds those that are computed. The last line is of
kernels by values at points."""
POINTERS = frozenset(
    {"x", "x_unmutated", "taps", "out", "unmutated", "scale", "other", "scratch", "lists", "evaluate", "interpolate"}
)
MOST_POSITIONS = 9
"""Positions of a tile: with more, more are computed than there are."""
SINGLE = 1.3
"""A tile of single vectors takes as long as if it had so many times the channels: it waits for what it reads."""
COMPILING = Lock()
"""Held while a function is compiled: LLVM is not asked twice at a time."""


EpilogueStep = Literal["rectify", "add", "scale"]


@dataclass(frozen=True)
class Epilogue:
    """What becomes of the deltas of a node that a kernel computes before they are written."""

    steps: tuple[EpilogueStep, ...] = ()
    """In order, each at most once. ``rectify``: ReLU. ``add``: the delta of another node. ``scale``: each channel."""
    value: bool = False
    """The value is written, not the delta; there is no step after a ReLU then."""

    @property
    def rectified(self) -> bool:
        """Whether a ReLU is among the steps."""
        return "rectify" in self.steps

    @property
    def scaled(self) -> bool:
        """Whether channels are scaled."""
        return "scale" in self.steps

    @property
    def reads_unmutated(self) -> bool:
        """Whether the unmutated activation is needed: before the ReLU, or of what is written."""
        return self.rectified or self.value


NO_EPILOGUE = Epilogue()
"""Sums are written as they are."""


@dataclass(frozen=True)
class Tile:
    """The sums that are kept in registers at a time."""

    lanes: int
    vectors: int
    positions: int
    rest: int = 0
    """Vectors of the last output channels, which no whole tile is left for."""

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.lanes * self.vectors

    def padded(self, channels: int) -> int:
        """Return how many output channels are computed for so many."""
        return -(-channels // self.lanes) * self.lanes

    def work(self, channels: int) -> float:
        """Return as many output channels as take as long in the best of tiles."""
        slow = self.rest if self.rest == 1 else self.padded(channels) // self.lanes if self.vectors == 1 else 0
        return self.padded(channels) + (SINGLE - 1) * slow * self.lanes

    def in_blocks(self, weights: Tensor) -> Tensor:
        """Return weights (..., C_in, padded channels) in the order in which they are read, (..., numbers).

        Those of one tile's output channels follow each other, input channel by input channel.
        """
        whole = weights.shape[-1] // self.channels * self.channels
        blocks = torch.unflatten(weights[..., :whole], -1, (-1, self.channels)).transpose(-3, -2).flatten(-3)
        return torch.cat([blocks, weights[..., whole:].flatten(-2)], -1).contiguous()


def best_tile(channels: int, itemsize: int) -> Tile:
    """Return the tile for so many output channels: a vector of each operand must fit beside the sums."""
    here = machine()
    lanes = here.lanes(itemsize)
    most = 4 if here.vector_registers >= 32 else 2
    needed = -(-channels // lanes)
    tiles = [
        Tile(lanes, size, min(MOST_POSITIONS, (here.vector_registers - 2 - size) // size), needed % size)
        for size in range(min(most, needed), 0, -1)
    ]
    # The largest of those that take the least time.
    return min(tiles, key=lambda tile: tile.work(channels))


def tile_sizes(tile: Tile) -> list[int]:
    """Return how many positions are multiplied at a time: as many as fit, and fewer for what is left."""
    return [tile.positions, *(size for size in (4, 2, 1) if size < tile.positions)]


class WindowKernel(abc.ABC):
    """A function that writes the deltas of a node on windows, row by row, from those of another node."""

    name: ClassVar[str]
    """How the code is found."""
    steps: ClassVar[frozenset[EpilogueStep]] = frozenset({"rectify", "add", "scale"})
    """What it can do with what it computed."""
    reads_unmutated: ClassVar[bool] = False
    """Whether it reads the unmutated activations of both nodes, whatever its steps."""

    def __init__(self, tile: Tile, *, c_in: int, c_out: int) -> None:
        self.tile, self.c_in, self.c_out = tile, c_in, c_out

    @abc.abstractmethod
    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return what arguments there are beside the tensors, of each time that the function is called."""

    def scratch(self, source: Window) -> int:
        """Return how many numbers a call needs room for."""
        return 0

    def least_rows(self, source: Window) -> int:
        """Return how many rows a call should have: with fewer it waits for what it reads for all of them."""
        return 1

    def lists(self) -> int:
        """Return how many indices a call needs room for."""
        return 0


def compiles(tensor: Tensor) -> bool:
    """Whether there are kernels for such numbers on such a device here."""
    return has_compiler() and devices.on_cpu(tensor) and tensor.dtype in TYPES


def compiled(name: str, kind: str, tile: Tile, epilogue: Epilogue) -> Compiled:
    """Return a kernel for numbers of a kind, a tile and what follows, compiled once."""
    with COMPILING:
        return _compile(name, kind, tile, epilogue)


@cache
def _compile(name: str, kind: str, tile: Tile, epilogue: Epilogue) -> Compiled:
    from attribution_bench_plugins.fastism.kernels.direct_code import DirectCode
    from attribution_bench_plugins.fastism.kernels.overlap_add_code import OverlapAddCode
    from attribution_bench_plugins.fastism.kernels.pool_code import PoolCode
    from attribution_bench_plugins.fastism.kernels.toom_cook_code import ToomCookCode
    from attribution_bench_plugins.fastism.kernels.total_code import TotalCode

    codes: dict[str, Any] = {
        "toom_cook": ToomCookCode,
        "direct": DirectCode,
        "pool": PoolCode,
        "overlap_add": OverlapAddCode,
        "total": TotalCode,
    }
    return Compiled(codes[name](kind, tile, epilogue).module)
