"""Sequence logos: letters whose heights are attribution scores, one panel a method over one axis of positions."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.glyphs import place, place_bars
from attribution_bench.reporting.letter_colours import letter_colours
from attribution_bench.reporting.panels import Window, check_panels, panel_rows
from attribution_bench.reporting.score_axis import SCORE, label_scores
from attribution_bench.reporting.tracks import SiteLike

Scale = Literal["own", "shared"]
"""Whether each panel has a scale of its own, or all have that of the tallest."""
MARGIN = 0.08
"""Share of the range of scores that is left free above and below the letters."""
PANEL_INCHES = 1.05
READABLE_PIXELS = 3.0
"""Width of a position in an image below which letters are drawn as bars."""


class LetterRenderer(Protocol):
    """What draws the letters of a logo; `draw_letters` is one."""

    def __call__(
        self,
        axes: Axes,
        scores: NDArray[np.floating],
        *,
        alphabet: str,
        start: int,
        colours: Mapping[str, str] | None,
        pixels: float,
    ) -> None:
        """Draw scores (A, P) from the position `start` on; a position is that many pixels of an image wide."""


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
    width: float | str | None = None,
    wrap: int | None = None,
    caption: str = "",
    label: str | Mapping[str, str] = SCORE,
    letters: LetterRenderer | None = None,
) -> Figure:
    """Draw one logo below the other over one axis of positions.

    Parameters
    ----------
    panels
        Title -> scores (A, P): the height of each letter at each position. Letters above zero stack upwards, those
        below hang head down. For observed scores leave the letters that are not there at zero. Scores by the convention
        ``delta``, or by a norm, leave those that are there at zero: `attribution_bench.conventions.letter_heights`
        gives their heights.
    alphabet
        The A letters, in the order of the rows.
    start
        0-based position of the first column, in its sequence or on its chromosome; sites and highlights count alike.
    heading
        Title of the whole figure.
    chromosome
        Name of the chromosome where positions are those of a genome: the axis is then 1-based, as in genome browsers.
    sites
        Drawn as named boxes below the logos; those beyond the positions drawn are left out.
    highlights
        Ranges (start, stop), half-open, shaded behind every logo.
    scale
        ``own`` for a scale of each panel, ``shared`` for one that all have.
    colours
        Letter -> colour, beside or instead of the conventional ones.
    width
        Inches of the figure, ``one-column`` or ``two-columns`` of an article. By default letters are wide enough to
        read, some 24 inches for 200 positions. Letters that would be narrower than 3 pixels are drawn as bars.
    wrap
        Positions of a line; all stand on one by default.
    caption
        Text below the figure.
    label
        What the heights are, on every panel's axis or by the panels' titles.
    letters
        What draws the letters; `draw_letters` by default.

    Raises
    ------
    InvalidInputError
        No panel, one that is not (A, P), panels of several widths, scores that are not finite, an unknown scale or
        width, a letter that cannot be drawn, highlights beyond the positions drawn, or more lines than a figure takes.
    """
    positions = check_panels(panels, alphabet)
    check_scale(scale)
    window = Window(start, start + positions, chromosome, sites, highlights, width, wrap, caption)
    figure, lines = panel_rows([PANEL_INCHES] * len(panels), window, titles=list(panels), heading=heading)
    draw_logos(lines, panels, window, alphabet=alphabet, colours=colours, scale=scale, label=label, letters=letters)
    return figure


def draw_logos(
    lines: Sequence[Sequence[Axes]],
    panels: Mapping[str, NDArray[np.floating]],
    window: Window,
    *,
    alphabet: str,
    colours: Mapping[str, str] | None,
    scale: Scale,
    label: str | Mapping[str, str],
    letters: LetterRenderer | None,
) -> None:
    """Draw panels of scores (A, P) into the axes of each line, a panel one of them; a panel's scale is that of all."""
    draw = letters or draw_letters
    ranges = {title: _range(scores) for title, scores in panels.items()}
    if scale == "shared":
        common = (min(low for low, _ in ranges.values()), max(high for _, high in ranges.values()))
        ranges = dict.fromkeys(ranges, common)
    for (start, stop), rows in zip(window.lines, lines, strict=True):
        for axes, (title, scores) in zip(rows, panels.items(), strict=True):
            limits = axes.get_xlim()
            part = np.asarray(scores)[:, start - window.start : stop - window.start]
            draw(axes, part, alphabet=alphabet, start=start, colours=colours, pixels=window.letter_pixels)
            axes.set_xlim(limits)
            low, high = ranges[title]
            room = MARGIN * (high - low) or 1.0
            axes.set_ylim(low - room, high + room)
            axes.plot([start - 0.5, stop - 0.5], [0, 0], color="black", linewidth=0.6, zorder=0.5)
            axes.spines[["top", "right", "bottom"]].set_visible(False)
            label_scores(axes, label if isinstance(label, str) else label.get(title, SCORE))
    drawn = [axes for rows in lines for axes in rows]
    figure = drawn[0].figure
    assert isinstance(figure, Figure)
    figure.align_ylabels(drawn)


def draw_letters(
    axes: Axes,
    scores: NDArray[np.floating],
    *,
    alphabet: str,
    start: int,
    colours: Mapping[str, str] | None,
    pixels: float = np.inf,
) -> None:
    """Draw letters of scores (A, P) into axes, as bars where a position is narrower than `READABLE_PIXELS`."""
    heights = np.asarray(scores, dtype=float)
    floors, ceilings = stack(heights)
    painted = {**letter_colours(alphabet), **(colours or {})}
    for row, letter in enumerate(alphabet):
        (there,) = np.nonzero(heights[row])
        if len(there):
            ends = (start + there).astype(float), floors[row, there], ceilings[row, there]
            if pixels < READABLE_PIXELS:
                # A bar thinner than a pixel would fade.
                path = place_bars(*ends, max(1.0, 1 / pixels))
            else:
                path = place(letter, *ends, heights[row, there] < 0)
            # One artist a letter: an artist a position takes a hundred times as long to draw.
            patch = PathPatch(path, facecolor=painted[letter], edgecolor="none", linewidth=0, snap=False)
            patch.set_in_layout(False)
            axes.add_artist(patch)


def _range(scores: NDArray[np.floating]) -> tuple[float, float]:
    """Return the lowest and the highest end of all stacks of letters, zero included."""
    heights = np.asarray(scores, dtype=float)
    return float(heights.clip(max=0).sum(axis=0).min()), float(heights.clip(min=0).sum(axis=0).max())


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
