"""Heat maps of what each letter would contribute at each position, each below the logo of the sequence itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.logos import PANEL_INCHES, Scale, check_scale, draw_letters, share_scale
from attribution_bench.reporting.panels import Window, check_panels, panel_rows, title_panel
from attribution_bench.reporting.position_axis import frame
from attribution_bench.reporting.tracks import SiteLike

COLOUR_MAP = "RdBu_r"
"""Colours of scores: red above zero, blue below, white at zero; colour-blind readers can tell them apart."""
DOTS: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.4, "markeredgewidth": 0.5}
"""Dots of the reference letters, black with a white rim, so that they stand out of both ends of the colour map."""
LETTER_ROW_INCHES = 0.16
BAR_INCHES = 0.12
"""Width of the colour bar."""


def heat_map_figure(
    panels: Mapping[str, NDArray[np.floating]],
    present: NDArray[np.bool_],
    *,
    alphabet: str = "ACGT",
    start: int = 0,
    heading: str = "",
    chromosome: str | None = None,
    sites: Sequence[SiteLike] = (),
    highlights: Sequence[tuple[int, int]] = (),
    scale: Scale = "own",
    colours: Mapping[str, str] | None = None,
    width: float | None = None,
) -> Figure:
    """Draw a logo of the reference letters, and below it all scores as a heat map, for each panel.

    Parameters
    ----------
    panels
        Title -> scores (A, P): what each letter would contribute at each position.
    present
        (A, P): which letter is there; no letter of a column where it is unknown.
    alphabet, start, heading, chromosome, sites, highlights, scale, colours, width
        As in `logo_figure`; the scale is that of the logos and of the heat maps.

    Raises
    ------
    InvalidInputError
        As `logo_figure` does, and where ``present`` has another shape than the scores.
    """
    positions = check_panels(panels, alphabet)
    check_scale(scale)
    there = np.asarray(present, dtype=bool)
    if there.shape != (len(alphabet), positions):
        raise InvalidInputError(
            f"the reference letters must be ({len(alphabet)}, {positions}) as the scores are, not shape {there.shape}"
        )
    window = Window(start, start + positions, chromosome, sites, highlights, width)
    map_inches = LETTER_ROW_INCHES * len(alphabet)
    figure, rows = panel_rows([PANEL_INCHES, map_inches] * len(panels), window, titles=len(panels), heading=heading)
    largest = {title: float(np.abs(scores).max()) for title, scores in panels.items()}
    for logo, below, (title, scores) in zip(rows[::2], rows[1::2], panels.items(), strict=True):
        draw_letters(logo, np.where(there, scores, 0), alphabet=alphabet, start=start, colours=colours)
        logo.set_ylabel("score", fontsize=10)
        title_panel(logo, title)
        limit = max(largest.values()) if scale == "shared" else largest[title]
        drawn = draw_heat_map(below, scores, there, alphabet=alphabet, start=start, limit=limit)
        frame(below, highlights)
        bar = BAR_INCHES / window.figure_inches
        colour_bar = figure.colorbar(drawn, ax=below, fraction=bar, pad=bar, aspect=map_inches / BAR_INCHES)
        colour_bar.ax.tick_params(labelsize=8)
        colour_bar.outline.set_visible(False)
    if scale == "shared":
        share_scale(rows[::2])
    return figure


def draw_heat_map(
    axes: Axes,
    scores: NDArray[np.floating],
    present: NDArray[np.bool_],
    *,
    alphabet: str = "ACGT",
    start: int = 0,
    limit: float | None = None,
) -> ScalarMappable:
    """Draw scores (A, P) into axes, a row a letter, the reference letters dotted; return what a colour bar needs.

    ``limit`` is the score of the darkest colours, the largest absolute one when None; white is zero.
    """
    values = np.asarray(scores, dtype=float)
    rows, columns = values.shape
    limit = (float(np.abs(values).max()) if limit is None else limit) or 1.0
    drawn = axes.pcolormesh(
        np.arange(columns + 1) + start - 0.5, np.arange(rows + 1) - 0.5, values,
        cmap=COLOUR_MAP, vmin=-limit, vmax=limit, edgecolors="none", antialiased=False,
    )  # fmt: skip
    letters, places = np.nonzero(present)
    axes.plot(places + start, letters, color="black", markeredgecolor="white", **DOTS)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows), list(alphabet))
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    return drawn
