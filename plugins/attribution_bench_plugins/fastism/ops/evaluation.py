"""Taps on windows by values at points: fewer products than pairs of positions and taps."""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.ops.tiles import add_up, overlap
from attribution_bench_plugins.fastism.toom_cook import Convolution, fewest_products

WIDEST_TILE = 16
"""Windows up to this wide are convolved in one piece."""
WIDEST_OF_SEVERAL = 6
"""Wider ones in pieces of up to this many positions, so that the weights at points take little memory."""
LONGEST_KERNEL = 32
"""Longer ones are not looked at: the search takes longer the longer they are."""
EVALUATED_TYPES = (torch.float32, torch.float64)
"""Numbers that have digits to lose."""
SUMS = 40
"""What the sums of one product cost for each of its channels, in multiply-accumulates; measured on one CPU."""
SUMS_OF_SEVERAL = 60
"""The same where tiles are added up."""
EVALUATED_BYTES = 2**23
"""Size of the values and products of the rows that are computed at a time."""


@dataclass(frozen=True)
class Tiling:
    """A window cut into tiles of one width; positions a dilation apart are neighbours."""

    dilation: int
    tiles: int
    """Of each of the window's interleaved parts."""
    tile: int
    kernel: int

    @property
    def products(self) -> int:
        """Products of an input channel vector with a matrix, for the whole window."""
        return self.dilation * self.tiles * self.convolution.products

    @property
    def convolution(self) -> Convolution:
        """That of each tile."""
        return fewest_products(self.tile, self.kernel)

    def cost(self, c_in: int, c_out: int) -> int:
        """Return what a window costs with so many channels, in multiply-accumulates."""
        sums = SUMS if self.tiles == 1 else SUMS_OF_SEVERAL
        return self.products * (c_in * c_out + sums * (c_in + c_out))


@cache
def best_tiling(width: int, kernel: int, dilation: int) -> Tiling:
    """Return the tiling of a window with the fewest products."""
    apart = max(1, -(-width // dilation))
    if apart <= WIDEST_TILE:
        return Tiling(dilation, 1, apart, kernel)
    options = [Tiling(dilation, -(-apart // tile), tile, kernel) for tile in range(1, WIDEST_OF_SEVERAL + 1)]
    return min(options, key=lambda option: option.products)


class EvaluatedTaps:
    """Taps (K, C_in, C_out) at stride one, prepared for windows of one tiling."""

    def __init__(self, taps: Tensor, tiling: Tiling) -> None:
        self.tiling = tiling
        convolution = tiling.convolution
        weigh = torch.as_tensor(convolution.weigh, device=taps.device)
        self.weights = torch.einsum("pk,kio->pio", weigh, taps.double()).to(taps.dtype).contiguous()
        self.evaluate = torch.as_tensor(convolution.evaluate).to(taps)
        self.interpolate = torch.as_tensor(convolution.interpolate).to(taps)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (rows, width + (K - 1) * dilation, C_out) from (rows, width, C_in)."""
        tiling, (rows, width, _) = self.tiling, x.shape
        apart, dilation = tiling.tiles * tiling.tile, tiling.dilation
        if apart * dilation > width:
            x = F.pad(x, (0, 0, 0, apart * dilation - width))
        if dilation > 1:
            x = x.unflatten(1, (apart, dilation)).transpose(1, 2).flatten(0, 1)
        channels = self.weights.shape[2]
        length = len(self.interpolate)
        if tiling.tiles > 1:
            length = (tiling.tiles + overlap(tiling.kernel - 1, tiling.tile)) * tiling.tile
        out = x.new_empty((len(x), length, channels))
        at_once = self._rows_at_once(x)
        for first in range(0, len(x), at_once):
            self._convolve(x[first : first + at_once], out[first : first + at_once])
        if dilation > 1:
            out = out.unflatten(0, (rows, dilation)).transpose(1, 2).flatten(1, 2)
        return out.narrow(1, 0, width + (tiling.kernel - 1) * dilation)

    def _rows_at_once(self, x: Tensor) -> int:
        if x.device.type != "cpu":
            return max(1, len(x))
        numbers = self.tiling.tiles * (self.weights.shape[1] + self.weights.shape[2]) * len(self.weights)
        return max(1, EVALUATED_BYTES // (numbers * x.element_size()))

    def _convolve(self, x: Tensor, into: Tensor) -> None:
        """Convolve rows of (tiles * tile, C_in)."""
        tiles, tile = self.tiling.tiles, self.tiling.tile
        values = torch.matmul(self.evaluate, x.reshape(-1, tile, x.shape[2]))
        products = torch.bmm(values.transpose(0, 1), self.weights).transpose(0, 1)
        if tiles == 1:
            torch.matmul(self.interpolate, products, out=into)
            return
        add_up(torch.matmul(self.interpolate, products).unflatten(0, (-1, tiles)), tile, into)
