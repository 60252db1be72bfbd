"""ISM score conventions: what a number in an ISM score array is relative to, and conversion from predictions."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError

Convention = Literal["delta", "centred", "centred-alternatives", "max-abs", "l2"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
DEFAULT_CONVENTION: Convention = "centred"
UNSIGNED: tuple[Convention, ...] = ("max-abs", "l2")
"""Conventions that give sizes over all outputs: no sign, and no axes for outputs."""
REFERENCE_AT_ZERO: tuple[Convention, ...] = ("delta", *UNSIGNED)
"""Conventions by which every reference letter scores zero: they are changes from it."""
PROJECTED = "projected"
"""Entry of a result's metadata: true where its scores are those of the reference letters, and 0 for the others."""


def as_numbers(values: NDArray[Any]) -> NDArray[Any]:
    """Return predictions of any shape as numbers of which differences can be negative: truth values become 0 and 1."""
    return values.astype(np.float64) if values.dtype.kind in "bu" else values


def check_convention(convention: str) -> Convention:
    """Return the convention, or raise InvalidInputError listing those there are."""
    if convention not in CONVENTIONS:
        raise InvalidInputError(f"unknown score convention {convention!r}; choose one of {', '.join(CONVENTIONS)}")
    return convention


def ism_scores(
    predictions: NDArray[np.floating],
    reference: NDArray[np.floating],
    one_hot: NDArray[np.floating],
    convention: Convention,
) -> NDArray[np.floating]:
    """Scores from the predictions of one output, or of several flattened and concatenated.

    Parameters
    ----------
    predictions
        (N, A, P, *output): the prediction with letter a at position p.
    reference
        (N, *output): the prediction of the sequence itself.
    one_hot
        (N, A, P): the reference letters; all zero where unknown.
    convention
        ``delta``: alternative - reference. ``centred``: delta minus its mean over all A letters.
        ``centred-alternatives``: delta minus its mean over the alternative letters.
        ``max-abs``, ``l2``: the largest absolute value, the Euclidean norm of delta over all outputs.

    Returns
    -------
    (N, A, P, *output); (N, A, P) for ``max-abs`` and ``l2``.
    """
    delta: NDArray[np.floating] = as_numbers(predictions) - as_numbers(reference)[:, None, None]
    if convention in UNSIGNED:
        order = np.inf if convention == "max-abs" else 2
        norm: NDArray[np.floating] = np.linalg.norm(delta.reshape(*delta.shape[:3], -1), ord=order, axis=-1)
        return norm
    if convention == "centred":
        return np.asarray(delta - delta.mean(axis=1, keepdims=True))
    if convention == "centred-alternatives":
        # The reference letter has a delta of exactly 0, so it adds nothing to the sum.
        alternatives = (1 - one_hot).sum(axis=1, keepdims=True)
        alternatives = alternatives.reshape(*alternatives.shape, *[1] * (delta.ndim - 3))
        return np.asarray(delta - delta.sum(axis=1, keepdims=True) / alternatives)
    return delta


def letter_heights(
    scores: NDArray[np.floating], present: NDArray[np.bool_], convention: str | None
) -> NDArray[np.floating]:
    """Return the heights (A, P) of the reference letters in a logo, zero for every other letter.

    They are the letters' own scores. By a convention that leaves those at zero they derive from the other letters:
    minus the mean change where changes have a sign, so that a letter whose loss lowers the prediction stands up, and
    else the mean size of a change.

    Parameters
    ----------
    scores, present
        (A, P): scores of one sequence, and which letter is there.
    convention
        That of the scores; None of other scores than those of mutations.
    """
    if convention not in REFERENCE_AT_ZERO:
        return np.where(present, scores, 0)
    others = np.where(present, 0, scores).sum(axis=0, keepdims=True) / max(1, len(scores) - 1)
    return np.where(present, others if convention in UNSIGNED else -others, 0)
