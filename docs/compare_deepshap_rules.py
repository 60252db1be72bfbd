"""Compare candidate rules of DeepLIFT for softmax and norms, and print the tables of docs/methods.md.

``python docs/compare_deepshap_rules.py`` takes some seconds. Models are small enough for exact Shapley values: the
letters of 8 positions add up to 5 hidden values, and a softmax or a layer norm and random weights follow.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rule = Callable[[Array, Array, Array], Array]
"""(hidden values (B, C), those of the reference, weights of the outputs (B, C)) -> multipliers (B, C)."""
POSITIONS, HIDDEN, PAIRS = 8, 5, 400


def softmax(z: Array) -> Array:
    """Return the softmax over the last axis."""
    exponentials = np.exp(z - z.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


def softmax_gradient(z: Array, v: Array) -> Array:
    """Return the gradient of the softmax, weighted by v."""
    p = softmax(z)
    return np.asarray(p * v - p * (p * v).sum(-1, keepdims=True))


def norm(z: Array) -> Array:
    """Return the layer norm over the last axis."""
    centred = z - z.mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5))


def norm_gradient(z: Array, v: Array) -> Array:
    """Return the gradient of the layer norm, weighted by v."""
    centred = z - z.mean(-1, keepdims=True)
    size = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    part = v / size - centred * (v * centred).mean(-1, keepdims=True) / size**3
    return np.asarray(part - part.mean(-1, keepdims=True))


def mean_gradient(gradient: Callable[[Array, Array], Array], nodes: int) -> Rule:
    """Mean gradient on the straight line, by Gauss-Legendre quadrature."""
    places, weights = np.polynomial.legendre.leggauss(nodes)

    def rule(z: Array, r: Array, v: Array) -> Array:
        steps = zip((places + 1) / 2, weights / 2, strict=True)
        return np.asarray(sum(weight * gradient(r + place * (z - r), v) for place, weight in steps))

    return rule


def midpoint(function: Callable[[Array], Array], gradient: Callable[[Array, Array], Array]) -> Rule:
    """Gradient half-way, scaled so that it adds up."""

    def rule(z: Array, r: Array, v: Array) -> Array:
        found = gradient((z + r) / 2, v)
        wanted = (v * (function(z) - function(r))).sum(-1, keepdims=True)
        return np.asarray(found * wanted / (found * (z - r)).sum(-1, keepdims=True))

    return rule


def exponentials(z: Array, r: Array, v: Array) -> Array:
    """Exponential, sum, reciprocal and product one after another, with one shift for both."""
    shift = np.maximum(z.max(-1, keepdims=True), r.max(-1, keepdims=True))
    e, f = np.exp(z - shift), np.exp(r - shift)
    total, old = e.sum(-1, keepdims=True), f.sum(-1, keepdims=True)
    through_sum = -((e + f) / 2 * v).sum(-1, keepdims=True) / (total * old)
    return np.asarray(((1 / total + 1 / old) / 2 * v + through_sum) * (e - f) / (z - r))


def logarithmic_means(z: Array, r: Array, v: Array) -> Array:
    """Gradient of the softmax, with the logarithmic mean of two probabilities for the probability."""
    logs = [np.log(softmax(part)) for part in (z, r)]
    distance = np.abs(logs[0] - logs[1])
    means = np.exp(np.maximum(*logs)) * -np.expm1(-distance) / distance
    return np.asarray(means * v - means * (means * v).sum(-1, keepdims=True) / means.sum(-1, keepdims=True))


def in_pieces(rule: Rule, count: int) -> Rule:
    """Mean of a rule over equal pieces of the straight line."""

    def pieces(z: Array, r: Array, v: Array) -> Array:
        ends = [r + (z - r) * (index / count) for index in range(count + 1)]
        return np.asarray(sum(rule(after, before, v) for before, after in itertools.pairwise(ends)) / count)

    return pieces


def divided(z: Array, r: Array, v: Array, of_reciprocal: Callable[[Array, Array], Array]) -> Array:
    """Quotient of the centred values and their size, of which the numerator's multiplier is given."""
    now, before = (part - part.mean(-1, keepdims=True) for part in (z, r))
    size, old = (np.sqrt((part**2).mean(-1, keepdims=True) + 1e-5) for part in (now, before))
    direct = of_reciprocal(size, old)
    rest = (v * (now / size - before / old - direct * (now - before))).sum(-1, keepdims=True) / (size - old)
    part = v * direct + rest * (now + before) / (size + old) / z.shape[-1]
    return np.asarray(part - part.mean(-1, keepdims=True))


def closed(z: Array, r: Array, v: Array) -> Array:
    """Mean gradient of the layer norm on the straight line, in closed form."""
    now, before = (part - part.mean(-1, keepdims=True) for part in (z, r))
    size, old = (np.sqrt((part**2).mean(-1, keepdims=True) + 1e-5) for part in (now, before))
    square = ((now - before) ** 2).mean(-1, keepdims=True)
    total, length = size + old, np.sqrt(square)
    gap = total**2 - square
    inverse = np.log((total + length) ** 2 / gap) / length
    mixed = (2 * total / gap - inverse) / square
    weights = [(v * part).mean(-1, keepdims=True) for part in (before, now)]
    at_old = (2 / (old * gap) - mixed) * weights[0] + mixed * weights[1]
    at_new = (2 / (size * gap) - mixed) * weights[1] + mixed * weights[0]
    part = v * inverse - at_old * before - at_new * now
    return np.asarray(part - part.mean(-1, keepdims=True))


