"""Parameters of operations, which rules read beside the operands.

Axes count those of the model's own layout, the batch first; they may be negative where the class says so. Weights are
the model's own tensors, laid out as PyTorch lays out those of the same layer.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Parameters:
    """Parameters of one operation; the class itself serves the operations that need none."""

    @property
    def is_rising(self) -> bool:
        """Whether a function of an op that may be monotone never falls with these parameters."""
        return True

    @property
    def varying_axis(self) -> int | None:
        """Axis along which a function of single elements differs from place to place; None where it does not."""
        return None


NO_PARAMETERS = Parameters()


@dataclass(frozen=True, eq=False)
class WeightParameters(Parameters):
    """One weight: that of a dense layer, (outputs, inputs), or the rows of an embedding, (numbers, channels)."""

    weight: Tensor


@dataclass(frozen=True, eq=False)
class ContractionParameters(WeightParameters):
    """Einstein sum that is a dense layer: ``axes`` are flattened, and the outputs become axes from ``to`` on.

    With a group axis, each of its G places has a dense layer of its own: the weight is (G * outputs, inputs).
    """

    axes: tuple[int, ...]
    """Axes that are summed over, the slowest of the weight's inputs first."""
    to: int | None
    """None for a single output, which has no axis."""
    sizes: tuple[int, ...] = ()
    """Sizes of the axes of the outputs, the slowest first."""
    group_axis: int | None = None
    """Axis of the operand whose places have weights of their own."""


@dataclass(frozen=True, eq=False)
class ConvolutionParameters(WeightParameters):
    """Convolution over one axis by a weight (C_out, C_in / groups, K)."""

    stride: int
    dilation: int
    padding: tuple[int, int]
    """Zeros before the first position and after the last."""
    groups: int
    position_axis: int
    channel_axis: int


@dataclass(frozen=True, eq=False)
class Convolution2dParameters(WeightParameters):
    """Convolution over two axes by a weight (C_out, C_in / groups, K, K)."""

    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    """Zeros before and after, along either axis."""
    groups: int
    spatial_axes: tuple[int, int]
    channel_axis: int


@dataclass(frozen=True, eq=False)
class TransposedConvolutionParameters(WeightParameters):
    """Transposed convolution over one axis by a weight (C_in, C_out / groups, K)."""

    stride: int
    dilation: int
    padding: int
    """Positions that are cropped before the first."""
    groups: int
    position_axis: int
    channel_axis: int


@dataclass(frozen=True, eq=False)
class BatchNormParameters(Parameters):
    """Batch norm in inference: statistics, and the weight and bias where it has them, each (channels,)."""

    weight: Tensor | None
    bias: Tensor | None
    mean: Tensor
    variance: Tensor
    epsilon: float
    axis: int
    """Axis of the channels; may be negative."""

    @property
    def scale(self) -> Tensor:
        """Factor of each channel, (channels,)."""
        scale = torch.rsqrt(self.variance + self.epsilon)
        return scale if self.weight is None else scale * self.weight

    @property
    def shift(self) -> Tensor:
        """Summand of each channel after scaling, (channels,)."""
        shift = -self.mean * self.scale
        return shift if self.bias is None else shift + self.bias

    @property
    def is_rising(self) -> bool:
        """Whether no channel is multiplied by a negative weight."""
        return self.weight is None or bool(torch.all(self.weight >= 0))

    @property
    def varying_axis(self) -> int:
        """Axis of the channels."""
        return self.axis


@dataclass(frozen=True)
class PoolParameters(Parameters):
    """Pooling over one axis, in positions."""

    kernel: int
    stride: int
    padding: int
    """Positions before the first."""
    dilation: int
    position_axis: int


@dataclass(frozen=True)
class AveragePoolParameters(PoolParameters):
    """Mean under a kernel without dilation."""

    count_padding: bool
    """Whether padding counts as positions of the mean."""


@dataclass(frozen=True)
class ReductionParameters(Parameters):
    """Sum, mean or extreme over ``axes``, which may be negative."""

    axes: tuple[int, ...]
    keep: bool
    """Whether the axes stay, with size one."""


@dataclass(frozen=True)
class ElementwiseParameters(Parameters):
    """Function of single elements."""

    in_place: Callable[[Tensor], Tensor] | None = None
    """The same function, which overwrites its one operand; None where no such variant exists."""


@dataclass(frozen=True)
class SumParameters(Parameters):
    """Sum ``a + alpha * b``, or sum of one operand and a number."""

    alpha: float = 1


@dataclass(frozen=True)
class AxisFunctionParameters(Parameters):
    """Function of the values along ``axis``, which may be negative: (..., channels) -> (..., others)."""

    axis: int
    on_last_axis: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class AxisReductionParameters(AxisFunctionParameters):
    """Reduction of the values along an axis to one number: (..., channels) -> (...)."""

    keep: bool
    """Whether the axis stays, with size one."""


@dataclass(frozen=True)
class PermutationParameters(Parameters):
    """Transposition."""

    axes: tuple[int, ...]
    """The old axes in their new order; may be negative."""


@dataclass(frozen=True)
class FlipParameters(Parameters):
    """Reversal of ``axes``, which may be negative."""

    axes: tuple[int, ...]


@dataclass(frozen=True)
class ShiftParameters(Parameters):
    """Crop of one axis, or its padding with a constant; the output's size is that of the node's shape."""

    axis: int
    low: int
    """Place of the input at which the output begins; negative where it is padded."""
    step: int = 1
    """Places of the input from one of the output to the next."""
    drop: bool = False
    """Whether one place is taken, and the axis dropped."""


@dataclass(frozen=True)
class ChoiceParameters(Parameters):
    """Choice of places of one axis, in any order and any number of times; axis and places may be negative."""

    axis: int
    chosen: tuple[int, ...]


@dataclass(frozen=True)
class UpsamplingParameters(Parameters):
    """Repetition of each place of one axis ``factor`` times."""

    position_axis: int
    factor: int


@dataclass(frozen=True)
class ConcatenationParameters(Parameters):
    """Concatenation along ``axis``, which may be negative; of a stack the new axis, which may not."""

    axis: int


@dataclass(frozen=True, eq=False)
class OpaqueParameters(Parameters, Mapping[str, Any]):
    """Arguments of an operation without a rule, by their names, for the rules that users give.

    They are the arguments of a PyTorch operator that are no tensors, or the Keras ``layer`` itself.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight_shapes: tuple[tuple[int, ...], ...] = ()
    """Shapes of the weights that are not among its operands."""
    stopped_by: str = ""
    """What kept a call from being followed, or taken as an op with a rule; empty where nothing is known of it."""
    own_kind: str = ""
    """Name of Keras' own class that a layer or an operation is, or is derived from; empty for other operations."""

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arguments)

    def __len__(self) -> int:
        return len(self.arguments)
