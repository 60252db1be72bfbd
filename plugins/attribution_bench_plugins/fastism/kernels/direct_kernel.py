"""Direct convolution as a kernel: each tile of outputs reads the inputs of its taps."""

from typing import ClassVar

from torch import Tensor

from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.values.window import Window


class DirectKernel(ConvolutionKernel):
    """A direct convolution without upsampling, with any dilation.

    Taps (K, C_in, C_out), and a tile for C_out channels. A tap that reads nothing of a row takes no time.
    """

    name: ClassVar[str] = "direct"

    def __init__(self, taps: Tensor, tile: RegisterTile, *, dilation: int, offset: int) -> None:
        super().__init__(taps, tile, upsampling=1, dilation=dilation, offset=offset)

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return (elements,), see `RegisterTile.in_blocks`: for each tile's output channels, all taps together."""
        padded = taps.new_zeros((self.kernel, self.c_in, self.tile.padded(self.c_out)))
        padded[:, :, : self.c_out] = taps
        return self.tile.in_blocks(padded.flatten(0, 1))

    def scratch(self, source: Window) -> int:
        """Return the elements of copies of inputs at the ends of a row, for each tap, and of the sums of a tile."""
        return self.tile.positions * (self.kernel * self.c_in + self.tile.channels)

    def lists(self) -> int:
        """Return two addresses for each tap: of the inputs that it reads, and of its weights."""
        return 2 * self.kernel
