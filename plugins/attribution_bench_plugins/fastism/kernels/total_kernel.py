"""Sums over the positions of windows as a kernel."""

from typing import ClassVar

from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.kernels.window_kernel import WindowKernel
from attribution_bench_plugins.fastism.values.window import Window


class TotalKernel(WindowKernel):
    """A sum over positions, ``out[0] = sum(x)`` over the whole window, which is zero outside the sequence."""

    name: ClassVar[str] = "total"

    def __init__(self, tile: RegisterTile, *, channels: int) -> None:
        super().__init__(tile, c_in=channels, c_out=channels)

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the parameters of the one call: it has none of its own."""
        return [{}]
