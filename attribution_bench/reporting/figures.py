"""The comparison as a figure: bars on a logarithmic axis, measured and published, a panel for each row of the table."""

import io
import math
from itertools import groupby

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.comparison import Comparison, Row
from attribution_bench.reporting.labels import (
    architecture_label,
    framework_label,
    paper_seconds_text,
)

COLOURS = ("#0072B2", "#E69F00", "#009E73")
"""Colours of the frameworks in order; colour-blind readers can tell them and the grey apart (Okabe and Ito)."""
FIGURE_KINDS = ("png", "svg")
PAPER_COLOUR = "#808080"
PAPER_LABEL = "paper"
SCALED_HATCH = "////"
BAR_INCHES, GAP_INCHES, PANEL_INCHES = 0.17, 0.12, 0.75
"""Height of a bar, of the gap between two methods, and of a panel's title and axis."""
TALLEST = 400.0
"""Inches; a higher figure has more pixels than an image may at 150 an inch."""
LABEL_DECADES = 0.75
"""Room right of the longest bar for its figure, in powers of ten."""


def seconds_figure(comparison: Comparison) -> Figure:
    """Draw seconds per 100 sequences of every method, a bar a framework and one for the paper.

    Bars that were scaled up are hatched; a cell without a figure says why in a word.

    Raises
    ------
    InvalidInputError
        No cell has a figure, so there is no bar to draw; or there are more than one figure can show.
    """
    if not has_bars(comparison):
        raise InvalidInputError("no cell was measured, so there is nothing to draw")
    panels = [
        (key, list(rows)) for key, rows in groupby(comparison.rows, key=lambda row: (row.architecture, row.length))
    ]
    series = list(dict.fromkeys(row.framework for row in comparison.rows))
    with_paper = any(row.paper for row in comparison.rows)
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    step = (len(series) + with_paper) * BAR_INCHES + GAP_INCHES
    height = lines * (PANEL_INCHES + step * len(comparison.methods)) + 0.9
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    if height > TALLEST:
        raise InvalidInputError(
            f"{len(panels)} models of {len(comparison.methods)} methods are more than one figure can show; "
            "keep them in several folders"
        )
    figure = Figure(figsize=(1.8 + 4.9 * columns, height), layout=layout)
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, ((architecture, length), rows) in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, rows, series, BAR_INCHES / step)
        axes.set_title(
            f"{architecture_label(architecture)}, {length} letters", fontsize=11, loc="left", parse_math=False
        )
    low, high = _limits(comparison)
    first: Axes = grid[0, 0]
    first.set_xlim(low, high)
    first.set_ylim(len(comparison.methods) - 0.5, -0.5)
    first.set_yticks(range(len(comparison.methods)), comparison.headings, parse_math=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel("seconds per 100 sequences", fontsize=10)
    legend = figure.legend(
        handles=_legend(comparison, series, with_paper), loc="outside lower center", ncols=4, frameon=False, fontsize=10
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def has_bars(comparison: Comparison) -> bool:
    """Whether any cell has a figure to draw."""
    return any(cell.seconds is not None for row in comparison.rows for cell in row.cells)


def render(figure: Figure, kind: str) -> bytes:
    """Return a figure as ``png``, ``svg`` or ``pdf``, fonts embedded; the same figure gives the same bytes."""
    file = io.BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    # Text is embedded as outlines or as TrueType, so that it looks the same without the font. The names of an SVG's
    # elements are random without a salt, and a file kept in git would change each time.
    with matplotlib.rc_context({"svg.hashsalt": "attribution-bench", "svg.fonttype": "path", "pdf.fonttype": 42}):
        figure.savefig(file, format=kind, dpi=150, metadata=dates.get(kind))
    return file.getvalue()


def figure_files(name: str, figure: Figure) -> dict[str, bytes]:
    """Return the files of a figure by name, one for each of `FIGURE_KINDS`; its layout is fixed afterwards."""
    # Laying out takes as long as drawing, so it is done once for all kinds.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return {f"{name}.{kind}": render(figure, kind) for kind in FIGURE_KINDS}


def _draw_panel(axes: Axes, rows: list[Row], series: list[str], thickness: float) -> None:
    published = rows[0].paper
    count = len(rows) + (published is not None)
    offsets = [(index - (count - 1) / 2) * thickness for index in range(count)]
    for row, offset in zip(rows, offsets, strict=False):
        colour = COLOURS[series.index(row.framework) % len(COLOURS)]
        for place, cell in enumerate(row.cells):
            at = place + offset
            if cell.seconds is None:
                status = cell.record.status if cell.record else "not run"
                _note(axes, at, {"unsupported": "not supported"}.get(status, status))
                continue
            scaled = cell.record is not None and cell.record.scaled
            _bar(axes, at, cell.seconds, cell.seconds_text, thickness, colour, scaled)
    for place, cell in enumerate(rows[0].cells):
        if published is not None and cell.method in published.seconds_per_100_sequences:
            seconds = published.seconds_per_100_sequences[cell.method]
            _bar(axes, place + offsets[-1], seconds, paper_seconds_text(seconds), thickness, PAPER_COLOUR, False)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", which="major", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.tick_params(axis="x", labelsize=9)


def _bar(axes: Axes, at: float, seconds: float, text: str, thickness: float, colour: str, scaled: bool) -> None:
    hatch = SCALED_HATCH if scaled else None
    axes.barh(at, seconds, height=0.92 * thickness, color=colour, edgecolor="white", linewidth=0, hatch=hatch)
    axes.annotate(text, (seconds, at), xytext=(3, 0), textcoords="offset points", va="center_baseline", fontsize=8)


def _note(axes: Axes, at: float, text: str) -> None:
    place = axes.get_yaxis_transform()
    axes.annotate(
        text, (0, at), xycoords=place, xytext=(4, 0), textcoords="offset points", va="center_baseline", fontsize=8,
        style="italic", color="#555555", parse_math=False,
    )  # fmt: skip


def _limits(comparison: Comparison) -> tuple[float, float]:
    values = [cell.seconds for row in comparison.rows for cell in row.cells if cell.seconds]
    for row in comparison.rows:
        if row.paper is not None:
            values += [row.paper.seconds_per_100_sequences.get(m, values[0]) for m in comparison.methods if values]
    low, high = min(values, default=1.0), max(values, default=1.0)
    return 10 ** (math.floor(math.log10(low) - 0.3)), high * 10**LABEL_DECADES


def _legend(comparison: Comparison, series: list[str], with_paper: bool) -> list[Patch]:
    handles = [
        Patch(color=COLOURS[index % len(COLOURS)], label=framework_label(name)) for index, name in enumerate(series)
    ]
    if with_paper:
        handles.append(Patch(color=PAPER_COLOUR, label=PAPER_LABEL))
    if any(cell.record and cell.record.scaled for row in comparison.rows for cell in row.cells):
        hatched = Patch(facecolor="#BBBBBB", edgecolor="white", hatch=SCALED_HATCH, linewidth=0)
        hatched.set_label("scaled up from a part of the work")
        handles.append(hatched)
    return handles
