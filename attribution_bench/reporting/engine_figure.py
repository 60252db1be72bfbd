"""The engine benchmark's figure: how many times as fast as full passes, against the length, a line a model."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from attribution_bench.reporting.engine import EngineComparison
from attribution_bench.reporting.engine_summary import models
from attribution_bench.reporting.labels import ratio_text

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Both tell the models apart, so that no line depends on its colour alone (Okabe and Ito)."""
CLOSEST_TICKS = 1.2
"""Lengths that lie nearer to each other, as a ratio, share a tick, since their labels would overlap."""


def has_ratios(comparison: EngineComparison) -> bool:
    """Whether any line has a ratio to draw."""
    return comparison.fast is not None and bool(models(comparison, comparison.fast))


def ratio_figure(comparison: EngineComparison) -> Figure:
    """Draw the fast method's ratio over the baseline at the largest number of sequences, both axes logarithmic.

    The legend gives each model's first and last ratio; a model of one length is a point.
    """
    fast = comparison.fast
    assert fast is not None  # `has_ratios` tells
    lines = models(comparison, fast)
    figure = Figure(figsize=(7.2, 4.2), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    axes: Axes = figure.subplots()
    drawn = []
    for number, (label, rows) in enumerate(lines):
        ratios = [row.ratio(fast) or 0.0 for row in rows]
        (line,) = axes.plot(
            [row.length for row in rows], ratios, color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)], markersize=6, linewidth=1.8,
        )  # fmt: skip
        drawn.append((ratios[-1], line, _legend(label, ratios)))
    drawn.sort(key=lambda item: -item[0])  # the legend's order is that of the lines, from above
    _, handles, labels = zip(*drawn, strict=True)
    legend = figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    lengths = _ticks([row.length for _, rows in lines for row in rows])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.set_xlabel("letters of a sequence", fontsize=10)
    standard = comparison.label(comparison.baseline, "full passes")
    axes.set_title(f"Times as fast as {standard}", loc="left", fontsize=11, parse_math=False)
    return figure


def _legend(label: str, ratios: Sequence[float]) -> str:
    ends = dict.fromkeys(f"{ratio_text(ratio, 2)}×" for ratio in (ratios[0], ratios[-1]))
    return f"{label}: {' to '.join(ends)}"


def _ticks(lengths: Sequence[int]) -> list[float]:
    """Return the lengths, shortest first, without those too near to the one before."""
    ticks: list[float] = []
    for length in sorted(set(lengths)):
        if not ticks or length >= CLOSEST_TICKS * ticks[-1]:
            ticks.append(float(length))
    return ticks
