"""The summation-to-delta check of DeepLIFT: attributions must add up to f(x) - f(reference)."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attribution_bench import errors
from attribution_bench.deprecation import moved_names

TOLERANCE = 1e-3
"""Largest |delta| over |f(x) - f(reference)| that passes without a warning."""
ROUNDING = 128
"""Rounding errors of the outputs' size that a delta may hold beside that, where x and reference predict the same."""


def warn_if_not_converged(
    delta: NDArray[np.floating],
    outputs: NDArray[np.floating],
    reference_outputs: NDArray[np.floating],
    unruled: Sequence[str],
) -> None:
    """Warn, naming the operations at fault, when a convergence delta exceeds the tolerance.

    Parameters
    ----------
    delta
        (N, R, T): sum of attributions - (f(x) - f(reference)).
    outputs
        (N, T): f(x).
    reference_outputs
        (N, R, T): f(reference).
    unruled
        Operations of the model without a rule of DeepLIFT.
    """
    difference = np.abs(outputs[:, None] - reference_outputs)
    scale = np.maximum(np.abs(outputs[:, None]), np.abs(reference_outputs))
    allowed = TOLERANCE * difference + ROUNDING * np.finfo(delta.dtype).eps * scale.max(axis=(0, 1))
    wrong = ~(np.abs(delta) <= allowed)  # also true of a delta that is no number
    if not wrong.any():
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        worst = (np.abs(delta) / difference)[wrong].max()
    cause = (
        f"operations without a DeepLIFT rule, where the gradient was used: {', '.join(unruled)}"
        if unruled
        else "no operation without a rule was found, so rounding is the likely cause; try the model in float64"
    )
    warnings.warn(
        f"DeepSHAP scores do not add up to f(x) - f(reference) for {wrong.sum()} of {wrong.size} pairs of sequence and "
        f"reference (largest error {worst:.2g} of the difference, {TOLERANCE:g} allowed); {cause}",
        errors.ConvergenceWarning,
        stacklevel=4,
    )


__getattr__ = moved_names(__name__, ConvergenceWarning="attribution_bench.errors")
