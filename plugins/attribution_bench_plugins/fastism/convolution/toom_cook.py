"""Taps on windows by values at points: fewer products than pairs of positions and taps."""

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.convolution.tiles import add_up, overlap
from attribution_bench_plugins.fastism.numerics.tilings import Polyphase, Tiling
from attribution_bench_plugins.fastism.values import devices

LONGEST_KERNEL = 32
"""Longer ones are not looked at: the search takes longer the longer they are."""
EVALUATED_TYPES = (torch.float32, torch.float64)
"""Numbers that have digits to lose."""
FAR_APART = 32
"""From this dilation on, the interleaved windows of one row are enough for a product."""
EVALUATED_BYTES = 2**23
"""Size of the values and products of the rows that are computed at a time."""


class PreparedToomCook:
    """Taps (K, C_in, C_out) at stride one, prepared for tiles of one width."""

    def __init__(self, taps: Tensor, tiling: Tiling) -> None:
        self.tiling = tiling
        convolution = tiling.convolution
        weigh = torch.as_tensor(convolution.weigh, device=taps.device)
        self.weights = torch.einsum("pk,kio->pio", weigh, taps.double()).to(taps.dtype).contiguous()
        self.evaluate = torch.as_tensor(convolution.evaluate).to(taps)
        self.interpolate = torch.as_tensor(convolution.interpolate).to(taps)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (rows, at least width + K - 1, C_out) from (rows, width, C_in)."""
        short = self.tiling.tiles * self.tiling.tile - x.shape[1]
        x = F.pad(x, (0, 0, 0, short)) if short else x
        out = x.new_empty((len(x), self._length, self.weights.shape[2]))
        at_once = self._rows_at_once(x)
        for first in range(0, len(x), at_once):
            self._convolve(x[first : first + at_once], out[first : first + at_once])
        return out

    def convolve_columns(self, x: Tensor, into: Tensor) -> None:
        """Convolve the columns of one tile (tile, columns, C_in) into (tile + K - 1, columns, C_out)."""
        values = torch.mm(self.evaluate, x.flatten(1)).view(-1, *x.shape[1:])
        products = torch.bmm(values, self.weights)
        torch.mm(self.interpolate, products.flatten(1), out=into.flatten(1))

    @property
    def _length(self) -> int:
        """Elements of the result, with those that a last tile does not need."""
        tiles, tile, kernel = self.tiling.tiles, self.tiling.tile, self.tiling.kernel
        return tile + kernel - 1 if tiles == 1 else (tiles + overlap(kernel - 1, tile)) * tile

    def _rows_at_once(self, x: Tensor) -> int:
        if not devices.on_cpu(x):
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
        pieces = torch.matmul(self.interpolate, products)
        add_up(pieces.view(-1, tiles, *pieces.shape[1:]), tile, into)


class PolyphaseToomCook:
    """Taps (K, C_in, C_out) with a dilation, for windows of any width."""

    def __init__(self, taps: Tensor, dilation: int) -> None:
        self.taps, self.dilation = taps, dilation
        self.prepared: dict[Tiling, PreparedToomCook] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Return (rows, width + (K - 1) * dilation, C_out) from (rows, width, C_in)."""
        rows, width, _ = x.shape
        kernel, _, c_out = self.taps.shape
        window = Polyphase(width, kernel, self.dilation)
        length = width + (kernel - 1) * self.dilation
        if self.dilation == 1:
            ((_, tiling),) = window.tilings
            return self._prepared(tiling)(x).narrow(1, 0, length)
        positions = window.positions
        even = torch.unflatten(x[:, : positions * self.dilation], 1, (positions, self.dilation))
        out = x.new_empty((rows, positions + kernel, self.dilation, c_out))
        if not positions:
            out.zero_()
        for part, tiling in window.tilings:
            elements = even[:, :, part]
            if part.start == 0 and window.longer:
                elements = torch.cat([elements, x[:, None, positions * self.dilation :]], 1)
            into, taps = out[:, : elements.shape[1] + kernel - 1, part], self._prepared(tiling)
            if devices.on_cpu(x) and part.stop - part.start >= FAR_APART and tiling.tiles == 1:
                for row in range(rows):
                    taps.convolve_columns(elements[row], into[row])
            else:
                found = taps(elements.transpose(1, 2).flatten(0, 1))
                into.copy_(torch.unflatten(found[:, : into.shape[1]], 0, (rows, -1)).transpose(1, 2))
        return out.flatten(1, 2).narrow(1, 0, length)

    def _prepared(self, tiling: Tiling) -> PreparedToomCook:
        if tiling not in self.prepared:
            self.prepared[tiling] = PreparedToomCook(self.taps, tiling)
        return self.prepared[tiling]
