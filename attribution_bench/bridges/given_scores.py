"""Scores that another package computed, as a result of this one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import PROJECTED
from attribution_bench.errors import InvalidInputError
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import Interval


def result_of_scores(
    one_hot: NDArray[np.floating],
    scores: NDArray[Any],
    method: str,
    alphabet: str,
    names: Sequence[str] | None = None,
    intervals: Sequence[Interval] | None = None,
) -> AttributionResult:
    """Return a result of letters (N, A, L) and scores (N, A, L) at every position.

    Scores that are zero beside every letter that is there are taken for those of the reference letters only, as long as
    one is not zero.

    Raises
    ------
    InvalidInputError
        The arrays do not fit together, are not one-hot, or not finite (ResultError).
    """
    if one_hot.ndim != 3 or one_hot.shape != scores.shape or one_hot.shape[1] != len(alphabet) or not one_hot.size:
        raise InvalidInputError(
            f"letters and scores must both be (N, {len(alphabet)}, L) for the alphabet {alphabet}, but have the shapes "
            f"{one_hot.shape} and {scores.shape}"
        )
    metadata: dict[str, Any] = {
        "method": method,
        "method_label": method,
        "options": {},
        "target": None,
        "outputs": [{"name": "score", "shape": []}],
        "alphabet": alphabet,
        "length": int(one_hot.shape[2]),
    }
    if scores.any() and not scores[one_hot == 0].any():
        metadata[PROJECTED] = True
    result = AttributionResult(
        one_hot,
        np.arange(one_hot.shape[2]),
        metadata,
        stored_scores=scores,
        names=None if names is None else tuple(names),
        intervals=None if intervals is None else tuple(intervals),
    )
    result.check("made of these scores")
    return result
