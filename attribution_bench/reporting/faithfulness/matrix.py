"""How far every pair of methods agrees, as a matrix."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from attribution_bench.evaluation.metrics import METRICS
from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.faithfulness.standing import scored
from attribution_bench.reporting.faithfulness.texts import MINUS

COLOURS = "Blues"
"""One hue, from the smallest agreement that is shown to the largest."""
DARK = 0.55
"""Part of the scale from which a cell is dark enough for white figures."""


def agreement_figure(evaluation: Evaluation) -> Figure | None:
    """Draw the mean agreement of every pair in the first metric that is stored; None without a pair."""
    names = [method.method for method in scored(evaluation)]
    stored = {name for pair in evaluation.agreements for name in pair.means}
    metric = next((metric for name, metric in METRICS.items() if name in stored), None)
    if metric is None or len(names) < 2:
        return None
    values = _matrix(evaluation, names, metric.name)
    if not np.isfinite(values).any():
        return None
    side = 1.9 + 0.72 * len(names)
    figure = Figure(figsize=(side + 1.5, side), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    least, most = float(np.nanmin(values)), float(np.nanmax(values))
    span = most - least or 1.0
    image = axes.imshow(values, cmap=COLOURS, vmin=least, vmax=least + span)
    for row, column in np.argwhere(np.isfinite(values)):
        value = float(values[row, column])
        axes.text(
            column, row, f"{value:.2f}".replace("-", MINUS), ha="center", va="center", fontsize=10,
            color="white" if (value - least) / span > DARK else "black",
        )  # fmt: skip
    labels = [evaluation.label(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=35, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(len(names)), labels, parse_math=False)
    axes.tick_params(length=0, labelsize=10)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(f"{metric.label}, mean over sequences", fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    return figure


def _matrix(evaluation: Evaluation, names: list[str], metric: str) -> NDArray[np.float64]:
    """(methods, methods), nan where a pair has no such agreement, and for a method with itself, which says nothing."""
    values = np.full((len(names), len(names)), np.nan)
    for pair in evaluation.agreements:
        if metric in pair.means and pair.first in names and pair.second in names:
            row, column = names.index(pair.first), names.index(pair.second)
            values[row, column] = values[column, row] = pair.means[metric].mean
    return values
