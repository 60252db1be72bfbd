"""How methods are told apart in figures: colour and shape, by their place in the evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass

from attribution_bench.evaluation.results import Evaluation

COLOURS = ("#0072B2", "#755600", "#007A59", "#C44A00", "#A3457B", "#2A77A3", "#000000")
"""Okabe and Ito's hues but for the yellow, dark enough that names can be written in them on white."""
ON_DARK = ("#4BA3E3", "#E69F00", "#1FC497", "#FF8A3D", "#DE94C0", "#7FCBF5", "#FFFFFF")
"""The same on dark paper."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)), (0, (2, 1)))


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of one method."""

    colour: str
    marker: str
    dash: str | tuple[int, tuple[int, ...]]


def looks(evaluation: Evaluation) -> Mapping[str, Look]:
    """Return the look of each method."""
    return {
        method.method: Look(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)])
        for index, method in enumerate(evaluation.methods)
    }
