"""Direct convolution: each output sums the products of the inputs that its taps read."""

from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.convolution.algorithm import CompiledAlgorithm, TensorAlgorithm
from attribution_bench_plugins.fastism.convolution.linear_filter import LinearFilter
from attribution_bench_plugins.fastism.kernels.direct_kernel import DirectKernel
from attribution_bench_plugins.fastism.kernels.register_tile import best_tile
from attribution_bench_plugins.fastism.values import devices

CHANNEL_BLOCK = 16
"""Output channels to a multiple of which PyTorch's convolutions on a CPU are padded."""
EXTRA_POSITIONS = 3
"""Input positions that PyTorch's convolutions on a CPU could compute in the time that one row takes beside its own."""
TAP_COST_MACS = 500
"""Time that a tap of a register tile takes in the kernel beside its products, in multiply-accumulates; measured on one
two-core CPU."""


class Direct(TensorAlgorithm):
    """The direct convolution by PyTorch: over the window padded with zeros.

    It writes no products. PyTorch's convolutions on a CPU skip the padding.
    """

    name: ClassVar[str] = "direct"

    def is_available(self, source: int) -> bool:
        """Whether there is no upsampling."""
        return self.filter.upsampling == 1

    def cost(self, source: int, width: int) -> int:
        """Return the cost of all products with the positions that are computed."""
        filter_ = self.filter
        computed = source + EXTRA_POSITIONS if devices.on_cpu(filter_.taps) else width
        channels = -(-filter_.c_out // CHANNEL_BLOCK) * CHANNEL_BLOCK
        return filter_.groups * computed * filter_.kernel * filter_.c_in * channels

    def multiply_accumulates(self, source: int, width: int, shift: int) -> int:
        """Return those of inputs that taps take into the output window."""
        return _products(self.filter, source, width, shift)

    def run(self, x: Tensor, width: int, shift: int) -> Tensor:
        """Return outputs (rows, width, C_out); see `TensorAlgorithm`."""
        filter_ = self.filter
        # Output w reads inputs from w - shift - reach to w - shift.
        left, right = shift + filter_.reach, width - shift - x.shape[1]
        if left < 0:
            x, left = x[:, -left:], 0
        if right < 0:
            x, right = x[:, : x.shape[1] + right], 0
        padding = max(left, right)
        image = x.transpose(1, 2).unsqueeze(2)
        out = F.conv2d(image, self._weight_2d, None, 1, (0, padding), (1, filter_.dilation), filter_.groups)
        out = out.squeeze(2).transpose(1, 2)
        return out.narrow(1, padding - left, width)

    @cached_property
    def _weight_2d(self) -> Tensor:
        """The taps as the weight of a convolution of images of height one, (C_out, C_in / groups, 1, K)."""
        filter_ = self.filter
        weight = (
            filter_.taps.flip(1)
            .permute(0, 3, 2, 1)
            .reshape(filter_.groups * filter_.c_out, filter_.c_in, 1, filter_.kernel)
        )
        return weight.contiguous(memory_format=torch.channels_last)


class CompiledDirect(CompiledAlgorithm):
    """The direct convolution as a kernel: taps that read nothing of the window are skipped tile by tile."""

    name: ClassVar[str] = "direct kernel"

    def is_available(self, source: int) -> bool:
        """Whether it can be compiled, and there is no upsampling."""
        return super().is_available(source) and self.filter.upsampling == 1

    def cost(self, source: int, width: int) -> int:
        """Return the cost of the products with all positions of the register tiles that each tap touches."""
        filter_ = self.filter
        tile = best_tile(filter_.c_out, filter_.taps.element_size())
        ranges = ((j * filter_.dilation, j * filter_.dilation + source) for j in range(filter_.kernel))
        tiles = sum(-(-stop // tile.positions) - start // tile.positions for start, stop in ranges)
        blocks = -(-filter_.c_out // tile.channels)
        computed = int(tiles * (tile.positions * filter_.c_in * tile.work(filter_.c_out) + blocks * TAP_COST_MACS))
        return computed - self.epilogue_saving(width)

    def multiply_accumulates(self, source: int, width: int, shift: int) -> int:
        """Return those of inputs that taps take into the output window."""
        return _products(self.filter, source, width, shift)

    @cached_property
    def kernel(self) -> DirectKernel:
        """The kernel; see `CompiledAlgorithm`."""
        filter_ = self.filter
        tile = best_tile(filter_.c_out, filter_.taps.element_size())
        return DirectKernel(filter_.taps[0], tile, dilation=filter_.dilation, offset=filter_.offset)


def _products(filter_: LinearFilter, source: int, width: int, shift: int) -> int:
    pairs = sum(max(0, stop - start) for start, stop in filter_.inputs_of_taps(source, width, shift))
    return pairs * filter_.groups * filter_.c_in * filter_.c_out
