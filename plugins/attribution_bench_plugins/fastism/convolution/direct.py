"""Direct convolution: each output sums the products of the inputs that its taps read."""

from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.convolution.algorithm import (
    CompiledAlgorithm,
    ConvolutionAlgorithm,
    TensorAlgorithm,
)
from attribution_bench_plugins.fastism.kernels.convolution_kernel import DirectKernel
from attribution_bench_plugins.fastism.values import devices

CHANNEL_BLOCK = 16
"""Output channels to a multiple of which PyTorch's convolutions on a CPU are padded."""
EXTRA_POSITIONS = 3
"""Input positions that PyTorch's convolutions on a CPU could compute in the time that one row takes beside its own."""
TAP_COST_MACS = 500
"""Time that a tap of a register tile takes in the kernel beside its products, in multiply-accumulates; measured on one
two-core CPU."""


class DirectAlgorithm(ConvolutionAlgorithm):
    """A direct convolution without upsampling: the inputs that each tap takes into the output window are multiplied."""

    def is_available(self, source: int) -> bool:
        return super().is_available(source) and self.filter.upsampling == 1

    def multiply_accumulates(self, source: int, width: int, shift: int) -> int:
        filter_ = self.filter
        pairs = sum(max(0, stop - start) for start, stop in filter_.inputs_of_taps(source, width, shift))
        return pairs * filter_.groups * filter_.c_in * filter_.c_out


class Direct(DirectAlgorithm, TensorAlgorithm):
    """The direct convolution by PyTorch: over the window padded with zeros.

    It writes no products. PyTorch's convolutions on a CPU skip the padding.
    """

    name: ClassVar[str] = "direct"

    def cost(self, source: int, width: int) -> int:
        filter_ = self.filter
        # A window that is cut to the receptive field of what is wanted may be narrower than its source.
        computed = min(source, width) + EXTRA_POSITIONS if devices.on_cpu(filter_.taps) else width
        channels = -(-filter_.c_out // CHANNEL_BLOCK) * CHANNEL_BLOCK
        return filter_.groups * computed * filter_.kernel * filter_.c_in * channels

    def run(self, x: Tensor, width: int, shift: int) -> Tensor:
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
        return out.squeeze(2).transpose(1, 2).narrow(1, padding - left, width)

    @cached_property
    def _weight_2d(self) -> Tensor:
        """The taps as the weight of a convolution of images of height one, (C_out, C_in / groups, 1, K)."""
        filter_ = self.filter
        weight = filter_.taps.flip(1).permute(0, 3, 2, 1).flatten(0, 1).unsqueeze(2)
        return weight.contiguous(memory_format=torch.channels_last)


class CompiledDirect(DirectAlgorithm, CompiledAlgorithm):
    """The direct convolution as a kernel: taps that read nothing of the window are skipped tile by tile."""

    name: ClassVar[str] = "direct kernel"
    kernel_type = DirectKernel

    def cost(self, source: int, width: int) -> int:
        """Return the cost of the products with all positions of the register tiles that read each tap."""
        filter_, tile = self.filter, self.tile
        ranges = ((j * filter_.dilation, j * filter_.dilation + source) for j in range(filter_.kernel))
        most = -(-width // tile.positions)
        tiles = sum(min(most, -(-stop // tile.positions) - start // tile.positions) for start, stop in ranges)
        blocks = -(-filter_.c_out // tile.channels)
        computed = int(tiles * (tile.positions * filter_.c_in * tile.work(filter_.c_out) + blocks * TAP_COST_MACS))
        return computed - self.epilogue_saving(width)
