"""Blocked Toom-Cook convolution as a kernel: for long windows and long kernels, with any dilation."""

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


def columns_at_once(dilation: int, most: int) -> int:
    """Return the columns of a row, one a phase of the dilation, that are computed at a time; groups are about equal."""
    return -(-dilation // -(-dilation // max(1, most)))


class BlockedToomCookKernel(ConvolutionKernel):
    """A blocked Toom-Cook convolution without upsampling; see `BlockedConvolution`.

    The register tile is that of C_out channels. A column is one phase of one row: every dilation-th position of it.
    """

    name: ClassVar[str] = "blocked_toom_cook"

    def __init__(self, taps: Tensor, tile: RegisterTile, **arguments: int) -> None:
        super().__init__(taps, tile, **arguments)
        blocked = self.blocked
        evaluation = torch.as_tensor(blocked.convolution.evaluation.T).to(taps)
        self._evaluation = F.pad(evaluation, (0, self._padded_points - blocked.points)).contiguous()
        self._interpolation = torch.as_tensor(blocked.interpolation).to(taps).contiguous()
        own = {"inputs": blocked.size, "points": blocked.points}
        own |= {"evaluation": self._evaluation.data_ptr(), "interpolation": self._interpolation.data_ptr()}
        self.arguments |= own

    @cached_property
    def blocked(self) -> BlockedConvolution:
        """The convolution in blocks."""
        return blocked_convolution(self.kernel)

    def laid_out(self, taps: Tensor) -> Tensor:
        """Return the weights (points, elements), see `RegisterTile.in_blocks`: blocks of the kernel follow each other."""
        size, blocks = self.blocked.size, self.blocked.kernel_blocks
        filled = F.pad(taps.double(), (0, 0, 0, 0, 0, size * blocks - self.kernel))
        kernel_evaluation = torch.as_tensor(self.blocked.convolution.kernel_evaluation)
        weights = torch.einsum("pk,bkio->pbio", kernel_evaluation, filled.unflatten(0, (blocks, size)))
        return self.tile.in_blocks(weights.flatten(1, 2).to(taps.dtype))

    def calls(self, source: Window) -> list[dict[str, int]]:
        """Return the parameters of one call."""
        return [self.arguments | {"group": self._group(source)}]

    def scratch(self, source: Window) -> int:
        """Return the elements of the values and the products of a group of columns, with zeros around both."""
        values = self._padded_points * self.c_in * (self._blocks(source) * self._group(source) + 2 * self.tile.positions)
        return values + self._group(source) * self._column_products(source)

    @property
    def _padded_points(self) -> int:
        return -(-self.blocked.points // POINTS_AT_ONCE) * POINTS_AT_ONCE

    def _blocks(self, source: Window) -> int:
        return self.blocked.window_blocks(-(-source.width // self.dilation))

    def _column_products(self, source: Window) -> int:
        blocks = self._blocks(source) + self.blocked.kernel_blocks + 1
        return blocks * self.blocked.points * self.tile.padded(self.c_out)

    def _group(self, source: Window) -> int:
        column = self._padded_points * self.c_in * self._blocks(source) + self._column_products(source)
        fitting = GROUP_BYTES // (column * self.taps.element_size())
        return columns_at_once(self.dilation, min(fitting, self.tile.positions))
