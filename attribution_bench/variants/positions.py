"""Positions of outputs: where one number per letter stands in the window, and how alleles line up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import TargetError
from attribution_bench.models import OutputSpec
from attribution_bench.variants.effects import ModelOutputs, StrandName
from attribution_bench.variants.windows import Alleles


@dataclass(frozen=True)
class PositionAxis:
    """The axis of an output that has one number for each letter in the middle of the window."""

    output: str
    axis: int
    """Which of one sequence's axes it is."""
    size: int
    length: int
    """Letters of the window."""

    @property
    def first(self) -> int:
        """Place within the window of the letter that the first number is of."""
        return (self.length - self.size) // 2

    @property
    def reach(self) -> int:
        """Letters on either side of the window's middle one that all have a number; -1 where it has none itself."""
        middle = self.length // 2 - self.first
        return min(middle, self.size - 1 - middle)

    @property
    def is_central(self) -> bool:
        """Whether as many letters are left out before as after, so that both strands have the same positions."""
        return (self.length - self.size) % 2 == 0

    def length_for(self, reach: int) -> int:
        """Return the letters of a window with a reach, of a model that has a number more for each letter more."""
        return self.length + 2 * (reach - self.reach)

    def check_strands(self, strands: Sequence[StrandName]) -> None:
        """Check that the strand ``-`` has the positions of the strand ``+``, where it is one of some strands.

        Raises
        ------
        TargetError
            Its positions are others.
        """
        if "-" in strands and not self.is_central:
            raise TargetError(
                f"output {self.output!r} has {self.size} positions of {self.length}, which are not in the middle of "
                "the window, so that the strands cannot be compared; use a window of one letter more or less"
            )

    def last(self, values: NDArray[np.float64], strand: StrandName) -> NDArray[np.float64]:
        """Return values (V, *output) as (V, channels, positions), in the order of the strand ``+``.

        Two channels of the strand ``-`` are those of the two strands, and change places as the strands do.
        """
        moved = np.moveaxis(values, self.axis + 1, -1).reshape(len(values), -1, self.size)
        return moved if strand == "+" else moved[:, :, ::-1]


def position_axis(output: OutputSpec, outputs: ModelOutputs, axis: int | None) -> PositionAxis:
    """Return the position axis of an output: the one that is named, the only one of more than one number, or by layout.

    Raises
    ------
    TargetError
        The output has no such axis, or more numbers along it than the window has letters.
    """
    shape = output.shape
    several = [place for place, size in enumerate(shape) if size > 1]
    if axis is None:
        axis = several[0] if len(several) == 1 else 0 if outputs.layout == "NLA" else len(shape) - 1
    if not shape or not -len(shape) <= axis < len(shape):
        raise TargetError(f"output {output.name!r} of shape {shape} has no axis {axis} of positions")
    size = shape[axis]
    if size > outputs.length:
        raise TargetError(
            f"output {output.name!r} of shape {shape} has {size} positions, more than the {outputs.length} letters "
            "of a window; name the axis that stands for positions"
        )
    return PositionAxis(output.name, axis % len(shape), size, outputs.length)


def shared_positions(alleles: Alleles, axis: PositionAxis) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers that stand for the same letter of the genome in both alleles.

    The alleles' own letters line up from their first on; those that only one of them has are left out.

    Returns
    -------
    Indices (shared,) into the reference's positions, and (shared,) into the alternative's.
    """
    start = alleles.offset - axis.first
    reference = np.arange(axis.size)
    alternative = reference + np.where(reference < start + alleles.deleted, 0, alleles.inserted - alleles.deleted)
    paired = (reference < start + min(alleles.deleted, alleles.inserted)) | (reference >= start + alleles.deleted)
    paired &= (alternative >= 0) & (alternative < axis.size)
    return reference[paired], alternative[paired]
