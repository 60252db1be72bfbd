"""The axis of positions: sequence or genome coordinates, and ranges shaded behind what is drawn above it."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.wrapped_text import wrapped

HIGHLIGHT = "#E4E4E4"
"""Shade of highlighted ranges, light enough for letters of every colour to stand out."""
FRAME = "#333333"
TICK_POINTS = 9
CHARACTER_INCHES = 0.65 * TICK_POINTS / 72
"""Width of a character in the text of a tick, estimated from above."""
MOST_TICKS = 12


def position_text(position: float, chromosome: str | None) -> str:
    """Write a 0-based position: ``1200``; on a chromosome 1-based with thousands separators, ``1,000,201``."""
    return f"{position:.0f}" if chromosome is None else f"{position + 1:,.0f}"


def tick_step(positions: int, most: int) -> int:
    """Return 1, 2 or 5 times a power of ten, the least of which no more multiples than asked for are among positions.

    ``positions`` is how many follow each other, wherever they begin.
    """
    unit = 1
    while True:
        for step in (unit, 2 * unit, 5 * unit):
            if -(-positions // step) <= max(1, most):
                return step
        unit *= 10


def ticks_within(start: int, stop: int, step: int) -> list[int]:
    """Return the multiples of a step among the positions [start, stop), or the first position where there is none."""
    return list(range(-(-start // step) * step, stop, step)) or [start]


def label_positions(
    axes: Axes, start: int, stop: int, *, chromosome: str | None, inches: float, columns: int | None = None
) -> None:
    """Label the positions [start, stop) below axes of a width in inches; no two texts touch, and none is repeated.

    Parameters
    ----------
    chromosome
        Name of the chromosome on which the positions are; their ticks are then 1-based, as in genome browsers.
    columns
        Positions that the axes are wide, where that is more than are shown.
    """
    wide = stop - start if columns is None else columns
    axes.set_xlim(start - 0.5, start + wide - 0.5)
    text = position_text(stop, chromosome)
    # A comma is half as wide as a digit; grouped digits need less space beside them to be told apart.
    longest = len(text) + 3 if chromosome is None else len(text) - text.count(",") / 2 + 1.5
    step = tick_step(wide, min(MOST_TICKS, int(inches / (longest * CHARACTER_INCHES))))
    # Ticks stand at round numbers as they are written, which on a chromosome are one more than the position.
    first = 0 if chromosome is None else 1
    ticks = [written - first for written in ticks_within(start + first, stop + first, step)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda position, _: position_text(position, chromosome)))
    axes.tick_params(axis="x", labelsize=TICK_POINTS)


def name_positions(axes: Axes, chromosome: str | None, *, inches: float) -> None:
    """Write below axes of a width in inches what their positions are."""
    what = "position in the sequence (0-based)" if chromosome is None else f"position on {chromosome} (1-based)"
    axes.set_xlabel(wrapped(what, inches, 10), fontsize=10, parse_math=False)


def shade(axes: Axes, ranges: Sequence[tuple[int, int]]) -> None:
    """Shade ranges of positions, half-open, behind whatever axes show."""
    for start, stop in ranges:
        axes.axvspan(start - 0.5, stop - 0.5, facecolor=HIGHLIGHT, edgecolor="none", zorder=0)


def frame(axes: Axes, ranges: Sequence[tuple[int, int]]) -> None:
    """Draw a line around ranges of positions, half-open, where what axes show would hide a shade behind it."""
    for start, stop in ranges:
        axes.axvspan(start - 0.5, stop - 0.5, fill=False, edgecolor=FRAME, linewidth=1.5, zorder=3)


def within(ranges: Sequence[tuple[int, int]], start: int, stop: int) -> list[tuple[int, int]]:
    """Return the parts of ranges that lie in [start, stop)."""
    cut = [(max(start, first), min(stop, last)) for first, last in ranges]
    return [(first, last) for first, last in cut if first < last]


def check_ranges(ranges: Sequence[tuple[int, int]], start: int, stop: int) -> None:
    """Raise InvalidInputError for a range that is empty or reaches beyond the positions [start, stop)."""
    for first, last in ranges:
        if not start <= first < last <= stop:
            raise InvalidInputError(
                f"the range {first}:{last} is not within the positions {start}:{stop} that are drawn "
                "(0-based, half-open)"
            )
