"""Operands that are broadcast together: the layout of the result, and each operand in it."""

from collections.abc import Sequence

from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import BATCH, Node
from attribution_bench_plugins.fastism.graph.layout import CHANNEL_LABELS, INNER_LABELS, Layout, canonical, spread
from attribution_bench_plugins.fastism.ops.base import NoRuleError, Operand, Operation
from attribution_bench_plugins.fastism.values.window import Window, union, whole

AxisPart = tuple[int, int]
"""An axis, and an index among the labels that it is made of."""
Sizes = tuple[int, ...]


class Broadcast(Operation):
    """Base of the operations on single elements of operands that are broadcast together."""

    def __init__(self, node: Node, operands: Sequence[Operand]) -> None:
        super().__init__(node, operands)
        self.layout, self._sizes = _broadcast(node, operands)

    def window(self, windows: Sequence[Window | None]) -> Window:
        """Return the union of the operands' windows; every position where an operand without positions changes."""
        length = self.layout.length
        joined = []
        for window, operand in zip(windows, self.operands, strict=True):
            if window is not None and operand.layout is not None:
                joined.append(whole(length) if operand.layout.length < length else window)
        return union(joined) or whole(length)

    def spread(self, operand: Operand, tensor: Tensor) -> Tensor:
        """Return a reached operand's (..., channels) so that it broadcasts against the result's."""
        return spread(tensor, *self._sizes[operand.name])


def _broadcast(node: Node, operands: Sequence[Operand]) -> tuple[Layout, dict[str, tuple[Sizes, Sizes]]]:
    """Return the layout of a result, and the sizes of each reached operand's channels and of the result's.

    The sizes stand part by part, in the same order. Operands must line up axis by axis: the same labels, or an axis
    of size one.
    """
    known = {operand.name: operand.layout for operand in operands if operand.reached}
    layouts = [layout for layout in known.values() if layout is not None]
    if len(layouts) < len(known) or node.shape is None:
        raise NoRuleError("the axes of an operand could not be followed")
    rank = len(node.shape)
    if any(len(layout.axes) != rank for layout in layouts):
        raise NoRuleError("its operands have different numbers of axes")
    sizes: dict[AxisPart, int] = {}
    order: list[AxisPart] = []
    axes = []
    for axis in range(rank):
        widest = max(layouts, key=lambda layout: len(layout.axes[axis]))
        axes.append(widest.axes[axis])
        for layout in layouts:
            mine = _signature(layout, axis)
            if mine and mine != _signature(widest, axis):
                raise NoRuleError(f"its operands' axes differ: {' and '.join(str(one.axes) for one in layouts)}")
    if any(sum(label in labels for labels in axes) > 1 for label in "np"):
        raise NoRuleError("it pairs every position with every other one")
    for layout in sorted(layouts, key=lambda layout: -len(layout.order)):
        parts = _parts(layout)
        order += [part for part in parts if part not in order]
        sizes |= parts
        if [part for part in order if part in parts] != list(parts):
            raise NoRuleError("its operands hold their channels in different orders")
    length = max(layout.length for layout in layouts)
    for axis, size in enumerate(node.shape):
        if axes[axis] == "" and size != 1:  # that of an unreached operand
            axes[axis] = CHANNEL_LABELS[0]
            order.append((axis, 0))
            sizes[axis, 0] = size or 1
    out = _named(axes, order, sizes, length)
    if any(size is not BATCH and size != out.axis_size(axis) for axis, size in enumerate(node.shape)):
        raise NoRuleError("it is broadcast against an operand larger than those that depend on the sequence")
    full = tuple(sizes[part] for part in order)
    return out, {
        name: (tuple(sizes[part] if part in _parts(layout) else 1 for part in order), full)
        for name, layout in known.items()
        if layout is not None
    }


def _signature(layout: Layout, axis: int) -> list[tuple[str, int | None]]:
    return [(label if label in "np" else "c", layout.size(label)) for label in layout.axes[axis]]


def _parts(layout: Layout) -> dict[AxisPart, int]:
    """Return the parts of a position's channels, slowest first, with their sizes."""
    places = {label: (axis, i) for axis, labels in enumerate(layout.axes) for i, label in enumerate(labels)}
    return {places[label]: size for label, size in layout.channel_sizes}


def _named(axes: Sequence[str], order: Sequence[AxisPart], sizes: dict[AxisPart, int], length: int) -> Layout:
    """Return a layout with one name for each part, of the kind that it had."""
    inner, outer = iter(INNER_LABELS), iter(CHANNEL_LABELS)
    names = {part: next(inner if axes[part[0]][part[1]] in INNER_LABELS else outer, "") for part in order}
    if not all(names.values()):
        raise NoRuleError("its operands hold too many axes of channels")
    renamed = [
        "".join(label if label in "np" else names[axis, i] for i, label in enumerate(labels))
        for axis, labels in enumerate(axes)
    ]
    return canonical(renamed, [(names[part], sizes[part]) for part in order], length)
