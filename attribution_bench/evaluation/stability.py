"""Stability: how far runs of a method that differ in the seed agree."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.agreement import pearson
from attribution_bench.evaluation.checked import finite


def stability(runs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean Pearson r over all pairs of runs.

    Parameters
    ----------
    runs
        (R, N, P): scores of at least two runs, of any P letters and positions.

    Returns
    -------
    (N,) in [-1 / (R - 1), 1], where 1 means that runs differ by no more than scale and offset; nan where a run's scores
    are constant.

    Raises
    ------
    InvalidInputError
        Fewer than two runs, another shape, or scores that are not finite.
    """
    runs = finite("runs", runs, "runs", "sequences", "positions")
    if len(runs) < 2:
        raise InvalidInputError(f"stability compares runs with each other: give at least 2, not {len(runs)}")
    pairs = np.stack([pearson(first, second) for first, second in combinations(runs, 2)])
    return np.asarray(pairs.mean(axis=0))
