"""Convolution, transposed convolution, and dense layers on the channel axis, on windows of deltas."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.convolution.algorithm import (
    CompiledAlgorithm,
    ConvolutionAlgorithm,
    TensorAlgorithm,
)
from attribution_bench_plugins.fastism.convolution.choice import ALGORITHMS, cheapest
from attribution_bench_plugins.fastism.convolution.linear_filter import LinearFilter
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import Layout, labelled
from attribution_bench_plugins.fastism.graph.parameters import (
    Convolution2dParameters,
    ConvolutionParameters,
    TransposedConvolutionParameters,
)
from attribution_bench_plugins.fastism.ops.base import (
    Block,
    Form,
    Fusion,
    LazyOperand,
    NoRuleError,
    Operand,
    Operation,
    only,
    sole_reached,
)
from attribution_bench_plugins.fastism.ops.channels_last import ChannelsLastConvolution
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow
from attribution_bench_plugins.fastism.values.matrix_product import product_of_deltas
from attribution_bench_plugins.fastism.values.window import Window, strided
from attribution_bench_plugins.fastism.values.windowed import LookedUp, MutatedInput, Windowed, regrid


class LinearConvolution(Operation):
    """A convolution of stride one, with any upsampling; see `LinearFilter`.

    Several algorithms give the same numbers; for each pair of window widths the cheapest one is chosen. Compiled ones
    return lazy windows, into which elementwise steps that follow are fused. The first layer multiplies nothing: the
    delta of a mutated one-hot input is the difference of two columns of the taps, which is looked up.
    """

    takes_any_advance = True
    choose_algorithm = staticmethod(cheapest)
    """The choice among the available algorithms for a source width and an output width."""

    def __init__(self, node: Node, operands: Sequence[Operand], layout: Layout, filter_: LinearFilter) -> None:
        super().__init__(node, operands)
        self.layout, self.scale = layout, Fraction(filter_.upsampling)
        self._set_filter(filter_)

    def _set_filter(self, filter_: LinearFilter) -> None:
        """Take a filter, and forget what was prepared for another one."""
        self.filter = filter_
        self._algorithms = [algorithm(filter_) for algorithm in ALGORITHMS]
        self._chosen: dict[tuple[int, int], ConvolutionAlgorithm] = {}
        self._pair_table: Tensor | None = None

    def scale_outputs(self, scale: Tensor) -> bool:
        by_group = scale.view(self.filter.groups, 1, 1, self.filter.c_out)
        self._set_filter(replace(self.filter, taps=self.filter.taps * by_group))
        return True

    def window(self, windows: Sequence[Window | None]) -> Window:
        return self.filter.output_window(super().window(windows))

    def algorithm(self, source: int, width: int) -> ConvolutionAlgorithm:
        """Return the algorithm that is chosen for a source width and an output width."""
        chosen = self._chosen.get((source, width))
        if chosen is None:
            available = [algorithm for algorithm in self._algorithms if algorithm.is_available(source)]
            chosen = self.choose_algorithm(available, source, width)
            self._chosen[source, width] = chosen
        return chosen

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return the multiply-accumulates of the chosen algorithm; 0 where the delta is looked up."""
        source = super().window(windows)
        if self._looks_up(source):
            return 0
        shift = self.filter.output_window(source).start - window.start
        return self.algorithm(source.width, window.width).multiply_accumulates(source.width, window.width, shift)

    def partial_sums(self, windows: Sequence[Window | None], window: Window) -> int:
        """Return the partial sums of the chosen algorithm; 0 for one tap, whose products are the result."""
        source = super().window(windows)
        if self.filter.kernel == 1 or self._looks_up(source):
            return 0
        return self.algorithm(source.width, window.width).partial_sums(source.width)

    def fusion(self, windows: Sequence[Window | None], window: Window, operands: Sequence[LazyOperand]) -> Fusion:
        source = super().window(windows)
        if self._looks_up(source) or not isinstance(self.algorithm(source.width, window.width), CompiledAlgorithm):
            return Fusion.NONE
        return Fusion.STARTS

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand, filter_ = only(operands), self.filter
        rows = operand.shape[:3]
        natural = filter_.output_window(operand.window)
        if isinstance(operand, MutatedInput) and filter_.groups == 1 and filter_.dilation == 1:
            name, length = self.node.name, self.layout.length
            return LookedUp(block.unmutated, name, length, natural, self._pairs(), operand.pairs())
        algorithm = self.algorithm(operand.window.width, window.width)
        if isinstance(algorithm, CompiledAlgorithm):
            name, length = self.node.name, self.layout.length
            return LazyWindow(block.unmutated, name, length, window, algorithm.kernel, operand, block.program)
        assert isinstance(algorithm, TensorAlgorithm)
        x = operand.delta()
        if filter_.kernel == filter_.upsampling == filter_.groups == 1:
            return self.give(
                block, natural, delta=product_of_deltas(x, filter_.matrix[0]), is_masked=filter_.offset == 0
            )
        if not window.is_parallel_to(natural):
            # Each mutation's own ranges, or the one range that a narrow field reads of all of them, whichever is less.
            read, cost = self._read_by(window, operand), algorithm.cost
            if cost(read.width, window.width) < cost(operand.window.width, natural.width):
                x, natural = regrid(x, operand.window, read), filter_.output_window(read)
            else:
                window = natural
        x = x.reshape(-1, x.shape[3], x.shape[-1])
        out = algorithm.run(x, window.width, natural.start - window.start)
        return self.give(block, window, delta=out.view(*rows, window.width, out.shape[-1]))

    def _read_by(self, window: Window, operand: Windowed) -> Window:
        """Return the range of the operand, shared by all mutations, that a shared range of the output reads."""
        (low, high), up = operand.window.hull(operand.shape[1]), self.filter.upsampling
        first = window.start - self.filter.offset
        start, stop = max(low, (first - self.filter.reach) // up), min(high, -(-(first + window.width) // up))
        return Window(start, 0, max(1, stop - start))

    def _looks_up(self, source: Window) -> bool:
        is_input = source.width == 1 and self.operands[0].node.op == "input"
        return is_input and self.filter.groups == self.filter.dilation == 1

    def _pairs(self) -> Tensor:
        """Return the deltas (pairs, K, C_out) of each reference and alternative: differences of two columns of taps."""
        if self._pair_table is None:
            letters = F.pad(self.filter.matrix[0], (0, 0, 0, 1))  # The unknown letter is all zero.
            table = (letters[None] - letters[:, None]).flatten(0, 1)
            self._pair_table = table.view(len(table), self.filter.kernel, self.filter.c_out)
        return self._pair_table


class ChannelMap(Operation):
    """A linear map of one of several channel axes, the same at every position and for every index of the other axes."""

    def __init__(
        self, node: Node, operands: Sequence[Operand], source: Layout, weight: Tensor, channel_axis: int
    ) -> None:
        """Prepare a weight of shape (C_out, C_in)."""
        super().__init__(node, operands)
        self.layout = source.with_axis(channel_axis, weight.shape[0])
        self.around, self.matrix = source.around(channel_axis), weight.t().contiguous()

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        return window.width * self.around[0] * self.around[2] * self.matrix.numel()

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        split = torch.unflatten(operand.delta(), 4, self.around)
        out = (split.transpose(5, 6) @ self.matrix).transpose(5, 6).flatten(4)
        return self.give(block, operand.window, delta=out, is_masked=True)


class StridedConvolution(Operation):
    """A convolution with a stride above one: a direct convolution of the deltas, padded with zeros."""

    def __init__(
        self, node: Node, operands: Sequence[Operand], layout: Layout, parameters: ConvolutionParameters
    ) -> None:
        super().__init__(node, operands)
        self.layout, self.scale = layout, Fraction(1, parameters.stride)
        self.weight, self.stride, self.dilation = parameters.weight, parameters.stride, parameters.dilation
        self.groups, self.padding, self.kernel = parameters.groups, parameters.padding[0], self.weight.shape[2]

    def scale_outputs(self, scale: Tensor) -> bool:
        self.weight = self.weight * scale[:, None, None]
        return True

    def window(self, windows: Sequence[Window | None]) -> Window:
        source = super().window(windows)
        return strided(source, kernel=self.kernel, stride=self.stride, dilation=self.dilation, padding=self.padding)

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        return window.width * self.weight.numel()

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        x, rows = operand.delta(), operand.shape[:3]
        natural = self.window([operand.window])
        if natural.width == 0:
            return self.give(block, natural, delta=x.new_zeros((*rows, 0, self.weight.shape[0])), is_masked=True)
        # The first input that the first output reads, relative to the input window.
        first = natural.start * self.stride - self.padding - operand.window.start
        last = first + (natural.width - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
        x = F.pad(x, (0, 0, -first, last - operand.window.width)).flatten(0, 2)
        out = F.conv1d(x.transpose(1, 2), self.weight, None, self.stride, 0, self.dilation, self.groups)
        out = out.transpose(1, 2).contiguous()
        return self.give(block, natural, delta=out.view(*rows, natural.width, out.shape[-1]))


def convolution(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``conv``: ConvolutionParameters."""
    operation = _convolution(node, operands, node.parameters_as(ConvolutionParameters))
    operation.unmutated_call = ChannelsLastConvolution.of(node)
    return operation


def _convolution(node: Node, operands: Sequence[Operand], p: ConvolutionParameters) -> Operation:
    weight, (left, right), source = p.weight, p.padding, sole_reached(node, operands)
    pointwise = weight.shape[2] == p.stride == p.groups == 1 and left == right == 0
    if pointwise and source.is_channels(p.channel_axis) and not source.plain:
        return ChannelMap(node, operands, source, weight[:, :, 0], p.channel_axis)
    axes = _positions_and_channels(source, p.position_axis, p.channel_axis)
    reach = (weight.shape[2] - 1) * p.dilation
    length = (source.length + left + right - reach - 1) // p.stride + 1
    layout = labelled(axes, weight.shape[0], length)
    if p.stride > 1:
        return StridedConvolution(node, operands, layout, p)
    taps = torch.unflatten(weight, 0, (p.groups, -1)).flip(3).permute(0, 3, 2, 1)
    return LinearConvolution(node, operands, layout, LinearFilter(taps, 1, p.dilation, left - reach))


def convolution_2d(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``conv2d``, Convolution2dParameters, over positions, where the other spatial axis does not matter.

    The other spatial axis has size one, or holds all letters or channels and is covered by the kernel at one place
    only.
    """
    p = node.parameters_as(Convolution2dParameters)
    source = sole_reached(node, operands)
    weight, spatial, channel_axis = p.weight, p.spatial_axes, p.channel_axis
    pointwise = {*weight.shape[2:], *p.stride, p.groups} == {1} and not any(map(any, p.padding))
    if pointwise and source.is_channels(channel_axis):
        return ChannelMap(node, operands, source, weight[:, :, 0, 0], channel_axis)
    along = next((i for i, axis in enumerate(spatial) if source.axes[axis] == "p"), 1)
    other = spatial[1 - along]
    before, after = p.padding[1 - along]
    size = source.axis_size(other)
    span = (weight.shape[2 + 1 - along] - 1) * p.dilation[1 - along] + 1
    if not source.is_channels(other) or (size + before + after - span) // p.stride[1 - along] != 0:
        raise NoRuleError(f"it runs over two of the axes {source.axes}, not over positions alone")
    if size == 1:
        if before % p.dilation[1 - along]:
            raise NoRuleError("its kernel misses what it runs over")
        weight = weight.select(2 + 1 - along, before // p.dilation[1 - along])
    elif source.axes[channel_axis] == "" and weight.shape[1] == 1 and span == size and before == 0:
        weight = weight.select(1, 0) if along == 1 else weight.select(1, 0).transpose(1, 2)
        source = source.relabelled(
            ["c" if i == channel_axis else "" if i == other else axis for i, axis in enumerate(source.axes)]
        )
    else:
        raise NoRuleError(f"it runs over two of the axes {source.axes}, not over positions alone")
    stride, dilation, padding, position_axis = p.stride[along], p.dilation[along], p.padding[along], spatial[along]
    weight = weight.contiguous()
    parameters = ConvolutionParameters(weight, stride, dilation, padding, p.groups, position_axis, channel_axis)
    return _convolution(node, [replace(operands[0], layout=source), *operands[1:]], parameters)


def transposed_convolution(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``conv_transpose``: TransposedConvolutionParameters; the output's length is that of the node's shape."""
    p = node.parameters_as(TransposedConvolutionParameters)
    source = sole_reached(node, operands)
    axes = _positions_and_channels(source, p.position_axis, p.channel_axis)
    length = node.shape[p.position_axis] if node.shape is not None else None
    if length is None:
        raise NoRuleError("its output length is not known")
    layout = labelled(axes, p.weight.shape[1] * p.groups, length)
    taps = torch.unflatten(p.weight, 0, (p.groups, -1)).permute(0, 3, 1, 2)
    return LinearConvolution(node, operands, layout, LinearFilter(taps, p.stride, p.dilation, -p.padding))


LOOP = (
    "steps that read a few neighbouring positions keep windows where they are written for all positions at once, and "
    "not as a loop"
)
"""What may help where single positions were put together."""


def _positions_and_channels(layout: Layout, position_axis: int, channel_axis: int) -> list[str]:
    """Return the axes of an operation over positions that mixes channels; NoRuleError for another layout."""
    axes = [""] * len(layout.axes)
    axes[0], axes[position_axis], axes[channel_axis] = "n", "p", "c"
    if not layout.positional and layout.axes[position_axis] not in ("", "n"):
        raise NoRuleError(
            "no axis of its input is followed as positions: it runs along channels, or along single positions put "
            "together again, as a loop over them does",
            LOOP,
        )
    if not layout.plain or any(mine not in ("", axis) for mine, axis in zip(layout.axes, axes, strict=True)):
        raise NoRuleError(f"it runs over axes {layout.axes}, not over the positions of a batch of channels")
    return axes
