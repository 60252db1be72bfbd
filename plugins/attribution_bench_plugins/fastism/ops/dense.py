"""Dense layers of channels and of flattened positions, and Einstein sums that are dense layers or groups of them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench_plugins.fastism.convolution.linear_filter import LinearFilter
from attribution_bench_plugins.fastism.graph.ir import BATCH, Node
from attribution_bench_plugins.fastism.graph.layout import Layout, labelled
from attribution_bench_plugins.fastism.graph.parameters import ContractionParameters, WeightParameters
from attribution_bench_plugins.fastism.ops.base import (
    PRODUCT_AND_SUM,
    Block,
    Form,
    MergingOperation,
    NoRuleError,
    Operand,
    Operation,
    only,
    sole_reached,
)
from attribution_bench_plugins.fastism.ops.convolution import ChannelMap, LinearConvolution
from attribution_bench_plugins.fastism.values.matrix_product import matrix_product
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import Windowed


class FlattenedDense(MergingOperation):
    """Dense layer over flattened positions, in which only the windows' rows of the weights are multiplied.

    Neighbouring mutations affect the same rows, so the mutations of all phases are multiplied together.
    """

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        weight = node.parameters_as(WeightParameters).weight
        outputs = weight.shape[0]
        self.layout = labelled(("n", "c"), outputs, 1)
        by_position = (
            weight.view(outputs, source.length, source.channels).permute(1, 2, 0)
            if source.axes[1] in ("pc", "p")
            else weight.view(outputs, source.channels, source.length).permute(2, 1, 0)
        )
        self.rows = by_position.reshape(source.length * source.channels, outputs).contiguous()
        self.source = source

    def scale_outputs(self, scale: Tensor) -> bool:
        self.rows = self.rows * scale
        return True

    def window(self, windows: Sequence[Window | None]) -> Window:
        return Window(0, 0, 1)

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        (source,) = (w for w in windows if w is not None)
        return min(source.width, self.source.length) * self.source.channels * self.layout.channels

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        return self.run_merged([only(operands)], block)

    def run_merged(self, parts: Sequence[Windowed], block: Block) -> Windowed:
        """Run on the windows of several blocks; mutations whose windows coincide share one matrix product."""
        sequences, _, alternatives = parts[0].shape[:3]
        total, by_width = 0, defaultdict(list)
        for part in parts:
            by_width[part.window.width].append((part, total))
            total += part.shape[1]
        out = parts[0].delta().new_empty((sequences, total, alternatives, 1, self.layout.channels))
        for members in by_width.values():
            # Mutations are ordered by the starts of their windows: those with the same start share one product.
            starts = np.concatenate([part.window.starts(part.shape[1]) for part, _ in members])
            numbers = np.concatenate([first + np.arange(part.shape[1]) for part, first in members])
            order = np.argsort(starts, kind="stable")
            x = torch.cat([part.delta() for part, _ in members], 1).transpose(0, 1)
            x = x.index_select(0, torch.as_tensor(order, device=out.device))
            into = torch.as_tensor(numbers[order], device=out.device)
            for same, product in self._products(x, starts[order]):
                out.transpose(0, 1)[into[same]] = product
        return self.give(block, Window(0, 0, 1), delta=out, is_masked=True)

    def _products(self, x: Tensor, starts: NDArray[np.int64]) -> Iterator[tuple[slice, Tensor]]:
        """Yield products of x (mutations, n, alternatives, width, C) with the rows from each of `starts`, ascending.

        Each is (of some mutations, n, alternatives, 1, C_out), of the mutations in the slice before it.
        """
        channels, width = self.source.channels, x.shape[3]
        found, firsts = np.unique(starts, return_index=True)
        for start, first, last in zip(found.tolist(), firsts, [*firsts[1:], len(starts)], strict=True):
            low, stop = max(0, start), min(self.source.length, start + width)
            high = max(low, stop)
            rows = x[first:last, :, :, low - start : high - start].flatten(3)
            product = matrix_product(rows, self.rows[low * channels : high * channels])
            yield slice(first, last), product.unsqueeze(3)


def dense(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``linear``: WeightParameters, applied to the last axis."""
    source = sole_reached(node, operands)
    weight = node.parameters_as(WeightParameters).weight
    last = len(source.axes) - 1
    if source.is_channels(last) and source.axis_size(last) == weight.shape[1]:
        if not source.plain or (source.axes[last] == "" and source.channels > 1):
            return ChannelMap(node, operands, source, weight, last)
        layout = source.with_axis(last, weight.shape[0])
        return LinearConvolution(node, operands, layout, LinearFilter(weight.t()[None, None]))
    if len(source.axes) == 2 and source.axes[0] == "n" and source.axes[1] in ("cp", "pc", "p"):
        return FlattenedDense(node, operands)
    raise NoRuleError(f"it multiplies the last of the axes {source.axes}")


