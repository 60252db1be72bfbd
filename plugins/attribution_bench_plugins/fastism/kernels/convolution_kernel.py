"""Convolution kernels: the parameters that all of them share."""

import abc

from torch import Tensor

from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.kernels.window_kernel import WindowKernel
from attribution_bench_plugins.fastism.values.window import Window


class ConvolutionKernel(WindowKernel):
    """A convolution with taps (K, C_in, C_out): ``out[i * upsampling + j * dilation + offset] += x[i] @ taps[j]``."""

    def __init__(self, taps: Tensor, tile: RegisterTile, *, upsampling: int, dilation: int, offset: int) -> None:
        self.kernel, c_in, c_out = taps.shape
        super().__init__(tile, c_in=c_in, c_out=c_out)
        self.upsampling, self.dilation = upsampling, dilation
        self.taps = self.laid_out(taps)
        self.arguments = {
            "taps": self.taps.data_ptr(),
            "kernel": self.kernel,
            "upsampling": upsampling,
            "dilation": dilation,
            "offset": offset,
        }

    @abc.abstractmethod
    def laid_out(self, taps: Tensor) -> Tensor:
        """Return the taps in the order in which the kernel reads them, padded with zeros."""

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the parameters of the one call."""
        return [self.arguments]
