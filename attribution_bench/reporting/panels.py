"""Panels one below the other over one axis of positions, with a track of sites at the bottom, wrapped into lines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.position_axis import check_ranges, label_positions, name_positions, shade, within
from attribution_bench.reporting.tracks import ROW_INCHES, SiteLike, draw_sites, legend_of, place_sites, rows_of
from attribution_bench.reporting.wrapped_text import inches_of, wrapped

LETTER_INCHES = 0.115
"""Width of a position, so that a letter can be read at the size of print."""
WIDEST_LETTER_INCHES = 0.5
"""Width of a position where there are few; the rest of the line stays empty."""
SIDE_INCHES = 1.2
"""Width left free beside the panels, for the axis of scores."""
NARROWEST, WIDEST = 6.0, 400.0
"""Inches of a figure by default; a wider one has more pixels than an image may at 150 an inch."""
WIDTHS = {"one-column": 3.4, "two-columns": 7.0}
"""Inches of a figure in one and in two columns of an article."""
PIXELS_PER_INCH = 150
"""Of images."""
MOST_POSITIONS = 100_000
"""Positions of a figure; already at a tenth of them a letter is less than a pixel wide."""
ROOM_INCHES = 0.9
"""Height left free above and below all panels, for the axis of positions."""
LINE_ROOM_INCHES = 0.35
"""Height left free below every line but the last, for its axis of positions."""
TITLE_POINTS, HEADING_POINTS, CAPTION_POINTS = 11, 12, 8


@dataclass(frozen=True)
class Window:
    """The positions that a figure shows, and what is known of them."""

    start: int
    """First position, 0-based, in the coordinates of the axis."""
    stop: int
    chromosome: str | None = None
    """Name of the chromosome where the coordinates are those of a genome, else None."""
    sites: Sequence[SiteLike] = ()
    highlights: Sequence[tuple[int, int]] = ()
    """Ranges shaded behind every panel, half-open."""
    width: float | str | None = None
    """Inches of the whole figure, or a name of `WIDTHS`; wide enough for letters to be read when None."""
    wrap: int | None = None
    """Positions of a line; all on one when None."""
    caption: str = ""
    """What stands below the figure."""

    @property
    def longest(self) -> int:
        """Positions of the longest line."""
        every = self.stop - self.start
        return every if self.wrap is None else min(self.wrap, every)

    @property
    def columns(self) -> int:
        """Positions that a line is wide; more than the longest has where its letters would be wider than is read."""
        return max(self.longest, math.ceil(self.axes_inches / WIDEST_LETTER_INCHES))

    @property
    def lines(self) -> list[tuple[int, int]]:
        """First position of each line, and the one after its last."""
        starts = range(self.start, self.stop, self.longest)
        return [(start, min(start + self.longest, self.stop)) for start in starts]

    @property
    def figure_inches(self) -> float:
        """Width of the whole figure."""
        if isinstance(self.width, str):
            return WIDTHS[self.width]
        wanted = LETTER_INCHES * self.longest + SIDE_INCHES
        return min(WIDEST, max(NARROWEST, wanted)) if self.width is None else self.width

    @property
    def axes_inches(self) -> float:
        """Width of the panels, on the narrow side."""
        return max(0.5, self.figure_inches - 1.25 * SIDE_INCHES)

    @property
    def letter_pixels(self) -> float:
        """Width of a position in pixels of an image, on the narrow side."""
        return PIXELS_PER_INCH * self.axes_inches / self.columns

    def check(self) -> None:
        """Raise InvalidInputError for a highlight beyond the window, or a width or length of lines without room."""
        check_ranges(self.highlights, self.start, self.stop)
        if isinstance(self.width, str) and self.width not in WIDTHS:
            raise InvalidInputError(f"unknown width {self.width!r}; give inches, or one of {', '.join(WIDTHS)}")
        if self.width is not None and not 2 <= self.figure_inches <= WIDEST:
            raise InvalidInputError(f"a figure can be 2 to {WIDEST:g} inches wide, not {self.width:g}")
        if self.wrap is not None and self.wrap < 1:
            raise InvalidInputError(f"a line needs at least 1 position, not {self.wrap}")


def panel_rows(
    inches: Sequence[float], window: Window, *, titles: Sequence[str], heading: str
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure with a row of axes for each height in inches, once for every line, over an axis of positions.

    Parameters
    ----------
    inches
        Height of each row of a line.
    window
        What the figure shows; its highlights are shaded and its sites drawn.
    titles
        Title of each panel; a panel is as many rows as there are rows for a title. A single one is written above the
        first line only.
    heading
        Title of the whole figure.

    Returns
    -------
    The figure, and the rows of each line.

    Raises
    ------
    InvalidInputError
        A highlight beyond the window, an empty site, or a width or length of lines that leaves no room.
    """
    window.check()
    position_inches = window.axes_inches / window.columns
    placed = [
        place_sites(window.sites, start, stop, inches=position_inches * (stop - start)) for start, stop in window.lines
    ]
    tracks = [[ROW_INCHES * rows_of(sites)] if sites else [] for sites in placed]
    heights = [height for track in tracks for height in (*inches, *track)]
    above = [wrapped(title, window.axes_inches, TITLE_POINTS) for title in titles]
    heading = wrapped(heading, window.figure_inches - 0.4, HEADING_POINTS)
    caption = wrapped(window.caption, window.figure_inches - 0.4, CAPTION_POINTS)
    titled = len(window.lines) if len(titles) > 1 else 1
    height = sum(heights) + ROOM_INCHES + LINE_ROOM_INCHES * (len(window.lines) - 1)
    height += titled * sum(inches_of(title, TITLE_POINTS) + 0.11 for title in above)
    height += inches_of(heading, HEADING_POINTS) + inches_of(caption, CAPTION_POINTS)
    if height > WIDEST:
        raise InvalidInputError(
            f"{len(window.lines)} lines of {len(titles)} panels are {height:.0f} inches high, more than the "
            f"{WIDEST:g} that a figure can be; give a range, fewer panels or longer lines"
        )
    figure = Figure(figsize=(window.figure_inches, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06))
    FigureCanvasAgg(figure)
    grid = iter(figure.add_gridspec(len(heights), 1, height_ratios=heights))
    lines: list[list[Axes]] = []
    for (start, stop), sites, track in zip(window.lines, placed, tracks, strict=True):
        first = figure.add_subplot(next(grid))
        rows = [first, *(figure.add_subplot(next(grid), sharex=first) for _ in [*inches[1:], *track])]
        label_positions(
            rows[-1],
            start,
            stop,
            chromosome=window.chromosome,
            inches=window.axes_inches,
            columns=window.columns,
        )
        for axes in rows[:-1]:
            axes.tick_params(axis="x", bottom=False, labelbottom=False)
        for axes in rows[: len(inches)]:
            shade(axes, within(window.highlights, start, stop))
        if sites:
            draw_sites(rows[-1], sites, inches=window.axes_inches)
        panels = rows[: len(inches) : len(inches) // len(titles)]
        for axes, title in zip(panels, above, strict=True) if not lines or len(titles) > 1 else ():
            title_panel(axes, title)
        lines.append(rows[: len(inches)])
    name_positions(rows[-1], window.chromosome, inches=window.axes_inches)
    legend = legend_of([site for sites in placed for site in sites])
    if legend:
        columns = 2 if window.figure_inches > 4 else 1
        figure.legend(handles=legend, loc="outside lower right", ncols=columns, frameon=False, fontsize=9)
    if heading:
        figure.suptitle(heading, fontsize=HEADING_POINTS, parse_math=False)
    if caption:
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=CAPTION_POINTS, parse_math=False)
    return figure, lines


