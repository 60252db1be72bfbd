"""Convolution kernels: the parameters that all of them share, and those that read their taps as they are."""

import abc
from typing import ClassVar

from torch import Tensor

from attribution_bench_plugins.fastism.kernels.epilogue import EpilogueStep
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.kernels.window_kernel import WindowKernel
from attribution_bench_plugins.fastism.values.window import Window


class ConvolutionKernel(WindowKernel):
    """A convolution with taps (K, C_in, C_out): ``out[i * upsampling + j * dilation + offset] += x[i] @ taps[j]``."""

    def __init__(
        self, taps: Tensor, tile: RegisterTile, *, upsampling: int = 1, dilation: int = 1, offset: int
    ) -> None:
        self.kernel, c_in, c_out = taps.shape
        own = {"kernel": self.kernel, "upsampling": upsampling, "dilation": dilation, "offset": offset}
        super().__init__(tile, c_in=c_in, c_out=c_out, **own)
        self.upsampling, self.dilation = upsampling, dilation
        self.taps = self.laid_out(taps)
        self.arguments["taps"] = self.taps.data_ptr()

    @abc.abstractmethod
    def laid_out(self, taps: Tensor) -> Tensor:
        """Return the taps in the order in which the kernel reads them, padded with zeros."""


class DirectKernel(ConvolutionKernel):
    """A direct convolution without upsampling, with any dilation: each tile of outputs reads the inputs of its taps.

    The tile is that of C_out channels. A tap that reads nothing of a row takes no time.
    """

    name: ClassVar[str] = "direct"

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return (elements,), see `RegisterTile.in_blocks`: for each tile's output channels, all taps together."""
        return self.tile.in_blocks(taps.flatten(0, 1))

    def scratch(self, source: Window) -> int:
        """Return the elements of copies of inputs at the ends of a row, for each tap, and of the sums of a tile."""
        return self.tile.positions * (self.kernel * self.c_in + self.tile.channels)

    def lists(self) -> int:
        """Return two addresses for each tap: of the inputs that it reads, and of its weights."""
        return 2 * self.kernel


class OverlapAddKernel(ConvolutionKernel):
    """An overlap-add convolution without dilation, with any upsampling: for the few output channels of profile heads.

    Each input times all taps is added to a row of sums that stays in the cache. The tile is that of K * C_out channels:
    a position's taps and output channels lie side by side in the result, and fill the vectors together.
    """

    name: ClassVar[str] = "overlap_add"
    steps: ClassVar[frozenset[EpilogueStep]] = frozenset({"rectify"})

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return (elements,), see `RegisterTile.in_blocks`: the output channels are those of all taps."""
        return self.tile.in_blocks(taps.transpose(0, 1).flatten(1))

    def scratch(self, source: Window) -> int:
        """Return the elements of a row of sums for each position of a tile, and of a position of zeros.

        Each row of sums ends with room for the padding of the last vectors.
        """
        padded = self.tile.padded(self.kernel * self.c_out)
        row = self.tile.padded((source.width - 1) * self.upsampling * self.c_out + padded)
        return row * self.tile.positions + self.c_out
