"""Influence maps: what a mutation of each input position changes at each output position of a profile model."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from attribution_bench.errors import AttributionBenchError, InvalidInputError
from attribution_bench.influence import Statistic, influence_map, largest_of
from attribution_bench.reporting.heat_maps import BAR_INCHES, add_colour_bar, colours_of_scores
from attribution_bench.reporting.logos import Scale, check_scale
from attribution_bench.reporting.one_sequence import OneSequence, at_positions, read_one_sequence
from attribution_bench.reporting.panels import MOST_POSITIONS, PIXELS_PER_INCH, Window, panel_rows
from attribution_bench.reporting.position_axis import frame
from attribution_bench.reporting.score_axis import CHANGE
from attribution_bench.reporting.tracks import SiteLike
from attribution_bench.storage.stored_scores import StoredScores

DEFAULT_INCHES = 7.0
"""Width of a figure, whose input positions need not be read one by one."""
LOWEST, HIGHEST = 1.5, 5.0
"""Inches that a map is high."""
CELLS_PER_PIXEL = 0.5
"""Cells of an image's pixel to which larger maps are reduced, so that files stay small."""


def influence_figure(
    maps: Mapping[str, NDArray[np.floating]],
    *,
    start: int = 0,
    heading: str = "",
    chromosome: str | None = None,
    sites: Sequence[SiteLike] = (),
    highlights: Sequence[tuple[int, int]] = (),
    scale: Scale = "own",
    width: float | str | None = None,
    caption: str = "",
) -> Figure:
    """Draw influence maps one below the other over one axis of input positions.

    Red raises the prediction, blue lowers it. Where cells would be smaller than half a pixel, the change of the largest
    size among neighbours is drawn.

    Parameters
    ----------
    maps
        Title -> (T, P): the change of each of T output positions by a mutation of each of P input positions, as
        `attribution_bench.influence.influence_map` gives it.
    start
        0-based position of the first column, in its sequence or on its chromosome; sites and highlights count alike.
    heading, chromosome, sites, highlights, scale, width, caption
        As in `attribution_bench.reporting.logos.logo_figure`; 7 inches wide by default.

    Raises
    ------
    InvalidInputError
        No map, one that is not (T, P) or not finite, maps of several widths, an unknown scale or width, or highlights
        beyond the positions drawn.
    """
    positions = _check(maps)
    check_scale(scale)
    window = Window(start, start + positions, chromosome, sites, highlights, width or DEFAULT_INCHES, None, caption)
    heights = [
        min(HIGHEST, max(LOWEST, window.axes_inches * len(values) / positions), window.axes_inches)
        for values in maps.values()
    ]
    figure, (rows,) = panel_rows(heights, window, titles=list(maps), heading=heading)
    limits = {title: float(np.abs(values).max()) for title, values in maps.items()}
    if scale == "shared":
        limits = dict.fromkeys(limits, max(limits.values()))
    for axes, height, (title, values) in zip(rows, heights, maps.items(), strict=True):
        cells = (PIXELS_PER_INCH * height / CELLS_PER_PIXEL, PIXELS_PER_INCH * window.axes_inches / CELLS_PER_PIXEL)
        image = _draw(axes, np.asarray(values, dtype=float), start, limits[title] or 1.0, cells)
        frame(axes, highlights)
        bar = BAR_INCHES / window.figure_inches
        add_colour_bar(figure, image, axes, CHANGE, fraction=bar, aspect=height / BAR_INCHES)
    return figure


def read_influence_maps(
    paths: Sequence[str | os.PathLike[str]],
    *,
    sequence: str = "0",
    span: tuple[int, int] | None = None,
    output: str | None = None,
    statistic: Statistic = "largest",
) -> tuple[OneSequence, dict[str, NDArray[np.floating]]]:
    """Return one sequence of stored results, and the influence map (T, P) of each by its title.

    Of a store the methods are drawn that have a map; `OneSequence.left_out` says why others have none.

    Parameters and errors are those of `read_one_sequence` and `influence_map`; unscored positions are zero.
    """
    one = read_one_sequence(paths, sequence=sequence, span=span, without=StoredScores.why_no_map)
    maps = {}
    for title, result in one.results.items():
        try:
            found = influence_map(result, output, statistic=statistic)
        except AttributionBenchError as error:
            raise InvalidInputError(f"{one.files[title]}: {error}") from error
        maps[title] = at_positions(found, result, one.start, one.stop)
    return one, maps


def _draw(axes: Axes, values: NDArray[np.float64], start: int, limit: float, cells: tuple[float, float]) -> AxesImage:
    outputs, positions = values.shape
    down, across = (max(1, int(count // most)) for count, most in zip(values.shape, cells, strict=True))
    reduced = _reduced(_reduced(values, down).T, across).T
    image = axes.imshow(
        reduced,
        extent=(start - 0.5, start - 0.5 + across * reduced.shape[1], -0.5, down * reduced.shape[0] - 0.5),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        **colours_of_scores(limit, None),
    )
    axes.set_xlim(start - 0.5, start + positions - 0.5)
    axes.set_ylim(-0.5, outputs - 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set_ylabel("output position (0-based)", fontsize=10)
    axes.tick_params(axis="y", labelsize=9)
    return image


def _reduced(values: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Return (ceil(K / factor), ...) of values (K, ...): of every so many neighbours that of the largest size."""
    if factor == 1:
        return values
    missing = -len(values) % factor
    padded = np.concatenate([values, np.zeros((missing, *values.shape[1:]))])
    return np.asarray(largest_of(padded.reshape(-1, factor, *values.shape[1:]).swapaxes(0, 1)), dtype=float)


def _check(maps: Mapping[str, NDArray[np.floating]]) -> int:
    """Return the positions that maps share."""
    if not maps:
        raise InvalidInputError("there is no influence map to draw; give at least one")
    for title, values in maps.items():
        found = np.asarray(values)
        if found.ndim != 2 or not found.size:
            raise InvalidInputError(f"the map of {title!r} must be (output positions, positions), not {found.shape}")
        if found.dtype.kind not in "fiub" or not np.isfinite(found).all():
            raise InvalidInputError(f"the map of {title!r} must hold finite real numbers")
    widths: set[int] = {np.shape(values)[1] for values in maps.values()}
    if len(widths) > 1:
        raise InvalidInputError(f"maps share one axis of positions, but are {sorted(widths)} wide")
    if max(widths) > MOST_POSITIONS:
        raise InvalidInputError(f"a figure can show {MOST_POSITIONS:,} positions, not {max(widths):,}; give a range")
    return widths.pop()
