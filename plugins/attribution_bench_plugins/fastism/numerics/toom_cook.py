"""Toom-Cook convolution (Toom 1963, Cook 1966): short convolutions with fewer products than pairs of elements.

The convolution of a window x with a kernel t is the product of two polynomials, which is determined by its values at as
many points as it has coefficients. The value at a real point takes one product, the values at a pair of conjugate
points three. Real points amplify rounding errors the more the more of them there are, points on the unit circle hardly.
Here elements are vectors of channels and taps are matrices, so that the products dominate the cost. On images the same
matrices are called Winograd's transforms.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

REAL_POINTS = (
    (),
    (0.0,),
    (0.0, 1.0),
    (0.0, 1.0, -1.0),
    (0.0, -1.0, 2.0, 1 / 2),
    (0.0, 3 / 2, 3 / 4, -3 / 2, -3 / 4),
    (0.0, 1.0, 5 / 2, 3 / 8, -5 / 4, -7 / 8),
    (0.0, 1.0, -1.0, 2.0, 1 / 2, -2.0, -1 / 2),
)
"""The finite real points for each number of them, beside infinity: those that amplify rounding errors least, as a
search found, of so few binary digits that their powers are exact. More of them amplify the errors too much."""
MOST_AMPLIFICATION = 5.0
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

    @cached_property
    def amplification(self) -> float:
        """Root mean square rounding error over that of a plain convolution, for elements and taps of one magnitude."""
        each = np.square(self.evaluation).sum(1) * np.square(self.kernel_evaluation).sum(1)
        worst = float((np.square(self.interpolation) @ each).max())
        return math.sqrt(worst / min(self.evaluation.shape[1], self.kernel_evaluation.shape[1]))

    def swapped(self) -> "BilinearConvolution":
        """Return the algorithm with window and kernel exchanged, as convolution commutes."""
        return BilinearConvolution(self.kernel_evaluation, self.evaluation, self.interpolation)


@cache
def fewest_products(width: int, kernel: int) -> BilinearConvolution:
    """Return the algorithm with the fewest products whose amplification is at most MOST_AMPLIFICATION.

    The candidates are Toom-Cook, and the sum of algorithms for two parts of the window or of the kernel. The search
    suits widths and kernels up to some dozens.
    """
    options = [whole] if (whole := _toom_cook_within_rounding(width, kernel)) else []
    fewest = options[0].products if options else width * kernel
    # Each of two parts takes at least as many products as it has coefficients.
    if fewest >= width + 2 * (kernel - 1):
        splits = [(fewest_products(n, kernel), fewest_products(width - n, kernel)) for n in range(1, width // 2 + 1)]
        options += [_windows_side_by_side(*best) for best in sorted(splits, key=_both)[:1]]
    if fewest >= kernel + 2 * (width - 1):
        splits = [(fewest_products(width, n), fewest_products(width, kernel - n)) for n in range(1, kernel // 2 + 1)]
        options += [_kernels_side_by_side(*best) for best in sorted(splits, key=_both)[:1]]
    return min(options, key=lambda option: (option.products, option.amplification))


def _both(parts: tuple[BilinearConvolution, BilinearConvolution]) -> tuple[int, float]:
    """Return the products of two parts, and the larger amplification."""
    one, other = parts
    return one.products + other.products, max(one.amplification, other.amplification)


def _toom_cook_within_rounding(width: int, kernel: int) -> BilinearConvolution | None:
    """Return Toom-Cook with as many real points as rounding errors allow, as pairs take more products.

    None for a window or a kernel of one element, whose products are plain.
    """
    points = width + kernel - 1
    if points == max(width, kernel) > 1:
        return None
    most = min(points, len(REAL_POINTS))
    options = (toom_cook(width, kernel, real) for real in range(most - (points - most) % 2, 0, -2))
    return next((option for option in options if option.amplification <= MOST_AMPLIFICATION), None)


def toom_cook(width: int, kernel: int, real: int) -> BilinearConvolution:
    """Return the Toom-Cook algorithm with `real` real points, one of them infinity, and conjugate pairs.

    The pairs, evenly spaced on the unit circle, make up the ``width + kernel - 1`` points.
    """
    length = width + kernel - 1
    pairs = (length - real) // 2
    finite, upper = np.array(REAL_POINTS[real - 1]), np.exp(1j * np.pi * np.arange(1, pairs + 1) / (pairs + 1))
    of_real, of_pairs, vanishing = _lagrange(finite, upper)
    # A product at a pair, of a + ib and c + id, takes the products of a + b and c, a and d - c, and b and c + d: its
    # real part is the first less the last one, its imaginary part the sum of the first two. The conjugate point adds
    # the conjugate.
    re, im = 2 * of_pairs.real, 2 * of_pairs.imag
    x, t = (np.vander(upper, count, increasing=True) for count in (width, kernel))
    evaluation = np.concatenate([x.real + x.imag, x.real, x.imag, _powers(finite, width)])
    kernel_evaluation = np.concatenate([t.real, t.imag - t.real, t.real + t.imag, _powers(finite, kernel)])
    interpolation = np.zeros((length, len(evaluation)))
    interpolation[:-1, :-1] = np.concatenate([re - im, -im, -re, of_real]).T
    interpolation[:, -1] = vanishing
    # Scale the values at all points to about one magnitude, as large ones would dominate the rounding errors. Powers of
    # two scale exactly.
    one, other = (np.exp2(np.floor(np.log2(np.linalg.norm(each, axis=1)))) for each in (evaluation, kernel_evaluation))
    return BilinearConvolution(
        evaluation / one[:, None], kernel_evaluation / other[:, None], interpolation * (one * other)
    )


def _lagrange(
    real: NDArray[np.float64], upper: NDArray[np.complex128]
) -> tuple[NDArray[np.float64], NDArray[np.complex128], NDArray[np.float64]]:
    """Return the polynomials that are 1 at one finite point and 0 at all others, and the one that vanishes at all.

    Those of the real points, those of the points above the real axis, evenly spaced on the unit circle, and the last
    one; a row holds coefficients in ascending powers. The leading coefficient, the value at infinity, belongs to the
    last one.
    """
    degree = 2 * len(upper)
    # All pairs are the roots of unity of an even order, but for 1 and -1: those of 1 + x^2 + x^4 and so on.
    circle = np.resize([1.0, 0.0], degree + 1)
    line = np.polynomial.polynomial.polyfromroots(real)
    of_real = np.zeros((len(real), degree + len(real)))
    for number, point in enumerate(real):
        polynomial = np.convolve(circle, np.polynomial.polynomial.polyfromroots(np.delete(real, number)))
        of_real[number] = polynomial / np.polynomial.polynomial.polyval(point, polynomial)
    quotients, remainder = np.zeros((len(upper), degree), complex), np.zeros(len(upper), complex)
    for power in range(degree, 0, -1):
        remainder = circle[power] + upper * remainder
        quotients[:, power - 1] = remainder
    of_upper = np.zeros((len(upper), degree + len(real)), complex)
    for number, point in enumerate(upper):
        polynomial = np.convolve(quotients[number], line)
        of_upper[number] = polynomial / np.polynomial.polynomial.polyval(point, polynomial)
    return of_real, of_upper, np.convolve(circle, line)


def _powers(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the Vandermonde matrix (points and infinity, coefficients), which maps coefficients to values."""
    infinity = np.eye(1, count, count - 1)
    return np.concatenate([np.vander(points, count, increasing=True), infinity])


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
