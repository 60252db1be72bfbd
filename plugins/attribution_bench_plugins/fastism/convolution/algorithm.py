"""Convolution algorithms: the interface behind which each of them is compared by cost, and run.

Sizes are those of one mutation. `source` is the width of the source window, `width` that of the output window, which
begins `shift` positions before the first output of the source window. Costs are times, given as the number of
multiply-accumulates of a large matrix product that take as long.
"""

import abc
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from attribution_bench_plugins.fastism.convolution.linear_filter import LinearFilter
from attribution_bench_plugins.fastism.kernels.compiling import can_compile
from attribution_bench_plugins.fastism.kernels.convolution_kernel import ConvolutionKernel
from attribution_bench_plugins.fastism.kernels.register_tile import RegisterTile, best_tile

EPILOGUE_SAVING_MACS = 50
"""Time that a kernel saves for each element of its result by fusing its epilogue, instead of further passes over the
result, in multiply-accumulates; measured on one two-core CPU."""


class ConvolutionAlgorithm(abc.ABC):
    """An algorithm that computes the outputs of a linear filter on windows."""

    name: ClassVar[str]

    def __init__(self, filter_: LinearFilter) -> None:
        self.filter = filter_

    def is_available(self, source: int) -> bool:
        """Whether it can run here on source windows of a width."""
        return True

    @abc.abstractmethod
    def cost(self, source: int, width: int) -> int:
        """Return the time that it takes where it is available, in multiply-accumulates."""

    @abc.abstractmethod
    def multiply_accumulates(self, source: int, width: int, shift: int) -> int:
        """Return the number of multiply-accumulates that it computes."""

    def partial_sums(self, source: int) -> int:
        """Return the number of elements that it writes to memory beside the result."""
        return 0


class TensorAlgorithm(ConvolutionAlgorithm):
    """A convolution algorithm of PyTorch operations."""

    @abc.abstractmethod
    def run(self, x: Tensor, width: int, shift: int) -> Tensor:
        """Return outputs (rows, width, C_out) of inputs x (rows, source, C_in); channels are those of all groups."""


class CompiledAlgorithm(ConvolutionAlgorithm):
    """A convolution algorithm whose kernel is compiled; the kernel can be fused with elementwise steps that follow."""

    kernel_type: ClassVar[type[ConvolutionKernel]]

    def is_available(self, source: int) -> bool:
        """Whether kernels can be compiled here for the taps; kernels do not support groups."""
        return super().is_available(source) and self.filter.groups == 1 and can_compile(self.filter.taps)

    @property
    def channels(self) -> int:
        """Channels of the sums that a register tile of the kernel holds for each position."""
        return self.filter.c_out

    @cached_property
    def tile(self) -> RegisterTile:
        """The register tile of the kernel."""
        return best_tile(self.channels, self.filter.taps.element_size())

    @cached_property
    def kernel(self) -> ConvolutionKernel:
        """The kernel, for windows of any width for which the algorithm is available."""
        filter_ = self.filter
        return self.kernel_type(
            filter_.taps[0], self.tile, upsampling=filter_.upsampling, dilation=filter_.dilation, offset=filter_.offset
        )

    def epilogue_saving(self, width: int) -> int:
        """Return the time that fusion saves, in multiply-accumulates."""
        return EPILOGUE_SAVING_MACS * width * self.filter.c_out
