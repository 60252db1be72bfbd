"""Axes of scores: a few round numbers, each once, with their common power of ten in the label."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator
from numpy.typing import NDArray

from attribution_bench.conventions import REFERENCE_AT_ZERO

SCORE, CHANGE = "score", "change of the prediction"
"""What heights and colours are: what a letter contributes, or what the prediction changes by once it is put in."""
SMALLEST, LARGEST = 1e-3, 1e4
"""Numbers between these are written without a power of ten."""
MOST_DECIMALS = 6
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def score_label(convention: str | None) -> str:
    """Return what numbers of a score convention are called on axes and colour bars."""
    return CHANGE if convention in REFERENCE_AT_ZERO else SCORE


def label_scores(axes: Axes, label: str) -> None:
    """Label the upright axis between its limits, which stay as they are."""
    low, high = axes.get_ylim()
    ticks = ticks_between(low, high)
    texts, power = tick_texts(ticks)
    axes.yaxis.set_major_locator(FixedLocator(ticks.tolist()))
    axes.yaxis.set_major_formatter(FixedFormatter(texts))
    axes.set_ylabel(with_power(label, power), fontsize=10)
    axes.tick_params(axis="y", labelsize=9)


def ticks_between(low: float, high: float, most: int = 5) -> NDArray[np.float64]:
    """Return round numbers from low to high, that many intervals of them or fewer."""
    ticks = np.asarray(MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high), dtype=float)
    rounding = 1e-9 * (high - low)
    return ticks[(low - rounding <= ticks) & (ticks <= high + rounding)]


def tick_texts(ticks: Sequence[float] | NDArray[np.float64]) -> tuple[list[str], int]:
    """Return the texts of numbers once they are divided by a power of ten, and its exponent.

    The exponent is 0 for numbers that are read as easily without.
    """
    values = np.asarray(ticks, dtype=float)
    largest = float(np.abs(values).max(initial=0))
    power = 0 if not largest or SMALLEST <= largest < LARGEST else math.floor(math.log10(largest) + 1e-9)
    # In two steps, since ten to the power of the smallest numbers is none.
    values = values / 10.0 ** (power // 2) / 10.0 ** (power - power // 2)
    steps = np.diff(np.unique(values))
    close = 1e-3 * float(steps.min()) if len(steps) else 1e-3 * float(np.abs(values).max(initial=1))
    decimals = next((d for d in range(MOST_DECIMALS) if np.allclose(values, values.round(d), rtol=0, atol=close)), 6)
    rounded = values.round(decimals) + 0.0
    return [f"{value:.{decimals}f}".replace("-", "−") for value in rounded], power


def with_power(label: str, power: int) -> str:
    """Return a label with the power of ten that its numbers are to be multiplied by; as it is where that is one."""
    return f"{label} (×10{str(power).translate(SUPERSCRIPTS)})" if power else label
