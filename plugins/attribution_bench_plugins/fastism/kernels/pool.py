"""Maximum pools of windows."""

from typing import ClassVar

from attribution_bench_plugins.fastism.kernels.kernel import WindowKernel, best_tile
from attribution_bench_plugins.fastism.values.window import Window


class PoolKernel(WindowKernel):
    """``out[i] = max(x[i * stride + j * dilation - padding])``; what is outside the sequence does not count."""

    name: ClassVar[str] = "pool"
    reads_unmutated: ClassVar[bool] = True

    def __init__(self, *, kernel: int, stride: int, dilation: int, padding: int, channels: int, itemsize: int) -> None:
        super().__init__(best_tile(channels, itemsize), c_in=channels, c_out=channels)
        self.arguments = {"kernel": kernel, "up": stride, "dilation": dilation, "offset": -padding}

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the arguments of the one call."""
        return [self.arguments]
