"""Convolutions of long windows with long kernels: both in blocks, whose products are short Toom-Cook convolutions."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from attribution_bench_plugins.fastism.numerics.toom_cook import BilinearConvolution, fewest_products

BLOCK_SIZES = (2, 3, 4)
"""Sizes of blocks, in elements: larger blocks save few products more, and take more sums."""


@dataclass(frozen=True)
class BlockedConvolution:
    """A convolution of blocks of `size` elements with blocks of `size` taps of a kernel.

    Blocks of the window and of the kernel are evaluated once; at each point the values of the window's blocks are
    convolved with those of the kernel's, without further savings; and each block of the sums is interpolated once.
    """

    size: int
    kernel: int

    @cached_property
    def convolution(self) -> BilinearConvolution:
        """The algorithm for one block of the window and one of the kernel."""
        return fewest_products(self.size, self.size)

    @property
    def points(self) -> int:
        """Number of points at which blocks are evaluated."""
        return self.convolution.products

    @property
    def kernel_blocks(self) -> int:
        """Number of blocks of the kernel, the last of which is filled up with zeros."""
        return -(-self.kernel // self.size)

    def window_blocks(self, width: int) -> int:
        """Return the number of blocks of a window of `width` elements."""
        return -(-width // self.size)

    @cached_property
    def interpolation(self) -> NDArray[np.floating]:
        """(2 * size, points): the first half gives a block of the result from its own sums, the second the next one."""
        return np.pad(self.convolution.interpolation, ((0, 1), (0, 0)))

    @property
    def amplification(self) -> float:
        """See `BilinearConvolution.amplification`: an element of the result adds up the errors of two blocks."""
        convolution, size = self.convolution, self.size
        each = np.square(convolution.evaluation).sum(1) * np.square(convolution.kernel_evaluation).sum(1)
        variances = np.square(self.interpolation) @ each
        return float(np.sqrt((variances[:size] + variances[size:]).max() / size))


@cache
def blocked_convolution(kernel: int) -> BlockedConvolution:
    """Return the blocked convolution with the fewest products for each element of a long window."""
    options = (BlockedConvolution(size, kernel) for size in BLOCK_SIZES)
    return min(options, key=lambda option: option.points * option.kernel_blocks / option.size)
