"""Blocked Toom-Cook convolution: the window and a long kernel in blocks, each of which is evaluated once."""

from functools import cached_property
from typing import ClassVar

from attribution_bench_plugins.fastism.convolution.algorithm import CompiledAlgorithm
from attribution_bench_plugins.fastism.kernels.blocked_toom_cook_kernel import BlockedToomCookKernel, columns_at_once
from attribution_bench_plugins.fastism.numerics.blocks import BlockedConvolution, blocked_convolution

LARGEST_WEIGHTS_BYTES = 2**20
"""Largest weights at all points: each group of columns reads all of them, so they must fit the second-level cache."""
SUM_COST_MACS = 2
"""Time that the kernel takes for one term of a sum in evaluation and interpolation, in multiply-accumulates; measured
on one two-core CPU."""


class CompiledBlockedToomCook(CompiledAlgorithm):
    """The blocked Toom-Cook convolution as a kernel: for windows of any width, without groups and upsampling."""

    name: ClassVar[str] = "blocked Toom-Cook kernel"
    kernel_type = BlockedToomCookKernel

    def is_available(self, source: int) -> bool:
        """Whether every phase of the dilation has a position, and the weights stay in the cache."""
        filter_, blocked = self.filter, self._blocked
        weights = blocked.points * blocked.kernel_blocks * filter_.c_in * filter_.c_out * filter_.taps.element_size()
        suits = filter_.upsampling == 1 and source >= filter_.dilation and weights <= LARGEST_WEIGHTS_BYTES
        return suits and super().is_available(source)

    def multiply_accumulates(self, source: int, width: int, shift: int) -> int:
        blocks, kernel = self._blocks(source), self._blocked.kernel_blocks
        pairs = min(blocks * kernel, self._output_blocks(source, width) * min(blocks, kernel))
        filter_ = self.filter
        return filter_.dilation * self._blocked.points * pairs * filter_.c_in * filter_.c_out

    def cost(self, source: int, width: int) -> int:
        """Return the cost of products with the places of all register tiles that read values, and of sums."""
        filter_, tile, blocked = self.filter, self.tile, self._blocked
        blocks, outputs = self._blocks(source), self._output_blocks(source, width)
        columns = columns_at_once(filter_.dilation, tile.positions)
        places = blocked.kernel_blocks * (blocks * columns + tile.positions - 1)
        places = min(places, outputs * columns * min(blocks, blocked.kernel_blocks))
        groups = -(-filter_.dilation // columns)
        products = int(groups * blocked.points * places * filter_.c_in * tile.work(filter_.c_out))
        inputs = min(blocks, outputs + blocked.kernel_blocks)
        terms = inputs * filter_.c_in + 2 * outputs * tile.padded(filter_.c_out)
        sums = SUM_COST_MACS * filter_.dilation * blocked.size * blocked.points * terms
        return products + sums - self.epilogue_saving(width)

    @cached_property
    def _blocked(self) -> BlockedConvolution:
        return blocked_convolution(self.filter.kernel)

    def _blocks(self, source: int) -> int:
        """Return the blocks of a column of the source window."""
        return self._blocked.window_blocks(-(-source // self.filter.dilation))

    def _output_blocks(self, source: int, width: int) -> int:
        """Return the blocks of products of a column that an output window reads, wherever it begins."""
        natural = self._blocks(source) + self._blocked.kernel_blocks - 1
        return min(natural, self._blocked.window_blocks(-(-width // self.filter.dilation)) + 2)
