"""Numbers of a comparison as readers see them."""

import math

from attribution_bench.evaluation.results import Interval

DASH = "–"
"""Stands where a metric is not defined."""
MINUS = "\N{MINUS SIGN}"
DECIMALS = 3
SMALL, LARGE = 0.001, 1000.0
"""Magnitudes below and from which numbers are written with an exponent."""


def rounded(value: float) -> float:
    """Return a number as it is shown, so that numbers that look alike count as equal."""
    if value and not SMALL <= abs(value) < LARGE:
        return float(f"{value:.1e}")
    return round(value, DECIMALS)


def number_text(value: float | None) -> str:
    """Write a number: ``0.871``, ``−12.400``, ``2.1e−07``; a dash for None."""
    if value is None or not math.isfinite(value):
        return DASH
    number = rounded(value)
    plain = not number or SMALL <= abs(number) < LARGE
    text = f"{number:.{DECIMALS}f}" if plain else f"{number:.1e}"
    return text.replace("-", MINUS)


def interval_text(interval: Interval | None) -> str:
    """Write a mean with its interval: ``0.871 (0.850 to 0.890)``; a dash for None."""
    if interval is None:
        return DASH
    return f"{number_text(interval.mean)} ({range_text(interval)})"


def range_text(interval: Interval) -> str:
    """Write the ends of an interval."""
    return f"{number_text(interval.low)} to {number_text(interval.high)}"


def listed(names: list[str]) -> str:
    """Join names as a sentence does: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 method``, ``5 methods``."""
    return f"{count} {noun}{'s' * (count != 1)}"
