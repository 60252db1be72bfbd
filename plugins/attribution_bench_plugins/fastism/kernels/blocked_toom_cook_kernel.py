"""Blocked Toom-Cook convolution as a kernel: for long windows and long kernels, with any dilation."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile
from attribution_bench_plugins.fastism.numerics.blocks import BlockedConvolution, blocked_convolution
from attribution_bench_plugins.fastism.values.window import Window

GROUP_BYTES = 2**19
"""Size of the values and products of the columns that are computed at a time: half a core's second-level cache."""
POINTS_AT_ONCE = 4
"""Points at which a block is evaluated at a time."""


@dataclass(frozen=True)
class Columns:
    """The columns of a row, which are computed in groups: one for each phase of the dilation."""

    blocked: BlockedConvolution
    tile: RegisterTile
    dilation: int
    c_in: int
    c_out: int
    itemsize: int

    @property
    def values(self) -> int:
        """Elements of the values of a block at all points, which are evaluated several at a time."""
        return -(-self.blocked.points // POINTS_AT_ONCE) * POINTS_AT_ONCE * self.c_in

    def blocks(self, width: int) -> int:
        """Return the blocks of a column of a window."""
        return -(-width // (self.dilation * self.blocked.size))

    def products(self, width: int) -> int:
        """Return the elements of a column's products, with a block of zeros before and one after them."""
        blocks = self.blocks(width) + self.blocked.kernel_blocks + 1
        return blocks * self.blocked.points * self.tile.padded(self.c_out)

    def at_once(self, width: int) -> int:
        """Return the columns of a group, at most a register tile's positions, so that groups are about equal.

        It is 0 where not even one of them stays in the cache.
        """
        column = self.blocks(width) * self.values + self.products(width)
        most = min(GROUP_BYTES // (column * self.itemsize), self.tile.positions)
        return -(-self.dilation // -(-self.dilation // most)) if most else 0


class BlockedToomCookKernel(ConvolutionKernel):
    """A blocked Toom-Cook convolution without upsampling; see `BlockedConvolution`.

    The register tile is that of C_out channels. A column is one phase of one row: every dilation-th position of it.
    """

    name: ClassVar[str] = "blocked_toom_cook"

    def __init__(self, taps: Tensor, tile: RegisterTile, **arguments: int) -> None:
        super().__init__(taps, tile, **arguments)
        blocked = self._blocked
        evaluation = torch.as_tensor(blocked.convolution.evaluation.T).to(taps)
        self._evaluation = F.pad(evaluation, (0, -blocked.points % POINTS_AT_ONCE)).contiguous()
        self._interpolation = torch.as_tensor(blocked.interpolation).to(taps).contiguous()
        self.arguments |= {
            **{"inputs": blocked.size, "points": blocked.points},
            **{"evaluation": self._evaluation.data_ptr(), "interpolation": self._interpolation.data_ptr()},
        }

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return the weights (points, elements), see `RegisterTile.in_blocks`: blocks of the kernel are in a row."""
        blocked = self._blocked
        filled = F.pad(taps.double(), (0, 0, 0, 0, 0, blocked.size * blocked.kernel_blocks - self.kernel))
        blocks = torch.unflatten(filled, 0, (blocked.kernel_blocks, blocked.size))
        weights = torch.einsum("pk,bkio->pbio", torch.as_tensor(blocked.convolution.kernel_evaluation), blocks)
        return self.tile.in_blocks(weights.flatten(1, 2).to(taps.dtype))

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the parameters of one call."""
        return [self.arguments | {"group": self._group(source)}]

    def scratch(self, source: Window) -> int:
        """Return the elements of the values and the products of a group of columns, with zeros around both."""
        columns, group = self._columns, self._group(source)
        places = columns.blocks(source.width) * group + 2 * self.tile.positions
        return places * columns.values + group * columns.products(source.width)

    @property
    def _blocked(self) -> BlockedConvolution:
        return blocked_convolution(self.kernel)

    @cached_property
    def _columns(self) -> Columns:
        itemsize = self.taps.element_size()
        return Columns(self._blocked, self.tile, self.dilation, self.c_in, self.c_out, itemsize)

    def _group(self, source: Window) -> int:
        return max(1, self._columns.at_once(source.width))
