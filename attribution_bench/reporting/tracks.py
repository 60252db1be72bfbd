"""A track of named sites below a logo: a box each, an arrow for the strand, and labels that do not overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch, Polygon
from matplotlib.textpath import text_to_path

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.labels import short

RAISES, LOWERS = "#B2182B", "#2166AC"
"""Colour of a site that raises the prediction and of one that lowers it; the hues of the heat map's two ends."""
ROW_INCHES = 0.2
LABEL_POINTS = 8
LABEL_GAP_POINTS, GAP_POINTS = 3, 10
"""Gaps between a box and the label beside it, and between neighbours in a row; the wider shows whose label it is."""
BOX_HEIGHT = 0.62
"""Height of a box as a share of its row."""
ARROW_INCHES = 0.07


class SiteLike(Protocol):
    """What the track shows of a site; `attribution_bench.sequences.sites.Site` is one."""

    @property
    def start(self) -> int:
        """First position, in the coordinates of the axis."""

    @property
    def stop(self) -> int:
        """Position after the last."""

    @property
    def name(self) -> str:
        """What stands there."""

    @property
    def strand(self) -> str:
        """``+``, ``-``, or ``.`` where it has none."""

    @property
    def effect(self) -> int:
        """1 where the site raises the prediction, -1 where it lowers it."""


@dataclass(frozen=True)
class PlacedSite:
    """Where a site and its label stand, in positions; the part of the site beyond the window is cut off."""

    site: SiteLike
    row: int
    left: float
    right: float
    label: str
    label_left: float
    label_right: float

    @property
    def extent(self) -> tuple[float, float]:
        """Ends of the box and its label together."""
        return min(self.left, self.label_left), max(self.right, self.label_right)


def place_sites(sites: Sequence[SiteLike], start: int, stop: int, *, inches: float) -> tuple[PlacedSite, ...]:
    """Lay sites out in as few rows as keep boxes and labels apart.

    A label stands in its box where it fits, else right of it, else left of it; one longer than the window is cut.

    Parameters
    ----------
    sites
        In the coordinates of the axis. Those beyond the window are left out.
    start, stop
        The window, 0-based and half-open.
    inches
        Width of the window; when the axes turn out wider, labels stand further apart.

    Raises
    ------
    InvalidInputError
        A site is empty.
    """
    for site in sites:
        if site.start >= site.stop:
            raise InvalidInputError(f"the site {site.name!r} ends at {site.stop}, where or before it starts")
    point = (stop - start) / (72 * inches)
    ends: list[float] = []
    placed = []
    for site in sorted(sites, key=lambda site: (site.start, site.stop, site.name)):
        if site.stop <= start or site.start >= stop:
            continue
        alone = _beside(site, start, stop, point)
        left, right = alone.extent
        row = next((row for row, end in enumerate(ends) if end + GAP_POINTS * point <= left), len(ends))
        ends[row : row + 1] = [right]
        placed.append(PlacedSite(site, row, alone.left, alone.right, alone.label, alone.label_left, alone.label_right))
    return tuple(sorted(placed, key=lambda one: (one.row, one.left)))


def rows_of(placed: Sequence[PlacedSite]) -> int:
    """Return how many rows the sites take."""
    return 1 + max((one.row for one in placed), default=-1)


def draw_sites(axes: Axes, placed: Sequence[PlacedSite], *, inches: float) -> None:
    """Draw sites into axes of their own whose limits along the positions are set, `inches` wide at least."""
    first, last = axes.get_xlim()
    arrow = ARROW_INCHES * (last - first) / inches
    for one in placed:
        axes.add_artist(_box(one, min(arrow, (one.right - one.left) / 2)))
        axes.text(
            (one.label_left + one.label_right) / 2, one.row, one.label, fontsize=LABEL_POINTS, ha="center",
            va="center_baseline", color="white" if _inside(one) else "black", parse_math=False,
        )  # fmt: skip
    axes.set_ylim(rows_of(placed) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines[["left", "top", "right"]].set_visible(False)


def legend_of(placed: Sequence[PlacedSite]) -> list[Patch]:
    """Return what explains the two colours; nothing where every site raises the prediction."""
    if all(one.site.effect > 0 for one in placed):
        return []
    return [Patch(color=RAISES, label="raises the prediction"), Patch(color=LOWERS, label="lowers it")]


def _beside(site: SiteLike, start: int, stop: int, point: float) -> PlacedSite:
    """Return a site in row 0 with its label at the best side; the label is cut, or left out, where it fits nowhere."""
    left, right = max(site.start, start) - 0.5, min(site.stop, stop) - 0.5
    label = site.name
    while label:
        width = _width(label) * point
        at = _label_left(left, right, width, (start - 0.5, stop - 0.5), point)
        if at is not None:
            return PlacedSite(site, 0, left, right, label, at, at + width)
        label = short(site.name, len(label) - 1) if len(label) > 2 else ""
    return PlacedSite(site, 0, left, right, "", left, left)


def _label_left(left: float, right: float, width: float, window: tuple[float, float], point: float) -> float | None:
    """Return where a label begins: in the box, right of it or left of it; None where it fits nowhere."""
    gap = LABEL_GAP_POINTS * point
    # An arrowhead takes room at one end, and a label in the middle needs as much at the other.
    if width + 2 * (72 * ARROW_INCHES + 1) * point <= right - left:
        return (left + right - width) / 2
    if right + gap + width <= window[1]:
        return right + gap
    if left - gap - width >= window[0]:
        return left - gap - width
    return None


def _inside(one: PlacedSite) -> bool:
    return one.left <= one.label_left and one.label_right <= one.right


def _width(text: str) -> float:
    """Return the width of a label in points."""
    return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=LABEL_POINTS), False)[0])


def _box(one: PlacedSite, arrow: float) -> Polygon:
    """Return a box that points along its strand."""
    low, high = one.row - BOX_HEIGHT / 2, one.row + BOX_HEIGHT / 2
    left, right = one.left, one.right
    if one.site.strand == "+":
        corners = [(left, low), (right - arrow, low), (right, one.row), (right - arrow, high), (left, high)]
    elif one.site.strand == "-":
        corners = [(right, low), (left + arrow, low), (left, one.row), (left + arrow, high), (right, high)]
    else:
        corners = [(left, low), (right, low), (right, high), (left, high)]
    return Polygon(corners, closed=True, facecolor=RAISES if one.site.effect > 0 else LOWERS, edgecolor="none")
