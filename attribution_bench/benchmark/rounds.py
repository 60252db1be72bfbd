"""Rounds of one cell: how far their durations spread, and whether their median can be believed."""

import math
import statistics
from collections.abc import Sequence

FEWEST_ROUNDS = 3
"""Rounds that every cell has: the median of fewer is moved by a single hiccup of the machine."""
AGREEMENT = 0.1
"""Rounds agree where their median is at most this far above the fastest, as a share of it."""
FORETOLD = 1.5
"""They also disagree with the sweep over batch sizes where the median is more than this many times what it foretold."""


def spread(durations: Sequence[float]) -> float | None:
    """Return the slowest round minus the fastest, as a share of the median.

    None with fewer than two rounds, or a median of 0.
    """
    if len(durations) < 2 or not statistics.median(durations):
        return None
    return (max(durations) - min(durations)) / statistics.median(durations)


def excess(durations: Sequence[float]) -> float:
    """Return how far the median lies above the fastest of at least one round, as a share of the fastest.

    One slow round among three does not change it; a machine that drifts, or that is slow most of the time, does.
    """
    fastest, median = min(durations), statistics.median(durations)
    if median == fastest:
        return 0.0
    return (median - fastest) / fastest if fastest else math.inf


def slower_than_foretold(durations: Sequence[float], foretold: float | None) -> bool:
    """Whether the median of at least one round is far above the seconds that the sweep foretold.

    A round that is faster than foretold is not in doubt: what is paid once a call weighs more in the sweep's part.
    """
    return foretold is not None and statistics.median(durations) > FORETOLD * foretold


def agree(durations: Sequence[float], foretold: float | None) -> bool:
    """Whether at least one round's durations agree with each other, and with what the sweep foretold of a round."""
    return excess(durations) <= AGREEMENT and not slower_than_foretold(durations, foretold)
