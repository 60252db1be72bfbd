"""Maximum pooling as a kernel."""

from typing import ClassVar

from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.kernels.window_kernel import WindowKernel
from attribution_bench_plugins.fastism.values.window import Window


class PoolKernel(WindowKernel):
    """A maximum pool, ``out[i] = max(x[i * stride + j * dilation - padding])`` over the positions in the sequence."""

    name: ClassVar[str] = "pool"
    reads_unmutated: ClassVar[bool] = True

    def __init__(
        self, tile: RegisterTile, *, kernel: int, stride: int, dilation: int, padding: int, channels: int
    ) -> None:
        super().__init__(tile, c_in=channels, c_out=channels)
        self.arguments = {"kernel": kernel, "stride": stride, "dilation": dilation, "offset": -padding}

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the parameters of the one call."""
        return [self.arguments]
