"""How methods are told apart in figures: colour and shape, by their place in the evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass

from attribution_bench.evaluation.results import Evaluation

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's, but for the yellow, which is too light on white; the page's style sheet has them too."""
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
