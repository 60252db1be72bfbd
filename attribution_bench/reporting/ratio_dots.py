"""The comparison as dots: how many times the fast method's seconds, measured ones filled, published ones hollow."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.comparison import Cell, Comparison, Row
from attribution_bench.reporting.labels import architecture_label, framework_label
from attribution_bench.reporting.ratio_tables import columns

COLOURS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^")
"""Of the frameworks in order; both tell them apart (Okabe and Ito)."""
INK, FAINT = "#333333", "#767676"
MARKER_POINTS = 6.5
APART = 0.22
"""Distance of the dots of two frameworks, as a share of a line, so that equal ones are both seen."""
LINE_INCHES, TITLE_INCHES, AXIS_INCHES = 0.21, 0.34, 1.1
"""Height of a line, of a method's name above its lines, and of the axis with the legend."""
WIDTH = 7.2
TALLEST = 400.0
"""Inches; a higher figure has more pixels than an image may at 150 an inch."""
ROOM = 0.2
"""Room left and right of the dots, in powers of ten."""
NARROW = 30
"""Range of the axis below which powers of ten are too few ticks."""

Panel = tuple[str, list[list[Row]]]
"""A method, and the rows of each model and length that have a figure of it."""


def has_dots(comparison: Comparison) -> bool:
    """Whether any cell has a figure to draw."""
    return bool(_panels(comparison))


def dots_figure(comparison: Comparison) -> Figure:
    """Draw a group of lines for each method, a line for each model and length, a dot for each framework.

    The axis is logarithmic: times the fast method's seconds, with a line at 1; where none was measured, seconds per 100
    sequences. The paper's dot is hollow, and joined to the others.

    Raises
    ------
    InvalidInputError
        No cell has a figure, or there are more lines than one figure can show.
    """
    panels = _panels(comparison)
    if not panels:
        raise InvalidInputError("no cell was measured, so there is nothing to draw")
    heights = [TITLE_INCHES + LINE_INCHES * len(groups) for _, groups in panels]
    if sum(heights) + AXIS_INCHES > TALLEST:
        raise InvalidInputError(
            f"{sum(len(groups) for _, groups in panels)} lines are more than one figure can show; "
            "keep them in several folders"
        )
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.03, hspace=0)
    figure = Figure(figsize=(WIDTH, sum(heights) + AXIS_INCHES), layout=layout)
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    series = list(dict.fromkeys(row.framework for row in comparison.rows))
    for axes, (method, groups) in zip(grid, panels, strict=True):
        _draw(axes, comparison, method, groups, series)
    _draw_axis(grid[-1], comparison, [value for panel in panels for value in _values(comparison, panel)])
    names = [_dot(0, framework_label(name), COLOURS, number, filled=True) for number, name in enumerate(series)]
    if any(row.paper for row in comparison.rows):
        names.append(_dot(0, "paper", (INK,), 0, filled=False))
    legend = figure.legend(handles=names, loc="outside upper right", ncols=len(names), frameon=False, fontsize=10)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _panels(comparison: Comparison) -> list[Panel]:
    shown = columns(comparison)
    found = []
    for method in shown.ratios or shown.seconds:
        groups = [list(rows) for _, rows in groupby(comparison.rows, key=lambda row: (row.architecture, row.length))]
        drawn = [rows for rows in groups if any(_value(comparison, row, method) is not None for row in rows)]
        if drawn:
            found.append((method, drawn))
    return found


def _draw(axes: Axes, comparison: Comparison, method: str, groups: Sequence[list[Row]], series: Sequence[str]) -> None:
    """Draw the lines of one method, the first one above."""
    for at, rows in enumerate(groups):
        dots = [(series.index(row.framework), _value(comparison, row, method)) for row in rows]
        measured = [(number, value) for number, value in dots if value is not None]
        published = _published(comparison, rows[0], method)
        every = [value for value in (*(value for _, value in measured), published) if value is not None]
        axes.plot([min(every), max(every)], [at, at], color="#BBBBBB", linewidth=1.4, zorder=1)
        for number, value in measured:
            aside = APART * (number - (len(series) - 1) / 2)
            axes.add_line(_dot(value, "", COLOURS, number, filled=True, at=at + aside))
        if published is not None:
            axes.add_line(_dot(published, "", (INK,), 0, filled=False, at=at))
    labels = [f"{architecture_label(rows[0].architecture)}, {rows[0].length}" for rows in groups]
    axes.set_yticks(range(len(groups)), labels, parse_math=False)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_title(comparison.labels[method], loc="left", fontsize=11, fontweight="bold", pad=3, parse_math=False)
    axes.grid(axis="x", which="major", color="#E2E2E2", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#BBBBBB")
    axes.tick_params(axis="both", length=0, labelsize=9.5)
    if columns(comparison).ratios:
        axes.axvline(1, color=INK, linewidth=1.1, zorder=0.9)


def _draw_axis(axes: Axes, comparison: Comparison, values: Sequence[float]) -> None:
    ends = [*values, *([1.0] if columns(comparison).ratios else [])]
    axes.set_xscale("log")
    axes.set_xlim(min(ends) / 10**ROOM, max(ends) * 10**ROOM)
    subs = (1.0, 2.0, 5.0) if max(ends) / min(ends) < NARROW else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    if not columns(comparison).ratios:
        axes.set_xlabel("seconds per 100 sequences", fontsize=10)
    else:
        name = comparison.labels[columns(comparison).seconds[0]]
        axes.set_xlabel(f"← faster      times the seconds of {name}      slower →", fontsize=10, parse_math=False)


def _dot(value: float, label: str, colours: Sequence[str], number: int, *, filled: bool, at: float = 0) -> Line2D:
    """Return one dot, which is hollow unless filled."""
    colour = colours[number % len(colours)]
    return Line2D(
        [value], [at], linestyle="none", marker=MARKERS[number % len(MARKERS)], markersize=MARKER_POINTS, label=label,
        markerfacecolor=colour if filled else "white", markeredgecolor="white" if filled else colour,
        markeredgewidth=0.6 if filled else 1.5, zorder=3 if filled else 2,
    )  # fmt: skip


def _values(comparison: Comparison, panel: Panel) -> Iterator[float]:
    method, groups = panel
    for rows in groups:
        found = [_value(comparison, row, method) for row in rows] + [_published(comparison, rows[0], method)]
        yield from (value for value in found if value)


def _value(comparison: Comparison, row: Row, method: str) -> float | None:
    cell = next(cell for cell in row.cells if cell.method == method)
    return _shown(comparison, cell)


def _shown(comparison: Comparison, cell: Cell) -> float | None:
    return cell.seconds if not columns(comparison).ratios else cell.ratio


def _published(comparison: Comparison, row: Row, method: str) -> float | None:
    if row.paper is None or method not in row.paper.seconds_per_100_sequences:
        return None
    if not columns(comparison).ratios:
        return row.paper.seconds_per_100_sequences[method]
    return row.paper.ratio_to_fastism(method)
