"""Sequence logos: letters whose heights are attribution scores, one panel a method over one axis of positions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError

NUCLEOTIDES = {"A": "#109648", "C": "#255C99", "G": "#F7A600", "T": "#D62839", "U": "#D62839"}
"""The colours that readers of DNA logos expect; the letters' shapes carry the meaning without them."""
MARGIN = 0.08
"""Of the range of scores, left free above and below the letters."""


def logo_figure(
    panels: Mapping[str, NDArray[np.floating]], *, alphabet: str = "ACGT", start: int = 0, heading: str = ""
) -> Figure:
    """Draw one logo below the other, each with its own scale.

    Parameters
    ----------
    panels
        Title -> scores (A, P): the height of each letter at each position. Letters above zero stack upwards, those
        below hang head down. For observed scores leave the letters that are not there at zero.
    alphabet
        The A letters, in the order of the rows.
    start
        0-based position of the first column in its sequence.
    heading
        Title of the whole figure.

    Raises
    ------
    InvalidInputError
        No panel, one that is not (A, P), panels of several widths, or scores that are not finite.
    """
    width = _check(panels, alphabet)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(max(6.0, 0.115 * width + 1.2), 1.35 * len(panels) + 0.9), layout=layout)
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, scores) in zip(rows, panels.items(), strict=True):
        draw_logo(axes, scores, alphabet=alphabet, start=start)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=4)
    rows[-1].set_xlabel("position in the sequence (0-based)", fontsize=10)
    figure.supylabel("score", fontsize=10)
    if heading:
        figure.suptitle(heading, fontsize=12)
    return figure


def draw_logo(axes: Axes, scores: NDArray[np.floating], *, alphabet: str = "ACGT", start: int = 0) -> None:
    """Draw scores (A, P) as one logo into axes; see `logo_figure`."""
    import logomaker
    import pandas as pd

    heights = np.asarray(scores, dtype=float)
    positions = np.arange(start, start + heights.shape[1])
    if heights.any():
        colours = NUCLEOTIDES if set(alphabet) <= set(NUCLEOTIDES) else "chemistry"
        frame = pd.DataFrame(heights.T, index=positions, columns=list(alphabet))
        logomaker.Logo(frame, ax=axes, color_scheme=colours, font_weight="bold", baseline_width=0.6, show_spines=False)
    else:
        axes.axhline(0, color="black", linewidth=0.6)
    low, high = np.minimum(heights, 0).sum(axis=0).min(), np.maximum(heights, 0).sum(axis=0).max()
    room = MARGIN * (high - low) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.set_xlim(start - 0.5, start + heights.shape[1] - 0.5)
    axes.spines["left"].set_visible(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=13, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, symmetric=True))
    axes.tick_params(labelsize=9)


def _check(panels: Mapping[str, NDArray[np.floating]], alphabet: str) -> int:
    if not panels:
        raise InvalidInputError("there are no scores to draw; give at least one panel")
    for title, scores in panels.items():
        shape = np.shape(scores)
        if len(shape) != 2 or shape[0] != len(alphabet) or not shape[1]:
            raise InvalidInputError(f"the scores of {title!r} must be ({len(alphabet)}, positions), not shape {shape}")
        if not np.isfinite(scores).all():
            raise InvalidInputError(f"the scores of {title!r} are not all finite; a logo cannot show them")
    widths: set[int] = {np.shape(scores)[1] for scores in panels.values()}
    if len(widths) > 1:
        raise InvalidInputError(f"panels share one axis of positions, but are {sorted(widths)} wide")
    return widths.pop()
