"""What the model predicts while letters are replaced or put back, the highest score first."""

from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.faithfulness.series import looks
from attribution_bench.reporting.faithfulness.standing import scored

CURVES = {
    "deletion": ("Deletion", "share of letters replaced", "a steep fall is better"),
    "insertion": ("Insertion", "share of letters put back", "a steep rise is better"),
}
"""Curve -> heading, axis, and what to look for."""
BAND = "Lines are means over sequences; bands hold the middle half of the sequences."


@dataclass(frozen=True)
class Band:
    """A curve over the shares: the mean over sequences, and the quartiles."""

    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def band(method: MethodEvaluation, curve: str) -> Band | None:
    """Return what is drawn of a stored curve; None where the method has none."""
    rows = np.array(method.curves.get(curve, ()), dtype=float)
    if rows.ndim != 2 or not rows.size:
        return None
    low, high = np.quantile(rows, (0.25, 0.75), axis=0)
    return Band(tuple(rows.mean(axis=0).tolist()), tuple(low.tolist()), tuple(high.tolist()))


def curves_figure(evaluation: Evaluation) -> Figure | None:
    """Draw the deletion and insertion curves of every method; None without any."""
    methods = [method for method in scored(evaluation) if any(band(method, curve) for curve in CURVES)]
    if not methods:
        return None
    look = looks(evaluation)
    figure = Figure(figsize=(10.4, 4.7), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(CURVES), sharey=True)
    lines = {}
    for axes, (curve, (heading, across, better)) in zip(grid, CURVES.items(), strict=True):
        for method in methods:
            found, style = band(method, curve), look[method.method]
            if found is None:
                continue
            axes.fill_between(
                evaluation.shares, found.low, found.high, color=style.colour, alpha=0.1, linewidth=0, zorder=1
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
