"""Arrays that metrics take: of a shape, real and finite, or refused."""

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError


def finite(name: str, values: NDArray[np.generic], *shape: int | str) -> NDArray[np.float64]:
    """Return values in double precision if they are finite real numbers of a shape.

    Parameters
    ----------
    name
        What the caller calls them, for the message.
    values
        Any array.
    *shape
        Length of each axis; the name of an axis where any length of at least 1 will do.

    Raises
    ------
    InvalidInputError
        They are something else.
    """
    array = np.asarray(values)
    fits = array.ndim == len(shape) and all(
        length > 0 if isinstance(wanted, str) else length == wanted
        for length, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise InvalidInputError(f"{name} must have shape ({', '.join(map(str, shape))}), not {array.shape}")
    if array.dtype.kind not in "fiub":
        raise InvalidInputError(f"{name} must be real numbers, not {array.dtype}")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        first = tuple(int(index) for index in wrong[0])
        raise InvalidInputError(
            f"{name} must be finite, but {len(wrong)} of {array.size} are not, the first at index {first}"
        )
    return array.astype(np.float64)


def pair(a: NDArray[np.generic], b: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two sets of scores (N, P) in double precision, or raise InvalidInputError where they do not fit."""
    a = finite("scores", a, "sequences", "positions")
    return a, finite("scores to compare with", b, *a.shape)