def title_panel(axes: Axes, title: str) -> None:
    """Write a panel's title above its left end."""
    axes.set_title(title, loc="left", fontsize=TITLE_POINTS, fontweight="bold", pad=4, parse_math=False)


def check_panels(panels: Mapping[str, NDArray[np.floating]], alphabet: str) -> int:
    """Return the width that panels of scores (A, P) share.

    Raises
    ------
    InvalidInputError
        No panel, one that is not (A, P), panels of several widths, more positions than a figure can show, or scores
        that are not finite real numbers.
    """
    if not panels:
        raise InvalidInputError("there are no scores to draw; give at least one panel")
    for title, scores in panels.items():
        shape = np.shape(scores)
        if len(shape) != 2 or shape[0] != len(alphabet) or not shape[1]:
            raise InvalidInputError(f"the scores of {title!r} must be ({len(alphabet)}, positions), not shape {shape}")
        if np.asarray(scores).dtype.kind not in "fiub":
            raise InvalidInputError(f"the scores of {title!r} must be real numbers, not {np.asarray(scores).dtype}")
        if not np.isfinite(scores).all():
            raise InvalidInputError(f"the scores of {title!r} are not all finite; a logo cannot show them")
    widths: set[int] = {np.shape(scores)[1] for scores in panels.values()}
    if max(widths) > MOST_POSITIONS:
        raise InvalidInputError(f"a figure can show {MOST_POSITIONS:,} positions, not {max(widths):,}; give a range")
    if len(widths) > 1:
        raise InvalidInputError(f"panels share one axis of positions, but are {sorted(widths)} wide")
    return widths.pop()
