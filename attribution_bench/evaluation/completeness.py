"""Completeness: how nearly attributions add up to the difference that they explain."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.checked import finite
from attribution_bench.evaluation.ties import ROUNDING


def completeness_error(
    observed_sum: NDArray[np.floating], convergence_delta: NDArray[np.floating], rounding: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """Return |sum of attributions - (f(x) - f(baseline))| / |f(x) - f(baseline)|.

    The convergence delta is what the attributions add up to minus f(x) - f(baseline), so that the latter is
    ``observed_sum - convergence_delta``. With several references the delta is their mean, signed: scores are a mean
    over references, and are held against f(x) - mean f(reference). Scores of 0 everywhere have an error of 1
    (Sundararajan et al., ICML 2017, completeness; Shrikumar et al., ICML 2017, summation to delta).

    Parameters
    ----------
    observed_sum
        (N,): the sum of ``AttributionResult.observed`` over all positions. It must hold every position of the sequence;
        a baseline that is not 0 at unknown letters attributes to positions that ``observed`` leaves at 0.
    convergence_delta
        (N,) or (N, references): ``AttributionResult.convergence_delta`` of one output.
    rounding
        (N,) or one number: a difference of predictions up to this is rounding of them.

    Returns
    -------
    (N,) at least 0; nan where f(x) - f(baseline) is 0 within the rounding of single precision.

    Raises
    ------
    InvalidInputError
        Shapes that do not fit, or numbers that are not finite.
    """
    attributed = finite("observed_sum", observed_sum, "sequences")
    axes: tuple[int | str, ...] = (len(attributed),)
    if np.ndim(convergence_delta) not in (1, 2):
        raise InvalidInputError(
            "convergence_delta must have shape (sequences) or (sequences, references), one output at a time, "
            f"not {np.shape(convergence_delta)}"
        )
    if np.ndim(convergence_delta) == 2:
        axes += ("references",)
    delta = finite("convergence_delta", convergence_delta, *axes).reshape(len(attributed), -1).mean(axis=1)
    difference = np.abs(attributed - delta)
    certain = difference > np.maximum(ROUNDING * np.maximum(np.abs(attributed), np.abs(delta)), np.asarray(rounding))
    return np.asarray(np.divide(np.abs(delta), difference, out=np.full(len(delta), np.nan), where=certain))
