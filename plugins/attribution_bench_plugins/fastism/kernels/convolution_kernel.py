"""What compiled convolutions have in common."""

import abc

from torch import Tensor

from attribution_bench_plugins.fastism.kernels.kernel import Tile, WindowKernel
from attribution_bench_plugins.fastism.values.window import Window


class ConvolutionKernel(WindowKernel):
    """Taps (K, C_in, C_out) laid out for registers: ``out[i * up + j * dilation + offset] += x[i] @ taps[j]``."""

    def __init__(self, taps: Tensor, tile: Tile, *, up: int, dilation: int, offset: int) -> None:
        self.kernel, c_in, c_out = taps.shape
        super().__init__(tile, c_in=c_in, c_out=c_out)
        self.taps = self.laid_out(taps)
        self.arguments = {
            "taps": self.taps.data_ptr(),
            "kernel": self.kernel,
            "up": up,
            "dilation": dilation,
            "offset": offset,
        }
        self.up, self.dilation = up, dilation

    @abc.abstractmethod
    def laid_out(self, taps: Tensor) -> Tensor:
        """Return the taps in the order in which they are read, padded with zeros."""

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the arguments of the one call."""
        return [self.arguments]
