"""Tilings of windows for Toom-Cook convolutions: the polyphase decomposition of a dilation, and tiles."""

from dataclasses import dataclass
from functools import cache, cached_property

from attribution_bench_plugins.fastism.numerics.toom_cook import BilinearConvolution, fewest_products

WIDEST_SINGLE_TILE = 16
"""Width, in positions, up to which a window is one tile."""
WIDEST_OF_SEVERAL_TILES = 6
"""Widest tile of a wider window, in positions: the weights at all points of wider tiles take much memory."""
SUMS_COST_MACS = 85
"""Time of the evaluation and the interpolation of one product, for each of its input and output channels, as the
number of multiply-accumulates of a matrix product that take as long; measured on one two-core CPU, as are the next."""
SUMS_COST_OF_SEVERAL_TILES_MACS = 95
"""The same where overlapping tiles are added up."""
SUMS_COST_OF_DILATION_MACS = 120
"""The same with a dilation, where the positions of each phase are copied next to each other."""


@dataclass(frozen=True)
class Tiling:
    """A tiling of a sequence of elements: `tiles` tiles of `tile` elements each, for a kernel of `kernel` taps."""

    tiles: int
    tile: int
    kernel: int

    @property
    def convolution(self) -> BilinearConvolution:
        """The algorithm of each tile."""
        return fewest_products(self.tile, self.kernel)

    @property
    def products(self) -> int:
        """Number of products of a vector with a matrix, for all tiles."""
        return self.tiles * self.convolution.products


@dataclass(frozen=True)
class Polyphase:
    """The polyphase decomposition of a window under a dilated kernel.

    Phase p holds the positions p, p + dilation, p + 2 * dilation and so on; each phase is convolved without dilation.
    """

    width: int
    kernel: int
    dilation: int

    @property
    def longer(self) -> int:
        """Number of phases, the first ones, that have one position more than the others."""
        return self.width % self.dilation

    @property
    def positions(self) -> int:
        """Number of positions of the other phases."""
        return self.width // self.dilation

    @cached_property
    def tilings(self) -> list[tuple[slice, Tiling]]:
        """The range and the tiling of the longer phases and of the others, without empty ones."""
        groups = [(slice(0, self.longer), self.positions + 1), (slice(self.longer, self.dilation), self.positions)]
        return [(phases, best_tiling(n, self.kernel)) for phases, n in groups if phases.start < phases.stop and n]

    @property
    def products(self) -> int:
        """Number of products of a vector of input channels with a (C_in, C_out) matrix."""
        return sum((phases.stop - phases.start) * tiling.products for phases, tiling in self.tilings)

    def cost(self, c_in: int, c_out: int) -> int:
        """Return the cost of the Toom-Cook convolution in PyTorch, in multiply-accumulates."""
        single = all(tiling.tiles == 1 for _, tiling in self.tilings)
        undilated = SUMS_COST_MACS if single else SUMS_COST_OF_SEVERAL_TILES_MACS
        sums = undilated if self.dilation == 1 else SUMS_COST_OF_DILATION_MACS
        return self.products * (c_in * c_out + sums * (c_in + c_out))


polyphase = cache(Polyphase)
"""The polyphase decomposition of a window, by width, kernel and dilation; its tilings are computed once."""


@cache
def best_tiling(width: int, kernel: int) -> Tiling:
    """Return the tiling of `width` elements with the fewest products."""
    if width <= WIDEST_SINGLE_TILE:
        return Tiling(1, width, kernel)
    options = [Tiling(-(-width // tile), tile, kernel) for tile in range(1, WIDEST_OF_SEVERAL_TILES + 1)]
    return min(options, key=lambda option: option.products)
