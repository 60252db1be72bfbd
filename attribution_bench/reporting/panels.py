"""Panels one below the other over one axis of positions, with a track of sites at the bottom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.position_axis import check_ranges, label_positions, shade
from attribution_bench.reporting.tracks import ROW_INCHES, SiteLike, draw_sites, legend_of, place_sites, rows_of

LETTER_INCHES = 0.115
"""Width of a position, so that a letter can be read at the size of print."""
SIDE_INCHES = 1.2
"""Width left free beside the panels, for the axis of scores."""
NARROWEST, WIDEST = 6.0, 400.0
"""Inches of a figure by default; a wider one has more pixels than an image may at 150 an inch."""
MOST_POSITIONS = 100_000
"""Positions of a figure; already at a tenth of them a letter is less than a pixel wide."""
ROOM_INCHES = 0.9
"""Height left free above and below all panels, for the heading and the axis of positions."""
TITLE_INCHES = 0.3


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
    width: float | None = None
    """Inches of the whole figure; wide enough for letters to be read when None."""

    @property
    def figure_inches(self) -> float:
        """Width of the whole figure."""
        wanted = LETTER_INCHES * (self.stop - self.start) + SIDE_INCHES
        return min(WIDEST, max(NARROWEST, wanted)) if self.width is None else self.width

    @property
    def axes_inches(self) -> float:
        """Width of the panels, on the narrow side."""
        return max(0.5, self.figure_inches - 1.25 * SIDE_INCHES)


def panel_rows(inches: Sequence[float], window: Window, *, titles: int, heading: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with a row of axes for each height in inches, over an axis of positions.

    Parameters
    ----------
    inches
        Height of each row.
    window
        What the figure shows; its highlights are shaded and its sites drawn.
    titles
        How many of the rows get a title.
    heading
        Title of the whole figure.

    Raises
    ------
    InvalidInputError
        A highlight beyond the window, an empty site, or a width that leaves no room.
    """
    check_ranges(window.highlights, window.start, window.stop)
    if window.width is not None and not 2 <= window.width <= WIDEST:
        raise InvalidInputError(f"a figure can be 2 to {WIDEST:g} inches wide, not {window.width:g}")
    placed = place_sites(window.sites, window.start, window.stop, inches=window.axes_inches)
    heights = [*inches, *([ROW_INCHES * rows_of(placed)] if placed else [])]
    size = (window.figure_inches, sum(heights) + TITLE_INCHES * titles + ROOM_INCHES)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06))
    FigureCanvasAgg(figure)
    rows = list(figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0])
    label_positions(rows[-1], window.start, window.stop, chromosome=window.chromosome, inches=window.axes_inches)
    for axes in rows[:-1]:
        axes.tick_params(axis="x", bottom=False)
    for axes in rows[: len(inches)]:
        shade(axes, window.highlights)
    if placed:
        draw_sites(rows[-1], placed, inches=window.axes_inches)
        legend = legend_of(placed)
        if legend:
            figure.legend(handles=legend, loc="outside lower right", ncols=2, frameon=False, fontsize=9)
    if heading:
        figure.suptitle(heading, fontsize=12, parse_math=False)
    return figure, rows[: len(inches)]


def title_panel(axes: Axes, title: str) -> None:
    """Write a panel's title above its left end."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=4, parse_math=False)


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
