"""DeepLIFT's rules, for both frameworks: what replaces the gradient of an operation.

A rule turns the multipliers m of an operation's output into those of its inputs, such that
``sum(inputs: m * (x - reference)) = sum(output: m * (x - reference))`` (it is complete). Where sequence and reference
agree it tends to the gradient. `docs/methods.md` compares the candidates from which these were chosen.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from attribution_bench_plugins.deepshap.graph import Kind, Node

Tensor = Any
Function = Callable[..., Any]

SEGMENTS = 8
"""Pieces of the straight line from reference to sequence on which softmaxes are taken."""
SERIES = 0.1
"""Relative difference of two divisors below which their logarithm's ratios are summed as a series."""


class Arrays(Protocol):
    """What the rules need of a framework beside the operators of its tensors."""

    def where(self, condition: Tensor, left: Any, right: Any) -> Tensor:
        """Choose between tensors; one of them may be a number."""
        ...

    def abs(self, x: Tensor) -> Tensor: ...
    def exp(self, x: Tensor) -> Tensor: ...
    def expm1(self, x: Tensor) -> Tensor: ...
    def log(self, x: Tensor) -> Tensor: ...
    def maximum(self, left: Tensor, right: Tensor) -> Tensor: ...
    def minimum(self, left: Tensor, right: Tensor) -> Tensor: ...
    def isfinite(self, x: Tensor) -> Tensor: ...
    def logsumexp(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Keep the axes, with length 1."""
        ...

    def sum(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Keep the axes, with length 1."""
        ...

    def expand(self, x: Tensor, axis: int) -> Tensor:
        """Insert an axis of length 1."""
        ...

    def squeeze(self, x: Tensor, axis: int) -> Tensor: ...
    def full_like(self, x: Tensor, value: Any) -> Tensor: ...
    def floating(self, x: Tensor, like: Tensor) -> Tensor:
        """Cast to the type of another tensor."""
        ...

    def reshape(self, x: Tensor, like: Tensor) -> Tensor: ...
    def broadcast(self, x: Tensor, like: Tensor) -> Tensor: ...
    def reduced(self, x: Tensor, like: Tensor) -> Tensor:
        """Sum over the axes along which another tensor was broadcast."""
        ...

    def epsilon(self, x: Tensor) -> float: ...
    def some(self, condition: Tensor) -> bool:
        """Return whether any element is true; true where that is not known yet."""
        ...

    def pullback(self, function: Function, inputs: Sequence[Tensor], upstream: Sequence[Tensor | None]) -> list[Tensor]:
        """Vector-Jacobian product of a function with one or several outputs; zeros where there is no gradient."""
        ...

    def path_mean(self, call: "Call", upstream: Sequence[Tensor | None]) -> list[Tensor]:
        """Mean vector-Jacobian product on the straight line from reference to x, with as many nodes as it takes."""
        ...


@dataclass(frozen=True)
class Call:
    """One operation on a batch of pairs of a sequence and a reference, which a rule is asked about."""

    arrays: Arrays
    function: Function
    """The operation as a function of its inputs; one tensor, or a tuple of its outputs."""
    x: tuple[Tensor, ...]
    """The inputs that depend on the sequence, of the sequences."""
    reference: tuple[Tensor, ...]
    """The same of the references."""
    output: tuple[Tensor, ...]
    reference_output: tuple[Tensor, ...]
    inner: Function | None = None
    """Of a norm: the sum of squares, and the divisor or its inverse, as a function of all inputs but the first."""


Rule = Callable[[Call, Sequence[Tensor | None]], Sequence[Tensor]]
"""(call, multipliers of each output or None) -> multipliers of each input, shaped as they are."""


def rescale(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Ratio of differences, for functions of single elements (Shrikumar et al. 2017, section 3.5.1).

    Where an element hardly differs the gradient half-way stands in for it, or 0 where that is infinite.
    """
    arrays, (x,), (reference,), (m,) = call.arrays, call.x, call.reference, upstream
    y, reference_y = (arrays.floating(value, m) for value in (call.output[0], call.reference_output[0]))
    wide, reference_wide = arrays.broadcast(x, y), arrays.broadcast(reference, y)
    change = wide - reference_wide
    # Below this the ratio is lost to rounding, and the gradient is nearer. True also of changes that are no number.
    same = ~(arrays.abs(change) > arrays.epsilon(x) ** 0.5 * arrays.abs(wide))
    ratio = (y - reference_y) / arrays.where(same, 1, change)
    if arrays.some(same):
        middle = arrays.where(same, reference_wide + change / 2, wide)
        (slope,) = arrays.pullback(call.function, [middle], [arrays.full_like(y, 1)])
        ratio = arrays.where(same, arrays.where(arrays.isfinite(slope), slope, 0), ratio)
    return (arrays.reduced(m * ratio, x),)


def rectify(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Rectifier: `rescale` in fewer steps, since rounding does not spoil the ratio of two straight pieces."""
    arrays, (x,), (reference,), (m,) = call.arrays, call.x, call.reference, upstream
    change = x - reference
    multiplier = m * ((call.output[0] - call.reference_output[0]) / change)
    same = change == 0
    if arrays.some(same):
        multiplier = arrays.where(same, arrays.where(x > 0, m, 0), multiplier)
    return (multiplier,)


def compare(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Comparison: the step that it takes, over the change of the difference of its two sides."""
    arrays, (m,) = call.arrays, upstream
    step = arrays.floating(call.output[0], m) - arrays.floating(call.reference_output[0], m)
    changes = [x - reference for x, reference in zip(call.x, call.reference, strict=True)]
    change = changes[0] if len(changes) == 1 else changes[0] - changes[1]
    same = ~(arrays.abs(change) > 0)
    ratio = m * arrays.where(same, 0, step / arrays.where(same, 1, change))
    return [arrays.reduced(sign * ratio, x) for sign, x in zip((1, -1), call.x, strict=False)]


def cast(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Truth values as numbers: what holds of the numbers."""
    return (upstream[0],)


def product(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Product of two tensors: each one's multiplier is the mean of the other, its Shapley value.

    ``ab - a'b' = (a - a')(b + b')/2 + (b - b')(a + a')/2``
    """
    arrays, (m,) = call.arrays, upstream
    left, right = _means(call, m)
    return arrays.reduced(m * right, call.x[0]), arrays.reduced(m * left, call.x[1])


def bilinear(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Operation that is linear in either of two tensors (matrix product, contraction): as `product`."""
    arrays = call.arrays
    left, right = _means(call, call.x[0])
    (to_left,) = arrays.pullback(lambda value: call.function(value, right), [call.x[0]], upstream)
    (to_right,) = arrays.pullback(lambda value: call.function(left, value), [call.x[1]], upstream)
    return to_left, to_right


def quotient(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Quotient a / b: the mean gradients on the straight line from (a', b') to (a, b), in closed form.

    That of a is ``(ln b - ln b') / (b - b')``, which grows with the logarithm of b / b' only. Where b changes its sign
    the line crosses a pole, and a and 1 / b share as the factors of a product do.
    """
    arrays, (a, b), (old_a, old_b), (m,) = call.arrays, call.x, call.reference, upstream
    difference = call.output[0] - call.reference_output[0]
    of_numerator, of_divisor = _quotient(arrays, a, old_a, b, old_b, difference)
    return arrays.reduced(m * of_numerator, a), arrays.reduced(m * of_divisor, b)


def times_inverse(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Product a g where g is the inverse of something: the rule of the quotient a / (1 / g)."""
    arrays, (a, g), (old_a, old_g), (m,) = call.arrays, call.x, call.reference, upstream
    proper = (arrays.abs(g) > 0) & (arrays.abs(old_g) > 0)
    one = arrays.full_like(g, 1)
    safe, old_safe = arrays.where(proper, g, one), arrays.where(proper, old_g, one)
    difference = a * safe - old_a * old_safe
    of_numerator, of_divisor = _quotient(arrays, a, old_a, 1 / safe, 1 / old_safe, difference)
    # A change of g changes 1 / g by -1 / (g g') times as much.
    of_inverse = -of_divisor / (safe * old_safe)
    to_a = arrays.where(proper, of_numerator, (g + old_g) / 2)
    to_g = arrays.where(proper, of_inverse, (a + old_a) / 2)
    return arrays.reduced(m * to_a, a), arrays.reduced(m * to_g, g)


def inverse_times(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Product g a where g is the inverse of something."""
    turned = Call(call.arrays, call.function, call.x[::-1], call.reference[::-1], call.output, call.reference_output)
    return tuple(times_inverse(turned, upstream))[::-1]


def select(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Choice between tensors by a condition c that depends on the sequence: ``c a + (1 - c) b`` as products."""
    arrays, (m,) = call.arrays, upstream
    condition, *others = call.x
    old_condition, *old_others = call.reference
    chosen, left_out = (arrays.full_like(condition, value) for value in (True, False))
    middle = [(other + old) / 2 for other, old in zip(others, old_others, strict=True)]
    contrast = call.function(chosen, *middle) - call.function(left_out, *middle)
    part = m * contrast
    # A choice of an infinite number, as behind a mask, meets no difference where it is the same one.
    unmet = (condition == old_condition) & ~arrays.isfinite(part)
    to_condition = arrays.reduced(arrays.where(unmet, 0, part), condition)
    now = arrays.pullback(lambda *values: call.function(condition, *values), others, upstream)
    before = arrays.pullback(lambda *values: call.function(old_condition, *values), others, upstream)
    return (to_condition, *[(one + other) / 2 for one, other in zip(now, before, strict=True)])


def maximum(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Larger of two tensors: b + relu(a - b), with the ratio of differences of the ReLU."""
    return _larger(call, upstream, 1)


def minimum(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Smaller of two tensors: b - relu(b - a)."""
    return _larger(call, upstream, -1)


def squared_difference(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Square of the difference of two tensors: the sum of both differences."""
    arrays, (a, b), (old_a, old_b), (m,) = call.arrays, call.x, call.reference, upstream
    both = m * (a - b + (old_a - old_b))
    return arrays.reduced(both, a), arrays.reduced(-both, b)


def largest(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Maximum over windows or axes: a rise or fall of the maximum goes to the elements that hold it.

    With o the maximum of x and r that of the reference, ``max(o, r) - r`` is due to the element that holds o, and
    ``o - max(o, r)`` to the one that holds r. Each is at most that element's own difference, so multipliers lie in
    [0, 1], or add up to that over overlapping windows.
    """
    return _extreme(call, upstream, call.arrays.maximum)


def smallest(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Minimum over windows or axes, as `largest`."""
    return _extreme(call, upstream, call.arrays.minimum)


def of_order(axis: int) -> Rule:
    """Rule of elements in the order of their size along an axis < 0: a rise goes to the elements that rose past it.

    The element at place k rose from r to o. Of those that are at least o now, some were at most r before, since
    otherwise as many would have been larger than r; they share the rise. A fall is the same downwards.
    For the first place this is `largest`.
    """

    def ordered(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
        arrays, (x,), (reference,) = call.arrays, call.x, call.reference
        m = _of_values(call, upstream)
        change = x - reference
        now, before = arrays.expand(x, axis), arrays.expand(reference, axis)
        beside = axis - 1
        top, old_top = arrays.expand(call.output[0], beside), arrays.expand(call.reference_output[0], beside)
        rose = (now >= top) & (before <= old_top) & (top > old_top)
        fell = (now <= top) & (before >= old_top) & (top < old_top)
        passed = arrays.floating(rose | fell, m)
        count = arrays.sum(passed, (beside,))
        share = passed / arrays.maximum(count, arrays.full_like(count, 1)) * (top - old_top)
        contribution = arrays.squeeze(arrays.sum(arrays.expand(m, beside) * share, (axis,)), axis)
        same = change == 0
        multiplier = contribution / arrays.where(same, 1, change)
        (slope,) = arrays.pullback(call.function, [x], upstream)
        return (arrays.where(same, slope, multiplier),)

    return ordered


def integrate(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Any differentiable operation: the mean gradient on the straight line from its reference inputs to its inputs.

    Local Integrated Gradients by Gauss-Legendre quadrature; complete as far as the quadrature converges.
    """
    return call.arrays.path_mean(call, upstream)


def gradient(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
    """Gradient at the sequence: exact where the operation is linear."""
    return call.arrays.pullback(call.function, list(call.x), upstream)


def of_softmax(kind: Kind, axes: tuple[int, ...], offset: float) -> Rule:
    """Rule of a softmax, log-softmax or logsumexp p over axes, by logarithmic means.

    The logarithmic mean L of p and p' is their difference over that of their logarithms. From
    ``p_i - p'_i = L_i (ln p_i - ln p'_i)`` and ``sum(p) = sum(p') = 1`` follows that ``logsumexp(z) - logsumexp(z') =
    sum_i w_i (z_i - z'_i)`` with ``w = L / sum(L)``, the weights of the index of Sato and Vartia. They are positive,
    add up to 1, and do not change when a number is added to all of z or z'. The softmax's multipliers are those of its
    gradient with L for p. All this is done on SEGMENTS pieces of the straight line from z' to z and averaged, which
    tends to the mean gradient on it, and adds up exactly whatever their number.

    `offset` is added to the sum of the exponentials, as if there were one more logit that never changes.
    """

    def rule(call: Call, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
        arrays, (z,), (old_z,) = call.arrays, call.x, call.reference
        m = arrays.floating(upstream[0], z)
        if kind is Kind.LOGSUMEXP:
            m = arrays.reshape(m, arrays.sum(z, axes))
        total: Tensor = 0
        change = z - old_z
        change = arrays.where(arrays.isfinite(change), change, 0)
        points = (old_z + change * (index / SEGMENTS) for index in range(SEGMENTS))
        normalised = (_log_softmax(arrays, point, axes, offset) for point in itertools.chain(points, [z]))
        for (before, old_rest), (after, rest) in itertools.pairwise(normalised):
            means = _logarithmic_mean(arrays, before, after)
            all_means = arrays.sum(means, axes)
            if offset:
                all_means = all_means + _logarithmic_mean(arrays, old_rest, rest)
            weights = means / all_means
            if kind is Kind.SOFTMAX:
                part = means * m - weights * arrays.sum(means * m, axes)
            elif kind is Kind.LOG_SOFTMAX:
                part = m - weights * arrays.sum(m, axes)
            else:
                part = weights * m
            total = total + part
        return (total / SEGMENTS,)

    return rule


OF_ONE_TENSOR = frozenset({Kind.RECIPROCAL, Kind.INVERSE_POWER, Kind.EXP, Kind.LOG, Kind.ELEMENTWISE})
"""Kinds that have a rule where one tensor depends on the sequence, and none where several do."""


def _always(rule: Rule) -> Callable[[Node], Rule]:
    return lambda node: rule


RULES: dict[Kind, Callable[[Node], Rule]] = {
    **{kind: _always(rescale) for kind in OF_ONE_TENSOR},
    Kind.RECTIFIER: _always(rectify),
    Kind.COMPARE: _always(compare),
    Kind.CAST: _always(cast),
    Kind.MULTIPLY: _always(product),
    Kind.BILINEAR: _always(bilinear),
    Kind.DIVIDE: _always(quotient),
    Kind.SELECT: _always(select),
    Kind.MAXIMUM: lambda node: maximum if len(node.inputs) == 2 else rescale,
    Kind.MINIMUM: lambda node: minimum if len(node.inputs) == 2 else rescale,
    Kind.SQUARED_DIFFERENCE: lambda node: squared_difference if len(node.inputs) == 2 else rescale,
    Kind.LARGEST: _always(largest),
    Kind.SMALLEST: _always(smallest),
    Kind.ORDERED: lambda node: of_order(*node.known.axes),
}
"""The rule of each kind of operation in either framework; what is missing is linear, a softmax or integrated."""


def _means(call: Call, like: Tensor) -> list[Tensor]:
    """Mean of each input over x and reference, as numbers."""
    cast_to = call.arrays.floating
    return [
        (cast_to(x, like) + cast_to(reference, like)) / 2 for x, reference in zip(call.x, call.reference, strict=True)
    ]


def _quotient(
    arrays: Arrays, a: Tensor, old_a: Tensor, b: Tensor, old_b: Tensor, difference: Tensor
) -> tuple[Tensor, Tensor]:
    """Multipliers of the numerator a and the divisor b of a quotient, of which the difference is given."""
    change, middle = b - old_b, (b + old_b) / 2
    one, zero = arrays.full_like(b, 1), arrays.full_like(b, 0)
    crosses = ~(b * old_b > 0)
    safe = arrays.where(crosses, one, middle)
    half = arrays.where(crosses, zero, change / (2 * safe))
    near = arrays.abs(half) < SERIES / 2
    # With t = (b - b') / (b + b') the mean of 1 / b is atanh(t) / t / middle. Near t = 0 that is a series, and so is
    # what the numerator's change adds to the divisor's multiplier; elsewhere that is what is left of the difference.
    near_half = arrays.where(near, half, zero)
    mean, rest, power = one, zero, one
    for order in range(1, 8):
        rest = rest + order / (2 * order + 1) * power * near_half
        power = power * near_half * near_half
        mean = mean + power / (2 * order + 1)
    far = ~near & ~crosses
    ratio = arrays.where(far, b / arrays.where(far, old_b, one), one + one)
    logarithm = arrays.log(ratio) / arrays.where(far, change, one)
    straight = arrays.where(far, logarithm, mean / safe)
    of_numerator = arrays.where(crosses, (1 / b + 1 / old_b) / 2, straight)
    left = (difference - of_numerator * (a - old_a)) / arrays.where(far, change, one)
    inverse = 1 / (arrays.where(far, one, b) * arrays.where(far, one, old_b))
    of_divisor = -(a + old_a) / 2 * inverse + (a - old_a) * arrays.where(near, rest / (safe * safe), zero)
    return of_numerator, arrays.where(far & (left == left), left, of_divisor)


def _larger(call: Call, upstream: Sequence[Tensor | None], sign: int) -> Sequence[Tensor]:
    arrays, (a, b), (old_a, old_b), (m,) = call.arrays, call.x, call.reference, upstream
    difference, old = sign * (a - b), sign * (old_a - old_b)
    change = difference - old
    zero = 0 * change
    same = ~(arrays.abs(change) > 0)
    step = arrays.maximum(difference, zero) - arrays.maximum(old, zero)
    slope = arrays.where(difference > 0, 1 + zero, 0)
    share = arrays.where(same, slope, step / arrays.where(same, 1, change))
    return arrays.reduced(m * share, a), arrays.reduced(m * (1 - share), b)


def _of_values(call: Call, upstream: Sequence[Tensor | None]) -> Tensor:
    """Multipliers of the values; zeros where only their places, which are whole numbers and have none, are read."""
    return call.arrays.full_like(call.output[0], 0) if upstream[0] is None else upstream[0]


def _extreme(call: Call, upstream: Sequence[Tensor | None], outer: Function) -> Sequence[Tensor]:
    """Largest or smallest element; outer says which of two that is."""
    arrays, (x,), (reference,) = call.arrays, call.x, call.reference
    m, now, before = _of_values(call, upstream), call.output[0], call.reference_output[0]
    rest = [None] * (len(upstream) - 1)
    top = outer(now, before)
    (risen,) = arrays.pullback(call.function, [x], [m * (top - before), *rest])
    (fallen,) = arrays.pullback(call.function, [reference], [m * (now - top), *rest])
    change = x - reference
    same = ~(arrays.abs(change) > 0)  # also where both are infinite
    multiplier = (risen + fallen) / arrays.where(same, 1, change)
    if arrays.some(same):
        (slope,) = arrays.pullback(call.function, [x], [m, *rest])
        multiplier = arrays.where(same, slope, multiplier)
    return (multiplier,)


def _log_softmax(arrays: Arrays, z: Tensor, axes: tuple[int, ...], offset: float) -> tuple[Tensor, Tensor]:
    """Logarithms of the shares of exponentials in their sum, and of the share of the offset."""
    total = arrays.logsumexp(z, axes)
    if not offset:
        return z - total, total
    fixed = arrays.log(arrays.full_like(total, offset))
    top = arrays.maximum(total, fixed)
    total = top + arrays.log(arrays.exp(total - top) + arrays.exp(fixed - top))
    return z - total, fixed - total


def _logarithmic_mean(arrays: Arrays, left: Tensor, right: Tensor) -> Tensor:
    """Logarithmic mean of two positive tensors of which the logarithms are given."""
    distance = arrays.abs(left - right)
    # Not a number where both logarithms are -inf, as behind a mask; such an element weighs nothing.
    near = ~(distance > arrays.epsilon(distance))
    ratio = -arrays.expm1(-distance) / arrays.where(near, 1, distance)
    mean = arrays.exp(arrays.maximum(left, right)) * arrays.where(near, 1, ratio)
    return arrays.where(arrays.isfinite(mean), mean, 0)
