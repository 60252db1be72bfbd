"""Labels beside points, placed where they hide nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

DISTANCES = (9, 16, 26, 40, 58)
"""Points between a label and what it names."""
NEAR = 2
"""Points between a line and its label."""
DIRECTIONS = 16
LEADER = 16
"""Points from which a label is joined to its point by a line."""
MARKER = 6.0
"""Half the room that a marker takes, in points."""


@dataclass(frozen=True)
class Labelled:
    """A point, the ends of its error bar, and its label; in data coordinates."""

    x: float
    y: float
    low: float
    high: float
    text: str
    colour: str


def place_labels(
    figure: Figure,
    axes: Axes,
    points: Sequence[Labelled],
    line: Sequence[tuple[float, float]] = (),
    line_label: Labelled | None = None,
) -> None:
    """Write the label of each point where it meets no other label, marker, error bar or line.

    The layout must be final. A line of horizontal and vertical parts is kept free too, and may have a label of its own.
    """
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    pixels = figure.dpi / 72
    taken = [box for point in points for box in _boxes(axes, point, pixels)] + _line_boxes(axes, line)
    inside = axes.get_window_extent(renderer)
    for point in (*([] if line_label is None else [line_label]), *points):
        of_line = point is line_label
        text = axes.annotate(
            point.text, (point.x, point.y), xytext=(0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=8 if of_line else 9.5, color=point.colour, fontweight="normal" if of_line else "bold",
            style="italic" if of_line else "normal", parse_math=False,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip
        size = text.get_window_extent(renderer)
        x, y = axes.transData.transform((point.x, point.y))
        offset, box = min(
            ((offset, _moved(size, x, y, offset, pixels)) for offset in _offsets(size, pixels, nearer=of_line)),
            key=lambda candidate: _cost(candidate[1], taken, inside),
        )
        text.set_position(offset)
        taken.append(box)
        near = _nearest(box, x, y)
        if math.hypot(near[0] - x, near[1] - y) > LEADER * pixels and not of_line:
            end = ((near[0] - x) / pixels, (near[1] - y) / pixels)
            axes.annotate(
                "", (point.x, point.y), xytext=end, textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": point.colour, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 5},
            )  # fmt: skip


def _offsets(size: Bbox, pixels: float, *, nearer: bool) -> list[tuple[float, float]]:
    """Candidates in points, the nearest first; the label's own size is added to the distance."""
    width, height = size.width / pixels / 2, size.height / pixels / 2
    found = []
    first = math.pi / 2 if nearer else 0.0
    for distance in (NEAR, *DISTANCES) if nearer else DISTANCES:
        for step in range(DIRECTIONS):
            angle = first + 2 * math.pi * step / DIRECTIONS
            found.append(((distance + width) * math.cos(angle), (distance + height) * math.sin(angle)))
    return found


def _moved(size: Bbox, x: float, y: float, offset: tuple[float, float], pixels: float) -> Bbox:
    return Bbox.from_bounds(
        x + offset[0] * pixels - size.width / 2, y + offset[1] * pixels - size.height / 2, size.width, size.height
    )


def _boxes(axes: Axes, point: Labelled, pixels: float) -> list[Bbox]:
    half = MARKER * pixels
    (x, y), (_, low), (_, high) = (axes.transData.transform((point.x, at)) for at in (point.y, point.low, point.high))
    bottom, top = min(low, high), max(low, high)
    return [Bbox.from_bounds(x - half, y - half, 2 * half, 2 * half), Bbox([[x - 3, bottom], [x + 3, top]])]


def _line_boxes(axes: Axes, line: Sequence[tuple[float, float]]) -> list[Bbox]:
    corners = [axes.transData.transform(corner) for corner in line]
    found = []
    for (x0, y0), (x1, y1) in pairwise(corners):
        found.append(Bbox([[min(x0, x1) - 1, min(y0, y1) - 1], [max(x0, x1) + 1, max(y0, y1) + 1]]))
    return found


def _cost(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """Return the area that would be hidden, or lie outside; candidates of cost 0 are told apart by their order."""
    hidden = sum(_area(Bbox.intersection(box, other)) for other in taken)
    return hidden + 3 * (_area(box) - _area(Bbox.intersection(box, inside)))


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else float(abs(box.width * box.height))


def _nearest(box: Bbox, x: float, y: float) -> tuple[float, float]:
    """Return the place of a box that is nearest to a point."""
    return min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)
