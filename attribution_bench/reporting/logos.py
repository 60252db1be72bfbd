"""Sequence logos: letters whose heights are attribution scores, one panel a method over one axis of positions."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.glyphs import place
from attribution_bench.reporting.letter_colours import letter_colours
from attribution_bench.reporting.panels import Window, check_panels, panel_rows, title_panel
from attribution_bench.reporting.tracks import SiteLike

Scale = Literal["own", "shared"]
"""Whether each panel has a scale of its own, or all have that of the tallest."""
MARGIN = 0.08
"""Share of the range of scores that is left free above and below the letters."""
PANEL_INCHES = 1.05


def logo_figure(
    panels: Mapping[str, NDArray[np.floating]],
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
    """Draw one logo below the other over one axis of positions.

    Parameters
    ----------
    panels
        Title -> scores (A, P): the height of each letter at each position. Letters above zero stack upwards, those
        below hang head down. For observed scores leave the letters that are not there at zero.
    alphabet
        The A letters, in the order of the rows.
    start
        0-based position of the first column, in its sequence or on its chromosome; sites and highlights count alike.
    heading
        Title of the whole figure.
    chromosome
        Name of the chromosome where positions are those of a genome: the axis reads ``chr1:1,000,200``.
    sites
        Drawn as named boxes below the logos; those beyond the positions drawn are left out.
    highlights
        Ranges (start, stop), half-open, shaded behind every logo.
    scale
        ``own`` for a scale of each panel, ``shared`` for one that all have.
    colours
        Letter -> colour, beside or instead of the conventional ones.
    width
        Inches of the figure. By default letters are wide enough to read, some 24 inches for 200 positions.

    Raises
    ------
    InvalidInputError
        No panel, one that is not (A, P), panels of several widths, scores that are not finite, an unknown scale, a
        letter that cannot be drawn, or highlights beyond the positions drawn.
    """
    positions = check_panels(panels, alphabet)
    check_scale(scale)
    window = Window(start, start + positions, chromosome, sites, highlights, width)
    figure, rows = panel_rows([PANEL_INCHES] * len(panels), window, titles=len(panels), heading=heading)
    for axes, (title, scores) in zip(rows, panels.items(), strict=True):
        draw_letters(axes, scores, alphabet=alphabet, start=start, colours=colours)
        title_panel(axes, title)
    if scale == "shared":
        share_scale(rows)
    if len(rows) == 1:
        rows[0].set_ylabel("score", fontsize=10)
    else:
        figure.supylabel("score", fontsize=10)
    return figure


def draw_letters(
    axes: Axes,
    scores: NDArray[np.floating],
    *,
    alphabet: str,
    start: int,
    colours: Mapping[str, str] | None,
) -> None:
    """Draw the letters, the line at zero and the axis of scores; the axis of positions is left as it is."""
    heights = np.asarray(scores, dtype=float)
    floors, ceilings = stack(heights)
    painted = {**letter_colours(alphabet), **(colours or {})}
    for row, letter in enumerate(alphabet):
        (there,) = np.nonzero(heights[row])
        if len(there):
            path = place(
                letter, (start + there).astype(float), floors[row, there], ceilings[row, there], heights[row, there] < 0
            )
            # One artist a letter: an artist a position takes a hundred times as long to draw.
            patch = PathPatch(path, facecolor=painted[letter], edgecolor="none", linewidth=0, snap=False)
            patch.set_in_layout(False)
            axes.add_artist(patch)
    axes.axhline(0, color="black", linewidth=0.6, zorder=0.5)
    low, high = min(0.0, float(floors.min())), max(0.0, float(ceilings.max()))
    room = MARGIN * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axes.tick_params(labelsize=9)


def stack(heights: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper end of each letter, both (A, P).

    Above zero the larger letter stands higher, below zero it hangs lower; among equals the order is the alphabet's.
    """
    order = np.argsort(heights, axis=0, kind="stable")
    ordered = np.take_along_axis(np.asarray(heights, dtype=float), order, axis=0)
    # Both stacks are summed from zero outwards, so that the letters next to the line touch it exactly.
    above = np.cumsum(ordered.clip(min=0), axis=0)
    below = np.cumsum(ordered.clip(max=0)[::-1], axis=0)[::-1]
    ends = np.where(ordered < 0, below, above)
    near, far = ends - ordered, ends
    floors, ceilings = np.empty_like(ordered), np.empty_like(ordered)
    np.put_along_axis(floors, order, np.minimum(near, far), axis=0)
    np.put_along_axis(ceilings, order, np.maximum(near, far), axis=0)
    return floors, ceilings


def check_scale(scale: str) -> None:
    """Raise InvalidInputError for an unknown scale."""
    if scale not in get_args(Scale):
        raise InvalidInputError(f"unknown scale {scale!r}; choose one of {', '.join(get_args(Scale))}")


def share_scale(rows: Sequence[Axes]) -> None:
    """Give logos the scale of the lowest and the highest letter among them."""
    limits = [axes.get_ylim() for axes in rows]
    for axes in rows:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
