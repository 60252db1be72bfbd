"""Convolution by outputs: each tile of them gathers what its taps read."""

from typing import ClassVar

from torch import Tensor

from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.kernel import Tile, best_tile
from attribution_bench_plugins.fastism.values.window import Window


class DirectKernel(ConvolutionKernel):
    """Taps without upsampling, with any dilation. A tap that reads nothing of a row takes no time."""

    name: ClassVar[str] = "direct"

    def __init__(self, taps: Tensor, *, dilation: int, offset: int) -> None:
        super().__init__(taps, _tile(taps), up=1, dilation=dilation, offset=offset)

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return (numbers,), see `Tile.in_blocks`: those of all taps for one tile's output channels together."""
        padded = taps.new_zeros((self.kernel, self.c_in, self.tile.padded(self.c_out)))
        padded[:, :, : self.c_out] = taps
        return self.tile.in_blocks(padded.flatten(0, 1))

    def scratch(self, source: Window) -> int:
        """Return room for what each tap reads across the ends of a row, and for the sums of a tile."""
        return self.tile.positions * (self.kernel * self.c_in + self.tile.channels)

    def lists(self) -> int:
        """Return room for where each tap of a tile reads, and for its weights."""
        return 2 * self.kernel


LISTED = 500
"""What a tap of a tile costs beside its products, in multiply-accumulates; measured on one two-core CPU."""


def direct_cost(taps: Tensor, source: int, dilation: int) -> int:
    """Return how many multiply-accumulates a kernel could do in the time that so many positions take it.

    All positions of every tile that a tap touches are multiplied.
    """
    kernel, c_in, c_out = taps.shape
    tile = _tile(taps)
    ranges = ((j * dilation, j * dilation + source) for j in range(kernel))
    tiles = sum(-(-stop // tile.positions) - start // tile.positions for start, stop in ranges)
    blocks = -(-c_out // tile.channels)
    return int(tiles * (tile.positions * c_in * tile.work(c_out) + blocks * LISTED))


def _tile(taps: Tensor) -> Tile:
    return best_tile(taps.shape[2], taps.element_size())
