"""Sites below a logo: rows, labels and arrows."""

import numpy as np
import pytest
from matplotlib.patches import Polygon

from attribution_bench.reporting.logos import logo_figure
from attribution_bench.reporting.tracks import legend_of, place_sites, rows_of
from attribution_bench.sequences.sites import Site

NAMES = ("GATA1", "a rather long name of a motif", "x", "CTCF", "$p$ & q_1")


def _many(seed: int) -> list[Site]:
    generator = np.random.default_rng(seed)
    starts = generator.integers(0, 195, 25)
    return [
        Site(0, int(start), int(start + generator.integers(1, 25)), NAMES[number % 5], "+-."[number % 3])
        for number, start in enumerate(starts)
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [None, 7.0])
def test_nothing_overlaps_in_the_figure(seed: int, width: float | None) -> None:
    figure = logo_figure({"a": np.ones((4, 200))}, sites=_many(seed), width=width)
    figure.draw_without_rendering()
    track = figure.axes[-1]
    boxes = [(patch.get_window_extent(), 0) for patch in track.patches if isinstance(patch, Polygon)]
    texts = [(text.get_window_extent(), 1) for text in track.texts]
    room = track.get_window_extent()
    for box, _ in texts:
        assert room.x0 - 1 <= box.x0 <= box.x1 <= room.x1 + 1
    for kind in (boxes, texts):
        for index, (box, _) in enumerate(kind):
            assert not any(box.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98)) for other, _ in kind[index + 1 :])
    # A label stands in its own box, or on none.
    for text, _ in texts:
        on = [box for box, _ in boxes if box.overlaps(text.shrunk(0.98, 0.5))]
        assert len(on) <= 1
        assert all(box.x0 <= text.x0 and text.x1 <= box.x1 for box in on)


def test_sites_apart_share_a_row() -> None:
    placed = place_sites([Site(0, 10, 30, "A"), Site(0, 60, 80, "B"), Site(0, 15, 20, "C")], 0, 100, inches=10)
    assert [(one.label, one.row) for one in placed] == [("A", 0), ("B", 0), ("C", 1)]
    assert rows_of(placed) == 2
    assert rows_of(()) == 0


def test_the_part_beyond_the_window_is_cut_off() -> None:
    placed = place_sites(
        [Site(0, 0, 15, "before"), Site(0, 90, 120, "after"), Site(0, 100, 130, "out")], 10, 100, inches=9
    )
    assert [(one.label, one.left, one.right) for one in placed] == [("before", 9.5, 14.5), ("after", 89.5, 99.5)]


def test_labels_that_fit_nowhere_are_cut() -> None:
    (placed,) = place_sites([Site(0, 0, 20, "a name that takes more room than there is")], 0, 20, inches=1)
    assert placed.label.endswith("…")
    assert placed.left <= placed.label_left < placed.label_right <= placed.right
    (placed,) = place_sites([Site(0, 0, 20, "name")], 0, 20, inches=0.1)
    assert placed.label == ""


def test_arrows_point_along_the_strand() -> None:
    sites = [Site(0, 10, 20, "p", "+"), Site(0, 40, 50, "m", "-"), Site(0, 70, 80, "n", ".")]
    figure = logo_figure({"a": np.ones((4, 100))}, sites=sites)
    plus, minus, neither = (patch.get_xy() for patch in figure.axes[-1].patches if isinstance(patch, Polygon))
    assert plus[plus[:, 0] == 19.5][:, 1].tolist() == [0.0]
    assert minus[minus[:, 0] == 39.5][:, 1].tolist() == [0.0]
    assert len({tuple(corner) for corner in neither}) == 4


def test_the_colours_are_explained_where_there_are_two() -> None:
    assert legend_of(place_sites([Site(0, 1, 5, "up")], 0, 10, inches=5)) == []
    assert len(legend_of(place_sites([Site(0, 1, 5, "down", effect=-1)], 0, 10, inches=5))) == 2
