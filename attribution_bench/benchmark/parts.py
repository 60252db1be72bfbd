"""Which part of a cell's work is measured when the whole does not fit its time budget."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attribution_bench.benchmark.results import Units

Axis = Literal["sequences", "positions", "outputs"]


@dataclass(frozen=True)
class Division:
    """How a cell's work divides into steps of equal cost.

    A part grows along the inner axis first; once that is whole, it grows along the outer one. The third axis is
    always whole. ISM grows over positions, then sequences; a method that loops over outputs grows over sequences (whose
    batches its calls need), then outputs.
    """

    asked: Units
    inner: Axis
    outer: Axis

    @property
    def inner_steps(self) -> int:
        """Steps of a whole inner axis."""
        return int(getattr(self.asked, self.inner))

    @property
    def steps(self) -> int:
        """Steps of all that was asked for."""
        return self.inner_steps * int(getattr(self.asked, self.outer))

    def part(self, steps: float) -> Units:
        """Return the largest part of at most `steps` steps, at least one; whole inner axes once one fits."""
        whole = int(min(max(steps, 1), self.steps))
        if whole < self.inner_steps:
            return replace(self.asked, **{self.inner: whole, self.outer: 1})
        return replace(self.asked, **{self.outer: whole // self.inner_steps})

    def steps_of(self, part: Units) -> int:
        """Return the steps of a part."""
        return int(getattr(part, self.inner)) * int(getattr(part, self.outer))


def spread(count: int, of: int) -> NDArray[np.int64]:
    """Return `count` of the indices [0, of), spread evenly: the middle of each of `count` equal stretches."""
    return (2 * np.arange(count, dtype=np.int64) + 1) * of // (2 * count)
