"""What the model predicts while letters are replaced or put back, the highest score first."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from attribution_bench.evaluation.bootstrap import mean_intervals
from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.faithfulness.series import looks
from attribution_bench.reporting.faithfulness.standing import scored

CURVES = {
    "deletion": ("Deletion", "share of letters replaced", "a steep fall is better"),
    "insertion": ("Insertion", "share of letters put back", "a steep rise is better"),
}
"""Curve -> heading, axis, and what to look for."""
BAND = "Lines are means over sequences; bands are their 95% bootstrap intervals."


@dataclass(frozen=True)
class Band:
    """A curve over the shares: the mean over sequences, and the ends of its interval."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def bands(evaluation: Evaluation) -> Mapping[tuple[str, str], Band]:
    """Return what is drawn of the stored curves: (method, curve) -> band, of those that are stored."""
    seed = evaluation.settings.get("seed", 0)
    found = {}
    for method in scored(evaluation):
        for curve in CURVES:
            rows = np.array(method.curves.get(curve, ()), dtype=float)
            if rows.ndim == 2 and rows.size:
                mean, low, high = mean_intervals(rows, seed=seed if isinstance(seed, int) else 0)
                found[method.method, curve] = Band(tuple(mean.tolist()), tuple(low.tolist()), tuple(high.tolist()))
    return found


def curves_figure(evaluation: Evaluation) -> Figure | None:
    """Draw the deletion and insertion curves of every method; None without any."""
    drawn = bands(evaluation)
    methods = [method for method in scored(evaluation) if any((method.method, curve) in drawn for curve in CURVES)]
    if not methods:
        return None
    look = looks(evaluation)
    figure = Figure(figsize=(10.4, 4.7), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(CURVES), sharey=True)
    lines = {}
    for axes, (curve, (heading, across, better)) in zip(grid, CURVES.items(), strict=True):
        for method in methods:
            found, style = drawn.get((method.method, curve)), look[method.method]
            if found is None:
                continue
            axes.fill_between(
                evaluation.shares, found.low, found.high, color=style.colour, alpha=0.15, linewidth=0, zorder=1
            )
            (line,) = axes.plot(
                evaluation.shares, found.mean, color=style.colour, linestyle=style.dash, linewidth=1.8, zorder=2
            )
            lines[evaluation.label(method.method)] = line
        axes.set_title(f"{heading}: {better}", loc="left", fontsize=11)
        axes.set_xlabel(across, fontsize=10)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(color="#E4E4E4", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
        axes.set_xlim(0, 1)
    grid[0].set_ylabel("prediction", fontsize=10)
    legend = figure.legend(
        lines.values(), lines.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=10, title=BAND
    )
    legend.get_title().set_fontsize(9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure
