"""Bootstrap intervals of a mean over sequences (Efron and Tibshirani, An Introduction to the Bootstrap, 1993)."""

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.results import Interval

BLOCK = 10_000_000
"""Most values drawn at a time, which bounds the memory."""


def mean_interval(values: NDArray[np.floating], *, seed: int, resamples: int = 2000, level: float = 0.95) -> Interval:
    """Return the mean over sequences and its percentile bootstrap interval (their chapter 13).

    Sequences are drawn with replacement; the interval's ends are quantiles of the means of the draws. With one
    sequence both are the mean itself, and with few sequences the interval is too narrow.

    Parameters
    ----------
    values
        (N,) one value a sequence; nan, where the metric is not defined, is left out.
    seed
        Seed of the draws.
    resamples
        Number of draws, at least 1.
    level
        Share of the means of the draws that the interval holds, in (0, 1).

    Raises
    ------
    InvalidInputError
        No value is defined, one is infinite, or an option is out of its range.
    """
    defined = _defined(values)
    if resamples < 1:
        raise InvalidInputError(f"resamples must be at least 1, not {resamples}")
    if not 0 < level < 1:
        raise InvalidInputError(f"level must lie between 0 and 1, not {level}")
    if not len(defined):
        raise InvalidInputError("there is no mean: the value is defined for no sequence")
    mean = float(defined.mean())
    if len(defined) == 1:
        return Interval(mean, mean, mean)
    generator = np.random.default_rng(seed)
    step = max(1, BLOCK // len(defined))
    means = np.concatenate(
        [
            defined[generator.integers(0, len(defined), (min(step, resamples - start), len(defined)))].mean(axis=1)
            for start in range(0, resamples, step)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


def mean_intervals(
    rows: NDArray[np.floating], *, seed: int, resamples: int = 2000, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the means over sequences of several values, and the ends of their intervals, each of shape (K,).

    Every draw takes the same sequences for all K values, so each interval is that of `mean_interval` with this seed.

    Parameters
    ----------
    rows
        (N, K) values of N sequences, all of them finite.
    seed, resamples, level
        As for `mean_interval`.
    """
    count = len(rows)
    values = np.asarray(rows, dtype=np.float64)
    generator = np.random.default_rng(seed)
    step = max(1, BLOCK // count)
    draws = []
    for start in range(0, resamples, step):
        chosen = generator.integers(0, count, (min(step, resamples - start), count))
        place = np.arange(len(chosen))[:, None] * count + chosen
        times = np.bincount(place.ravel(), minlength=len(chosen) * count).reshape(chosen.shape)
        draws.append(times @ values / count)
    low, high = np.quantile(np.concatenate(draws), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return values.mean(axis=0), low, high


def paired_difference(
    values: NDArray[np.floating],
    others: NDArray[np.floating],
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Return the mean of values - others and its bootstrap interval, over sequences where both are defined.

    A draw takes the same sequences for both, so that what makes a sequence hard for both does not widen the interval.

    Parameters
    ----------
    values, others
        (N,) one value a sequence, in the same order; nan where not defined.
    seed, resamples, level
        As for `mean_interval`.

    Raises
    ------
    InvalidInputError
        Shapes that differ, no sequence where both are defined, an infinite value, or an option out of its range.
    """
    values, others = np.asarray(values), np.asarray(others)
    if values.shape != others.shape:
        raise InvalidInputError(f"values to compare must have one shape, not {values.shape} and {others.shape}")
    _defined(values)
    _defined(others)
    difference = values.astype(np.float64) - others.astype(np.float64)
    return mean_interval(difference, seed=seed, resamples=resamples, level=level)


def _defined(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the values that are not nan."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise InvalidInputError(f"values must be numbers of shape (sequences), not {array.dtype} of {array.shape}")
    if np.isinf(array).any():
        raise InvalidInputError(f"values must be finite or nan, but {int(np.isinf(array).sum())} are infinite")
    return array[~np.isnan(array)].astype(np.float64)
