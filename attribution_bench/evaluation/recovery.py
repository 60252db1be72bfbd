"""Recovery of planted sites: how far the letters that are known to matter stand out of the others."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.checked import finite
from attribution_bench.evaluation.ties import constant, settled

Measure = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
"""Measure of how well the scores of positives (first) stand out of those of negatives."""


def recovery(observed: NDArray[np.floating], effects: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
    """Return how well scores tell the letters of known sites from those outside.

    ``auroc`` (Hanley and McNeil, Radiology 143:29, 1982) and ``auprc`` (average precision) take the sites that raise
    the prediction by the score, and those that lower it by the negative score, each against the letters outside all
    sites; a sequence that has both gets the mean of the two. ``signal_to_noise`` is the mean over letters in sites of
    score x effect, over the root mean square of the scores outside.

    Parameters
    ----------
    observed
        (N, P): signed scores of the reference letters.
    effects
        (N, P): 1 in a site that raises the prediction, -1 in one that lowers it, 0 outside; see
        `attribution_bench.sequences.sites.site_effects`.

    Returns
    -------
    Metric -> (N,). ``auroc`` lies in [0, 1], 0.5 for random scores; ``auprc`` in (0, 1], for random scores about the
    share of letters that are in sites; ``signal_to_noise`` is any number. All are nan where a sequence has no site or
    no letter outside, and where all its scores are equal within rounding, which tell no letter from another;
    ``signal_to_noise`` also where all scores outside are 0.

    Raises
    ------
    InvalidInputError
        Shapes that differ, scores that are not finite, or effects other than 1, -1 and 0.
    """
    observed = finite("observed", observed, "sequences", "positions")
    effects_known = finite("effects", effects, *observed.shape)
    if not np.isin(effects_known, (-1, 0, 1)).all():
        raise InvalidInputError("effects must be 1, -1 or 0 at every position")
    rows = list(zip(settled(observed), effects_known, strict=True))
    found = {
        "auroc": np.array([_mean_over_effects(auroc, *row) for row in rows]),
        "auprc": np.array([_mean_over_effects(average_precision, *row) for row in rows]),
        "signal_to_noise": np.array([_signal_to_noise(*row) for row in rows]),
    }
    return {name: np.where(constant(observed), np.nan, values) for name, values in found.items()}


def auroc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Return the probability that a positive scores higher than a negative, equal scores counted half.

    Parameters
    ----------
    positive, negative
        Scores of each, at least one.
    """
    from scipy.stats import rankdata  # takes longer to import than the package

    ranks = rankdata(np.concatenate([positive, negative]))
    below = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(below / (len(positive) * len(negative)))


def average_precision(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Return the sum over thresholds of precision times the gain in recall, without interpolation.

    Equal scores pass a threshold together, as in scikit-learn's ``average_precision_score``.

    Parameters
    ----------
    positive, negative
        Scores of each, at least one.
    """
    thresholds, place = np.unique(-np.concatenate([positive, negative]), return_inverse=True)
    found = np.bincount(place[: len(positive)], minlength=len(thresholds))
    passed = np.bincount(place, minlength=len(thresholds))
    precision = found.cumsum() / passed.cumsum()
    return float((found * precision).sum() / len(positive))


def _mean_over_effects(measure: Measure, observed: NDArray[np.float64], effects: NDArray[np.float64]) -> float:
    outside = observed[effects == 0]
    if not len(outside):
        return np.nan
    values = [measure(sign * observed[effects == sign], sign * outside) for sign in (1, -1) if (effects == sign).any()]
    return float(np.mean(values)) if values else np.nan


def _signal_to_noise(observed: NDArray[np.float64], effects: NDArray[np.float64]) -> float:
    outside, inside = observed[effects == 0], (observed * effects)[effects != 0]
    noise = np.sqrt(np.mean(outside**2)) if len(outside) else 0.0
    return float(inside.mean() / noise) if len(inside) and noise > 0 else np.nan
