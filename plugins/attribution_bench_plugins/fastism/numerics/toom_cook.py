"""Toom-Cook convolution (Toom 1963, Cook 1966): short convolutions with fewer products than pairs of elements.

The convolution of a window x with a kernel t is the product of two polynomials, which is determined by its values at as
many points as it has coefficients; each value takes one product. Here elements are vectors of channels and taps are
matrices, so that the products dominate the cost. On images the same matrices are called Winograd's transforms.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)
"""The finite points in order of preference, beside infinity: others amplify rounding errors too much."""
MOST_AMPLIFICATION = 8.0
"""Largest factor by which rounding errors may exceed those of a plain convolution."""


@dataclass(frozen=True, eq=False)
class BilinearConvolution:
    """A bilinear algorithm of a convolution: ``x * t = interpolation @ ((evaluation @ x) . (kernel_evaluation @ t))``.

    ``.`` multiplies value by value.
    """

    evaluation: NDArray[np.floating]
    """(products, width)."""
    kernel_evaluation: NDArray[np.floating]
    """(products, kernel)."""
    interpolation: NDArray[np.floating]
    """(width + kernel - 1, products)."""

    @property
    def products(self) -> int:
        """Number of products, each of a sum of elements with a sum of taps."""
        return len(self.evaluation)

    @property
    def amplification(self) -> float:
        """Root mean square rounding error over that of a plain convolution, for elements and taps of one magnitude."""
        each = np.square(self.evaluation).sum(1) * np.square(self.kernel_evaluation).sum(1)
        worst = float((np.square(self.interpolation) @ each).max())
        return math.sqrt(worst / min(self.evaluation.shape[1], self.kernel_evaluation.shape[1]))

    def swapped(self) -> "BilinearConvolution":
        """Return the algorithm with window and kernel exchanged, as convolution commutes."""
        return BilinearConvolution(self.kernel_evaluation, self.evaluation, self.interpolation)


@dataclass(frozen=True)
class _Candidate:
    """A candidate algorithm, whose products and amplification are known before its matrices are computed."""

    products: int
    amplification: float
    make: Callable[[], BilinearConvolution]


@cache
def fewest_products(width: int, kernel: int) -> BilinearConvolution:
    """Return the algorithm with the fewest products whose amplification is at most MOST_AMPLIFICATION.

    The candidates are Toom-Cook, nested algorithms (a convolution of blocks whose products are convolutions), and sums
    of algorithms for two parts of the window or of the kernel. The search suits widths and kernels up to some dozens.
    """
    return _candidate(width, kernel).make()


@cache
def _candidate(width: int, kernel: int) -> _Candidate:
    options = []
    if width + kernel - 2 <= len(POINTS):
        made = toom_cook(width, kernel)
        options.append(_Candidate(made.products, made.amplification, lambda: made))
    for size in range(2, min(width, kernel)):
        outer, inner = _candidate(-(-width // size), -(-kernel // size)), _candidate(size, size)
        amplification = outer.amplification * inner.amplification
        if amplification <= MOST_AMPLIFICATION:
            make = partial(_nested, outer, inner, size, width, kernel)
            options.append(_Candidate(outer.products * inner.products, amplification, make))
    options += [
        _halves(_candidate(first, kernel), _candidate(width - first, kernel), _windows_side_by_side)
        for first in range(1, width // 2 + 1)
    ]
    options += [
        _halves(_candidate(width, first), _candidate(width, kernel - first), _kernels_side_by_side)
        for first in range(1, kernel // 2 + 1)
    ]
    return min(options, key=lambda option: (option.products, option.amplification))


def _halves(
    one: _Candidate, other: _Candidate, join: Callable[[BilinearConvolution, BilinearConvolution], BilinearConvolution]
) -> _Candidate:
    worse = max(one.amplification, other.amplification)
    return _Candidate(one.products + other.products, worse, lambda: join(one.make(), other.make()))


def toom_cook(width: int, kernel: int) -> BilinearConvolution:
    """Return the Toom-Cook algorithm with ``width + kernel - 1`` points, the last of which is infinity."""
    points = POINTS[: width + kernel - 2]
    evaluation, kernel_evaluation = _powers(points, width), _powers(points, kernel)
    # Lagrange interpolation: the value at infinity, the leading coefficient, belongs to the polynomial that vanishes at
    # all finite points.
    interpolation = np.zeros((width + kernel - 1, len(evaluation)))
    interpolation[:, -1] = _vanishing_at(points)
    for i, point in enumerate(points):
        others = points[:i] + points[i + 1 :]
        interpolation[:-1, i] = _vanishing_at(others) / np.prod([point - other for other in others])
    # Scale the values at all points to about one magnitude, as large ones would dominate the rounding errors. Powers of
    # two scale exactly.
    one, other = (np.exp2(np.floor(np.log2(np.linalg.norm(each, axis=1)))) for each in (evaluation, kernel_evaluation))
    return BilinearConvolution(
        evaluation / one[:, None], kernel_evaluation / other[:, None], interpolation * (one * other)
    )


def _vanishing_at(points: Sequence[float]) -> NDArray[np.float64]:
    """Return the coefficients of the product of all (x - point), in ascending powers."""
    coefficients: NDArray[np.float64] = np.atleast_1d(np.poly(points))[::-1]
    return coefficients


def _powers(points: Sequence[float], count: int) -> NDArray[np.float64]:
    """Return the Vandermonde matrix (points and infinity, coefficients), which maps coefficients to values."""
    infinity = np.eye(1, count, count - 1)
    return np.concatenate([np.vander(np.array(points), count, increasing=True), infinity])


def _nested(outer: _Candidate, inner: _Candidate, size: int, width: int, kernel: int) -> BilinearConvolution:
    """Return the outer algorithm on blocks of `size` elements, each product of which is an inner convolution."""
    blocks, block = outer.make(), inner.make()
    length = width + kernel - 1
    overlapping = np.kron(blocks.interpolation, block.interpolation)
    overlapping = overlapping.reshape(len(blocks.interpolation), 2 * size - 1, -1)
    interpolation = np.zeros((size * (len(overlapping) + 1), overlapping.shape[2]))
    for number, part in enumerate(overlapping):
        interpolation[number * size : number * size + len(part)] += part
    evaluation = np.kron(blocks.evaluation, block.evaluation)[:, :width]
    kernel_evaluation = np.kron(blocks.kernel_evaluation, block.kernel_evaluation)[:, :kernel]
    needed = evaluation.any(1) & kernel_evaluation.any(1)
    return BilinearConvolution(evaluation[needed], kernel_evaluation[needed], interpolation[:length, needed])


def _windows_side_by_side(one: BilinearConvolution, other: BilinearConvolution) -> BilinearConvolution:
    """Return the algorithm for two windows, one after the other, with one kernel."""
    products, first = one.products, one.evaluation.shape[1]
    evaluation = np.zeros((products + other.products, first + other.evaluation.shape[1]))
    evaluation[:products, :first], evaluation[products:, first:] = one.evaluation, other.evaluation
    interpolation = np.zeros((first + len(other.interpolation), len(evaluation)))
    interpolation[: len(one.interpolation), :products] = one.interpolation
    interpolation[first:, products:] = other.interpolation
    return BilinearConvolution(
        evaluation, np.concatenate([one.kernel_evaluation, other.kernel_evaluation]), interpolation
    )


def _kernels_side_by_side(one: BilinearConvolution, other: BilinearConvolution) -> BilinearConvolution:
    """Return the algorithm for one window with two kernels, one after the other."""
    return _windows_side_by_side(one.swapped(), other.swapped()).swapped()
