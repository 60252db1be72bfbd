"""Heat maps of what each letter would contribute at each position, each below the logo of the sequence itself."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from attribution_bench.conventions import UNSIGNED, letter_heights
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.logos import PANEL_INCHES, LetterRenderer, Scale, check_scale, draw_logos
from attribution_bench.reporting.panels import Window, check_panels, panel_rows
from attribution_bench.reporting.position_axis import frame, within
from attribution_bench.reporting.score_axis import SCORE, score_label, tick_texts, ticks_between, with_power
from attribution_bench.reporting.tracks import SiteLike

COLOUR_MAP = "RdBu_r"
"""Colours of scores: red above zero, blue below, white at zero; colour-blind readers can tell them apart."""
SIZES_COLOUR_MAP = "Greys"
"""Colours of sizes, which neither raise nor lower the prediction."""
DOTS: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.4, "markeredgewidth": 0.5}
"""Dots of the reference letters, black with a white rim, so that they stand out of both ends of the colour map."""
DOTTED_PIXELS = 6.0
"""Width of a position in an image below which dots would cover what they mark, and are left out."""
LETTER_ROW_INCHES = 0.18
BAR_INCHES = 0.12
"""Width of the colour bar."""
LABEL_COLUMNS = 14
"""Characters in a line of the label of a colour bar, which is as long as a heat map of four letters is high."""


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
    width: float | str | None = None,
    wrap: int | None = None,
    caption: str = "",
    convention: str | Mapping[str, str | None] | None = None,
    letters: LetterRenderer | None = None,
) -> Figure:
    """Draw a logo of the reference letters, and below it all scores as a heat map, for each panel.

    Parameters
    ----------
    panels
        Title -> scores (A, P): what each letter would contribute at each position.
    present
        (A, P): which letter is there; no letter of a column where it is unknown.
    alphabet, start, heading, chromosome, sites, highlights, scale, colours, width, wrap, caption, letters
        As in `logo_figure`; the scale is that of the logos and of the heat maps. Dots, which mark the reference
        letters, are left out where a position is narrower than 6 pixels.
    convention
        Score convention of every panel, or by the panels' titles: it says what heights and colours are. Changes of the
        prediction (``delta``) and norms leave the reference letters at zero, which then are as high as the others' mean
        change is, as `letter_heights` says.

    Raises
    ------
    InvalidInputError
        As `logo_figure` does, where ``present`` has another shape than the scores, or where every reference letter
        scores zero, as by ``delta``, and no convention is given.
    """
    positions = check_panels(panels, alphabet)
    check_scale(scale)
    there = np.asarray(present, dtype=bool)
    if there.shape != (len(alphabet), positions):
        raise InvalidInputError(
            f"the reference letters must be ({len(alphabet)}, {positions}) as the scores are, not shape {there.shape}"
        )
    conventions = {title: convention.get(title) if isinstance(convention, Mapping) else convention for title in panels}
    for title, scores in panels.items():
        _check_convention(title, np.asarray(scores), there, conventions[title])
    window = Window(start, start + positions, chromosome, sites, highlights, width, wrap, caption)
    map_inches = LETTER_ROW_INCHES * len(alphabet)
    figure, lines = panel_rows([PANEL_INCHES, map_inches] * len(panels), window, titles=list(panels), heading=heading)
    heights = {title: letter_heights(np.asarray(panels[title]), there, conventions[title]) for title in panels}
    logos = [rows[::2] for rows in lines]
    draw_logos(logos, heights, window, alphabet=alphabet, colours=colours, scale=scale, label=SCORE, letters=letters)
    limits = {title: float(np.abs(scores).max()) for title, scores in panels.items()}
    if scale == "shared":
        limits = dict.fromkeys(limits, max(limits.values()))
    for (first, last), rows in zip(window.lines, lines, strict=True):
        shown = slice(first - start, last - start)
        for below, (title, scores) in zip(rows[1::2], panels.items(), strict=True):
            drawn = draw_heat_map(
                below, np.asarray(scores)[:, shown], there[:, shown], alphabet=alphabet, start=first,
                limit=limits[title], convention=conventions[title], pixels=window.letter_pixels,
            )  # fmt: skip
            frame(below, within(highlights, first, last))
            bar = BAR_INCHES / window.figure_inches
            add_colour_bar(
                figure, drawn, below, score_label(conventions[title]), fraction=bar, aspect=map_inches / BAR_INCHES
            )
    return figure


def draw_heat_map(
    axes: Axes,
    scores: NDArray[np.floating],
    present: NDArray[np.bool_],
    *,
    alphabet: str = "ACGT",
    start: int = 0,
    limit: float | None = None,
    convention: str | None = None,
    pixels: float = np.inf,
) -> ScalarMappable:
    """Draw scores (A, P) into axes, a row a letter, the reference letters dotted; return what a colour bar needs.

    ``limit`` is the score of the darkest colours, the largest absolute one when None; white is zero. Dots are left out
    where a position is narrower than `DOTTED_PIXELS`.
    """
    values = np.asarray(scores, dtype=float)
    rows, columns = values.shape
    limit = (float(np.abs(values).max()) if limit is None else limit) or 1.0
    drawn = axes.pcolormesh(
        np.arange(columns + 1) + start - 0.5, np.arange(rows + 1) - 0.5, values,
        **colours_of_scores(limit, convention), edgecolors="none", antialiased=False,
    )  # fmt: skip
    if pixels >= DOTTED_PIXELS:
        letters, places = np.nonzero(present)
        axes.plot(places + start, letters, color="black", markeredgecolor="white", **DOTS)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows), list(alphabet))
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    return drawn


def colours_of_scores(limit: float, convention: str | None) -> dict[str, Any]:
    """Return the colour map of scores and its ends: red raises, blue lowers; greys of sizes."""
    if convention in UNSIGNED:
        return {"cmap": SIZES_COLOUR_MAP, "vmin": 0.0, "vmax": limit}
    return {"cmap": COLOUR_MAP, "vmin": -limit, "vmax": limit}


def add_colour_bar(figure: Figure, drawn: ScalarMappable, axes: Axes, label: str, **settings: Any) -> None:
    """Add a colour bar beside axes, labelled with what its colours are and their common power of ten."""
    colour_bar = figure.colorbar(drawn, ax=axes, pad=settings["fraction"], **settings)
    low, high = drawn.get_clim()
    ticks = ticks_between(float(low or 0), float(high or 0))
    texts, power = tick_texts(ticks)
    colour_bar.set_ticks(ticks.tolist(), labels=texts)
    colour_bar.set_label(textwrap.fill(with_power(label, power), LABEL_COLUMNS), fontsize=7.5)
    colour_bar.ax.tick_params(labelsize=8)
    colour_bar.outline.set_visible(False)


def _check_convention(
    title: str, scores: NDArray[np.floating], present: NDArray[np.bool_], convention: str | None
) -> None:
    """Raise InvalidInputError for scores that are changes of the prediction, and are not said to be."""
    if convention is None and present.any() and scores.any() and not scores[present].any():
        raise InvalidInputError(
            f"the scores of {title!r} are zero at every letter that is there, as changes of the prediction are: "
            f"its logo would be empty; say convention='delta' (or {', '.join(map(repr, UNSIGNED))}), or draw "
            "result.with_convention('centred')"
        )
