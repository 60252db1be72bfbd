"""The axis of positions: sequence or genome coordinates, and ranges shaded behind what is drawn above it."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from attribution_bench.errors import InvalidInputError

HIGHLIGHT = "#E4E4E4"
"""Shade of highlighted ranges, light enough for letters of every colour to stand out."""
FRAME = "#333333"
TICK_POINTS = 9
CHARACTER_INCHES = 0.65 * TICK_POINTS / 72
"""Width of a character in the text of a tick, estimated from above."""
MOST_TICKS = 12


def position_text(position: float, chromosome: str | None) -> str:
    """Write a position: ``1200``; with thousands separators behind a chromosome, ``chr1:1,000,200``."""
    return f"{position:.0f}" if chromosome is None else f"{chromosome}:{position:,.0f}"


def label_positions(axes: Axes, start: int, stop: int, *, chromosome: str | None, inches: float) -> None:
    """Label the positions [start, stop) below axes of a width in inches; no two texts touch."""
    axes.set_xlim(start - 0.5, stop - 0.5)
    longest = len(position_text(stop, chromosome)) + 3
    ticks = int(inches / (longest * CHARACTER_INCHES))
    ticks = max(1, min(MOST_TICKS, ticks))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=ticks, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda position, _: position_text(position, chromosome)))
    where = "in the sequence" if chromosome is None else f"on {chromosome}"
    axes.set_xlabel(f"position {where} (0-based)", fontsize=10, parse_math=False)


def shade(axes: Axes, ranges: Sequence[tuple[int, int]]) -> None:
    """Shade ranges of positions, half-open, behind whatever axes show."""
    for start, stop in ranges:
        axes.axvspan(start - 0.5, stop - 0.5, facecolor=HIGHLIGHT, edgecolor="none", zorder=0)


def frame(axes: Axes, ranges: Sequence[tuple[int, int]]) -> None:
    """Draw a line around ranges of positions, half-open, where what axes show would hide a shade behind it."""
    for start, stop in ranges:
        axes.axvspan(start - 0.5, stop - 0.5, fill=False, edgecolor=FRAME, linewidth=1.5, zorder=3)


def check_ranges(ranges: Sequence[tuple[int, int]], start: int, stop: int) -> None:
    """Raise InvalidInputError for a range that is empty or reaches beyond the positions [start, stop)."""
    for first, last in ranges:
        if not start <= first < last <= stop:
            raise InvalidInputError(
                f"the range {first}:{last} is not within the positions {start}:{stop} that are drawn "
                "(0-based, half-open)"
            )
