"""Agreement of two sets of scores, sequence by sequence: correlation, direction, highest positions and signs."""

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.checked import pair
from attribution_bench.evaluation.ties import ROUNDING, constant, settled


def pearson(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the linear correlation of two sets of scores (Pearson, Proc. R. Soc. Lond. 58:240, 1895).

    Parameters
    ----------
    a, b
        (N, P): one score a sequence and position.

    Returns
    -------
    (N,) in [-1, 1]; nan where one of the two is constant within rounding.

    Raises
    ------
    InvalidInputError
        Shapes that differ, or scores that are not finite.
    """
    a, b = pair(a, b)
    return _cosine(_centred(a), _centred(b))


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the correlation of the ranks of two sets of scores (Spearman, Am. J. Psychol. 15:72, 1904).

    Equal scores share the mean of their ranks; those within rounding of 0 are equal.

    Parameters
    ----------
    a, b
        (N, P): one score a sequence and position.

    Returns
    -------
    (N,) in [-1, 1]; nan where one of the two is constant within rounding.

    Raises
    ------
    InvalidInputError
        Shapes that differ, or scores that are not finite.
    """
    a, b = (settled(scores) for scores in pair(a, b))
    from scipy.stats import rankdata  # takes longer to import than the package

    return pearson(rankdata(a, axis=1), rankdata(b, axis=1))


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine of the angle between two sets of scores.

    Unlike `pearson` it keeps the zero of the scores: adding a constant to them changes it (Salton and McGill,
    Introduction to Modern Information Retrieval, 1983).

    Parameters
    ----------
    a, b
        (N, P): one score a sequence and position.

    Returns
    -------
    (N,) in [-1, 1]; nan where one of the two is 0 at every position.

    Raises
    ------
    InvalidInputError
        Shapes that differ, or scores that are not finite.
    """
    return _cosine(*pair(a, b))


def top_k_overlap(a: NDArray[np.floating], b: NDArray[np.floating], k: int) -> NDArray[np.float64]:
    """Return the share of the k highest scores that stand at the same positions in both.

    Signed scores count, so that the letters that lower the prediction most are not among the highest. The feature
    agreement of Krishna et al. (TMLR 2024), there for absolute scores.

    Parameters
    ----------
    a, b
        (N, P): one score a sequence and position.
    k
        Number of positions, 1 to P.

    Returns
    -------
    (N,) in [0, 1]; random scores share k / P on average. nan where the scores do not say which positions are the k
    highest: the k-th and the next are equal within rounding in one of the two, or all are.

    Raises
    ------
    InvalidInputError
        Shapes that differ, scores that are not finite, or a k that is not in 1 to P.
    """
    a, b = pair(a, b)
    shared = (_highest(a, k) & _highest(b, k)).sum(axis=1) / k
    return np.asarray(np.where(_undecided(a, k) | _undecided(b, k), np.nan, shared))


def sign_agreement(scores: NDArray[np.floating], truth: NDArray[np.floating], k: int) -> NDArray[np.float64]:
    """Return the share of the positions that matter most at which scores and truth have the same sign.

    The positions are the k with the largest absolute truth, and those that equal the last of them; where the truth is 0
    there is no sign to agree with, and they do not count. A score of 0 agrees with nothing. The measure is not
    symmetric: the truth chooses the positions. After the sign agreement of Krishna et al. (TMLR 2024), which also asks
    for the position to be among the k of the scores.

    Parameters
    ----------
    scores
        (N, P): one score a sequence and position.
    truth
        (N, P): what they should be.
    k
        Number of positions, 1 to P.

    Returns
    -------
    (N,) in [0, 1]; nan where the truth is constant within rounding, so that no position matters more than another.

    Raises
    ------
    InvalidInputError
        Shapes that differ, scores that are not finite, or a k that is not in 1 to P.
    """
    scores, truth = (settled(values) for values in pair(scores, truth))
    size = np.abs(truth)
    last = np.where(_highest(size, k), size, np.inf).min(axis=1, keepdims=True)
    chosen = (size >= last) & (truth != 0)
    agreeing = (chosen & (np.sign(scores) == np.sign(truth))).sum(axis=1)
    share = np.divide(agreeing, chosen.sum(axis=1), out=np.full(len(truth), np.nan), where=chosen.any(axis=1))
    return np.asarray(np.where(constant(truth), np.nan, share))


def agreements(scores: NDArray[np.floating], truth: NDArray[np.floating], k: int) -> dict[str, NDArray[np.float64]]:
    """Return every measure of this module, metric -> (N,), under the names that the metrics have in reports.

    Parameters
    ----------
    scores
        (N, P): one score a sequence and position.
    truth
        (N, P): what they should be.
    k
        Number of positions of ``top_k`` and ``sign``, 1 to P.

    Raises
    ------
    InvalidInputError
        Shapes that differ, scores that are not finite, or a k that is not in 1 to P.
    """
    return {
        "pearson": pearson(scores, truth),
        "spearman": spearman(scores, truth),
        "cosine": cosine(scores, truth),
        "top_k": top_k_overlap(scores, truth, k),
        "sign": sign_agreement(scores, truth, k),
    }


def mutual_agreements(a: NDArray[np.floating], b: NDArray[np.floating], k: int) -> dict[str, NDArray[np.float64]]:
    """Return the measures of two sets of scores of which neither is the truth, metric -> (N,); their order is nothing.

    ``sign`` is the mean of the sign agreement of each with the other, and nan where one of them is.

    Parameters
    ----------
    a, b
        (N, P): one score a sequence and position.
    k
        Number of positions of ``top_k`` and ``sign``, 1 to P.

    Raises
    ------
    InvalidInputError
        Shapes that differ, scores that are not finite, or a k that is not in 1 to P.
    """
    return {**agreements(a, b, k), "sign": (sign_agreement(a, b, k) + sign_agreement(b, a, k)) / 2}


def _centred(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract each row's mean; rows that are constant within rounding become exactly 0."""
    centred: NDArray[np.float64] = scores - scores.mean(axis=1, keepdims=True)
    centred[constant(scores)] = 0
    return centred


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b = _unit(a), _unit(b)
    return np.asarray(np.clip(np.einsum("np,np->n", a, b), -1, 1))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale rows to length 1; rows of zeros become nan."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    # Largest value first, so that no square leaves the range of floats.
    scaled = np.divide(rows, largest, out=np.full_like(rows, np.nan), where=largest > 0)
    return np.asarray(scaled / np.linalg.norm(scaled, axis=1, keepdims=True))


def _highest(scores: NDArray[np.float64], k: int) -> NDArray[np.bool_]:
    """Mark the k highest of each row; of equal ones those nearer to the start."""
    positions = scores.shape[1]
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= positions:
        raise InvalidInputError(f"k must be a whole number from 1 to {positions} positions, not {k!r}")
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, np.argsort(-scores, axis=1, kind="stable")[:, :k], True, axis=1)
    return chosen


def _undecided(scores: NDArray[np.float64], k: int) -> NDArray[np.bool_]:
    """Tell where the k highest of each row could be others: all are equal within rounding, or the k-th and the next."""
    tied = constant(scores)
    if k < scores.shape[1]:
        falling = -np.sort(-scores, axis=1)
        tied |= falling[:, k - 1] - falling[:, k] <= ROUNDING * np.abs(scores).max(axis=1)
    return tied