SOFTMAX: dict[str, Rule] = {
    "exponential x reciprocal of the sum": exponentials,
    "gradient half-way, scaled": midpoint(softmax, softmax_gradient),
    "mean gradient, 16 nodes": mean_gradient(softmax_gradient, 16),
    "logarithmic means": logarithmic_means,
    "**logarithmic means in 8 pieces**": in_pieces(logarithmic_means, 8),
}
NORM: dict[str, Rule] = {
    "product with the mean of the reciprocals": lambda z, r, v: divided(z, r, v, lambda a, b: (1 / a + 1 / b) / 2),
    "gradient half-way, scaled": midpoint(norm, norm_gradient),
    "mean gradient, 16 nodes": mean_gradient(norm_gradient, 16),
    "path integral of the quotient": lambda z, r, v: divided(z, r, v, lambda a, b: np.log(a / b) / (a - b)),
    "**mean gradient in closed form**": closed,
}


def shapley(function: Callable[[Array], Array], parts: Array, base: Array, v: Array) -> Array:
    """Exact Shapley values (B, POSITIONS) of parts (B, POSITIONS, C) that are added to a base (B, C)."""
    values = {
        chosen: (v * function(base + np.einsum("bpc,p->bc", parts, np.array(chosen, float)))).sum(-1)
        for chosen in itertools.product((0, 1), repeat=POSITIONS)
    }
    found = np.zeros(parts.shape[:2])
    for chosen, value in values.items():
        size = sum(chosen)
        for place in range(POSITIONS):
            if not chosen[place]:
                weight = math.factorial(size) * math.factorial(POSITIONS - size - 1) / math.factorial(POSITIONS)
                with_it = (*chosen[:place], 1, *chosen[place + 1 :])
                found[:, place] += weight * (values[with_it] - value)
    return found


def row(
    rule: Rule, function: Callable[[Array], Array], exact: Rule, size: float, factor: float, shift: float
) -> tuple[float, ...]:
    """Correlation and size against path Integrated Gradients, correlation with Shapley values, errors.

    Hidden values span `size`; those of the sequence are `factor` times as large, and for the last figure `shift` is
    added to them.
    """
    generator = np.random.default_rng(0)
    effects = generator.normal(size=(2, PAIRS, POSITIONS, HIDDEN))
    span = np.ptp(effects.sum(2), axis=-1).mean()
    now, before = factor * size / span * effects[0], size / span * effects[1]
    z, r, parts = now.sum(1), before.sum(1), now - before
    v = generator.normal(size=(PAIRS, HIDDEN))
    multipliers = rule(z, r, v)
    scores, path = (np.einsum("bpc,bc->bp", parts, found) for found in (multipliers, exact(z, r, v)))
    truth = shapley(function, parts, r, v)
    wanted = (v * (function(z) - function(r))).sum(-1)
    error = np.abs(scores.sum(1) - wanted).max() / np.abs(wanted).mean()
    moved = np.abs(rule(z + shift, r, v) - multipliers).max() / np.abs(multipliers).max()
    correlation = np.corrcoef(scores.ravel(), path.ravel())[0, 1]
    ratio = np.abs(scores).sum() / np.abs(path).sum()
    return correlation, ratio, np.corrcoef(scores.ravel(), truth.ravel())[0, 1], error, moved


def table(title: str, rules: dict[str, Rule], settings: dict[str, tuple[float, float]], norms: bool) -> str:
    """Return one table in Markdown: rules against settings."""
    function, gradient = (norm, norm_gradient) if norms else (softmax, softmax_gradient)
    exact = mean_gradient(gradient, 1000)
    lines = [f"| {title} | {' | '.join(settings)} | adds up within | changed by a shift of 10 |"]
    lines.append("| --- |" + " --- |" * (len(settings) + 2))
    for name, rule in rules.items():
        found = [row(rule, function, exact, size, factor, 10) for size, factor in settings.values()]
        cells = [f"{correlation:.2f}, {ratio:.3g} x, {truth:.2f}" for correlation, ratio, truth, _, _ in found]
        worst, moved = (max(figures[place] for figures in found) for place in (3, 4))
        lines.append(f"| {name} | {' | '.join(cells)} | {worst:.0e} | {moved:.0e} |")
    return "\n".join(lines)


def tables() -> str:
    """Return both tables."""
    spans = {f"logits span {size}": (float(size), 1.0) for size in (1, 6, 20)}
    factors = {f"{factor} times as large": (1.0, float(factor)) for factor in (1, 10, 100)}
    return table("softmax", SOFTMAX, spans, False) + "\n\n" + table("layer norm", NORM, factors, True)


if __name__ == "__main__":
    print(tables())
