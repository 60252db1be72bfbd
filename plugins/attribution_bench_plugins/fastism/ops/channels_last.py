"""Calls of nodes on unmutated sequences in PyTorch's channels-last order: its convolutions on a CPU are faster in it.

The channels of a position are neighbours in memory, as they are in the engine's own order, so that windows are views of
what these calls give. Axes are the model's own, and so are the numbers but for rounding. Measured on one two-core CPU,
a convolution with a dilation takes half the time or less, and any other one four fifths. Of many input channels it is
little faster, and rounds more coarsely: those keep the model's own call.
"""

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import BatchNormParameters, ConvolutionParameters
from attribution_bench_plugins.fastism.values import devices

LEAST_CHANNELS = 16
"""Input and output channels from which on convolutions are faster in this order; measured on one two-core CPU."""
MOST_INPUT_CHANNELS = 64
"""Input channels up to which that is worth its rounding: of 128 and more, rounding errors are 2.6 to 4.8 times those of
the model's own order without a dilation, and the time is nine tenths; of 64 they are at most twice those, and the time
is 0.55 to 0.9. Measured on one two-core CPU."""


class ChannelsLastConvolution:
    """A convolution over the positions of (n, C, L) or (n, L, C), faster where its operand is `arranged` before.

    It is for nodes of ``conv`` whose only operand is the input of the convolution.
    """

    def __init__(self, node: Node) -> None:
        self.node, self.parameters = node, node.parameters_as(ConvolutionParameters)

    @classmethod
    def of(cls, node: Node) -> "ChannelsLastConvolution | None":
        """Return the call of a node; None where its own call is as fast, or its axes are others."""
        p = node.parameters_as(ConvolutionParameters)
        suits = len(node.inputs) == 1 and {p.position_axis, p.channel_axis} == {1, 2} and p.groups == 1
        has_library: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        fast = p.weight.dtype == torch.float32 and devices.on_cpu(p.weight) and has_library
        outputs, inputs = p.weight.shape[:2]
        worth = LEAST_CHANNELS <= inputs <= MOST_INPUT_CHANNELS and outputs >= LEAST_CHANNELS
        return cls(node) if suits and fast and worth else None

    def arranged(self, x: Tensor) -> Tensor:
        """Return the operand as it is read fastest: the same numbers under the same axes."""
        return self._moved(self._moved(x).contiguous())

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the node gives."""
        p, (left, right) = self.parameters, self.parameters.padding
        positions_first = self._moved(x)
        if left != right:
            positions_first, left = F.pad(positions_first, (0, 0, left, right)), 0
        image = positions_first.transpose(1, 2).unsqueeze(2)
        out = F.conv2d(image, self._weight, self._bias, (1, p.stride), (0, left), (1, p.dilation))
        return self._moved(out.squeeze(2).transpose(1, 2))

    def _moved(self, x: Tensor) -> Tensor:
        """Return (n, L, C) of the node's own axes, or the other way round."""
        return x if self.parameters.channel_axis == 2 else x.transpose(1, 2)

    @cached_property
    def _weight(self) -> Tensor:
        """The weight as that of images of height one, (C_out, C_in, 1, K)."""
        return self.parameters.weight.detach().unsqueeze(2).contiguous(memory_format=torch.channels_last)

    @cached_property
    def _bias(self) -> Tensor:
        """(C_out,): what the node gives of zeros, at positions that padding does not reach."""
        p = self.parameters
        length = (p.weight.shape[2] - 1) * p.dilation + 1
        zeros = self._moved(p.weight.new_zeros((1, length, p.weight.shape[1])))
        return self._moved(self.node.call(zeros))[0, 0].clone()


class ChannelsLastAffine:
    """A batch norm whose operand may be in channels-last order, in which PyTorch's own is slow."""

    def __init__(self, node: Node) -> None:
        self.node, self.axis = node, node.parameters_as(BatchNormParameters).axis

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the node gives."""
        if x.stride(self.axis) != 1 or x.dtype != self._scale.dtype:
            result: Tensor = self.node.call(x)
            return result
        shape = [1] * x.dim()
        shape[self.axis] = -1
        return torch.addcmul(self._shift.view(shape), x, self._scale.view(shape))

    @cached_property
    def _scale(self) -> Tensor:
        return self.node.parameters_as(BatchNormParameters).scale

    @cached_property
    def _shift(self) -> Tensor:
        return self.node.parameters_as(BatchNormParameters).shift
