"""Differences of predictions that should be equal: what may be rounding, and what may not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

TOLERANCES: Mapping[str, float] = {"full": 1e-4, "low": 3e-2}
"""Largest difference of two predictions of one row that may be rounding, relative to the output's scale, by precision.

Batches of other sizes are summed up in other orders. In deep networks single precision, of 2**-24, loses up to 1e-5 of
the scale so; half precisions and TF32, of 2**-8 to 2**-11, up to a hundredth. What mixes sequences or draws numbers
mostly changes outputs by a tenth; a second look, in double precision where there is one, tells it from rounding.
"""
SHARE_OF_SPREAD = 1e-2
"""Largest difference of two predictions of one row, relative to how the number varies between rows, that may pass.

An output with a large constant, or with numbers of several scales, hides a difference from the tolerances. A larger
share is looked at in double precision, where rounding is no matter; without a copy in that precision it is let pass.
"""
DOUBLE_ROUNDING = 1e-9
"""Difference in double precision, relative to the output's scale, that may be rounding."""

Outputs = Mapping[str, NDArray[Any]]
Kind = Literal["batch", "chance", "memory"]


@dataclass(frozen=True)
class Finding:
    """A difference of two predictions of one row that is no rounding."""

    kind: Kind
    output: str
    error: float
    """Relative to the output's scale."""
    row: int


@dataclass(frozen=True)
class Observed:
    """Predictions of the same rows in several calls."""

    pairs: Sequence[tuple[Kind, int, Outputs, Outputs]]
    """Two predictions that should be equal, with what it means if they are not, and the row."""
    rows: Mapping[str, NDArray[Any]]
    """Predictions of all rows, output -> (rows, ...), wide."""


Limit = Callable[[Kind, NDArray[Any]], NDArray[Any]]
"""Returns the absolute difference that may pass, for the numbers of an output, from its predictions of all rows."""


def tolerated(precision: Literal["full", "low"]) -> Limit:
    """Limit differences to what may be rounding in a precision."""
    allowed = TOLERANCES[precision]

    def limit(kind: Kind, rows: NDArray[Any]) -> NDArray[Any]:
        # The same call gives the same numbers but for randomness, whatever the precision.
        return np.asarray((allowed / 100 if kind == "chance" else allowed) * (scale(rows) or 1.0))

    return limit


def below_spread(rounding: float) -> Limit:
    """Limit differences to a share of how numbers vary from row to row; what is `rounding` of the scale passes."""

    def limit(kind: Kind, rows: NDArray[Any]) -> NDArray[Any]:
        finite = np.where(np.isfinite(rows), rows, 0)
        with np.errstate(over="ignore"):
            spread = np.abs(finite - finite[:1]).max(axis=0)
        axes = range(spread.ndim)
        # Of a task or a position as a whole: a single number may happen to be equal in all rows.
        along = [spread.max(axis=tuple(a for a in axes if a != axis), keepdims=True, initial=0) for axis in axes]
        spread = np.minimum.reduce(np.broadcast_arrays(*along)) if along else spread
        return np.asarray(np.maximum(SHARE_OF_SPREAD * spread, rounding * scale(rows)))

    return limit


def judged(observed: Observed, limit: Limit) -> Finding | None:
    """Return the largest difference beyond a limit, of the first kind that has one."""
    for kind in dict.fromkeys(kind for kind, *_ in observed.pairs):
        found = []
        for name, rows in observed.rows.items():
            allowed, size = limit(kind, rows), scale(rows) or 1.0
            for one, row, first, second in observed.pairs:
                if one == kind and _exceeds(first[name], second[name], allowed):
                    found.append(Finding(kind, name, difference(first[name], second[name]) / size, row))
        if found:
            return max(found, key=lambda finding: finding.error)
    return None


def _exceeds(first: NDArray[Any], second: NDArray[Any], allowed: NDArray[Any]) -> bool:
    """Whether two arrays differ by more than is allowed, at any number."""
    if first.shape != second.shape or not allowed.ndim:
        return not difference(first, second) <= float(allowed.min())
    distance = _distance(wide(first), wide(second))
    return bool((distance > allowed).any())


def difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the largest difference of two arrays of one size; infinite where only one of two values is finite."""
    if first.size != second.size:
        return float("inf")
    return float(_distance(wide(first).reshape(-1), wide(second).reshape(-1)).max(initial=0))


def _distance(one: NDArray[Any], two: NDArray[Any]) -> NDArray[Any]:
    """Return absolute differences; 0 where both are nan or the same infinity, infinite where one of two is finite."""
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.where(same, 0, np.abs(one - two))
    return np.where(np.isfinite(distance), distance, np.inf)


def scale(values: NDArray[Any]) -> float:
    """Return the largest finite absolute value."""
    sizes = np.abs(wide(values))
    return float(sizes[np.isfinite(sizes)].max(initial=0))


def wide(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in double precision."""
    return values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)
