"""Short convolutions with fewer products than pairs of elements, by values at points (Toom 1963, Cook 1966).

The convolution of a window x with a kernel t is the product of two polynomials. It is known from their values at as
many points as it has coefficients, and each value takes one product instead of one for each pair. Here elements are
vectors of channels and taps are matrices, so that products are what costs; sums before and after them are cheap.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)
"""Finite points in the order in which they are taken, beside infinity: further ones cost too many digits."""
MOST_AMPLIFICATION = 8.0
"""Rounding may grow by this factor over that of a plain convolution."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """``x * t = interpolate @ ((evaluate @ x) . (weigh @ t))``, where ``.`` multiplies value by value."""

    evaluate: NDArray[np.floating]
    """(products, width)."""
    weigh: NDArray[np.floating]
    """(products, kernel)."""
    interpolate: NDArray[np.floating]
    """(width + kernel - 1, products)."""

    @property
    def products(self) -> int:
        """Products of an element with a tap, or of sums of them."""
        return len(self.evaluate)

    @property
    def amplification(self) -> float:
        """Root mean square rounding over that of the plain convolution, for elements and taps of one size."""
        each = np.square(self.evaluate).sum(1) * np.square(self.weigh).sum(1)
        worst = float((np.square(self.interpolate) @ each).max())
        return math.sqrt(worst / min(self.evaluate.shape[1], self.weigh.shape[1]))

    def swapped(self) -> "Convolution":
        """Return the convolution of the kernel with the window, which is the same."""
        return Convolution(self.weigh, self.evaluate, self.interpolate)


@dataclass(frozen=True)
class _Recipe:
    """What a convolution will be like, known before it is put together."""

    products: int
    amplification: float
    make: Callable[[], Convolution]


@cache
def fewest_products(width: int, kernel: int) -> Convolution:
    """Return the convolution with the fewest products of those that lose few digits, for up to some dozens of either.

    Tried are values at points, convolutions of blocks made of convolutions of blocks (nested), and halves side by side.
    """
    return _recipe(width, kernel).make()


@cache
def _recipe(width: int, kernel: int) -> _Recipe:
    options = []
    if width + kernel - 2 <= len(POINTS):
        made = toom_cook(width, kernel)
        options.append(_Recipe(made.products, made.amplification, lambda: made))
    for size in range(2, min(width, kernel)):
        outer, inner = _recipe(-(-width // size), -(-kernel // size)), _recipe(size, size)
        amplification = outer.amplification * inner.amplification
        if amplification <= MOST_AMPLIFICATION:
            make = partial(_nested, outer, inner, size, width, kernel)
            options.append(_Recipe(outer.products * inner.products, amplification, make))
    options += [
        _halves(_recipe(first, kernel), _recipe(width - first, kernel), _windows_side_by_side)
        for first in range(1, width // 2 + 1)
    ]
    options += [
        _halves(_recipe(width, first), _recipe(width, kernel - first), _kernels_side_by_side)
        for first in range(1, kernel // 2 + 1)
    ]
    return min(options, key=lambda option: (option.products, option.amplification))


def _halves(one: _Recipe, other: _Recipe, join: Callable[[Convolution, Convolution], Convolution]) -> _Recipe:
    worse = max(one.amplification, other.amplification)
    return _Recipe(one.products + other.products, worse, lambda: join(one.make(), other.make()))


def toom_cook(width: int, kernel: int) -> Convolution:
    """Return the convolution by values at ``width + kernel - 1`` points, the last of them infinity."""
    points = POINTS[: width + kernel - 2]
    evaluate, weigh = _powers(points, width), _powers(points, kernel)
    # Lagrange: the value at infinity, which is the leading coefficient, takes what vanishes at every other point.
    interpolate = np.zeros((width + kernel - 1, len(evaluate)))
    interpolate[:, -1] = _vanishing_at(points)
    for i, point in enumerate(points):
        others = points[:i] + points[i + 1 :]
        interpolate[:-1, i] = _vanishing_at(others) / np.prod([point - other for other in others])
    # Values of about one size at every point, or the large ones would drown the others; powers of two are exact.
    sizes: list[NDArray[np.float64]] = [
        np.exp2(np.floor(np.log2(np.linalg.norm(powers, axis=1)))) for powers in (evaluate, weigh)
    ]
    one, other = sizes
    return Convolution(evaluate / one[:, None], weigh / other[:, None], interpolate * (one * other))


def _vanishing_at(points: Sequence[float]) -> NDArray[np.float64]:
    """Return the coefficients of the product of all (x - point), that of the highest power last."""
    coefficients: NDArray[np.float64] = np.atleast_1d(np.poly(points))[::-1]
    return coefficients


def _powers(points: Sequence[float], count: int) -> NDArray[np.float64]:
    """Return (points and infinity, coefficients): what takes coefficients to values."""
    infinity = np.eye(1, count, count - 1)
    return np.concatenate([np.vander(np.array(points), count, increasing=True), infinity])


def _nested(outer: _Recipe, inner: _Recipe, size: int, width: int, kernel: int) -> Convolution:
    """Return the convolution of blocks of a size, each pair of which is convolved by the inner one."""
    blocks, block = outer.make(), inner.make()
    length = width + kernel - 1
    overlapping = np.kron(blocks.interpolate, block.interpolate).reshape(len(blocks.interpolate), 2 * size - 1, -1)
    interpolate = np.zeros((size * (len(overlapping) + 1), overlapping.shape[2]))
    for number, part in enumerate(overlapping):
        interpolate[number * size : number * size + len(part)] += part
    evaluate = np.kron(blocks.evaluate, block.evaluate)[:, :width]
    weigh = np.kron(blocks.weigh, block.weigh)[:, :kernel]
    needed = evaluate.any(1) & weigh.any(1)
    return Convolution(evaluate[needed], weigh[needed], interpolate[:length, needed])


def _windows_side_by_side(one: Convolution, other: Convolution) -> Convolution:
    """Return the convolution of two windows, one after the other, with one kernel."""
    products, first = one.products, one.evaluate.shape[1]
    evaluate = np.zeros((products + other.products, first + other.evaluate.shape[1]))
    evaluate[:products, :first], evaluate[products:, first:] = one.evaluate, other.evaluate
    interpolate = np.zeros((first + len(other.interpolate), len(evaluate)))
    interpolate[: len(one.interpolate), :products] = one.interpolate
    interpolate[first:, products:] = other.interpolate
    return Convolution(evaluate, np.concatenate([one.weigh, other.weigh]), interpolate)


def _kernels_side_by_side(one: Convolution, other: Convolution) -> Convolution:
    return _windows_side_by_side(one.swapped(), other.swapped()).swapped()
