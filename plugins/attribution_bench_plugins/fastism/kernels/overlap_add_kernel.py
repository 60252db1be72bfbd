"""Overlap-add convolution as a kernel: each input times all taps is added to a row of sums that stays in the cache."""

from typing import ClassVar

from torch import Tensor

from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.epilogue import EpilogueStep
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.values.window import Window


class OverlapAddKernel(ConvolutionKernel):
    """An overlap-add convolution without dilation, with any upsampling: for the few output channels of profile heads.

    Taps (K, C_in, C_out), and a tile for K * C_out channels: a position's taps and output channels lie side by side in
    the result, and fill the vectors together.
    """

    name: ClassVar[str] = "overlap_add"
    steps: ClassVar[frozenset[EpilogueStep]] = frozenset({"rectify"})

    def __init__(self, taps: Tensor, tile: RegisterTile, *, upsampling: int, offset: int) -> None:
        super().__init__(taps, tile, upsampling=upsampling, dilation=1, offset=offset)

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return (elements,), see `RegisterTile.in_blocks`: the output channels are those of all taps."""
        channels = self.kernel * self.c_out
        padded = taps.new_zeros((self.c_in, self.tile.padded(channels)))
        padded[:, :channels] = taps.transpose(0, 1).flatten(1)
        return self.tile.in_blocks(padded)

    def scratch(self, source: Window) -> int:
        """Return the elements of a row of sums for each position of a tile, and of a position of zeros.

        Each row of sums ends with room for the padding of the last vectors.
        """
        padded = self.tile.padded(self.kernel * self.c_out)
        reached = (source.width - 1) * self.upsampling * self.c_out + padded
        return -(-reached // self.tile.lanes) * self.tile.lanes * self.tile.positions + self.c_out
