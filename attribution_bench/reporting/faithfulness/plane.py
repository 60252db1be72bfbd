"""The headline figure: what a method costs against how faithful it is."""

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from attribution_bench.evaluation.metrics import METRICS, Metric
from attribution_bench.evaluation.results import Evaluation, Interval, MethodEvaluation
from attribution_bench.reporting.faithfulness.placement import Labelled, place_labels
from attribution_bench.reporting.faithfulness.series import looks
from attribution_bench.reporting.faithfulness.standing import RECOVERY, headline, pareto_front, scored

DECADES = 0.35
"""Room left and right of the points, in powers of ten."""
ROOM = 0.14
"""Room above and below them, of their range."""
SHORT = 300
"""Range of seconds below which powers of ten are too few ticks."""
FRONT_COLOUR = "#777777"


def plane_figure(evaluation: Evaluation) -> Figure | None:
    """Draw methods by seconds per 100 sequences and faithfulness, a panel a metric; None when nothing was timed.

    The Pareto front is the line that no method lies above: at that speed or a faster one there is nothing better.
    """
    panels = [metric for metric in plane_metrics(evaluation) if _points(evaluation, metric)]
    if not panels:
        return None
    figure = Figure(figsize=(6.6 * len(panels), 4.8), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    drawn = [_draw(axes, evaluation, metric) for axes, metric in zip(grid, panels, strict=True)]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, (points, front) in zip(grid, drawn, strict=True):
        place_labels(figure, axes, points, front, _front_label(front))
    return figure


def plane_metrics(evaluation: Evaluation) -> list[Metric]:
    """Return the metric that stands for faithfulness, and that of the known sites where there are any."""
    chosen = [headline(evaluation)]
    if any(RECOVERY in method.means for method in evaluation.methods):
        chosen.append(METRICS[RECOVERY])
    return list(dict.fromkeys(metric for metric in chosen if metric is not None))


def _points(evaluation: Evaluation, metric: Metric) -> list[tuple[MethodEvaluation, float, Interval]]:
    return [
        (method, method.seconds_per_100_sequences, method.means[metric.name])
        for method in scored(evaluation)
        if method.seconds_per_100_sequences and metric.name in method.means
    ]


def _draw(axes: Axes, evaluation: Evaluation, metric: Metric) -> tuple[list[Labelled], list[tuple[float, float]]]:
    """Draw one panel; returns the labels to place, and the corners of the front."""
    points, look = _points(evaluation, metric), looks(evaluation)
    seconds = [taken for _, taken, _ in points]
    ends = [end for _, _, found in points for end in (found.mean, found.low, found.high)]
    room = ROOM * (max(ends) - min(ends) or 1.0)
    left, right = min(seconds) / 10**DECADES, max(seconds) * 10**DECADES
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(min(ends) - room, max(ends) + room)
    labels = []
    for method, taken, found in points:
        style = look[method.method]
        away = [[max(0.0, found.mean - found.low)], [max(0.0, found.high - found.mean)]]
        axes.errorbar(
            taken, found.mean, yerr=away, color=style.colour, marker=style.marker, markersize=8, capsize=3,
            elinewidth=1.4, linestyle="none", zorder=3,
        )  # fmt: skip
        labels.append(Labelled(taken, found.mean, found.low, found.high, evaluation.label(method.method), style.colour))
    front = _front(evaluation, metric, right)
    axes.plot(
        [x for x, _ in front], [y for _, y in front], color=FRONT_COLOUR, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1
    )
    if metric.better == "lower":
        axes.invert_yaxis()
    direction = "higher is better" if metric.better == "higher" else "lower is better, axis turned"
    compared = " with exact ISM" if metric.group == "agreement" else ""
    axes.set_ylabel(f"{metric.label}{compared} ({direction})", fontsize=10)
    axes.set_xlabel("seconds per 100 sequences (less is better)", fontsize=10)
    axes.grid(which="major", color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    if right / left < SHORT:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    return labels, front


def _front(evaluation: Evaluation, metric: Metric, right: float) -> list[tuple[float, float]]:
    """Return the corners of the Pareto front, from its fastest method to the right edge; none for a single method."""
    by_name = {method.method: (taken, found.mean) for method, taken, found in _points(evaluation, metric)}
    front = [by_name[name] for name in pareto_front(evaluation, metric) if name in by_name]
    if len(by_name) < 2 or not front:
        return []
    corners = [front[0]]
    for (_, before), (seconds, mean) in pairwise(front):
        corners += [(seconds, before), (seconds, mean)]
    return [*corners, (right, front[-1][1])]


def _front_label(front: list[tuple[float, float]]) -> Labelled | None:
    """Return a label at the middle of the longest horizontal part."""
    level = [(one, two) for one, two in pairwise(front) if one[1] == two[1]]
    if not level:
        return None
    (left, y), (right, _) = max(level, key=lambda ends: ends[1][0] / ends[0][0])
    return Labelled((left * right) ** 0.5, y, y, y, "best at its speed", FRONT_COLOUR)
