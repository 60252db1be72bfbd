"""Maximum pools and sums over positions as kernels."""

from typing import ClassVar

from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.kernels.window_kernel import WindowKernel


class PoolKernel(WindowKernel):
    """A maximum pool, ``out[i] = max(x[i * stride + j * dilation - padding])`` over the positions in the sequence."""

    name: ClassVar[str] = "pool"
    reads_unmutated: ClassVar[bool] = True
    reads_outside: ClassVar[bool] = False

    def __init__(
        self, tile: RegisterTile, *, kernel: int, stride: int, dilation: int, padding: int, channels: int
    ) -> None:
        own = {"kernel": kernel, "stride": stride, "dilation": dilation, "offset": -padding}
        super().__init__(tile, c_in=channels, c_out=channels, **own)


class TotalKernel(WindowKernel):
    """A sum over positions, ``out[0] = sum(x)`` over the full window, which is zero outside the sequence."""

    name: ClassVar[str] = "total"

    def __init__(self, tile: RegisterTile, *, channels: int) -> None:
        super().__init__(tile, c_in=channels, c_out=channels)
