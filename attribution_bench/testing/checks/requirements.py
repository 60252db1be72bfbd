"""How the checks state a requirement, and compare arrays within float error."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from attribution_bench.testing.subject import TOLERANCE


def require(condition: Any, what: str, remedy: str) -> None:
    """Raise AssertionError that says what is wrong and how to mend it, unless the condition holds."""
    if not condition:
        raise AssertionError(f"{what}. To mend: {remedy}")


def require_equal(found: ArrayLike, expected: ArrayLike, what: str, remedy: str) -> None:
    """Require two arrays of one shape that agree within TOLERANCE of the largest absolute value, NaN never."""
    found, expected = np.asarray(found), np.asarray(expected)
    require(found.shape == expected.shape, f"{what}: shape {found.shape} instead of {expected.shape}", remedy)
    scale = float(np.abs(expected).max(initial=1e-12))
    difference = float(np.abs(found - expected).max(initial=0.0))
    require(
        difference <= TOLERANCE * scale,
        f"{what}: the largest difference is {difference:.3g}, with values up to {scale:.3g}",
        remedy,
    )
