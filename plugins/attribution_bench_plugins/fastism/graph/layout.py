"""Which axis of a framework's tensor is what, and the way to the engine's own order (rows, positions, channels)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import BATCH

CHANNEL_LABELS = "cdefgh"
INNER_LABELS = "qrstuv"


@dataclass(frozen=True)
class Layout:
    """The meaning of a tensor's axes.

    Each axis is a string of the labels that it is made of, slowest first: ``n`` batch, ``p`` position, and what each
    position holds: channels, ``c`` (``d`` ... where an operation has split them), and ``q`` (``r`` ...), places within
    a position where an operation has taken neighbouring positions together. An axis of size one has no label.
    ``("n", "c", "p")`` is a batch of channels by positions; ``("n", "cp")`` the same flattened; ``("n", "c")`` has no
    positions any more; ``("n", "c", "p", "q")`` has its positions in pairs.

    The engine keeps every tensor as (rows, positions, channels), with what a position holds in the order of
    ``channel_sizes``, slowest first.
    """

    axes: tuple[str, ...]
    channel_sizes: tuple[tuple[str, int], ...]
    length: int

    @cached_property
    def channels(self) -> int:
        """How many numbers a position holds."""
        return math.prod(size for _, size in self.channel_sizes)

    @cached_property
    def order(self) -> str:
        """The labels of what a position holds, slowest first."""
        return "".join(label for label, _ in self.channel_sizes)

    @cached_property
    def positional(self) -> bool:
        """Whether there is more than one position."""
        return any("p" in axis for axis in self.axes)

    @cached_property
    def labels(self) -> str:
        """Every label in the order of the axes."""
        return "".join(self.axes)

    @property
    def plain(self) -> bool:
        """Whether a position holds one axis of channels at most."""
        return self.order in ("c", "")

    def size(self, label: str) -> int | None:
        """Return the size of a label; BATCH for the batch."""
        return {"n": BATCH, "p": self.length, **dict(self.channel_sizes)}[label]

    def axis_size(self, axis: int) -> int:
        """Return the size of an axis other than the batch."""
        return math.prod(self.size(label) or 1 for label in self.axes[axis])

    def relabelled(self, axes: Sequence[str]) -> "Layout":
        """Return the same sizes under other axes."""
        return canonical(axes, self.channel_sizes, self.length)

    def resized(self, length: int) -> "Layout":
        """Return the layout with another number of positions."""
        axes = self.axes if length > 1 else tuple(axis.replace("p", "") for axis in self.axes)
        return Layout(axes, self.channel_sizes, length)

    def with_positions(self, axis: int, length: int) -> "Layout":
        """Return the layout with this number of positions along an axis, which loses the label it had."""
        axes = tuple("p" if i == axis else labels for i, labels in enumerate(self.axes))
        return Layout(axes, self.channel_sizes, length).resized(length)

    def around(self, axis: int) -> tuple[int, int, int]:
        """Return how what a position holds is divided around one channel axis: (slower, its own, faster) sizes.

        The axis must be channels alone, of one label or none.
        """
        label = self.axes[axis]
        if not label:
            return self.channels, 1, 1
        at = self.order.index(label)
        sizes = [size for _, size in self.channel_sizes]
        return math.prod(sizes[:at]), sizes[at], math.prod(sizes[at + 1 :])

    def is_channels(self, axis: int) -> bool:
        """Whether an axis is channels of one position, one label or of size one."""
        return self.axes[axis] == "" or (len(self.axes[axis]) == 1 and self.axes[axis] in self.order)

    def with_axis(self, axis: int, size: int) -> "Layout":
        """Return the layout with another size of a channel axis; one that had size one becomes the fastest."""
        label = self.axes[axis]
        sizes = [(known, size if known == label else old) for known, old in self.channel_sizes]
        axes = list(self.axes)
        if not label:
            axes[axis] = label = next(new for new in CHANNEL_LABELS if new not in self.order)
            sizes.append((label, size))
        return canonical(axes, sizes, self.length)

    def without_axes(self, axes: Sequence[int], *, keep: bool) -> "Layout":
        """Return the layout after a reduction over these axes, kept with size one or dropped."""
        gone = "".join(self.axes[axis] for axis in axes)
        left = ["" if i in axes else labels for i, labels in enumerate(self.axes) if keep or i not in axes]
        sizes = [(label, size) for label, size in self.channel_sizes if label not in gone]
        return canonical(left, sizes, 1 if "p" in gone else self.length)

    def reshaped(self, shape: Sequence[int | None]) -> "Layout | None":
        """Return the layout after a reshape; None where axes are split or mixed in a way that labels cannot follow.

        Where positions are taken together, or apart again, its length differs.
        """
        sizes = dict(self.channel_sizes)
        order, length = self.order, self.length
        left = list(self.labels)
        axes = []
        for wanted in shape:
            axis, product = "", 1
            if wanted is BATCH:
                if left[:1] != ["n"]:
                    return None
                axes.append(left.pop(0))
                continue
            while product < wanted:
                if not left or left[0] == "n":
                    return None
                label = left.pop(0)
                size = length if label == "p" else sizes[label]
                if wanted % (product * size):
                    part = wanted // product
                    if wanted % product or size % part or size == part:
                        return None
                    labels = INNER_LABELS if label == "p" or label in INNER_LABELS else CHANNEL_LABELS
                    inner = next((new for new in labels if new not in order), None)
                    if inner is None:
                        return None
                    sizes[inner] = size // part
                    order = inner + order if label == "p" else order.replace(label, label + inner)
                    left.insert(0, inner)
                    size = part
                    if label == "p":
                        length = size
                    else:
                        sizes[label] = size
                axis, product = axis + label, product * size
            if product != wanted:
                return None
            axes.append(axis)
        return None if left else canonical(axes, [(label, sizes[label]) for label in order], length)

    def sorted_as_named(self) -> "tuple[Layout, tuple[int, ...]] | None":
        """Return the layout with what a position holds in the order in which the axes name it, where that is simpler.

        Channels that were shuffled become plain channels; those that stand beside the positions in one axis become
        positions. The second value gives the old places of `order` in their new order. None where nothing is gained.
        """
        joined = "".join(axis[1:] for axis in self.axes if axis[:1] == "p") if len(self.axes) > 2 else ""
        named = [label for label in self.labels if label in self.order and label not in joined]
        places = tuple(self.order.index(label) for label in (*joined, *named))
        inner, outer = iter(INNER_LABELS), iter(CHANNEL_LABELS)
        names = {label: next(inner if label in joined + INNER_LABELS else outer) for label in (*joined, *named)}
        axes = ["".join(names.get(label, label) for label in axis) for axis in self.axes]
        sizes = [self.channel_sizes[place] for place in places]
        found = canonical(axes, [(names[label], size) for label, size in sizes], self.length)
        return (found, places) if len(found.labels) < len(self.labels) else None

    def positions(self, shape: Sequence[int | None], rows: int) -> Tensor:
        """Return the position of each element of a framework's tensor of some rows, in its own order and shape."""
        split = [rows if label == "n" else self.size(label) or 1 for label in self.labels]
        along = torch.arange(self.length).view([-1 if label == "p" else 1 for label in self.labels])
        return along.expand(split).reshape([rows if n is BATCH else n for n in shape])

    def to_engine(self, value: Tensor) -> Tensor:
        """Return a framework's tensor as (rows, positions, channels), contiguous."""
        return self.in_order(value).reshape(-1, self.length, self.channels).contiguous()

    def in_order(self, value: Tensor) -> Tensor:
        """Return a framework's tensor with an axis for each label: rows, positions, what a position holds; a view."""
        sizes, places = self._in_order
        return (value if sizes is None else value.reshape(sizes)).permute(places)

    @cached_property
    def _in_order(self) -> tuple[list[int] | None, list[int]]:
        """The size of each label, -1 for the rows, and the places of the labels in the order of `in_order`.

        None instead of the sizes where every axis has a label already.
        """
        split = any(len(axis) != 1 for axis in self.axes)
        sizes = [-1 if label == "n" else self.size(label) or 1 for label in self.labels] if split else None
        return sizes, [self.labels.index(label) for label in "np" + self.order if label in self.labels]

    def to_framework(self, value: Tensor, shape: Sequence[int | None]) -> Tensor:
        """Return (rows, positions, channels) in the framework's own order and shape, contiguous."""
        kept = [label for label in "np" + self.order if label in self.labels]
        rows = value.shape[0]
        value = value.reshape([rows if label == "n" else self.size(label) or 1 for label in kept])
        value = value.permute([kept.index(label) for label in self.labels])
        rows = value.shape[self.labels.index("n")]
        return value.reshape([rows if n is BATCH else n for n in shape]).contiguous()


