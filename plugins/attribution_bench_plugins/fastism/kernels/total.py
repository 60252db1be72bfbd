"""Sums of windows over their positions."""

from typing import ClassVar

from attribution_bench_plugins.fastism.kernels.kernel import WindowKernel, best_tile
from attribution_bench_plugins.fastism.values.window import Window


class TotalKernel(WindowKernel):
    """``out[0] = sum(x)`` over all positions of the window, which is zero outside the sequence."""

    name: ClassVar[str] = "total"

    def __init__(self, *, channels: int, itemsize: int) -> None:
        super().__init__(best_tile(channels, itemsize), c_in=channels, c_out=channels)

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the arguments of the one call: there are none."""
        return [{}]
