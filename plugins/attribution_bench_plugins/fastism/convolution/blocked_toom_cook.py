"""Blocked Toom-Cook convolution: windows and long kernels in blocks, each of which is evaluated once."""

from functools import cached_property
from typing import ClassVar

from attribution_bench_plugins.fastism.convolution.algorithm import CompiledAlgorithm
from attribution_bench_plugins.fastism.kernels.blocked_toom_cook_kernel import BlockedToomCookKernel, Columns
from attribution_bench_plugins.fastism.numerics.blocks import blocked_convolution
from attribution_bench_plugins.fastism.numerics.tilings import WIDEST_SINGLE_TILE

LARGEST_WEIGHTS_BYTES = 2**20
"""Largest weights at all points: each group of columns reads all of them, so they must fit the second-level cache."""
EVALUATION_COST_MACS, INTERPOLATION_COST_MACS = 2, 3
"""Time that the kernel takes to add one input to a value and one product to an output, in multiply-accumulates;
measured on one two-core CPU, as is the next."""
GROUP_COST_MACS = 80_000
"""Time that a group of columns takes beside its products and sums."""


class CompiledBlockedToomCook(CompiledAlgorithm):
    """The blocked Toom-Cook convolution as a kernel: for long windows and kernels, with neither groups nor upsampling.

    A kernel of one block would take more sums than it saves products, and of windows of which each phase of the
    dilation is one tile Toom-Cook takes fewer products.
    """

    name: ClassVar[str] = "blocked Toom-Cook kernel"
    kernel_type = BlockedToomCookKernel

    def is_available(self, source: int) -> bool:
        """Whether window and kernel are long enough, and the weights and a column stay in the cache."""
        filter_, blocked = self.filter, blocked_convolution(self.filter.kernel)
        long = source > WIDEST_SINGLE_TILE * filter_.dilation and blocked.kernel_blocks > 1
        if filter_.upsampling > 1 or not long or not super().is_available(source):
            return False
        itemsize = filter_.taps.element_size()
        weights = blocked.points * blocked.kernel_blocks * filter_.c_in * self.tile.padded(filter_.c_out) * itemsize
        return weights <= LARGEST_WEIGHTS_BYTES and self._columns.at_once(source) > 0

    def multiply_accumulates(self, source: int, width: int, shift: int) -> int:
        """Return the number of products of values with weights, where the output window begins anywhere."""
        filter_, blocked, blocks = self.filter, self._columns.blocked, self._columns.blocks(source)
        pairs = min(blocks * blocked.kernel_blocks, self._outputs(source, width) * min(blocks, blocked.kernel_blocks))
        return filter_.dilation * blocked.points * pairs * filter_.c_in * filter_.c_out

    def cost(self, source: int, width: int) -> int:
        """Return the cost of products with the positions of all register tiles that read values, and of sums."""
        filter_, tile, blocked = self.filter, self.tile, self._columns.blocked
        blocks, columns = self._columns.blocks(source), self._columns.at_once(source)
        outputs = self._outputs(source, width)
        taps = blocked.kernel_blocks * (blocks * columns + tile.positions - 1)
        computed = min(taps, outputs * columns * min(blocks, blocked.kernel_blocks))
        products = blocked.points * computed * filter_.c_in * tile.work(filter_.c_out)
        groups = -(-filter_.dilation // columns) * int(products + GROUP_COST_MACS)
        evaluated = EVALUATION_COST_MACS * blocks * blocked.convolution.evaluation.size * self._in_sums(filter_.c_in)
        interpolated = INTERPOLATION_COST_MACS * outputs * blocked.interpolation.size * self._in_sums(filter_.c_out)
        return groups + filter_.dilation * (evaluated + interpolated) - self.epilogue_saving(width)

    def _in_sums(self, channels: int) -> int:
        """Return the channels that take as long where they fill vectors: fewer than a vector are added one by one."""
        return channels if channels >= self.tile.lanes else channels * self.tile.lanes

    @cached_property
    def _columns(self) -> Columns:
        filter_ = self.filter
        blocked, itemsize = blocked_convolution(filter_.kernel), filter_.taps.element_size()
        return Columns(blocked, self.tile, filter_.dilation, filter_.c_in, filter_.c_out, itemsize)

    def _outputs(self, source: int, width: int) -> int:
        """Return the blocks of products of a column that an output window reads at most, wherever it begins."""
        natural = self._columns.blocks(source) + self._columns.blocked.kernel_blocks - 1
        return min(natural, self._columns.blocks(width) + 2)