def labelled(axes: Sequence[str], channels: int, length: int) -> Layout:
    """Return a layout of plain channels, with the labels of size one left out."""
    return canonical(axes, [("c", channels)], length)


def canonical(axes: Sequence[str], channel_sizes: Sequence[tuple[str, int]], length: int) -> Layout:
    """Return a layout in its simplest form: labels of size one dropped, neighbours fused, names in order."""
    sizes = {label: size for label, size in channel_sizes if size > 1}
    order = "".join(sizes)
    kept = set("n" + order + ("p" if length > 1 else ""))
    axes = ["".join(label for label in axis if label in kept) for axis in axes]
    fused = True
    while fused:
        fused = False
        everything = ("p" if length > 1 else "") + order
        for slow, fast in pairwise(everything):
            if not any(slow + fast in axis for axis in axes) or (slow == "p" and fast not in INNER_LABELS):
                continue
            axes = [axis.replace(slow + fast, slow) for axis in axes]
            size = sizes.pop(fast)
            order = order.replace(fast, "")
            if slow == "p":
                length *= size
            else:
                sizes[slow] *= size
            fused = True
            break
    inner, outer = iter(INNER_LABELS), iter(CHANNEL_LABELS)
    names = {label: next(inner if label in INNER_LABELS else outer) for label in order}
    renamed = tuple("".join(names.get(label, label) for label in axis) for axis in axes)
    return Layout(renamed, tuple((names[label], sizes[label]) for label in order), length)


def spread(tensor: Tensor, have: Sequence[int], full: Sequence[int]) -> Tensor:
    """Return a tensor of (..., channels) with its channels broadcast from the sizes `have` to the sizes `full`.

    One channel stays one, as it is broadcast against any number anyway.
    """
    if tuple(have) == tuple(full) or all(size == 1 for size in have):
        return tensor
    lead = tensor.shape[:-1]
    return tensor.reshape(*lead, *have).expand(*lead, *full).reshape(*lead, math.prod(full))


def elements(shape: Sequence[int | None]) -> int:
    """Return how many elements one sequence has in a shape."""
    return math.prod(n for n in shape if n is not BATCH)
