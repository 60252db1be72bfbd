"""The rule of norms: mean gradients on the straight line of the values of which the norm is taken, in closed form."""

from collections.abc import Sequence

from attribution_bench_plugins.deepshap.rules import Arrays, Call, Function, Tensor

SERIES = 0.1
"""Change over the sum of both roots below which means over the line are summed as a series."""


def over_norm(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Quotient a / r of which the divisor is the root of a sum q of squares of c; inputs are a and what q is made of.

    On the straight line from (a', c') to (a, c) the sum is quadratic and has its root in closed form: with
    ``q(t) = |(1 - t) c' + t c|^2``, R = |c|, R' = |c'| and L = |c - c'| the mean of 1 / r is that of the potential of
    a rod, ``ln((R + R' + L) / (R + R' - L)) / L``. What follows is complete and exact also where c passes near 0, as
    it does where a norm of few channels changes its sign.
    """
    return _norm(call, upstream, lambda divisor: 1 / divisor)


def times_inverse_norm(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Product a g where g is the inverse of the root of a sum of squares, as `over_norm`."""
    return _norm(call, upstream, lambda inverse: inverse)


def _norm(call: Call, upstream: Sequence[Tensor | None], factor_of: Function) -> Sequence[Tensor]:
    arrays, inner, (m,) = call.arrays, call.inner, upstream
    assert inner is not None
    (a, *now), (old_a, *before) = call.x, call.reference
    (q, divisor), (old_q, old_divisor) = inner(*now), inner(*before)
    change, offset = [x - old for x, old in zip(now, before, strict=True)], [0 * x for x in now]
    square = inner(*change)[0] - inner(*offset)[0]
    factor, old_factor = factor_of(divisor), factor_of(old_divisor)
    difference = a - old_a

    of_a, at_reference, at_x = _means(arrays, a, old_a, q, old_q, square)
    nothing = ~(arrays.maximum(q, old_q) > 0)
    root, old_root = (arrays.where(nothing, 0, part) ** 0.5 for part in (q, old_q))
    # One over the root is the factor, up to constants, limits and small numbers, which the larger of both shows best.
    unit = arrays.where(q >= old_q, factor * root, old_factor * old_root)
    to_a = m * arrays.where(nothing, factor, unit * of_a)
    to_a = arrays.where(arrays.isfinite(to_a), to_a, 0)
    weights = [m * unit * part / -2 for part in (at_reference, at_x)]
    # What these do not hold, beside rounding only where the factor is not exactly one over the root, is added to the
    # weights in proportion to what they count: the slopes of q along the line at its two ends. Slopes that are only
    # rounding count nothing.
    slopes = [q - old_q - square, q - old_q + square]
    left = m * (call.output[0] - call.reference_output[0]) - to_a * difference
    left = left - weights[0] * slopes[0] - weights[1] * slopes[1]
    length = slopes[0] * slopes[0] + slopes[1] * slopes[1] + arrays.epsilon(q) * (q + old_q) * (q + old_q)
    share = left / arrays.where(length > 0, length, 1)
    weights = [weight + share * slope for weight, slope in zip(weights, slopes, strict=True)]
    ends = [
        arrays.pullback(lambda *values: inner(*values)[0], point, [arrays.reduced(weight, q)])
        for point, weight in zip((before, now), weights, strict=True)
    ]
    return arrays.reduced(to_a, a), *[one + other for one, other in zip(*ends, strict=True)]


def _means(
    arrays: Arrays, a: Tensor, old_a: Tensor, q: Tensor, old_q: Tensor, square: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the means of ``1 / r``, ``(1 - t) a / r^3`` and ``t a / r^3`` on the line, of which r is the root of q."""
    epsilon = arrays.epsilon(q)
    larger = arrays.maximum(q, old_q)
    larger = arrays.where(larger > 0, larger, 1)
    # A vector that vanishes at one end has no direction there; it is taken for one that is just visible.
    root, old_root = (arrays.maximum(part, epsilon * larger) ** 0.5 for part in (q, old_q))
    total = root + old_root
    ratio = square / (total * total)
    near = ~(ratio > SERIES**2)
    small = arrays.where(near, arrays.maximum(ratio, 0 * ratio), 0)
    of_logarithm, of_product, power = 1 + 0 * ratio, 2 / 3 + 0 * ratio, 1 + 0 * ratio
    for order in range(1, 9):
        power = power * small
        of_logarithm = of_logarithm + power / (2 * order + 1)
        of_product = of_product + power * (2 * order + 2) / (2 * order + 3)
    far_square = arrays.where(near, total * total / 4, square)
    gap = total * total - arrays.where(near, arrays.maximum(square, 0 * square), square)
    gap = arrays.maximum(gap, 4 * epsilon * total * total)
    length = far_square**0.5
    logarithm = arrays.log((total + length) * (total + length) / gap) / length
    of_inverse = arrays.where(near, 2 * of_logarithm / total, logarithm)

    difference = a - old_a
    mixed = difference * (2 * of_product / (total * total * total))
    # The line comes nearest to 0 at this place, and a is there:
    place = (old_root * old_root - root * root + far_square) / (2 * far_square)
    nearest = old_a + place * difference
    far = difference / far_square
    at_reference = arrays.where(
        near,
        2 * old_a / (old_root * gap) + mixed,
        2 * nearest / (old_root * gap) + far * (1 / old_root - of_inverse),
    )
    at_x = arrays.where(near, 2 * a / (root * gap) - mixed, 2 * nearest / (root * gap) - far * (1 / root - of_inverse))
    return of_inverse, at_reference, at_x
