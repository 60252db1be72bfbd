"""Which axis of a framework's tensor is what, and the way to the engine's own order (rows, positions, channels)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import BATCH


@dataclass(frozen=True)
class Layout:
    """The meaning of a tensor's axes.

    Each axis is a string of the labels that it is made of, slowest first: ``n`` batch, ``p`` position, ``c`` channel.
    An axis of size one has no label. ``("n", "c", "p")`` is a batch of channels by positions; ``("n", "cp")`` the same
    flattened; ``("n", "c")`` has no positions any more.
    """

    axes: tuple[str, ...]
    channels: int
    length: int

    @property
    def positional(self) -> bool:
        """Whether there is more than one position."""
        return any("p" in axis for axis in self.axes)

    @property
    def labels(self) -> str:
        """Every label in order."""
        return "".join(self.axes)

    def axis(self, label: str) -> int | None:
        """Return the axis that is this label alone; None where there is none."""
        return self.axes.index(label) if label in self.axes else None

    def size(self, label: str) -> int | None:
        """Return the size of a label; BATCH for the batch."""
        return {"n": BATCH, "c": self.channels, "p": self.length}[label]

    def relabelled(self, axes: Sequence[str]) -> "Layout":
        """Return the same sizes under other axes."""
        return Layout(tuple(axes), self.channels, self.length)

    def reshaped(self, shape: Sequence[int | None]) -> "Layout | None":
        """Return the layout after a reshape; None where axes are split or mixed in a way that labels cannot follow."""
        left = [(label, self.size(label)) for label in self.labels]
        axes = []
        for size in shape:
            axis, product = "", 1
            while left and size != 1 and (size is BATCH or product < size):
                label, label_size = left[0]
                if (label_size is BATCH) != (size is BATCH):
                    return None
                left.pop(0)
                axis += label
                if size is BATCH:
                    break
                product *= label_size or 1
            if size is BATCH and axis != "n":
                return None
            if size is not BATCH and product != size:
                return None
            axes.append(axis)
        return None if left else self.relabelled(axes)

    def to_engine(self, value: Tensor) -> Tensor:
        """Return a framework's tensor as (rows, positions, channels), contiguous."""
        sizes = {"n": -1, "c": self.channels, "p": self.length}
        split = value.reshape([sizes[label] for label in self.labels])
        order = [self.labels.index(label) for label in "npc" if label in self.labels]
        return split.permute(order).reshape(-1, self.length, self.channels).contiguous()

    def to_framework(self, value: Tensor, shape: Sequence[int | None]) -> Tensor:
        """Return (rows, positions, channels) in the framework's own order and shape, contiguous."""
        kept = [label for label in "npc" if label in self.labels]
        sizes = {"n": value.shape[0], "c": self.channels, "p": self.length}
        value = value.reshape([sizes[label] for label in kept])
        value = value.permute([kept.index(label) for label in self.labels])
        rows = value.shape[self.labels.index("n")]
        return value.reshape([rows if n is BATCH else n for n in shape]).contiguous()


def labelled(axes: Sequence[str], channels: int, length: int) -> Layout:
    """Return a layout with the labels of size one left out."""
    drop = {label for label, size in (("c", channels), ("p", length)) if size == 1}
    return Layout(tuple("".join(label for label in axis if label not in drop) for axis in axes), channels, length)


def elements(shape: Sequence[int | None]) -> int:
    """Return how many elements one sequence has in a shape."""
    return math.prod(n for n in shape if n is not BATCH)
