"""What a user must know before believing scores: whether they add up, their size, and what they compare with."""

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from attribution_bench import errors
from attribution_bench.deprecation import moved_names

TOLERANCE = 1e-3
"""Largest |delta| over |f(x) - f(reference)| that passes without a warning."""
ROUNDING = 128
"""Rounding errors of the outputs' size that a delta may hold beside that, where x and reference predict the same."""
LARGEST_ROUNDING = 2000
"""Rounding errors, of the size of the output or of the scores, up to which rounding may be the cause of a delta."""
GUILTY = 0.1
"""Part of the largest finite delta that an operation has lost if it is named."""
CANCELLATION = 1000
"""Sum of the absolute scores over the sum of the differences they explain above which they are called large."""


def warn_if_not_converged(
    delta: NDArray[np.floating],
    outputs: NDArray[np.floating],
    reference_outputs: NDArray[np.floating],
    absolute: NDArray[np.floating],
    lost: Mapping[str, float],
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
    absolute
        (N, R, T): sum of the absolute scores of a pair.
    lost
        Operations of the model without a complete rule, with the largest part of a difference that each lost.
    """
    difference = np.abs(outputs[:, None] - reference_outputs)
    scale = np.maximum(np.abs(outputs[:, None]), np.abs(reference_outputs))
    epsilon = np.finfo(delta.dtype).eps
    allowed = TOLERANCE * difference + ROUNDING * epsilon * scale.max(axis=(0, 1))
    wrong = ~(np.abs(delta) <= allowed)  # also true of a delta that is no number
    if not wrong.any():
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        worst = (np.abs(delta) / difference)[wrong].max()
    finite = np.abs(delta[wrong & np.isfinite(delta)])
    most = GUILTY * finite.max() if finite.size else np.inf
    guilty = [name for name, amount in lost.items() if amount > most or not np.isfinite(amount)]
    if guilty:
        named = ", ".join(guilty)
        cause = f"operations without a DeepLIFT rule, of which the mean gradient does not add up: {named}"
    elif (np.abs(delta) <= LARGEST_ROUNDING * epsilon * np.maximum(scale, absolute))[wrong].all():
        cause = "every operation follows a rule that adds up, so rounding is the likely cause; try the model in float64"
    elif not np.isfinite(delta[wrong]).all():
        cause = "some values of the model are infinite or no numbers"
    else:
        cause = "every operation follows a rule that adds up, and the error is larger than rounding makes it"
    warnings.warn(
        f"DeepSHAP scores do not add up to f(x) - f(reference) for {wrong.sum()} of {wrong.size} pairs of sequence and "
        f"reference (largest error {worst:.2g} of the difference, {TOLERANCE:g} allowed); {cause}",
        errors.ConvergenceWarning,
        stacklevel=4,
    )


def cancellation(
    outputs: NDArray[np.floating], reference_outputs: NDArray[np.floating], absolute: NDArray[np.floating]
) -> float:
    """Return the sum of all pairs' absolute scores over that of the differences they explain; 0 without scores."""
    difference = np.abs(outputs[:, None] - reference_outputs).sum(dtype=np.float64)
    total = absolute.sum(dtype=np.float64)
    return float(total / difference) if difference else (float("inf") if total else 0.0)


def warn_if_scores_cancel(ratio: float) -> None:
    """Warn when scores are much larger than the differences that they explain."""
    if not ratio <= CANCELLATION:
        warnings.warn(
            f"the absolute DeepSHAP scores of a pair of sequence and reference add up to {ratio:.2g} times the "
            f"difference of its predictions (more than {CANCELLATION}), so that most of each score is cancelled by "
            "others; compare with Integrated Gradients or ISM before reading single scores",
            errors.ConvergenceWarning,
            stacklevel=4,
        )


def warn_if_references_equal(one_hot: NDArray[np.floating], references: NDArray[np.floating]) -> int:
    """Return how many references (N, R, A, L) equal their sequence (N, A, L), and warn if any do."""
    equal = (references == one_hot[:, None]).all(axis=(2, 3))
    if equal.any():
        warnings.warn(
            f"{equal.sum()} of {equal.size} references of DeepSHAP equal their sequence ({equal.any(1).sum()} of "
            f"{len(equal)} sequences), where they explain nothing and make the mean score smaller; a sequence with few "
            "distinct dinucleotide shuffles, such as one repeated letter, needs baselines of your own",
            errors.ReferenceWarning,
            stacklevel=4,
        )
    return int(equal.sum())


__getattr__ = moved_names(__name__, ConvergenceWarning="attribution_bench.errors")
