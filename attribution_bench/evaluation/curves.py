"""Deletion and insertion curves: what the model predicts as letters are replaced in the order of their scores.

Petsiuk et al., BMVC 2018.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.checked import finite

Predict = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""(rows, A, L) -> (rows,)."""


def masking_order(observed: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return each sequence's positions by score, highest first; of equal scores the one nearer to the start first.

    Parameters
    ----------
    observed
        (N, P): signed scores of the reference letters.

    Returns
    -------
    (N, P): each row a permutation of the positions.

    Raises
    ------
    InvalidInputError
        Scores that are not finite or not (N, P).
    """
    observed = finite("observed", observed, "sequences", "positions")
    return np.argsort(-observed, axis=1, kind="stable")


def curve(
    predict: Predict,
    one_hot: NDArray[np.floating],
    replaced: NDArray[np.floating],
    order: NDArray[np.integer],
    shares: ArrayLike,
) -> NDArray[np.float64]:
    """Return what the model predicts when the first positions of an order are replaced.

    This is the deletion curve; with ``one_hot`` and ``replaced`` exchanged it is the insertion curve, for the same
    order.

    Parameters
    ----------
    predict
        Takes (rows, A, L) of the type of ``one_hot`` and returns (rows,) predictions. It is called once a share with N
        rows, and divides them into batches itself.
    one_hot
        (N, A, L): the sequences.
    replaced
        (N, A, L): what stands at a replaced position, such as a shuffle of each sequence, or zeros.
    order
        (N, L): positions, first to be replaced first; see `masking_order`.
    shares
        (S,) in [0, 1]: at share s the first ``round(s * L)`` positions of the order are replaced (halves to even).

    Returns
    -------
    (N, S)

    Raises
    ------
    InvalidInputError
        Shapes that do not fit, an order that is no permutation, shares outside [0, 1], or predictions that are not
        finite.
    """
    finite("one_hot", one_hot, "sequences", "letters", "positions")
    finite("replaced", replaced, *one_hot.shape)
    count, _, length = one_hot.shape
    finite("order", order, count, length)
    if not np.array_equal(np.sort(order, axis=1), np.broadcast_to(np.arange(length), order.shape)):
        raise InvalidInputError(f"order must hold each of the {length} positions once a sequence")
    changed = np.rint(_shares(shares) * length)
    rank = np.argsort(order, axis=1)
    predictions = np.empty((count, len(changed)))
    for column, number in enumerate(changed):
        mixed = np.where((rank < number)[:, None], replaced, one_hot).astype(one_hot.dtype, copy=False)
        predictions[:, column] = finite("predictions", predict(mixed), count)
    return predictions


def area_above(
    curve: NDArray[np.floating], empty: NDArray[np.floating], unit: float, shares: ArrayLike
) -> NDArray[np.float64]:
    """Return the mean height of a curve above the prediction of the replaced sequence, by trapezoids.

    Of a deletion curve a lower area is better, of an insertion curve a higher one: whatever a sequence is predicted,
    replacing what raises the prediction first makes it fall fastest.

    Parameters
    ----------
    curve
        (N, S): predictions, as `curve` returns them.
    empty
        (N,): predictions of the replaced sequences.
    unit
        What heights are measured in, above 0; one for all sequences, since dividing each by its own difference would
        let those weigh most in which nothing is to be lost.
    shares
        (S,) at least two, ascending in [0, 1]. The area is divided by the span from the first to the last.

    Returns
    -------
    (N,) in no fixed range.

    Raises
    ------
    InvalidInputError
        Shapes that do not fit, numbers that are not finite, a unit that is not above 0, or shares that do not ascend.
    """
    along = _shares(shares)
    if len(along) < 2 or not (np.diff(along) > 0).all():
        raise InvalidInputError(f"shares must be at least two, each above the one before, not {along.tolist()}")
    if not (unit > 0 and np.isfinite(unit)):
        raise InvalidInputError(f"unit must be a finite number above 0, not {unit}")
    curve = finite("curve", curve, "sequences", len(along))
    empty = finite("empty", empty, len(curve))
    heights = (curve[:, 1:] + curve[:, :-1]) / 2 - empty[:, None]
    return np.asarray(heights @ np.diff(along) / (along[-1] - along[0]) / unit)


def _shares(shares: ArrayLike | Sequence[float]) -> NDArray[np.float64]:
    along = finite("shares", np.asarray(shares), "shares")
    if along.min() < 0 or along.max() > 1:
        raise InvalidInputError(f"shares must lie in [0, 1], not {along.tolist()}")
    return along
