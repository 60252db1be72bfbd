"""How windows are cut for Toom-Cook convolutions: by dilation, and into tiles."""

from dataclasses import dataclass
from functools import cache, cached_property

from attribution_bench_plugins.fastism.numerics.toom_cook import Convolution, fewest_products

WIDEST_TILE = 16
"""Windows up to this wide are convolved in one piece."""
WIDEST_OF_SEVERAL = 6
"""Wider ones in pieces of up to this many positions, so that the weights at points take little memory."""
SUMS = 85
"""What the sums of one product cost for each of its channels, in multiply-accumulates; measured on one CPU."""
SUMS_OF_SEVERAL = 95
"""The same where tiles are added up."""
SUMS_APART = 120
"""The same with a dilation, where neighbours are put together first."""


@dataclass(frozen=True)
class Tiling:
    """Sequences of elements cut into tiles of one width."""

    tiles: int
    tile: int
    kernel: int

    @property
    def convolution(self) -> Convolution:
        """That of each tile."""
        return fewest_products(self.tile, self.kernel)

    @property
    def products(self) -> int:
        """Products of an element with a matrix, or of a sum of them."""
        return self.tiles * self.convolution.products


@dataclass(frozen=True)
class Polyphase:
    """A window under a kernel with a dilation: as many windows without one, of every dilation-th position."""

    width: int
    kernel: int
    dilation: int

    @property
    def longer(self) -> int:
        """How many of the windows have one position more than the others."""
        return self.width % self.dilation

    @property
    def positions(self) -> int:
        """Positions of the others."""
        return self.width // self.dilation

    @cached_property
    def tilings(self) -> list[tuple[slice, Tiling]]:
        """The longer windows and the others, where there are such, by number."""
        parts = [(slice(0, self.longer), self.positions + 1), (slice(self.longer, self.dilation), self.positions)]
        return [(part, best_tiling(n, self.kernel)) for part, n in parts if part.start < part.stop and n]

    @property
    def products(self) -> int:
        """Products of an input channel vector with a matrix."""
        return sum((part.stop - part.start) * tiling.products for part, tiling in self.tilings)

    def cost(self, c_in: int, c_out: int) -> int:
        """Return what the window costs with so many channels, in multiply-accumulates."""
        sums = SUMS if all(tiling.tiles == 1 for _, tiling in self.tilings) else SUMS_OF_SEVERAL
        return self.products * (c_in * c_out + (sums if self.dilation == 1 else SUMS_APART) * (c_in + c_out))


@cache
def best_tiling(width: int, kernel: int) -> Tiling:
    """Return the tiling of so many elements with the fewest products."""
    if width <= WIDEST_TILE:
        return Tiling(1, width, kernel)
    options = [Tiling(-(-width // tile), tile, kernel) for tile in range(1, WIDEST_OF_SEVERAL + 1)]
    return min(options, key=lambda option: option.products)