class GroupedMap(Operation):
    """A linear map of one of several channel axes, with a matrix for each place of another one."""

    def __init__(self, node: Node, operands: Sequence[Operand], p: ContractionParameters, group_axis: int) -> None:
        super().__init__(node, operands)
        source = sole_reached(node, operands)
        if source.axes[group_axis] == "p":
            raise NoRuleError("it multiplies each position by weights of its own", PRODUCT_AND_SUM)
        if len(p.axes) > 1 or not all(source.is_channels(axis) for axis in (group_axis, *p.axes)):
            summed = "".join(source.axes[axis] for axis in p.axes)
            raise NoRuleError(
                f"it sums over {summed!r} of the axes {source.axes}, with weights of each place of another"
            )
        (axis,) = p.axes
        self.weight = p.weight.reshape(source.axis_size(group_axis), -1, source.axis_size(axis))
        self.sizes = [size for _, size in source.channel_sizes]
        group, summed, order = source.axes[group_axis], source.axes[axis], source.order
        result = order.replace(summed, "z") if summed else f"{order}z"
        self.equation = f"...{order},{group}z{summed}->...{result}"
        layout = source.with_axis(axis, self.weight.shape[1])
        axes = list(layout.axes)
        self.layout = _placed(layout, p, axes.pop(axis), axes)
        self.products = source.channels * self.weight.shape[1]
        if not summed:
            self.weight = self.weight[:, :, 0]

    def multiply_accumulates(self, windows: Sequence[Window | None], window: Window) -> int:
        return window.width * self.products

    def run(self, operands: Sequence[Windowed | None], window: Window, block: Block, preferred_form: Form) -> Windowed:
        operand = only(operands)
        out = torch.einsum(self.equation, torch.unflatten(operand.delta(), 4, self.sizes), self.weight).flatten(4)
        return self.give(block, operand.window, delta=out.contiguous(), is_masked=True)


def contraction(node: Node, operands: Sequence[Operand]) -> Operation:
    """Rule of ``contract``: ContractionParameters."""
    source = sole_reached(node, operands)
    p = node.parameters_as(ContractionParameters)
    if p.group_axis is not None:
        return GroupedMap(node, operands, p, p.group_axis)
    rest = [labels for axis, labels in enumerate(source.axes) if axis not in p.axes]
    flattened = "".join(source.axes[axis] for axis in p.axes)
    moved = source.relabelled([*rest, flattened])
    if moved.length != source.length:
        raise NoRuleError(f"it sums over {flattened!r} of the axes {source.axes}")
    operation = dense(node, [replace(operands[0], layout=moved), *operands[1:]])
    *axes, last = operation.layout.axes
    operation.layout = _placed(operation.layout, p, last, axes)
    return operation


def _placed(layout: Layout, p: ContractionParameters, outputs: str, axes: Sequence[str]) -> Layout:
    """Return a layout with the axis of the outputs in its place among the other axes, divided as the sum divides it."""
    if p.to is None:
        return layout.relabelled(axes)
    layout = layout.relabelled([*axes[: p.to], outputs, *axes[p.to :]])
    sizes = [BATCH if labels == "n" else layout.axis_size(axis) for axis, labels in enumerate(layout.axes)]
    found = layout.reshaped([*sizes[: p.to], *p.sizes, *sizes[p.to + 1 :]])
    if found is None:
        raise NoRuleError(f"its outputs have several axes beside {tuple(axes)}")
    return found
