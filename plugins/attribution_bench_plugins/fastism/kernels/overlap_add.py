"""Convolution by inputs: each position times all taps is added where it leads, in a row that stays in the cache."""

from typing import ClassVar

from torch import Tensor

from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.kernel import EpilogueStep, Tile, best_tile, tile_sizes
from attribution_bench_plugins.fastism.values.window import Window


class OverlapAddKernel(ConvolutionKernel):
    """Taps without a dilation, with any upsampling: for the few output channels of profile heads.

    A position's taps and output channels lie side by side in the result, and fill the vectors together.
    """

    name: ClassVar[str] = "overlap_add"
    steps: ClassVar[frozenset[EpilogueStep]] = frozenset({"rectify"})

    def __init__(self, taps: Tensor, *, up: int, offset: int) -> None:
        super().__init__(taps, _tile(taps), up=up, dilation=1, offset=offset)

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return (numbers,), see `Tile.in_blocks`: output channels are those of all taps."""
        numbers = self.kernel * self.c_out
        padded = taps.new_zeros((self.c_in, self.tile.padded(numbers)))
        padded[:, :numbers] = taps.transpose(0, 1).flatten(1)
        return self.tile.in_blocks(padded)

    def scratch(self, source: Window) -> int:
        """Return room for rows of sums, with what a block of zeros adds to nothing behind each, and for zeros."""
        padded = self.tile.padded(self.kernel * self.c_out)
        reached = (source.width - 1) * self.up * self.c_out + padded
        return -(-reached // self.tile.lanes) * self.tile.lanes * self.tile.positions + self.c_out


def overlap_add_cost(taps: Tensor, source: int) -> int:
    """Return how many multiply-accumulates a kernel could do in the time that so many positions take it.

    A small tile takes as long as if it had one position more.
    """
    kernel, c_in, c_out = taps.shape
    tile, left = _tile(taps), source
    positions = 0
    for size in tile_sizes(tile):
        count, left = divmod(left, size)
        positions += count * (size if size == tile.positions else size + 1)
    return int(positions * c_in * tile.work(kernel * c_out))


def _tile(taps: Tensor) -> Tile:
    return best_tile(taps.shape[0] * taps.shape[2], taps.element_size())
