"""Scores that are equal but for rounding: among them there is no order, no direction and no sign to compare."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDING = 1e-6
"""Share of the largest absolute score below which scores and their differences are rounding of single precision."""


def constant(scores: NDArray[np.float64], noise: ArrayLike = 0.0) -> NDArray[np.bool_]:
    """Tell in which sequences every score is the same within rounding.

    Parameters
    ----------
    scores
        (N, P), finite.
    noise
        (N,) or one number: scores that differ by twice as much at most may be equal.

    Returns
    -------
    (N,)
    """
    rounding = np.maximum(2 * np.asarray(noise), ROUNDING * np.abs(scores).max(axis=1))
    return np.asarray(np.ptp(scores, axis=1) <= rounding)


def settled(scores: NDArray[np.float64], noise: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Return scores without what rounding made of equal ones: noise about 0 becomes 0, nearly equal rows equal.

    Parameters
    ----------
    scores
        (N, P), finite.
    noise
        (N,) or one number: absolute scores up to this are rounding. Those up to a millionth of the largest always are.

    Returns
    -------
    (N, P)
    """
    rounding = np.maximum(np.asarray(noise), ROUNDING * np.abs(scores).max(axis=1))
    found = np.where(np.abs(scores) <= rounding[:, None], 0.0, scores)
    same = constant(scores, noise)
    found[same] = found[same].mean(axis=1, keepdims=True)
    return np.asarray(found)
