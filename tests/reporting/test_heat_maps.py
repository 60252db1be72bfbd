"""Heat maps below logos."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.heat_maps import heat_map_figure

SCORES = np.random.default_rng(0).normal(size=(4, 12))
PRESENT = np.arange(4)[:, None] == np.arange(12) % 4


def _mesh(axes: Axes) -> QuadMesh:
    (mesh,) = (artist for artist in axes.collections if isinstance(artist, QuadMesh))
    return mesh


def test_scores_are_coloured_around_zero_and_letters_there_are_dotted() -> None:
    figure = heat_map_figure({"a": SCORES}, PRESENT, start=100)
    below = figure.axes[1]
    mesh = _mesh(below)
    assert np.array_equal(np.asarray(mesh.get_array()).reshape(4, 12), SCORES)
    assert mesh.get_clim() == (-np.abs(SCORES).max(), np.abs(SCORES).max())
    dots = {tuple(dot) for dot in below.lines[0].get_xydata()}
    assert dots == {(100 + position, position % 4) for position in range(12)}
    assert [label.get_text() for label in below.get_yticklabels()] == list("ACGT")
    # Rows read downwards as the alphabet does.
    assert below.get_ylim() == (3.5, -0.5)


def test_the_logo_above_shows_only_letters_that_are_there() -> None:
    unknown = PRESENT.copy()
    unknown[:, 5] = False
    logo = heat_map_figure({"a": SCORES}, unknown).axes[0]
    assert sum(len(patch.get_path().vertices) > 0 for patch in logo.patches) == 4
    assert logo.get_ylim()[1] < 1.2 * np.abs(SCORES[unknown]).max()


def test_maps_stand_below_logos_over_the_same_positions() -> None:
    figure = heat_map_figure({"a": SCORES, "b": 3 * SCORES}, PRESENT, highlights=[(2, 5)])
    figure.draw_without_rendering()
    rows = figure.axes[:4]
    places = [axes.get_window_extent() for axes in rows]
    assert all(above.y0 >= below.y1 for above, below in pairwise(places))
    assert np.allclose([place.x0 for place in places], places[0].x0)
    assert np.allclose([place.x1 for place in places], places[0].x1)
    assert len({axes.get_xlim() for axes in rows}) == 1


def test_one_scale_for_all() -> None:
    figure = heat_map_figure({"a": SCORES, "b": 3 * SCORES}, PRESENT, scale="shared")
    assert _mesh(figure.axes[1]).get_clim() == _mesh(figure.axes[3]).get_clim()
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim()


def test_scores_of_zero_are_white() -> None:
    figure = heat_map_figure({"a": np.zeros((4, 12))}, PRESENT)
    assert _mesh(figure.axes[1]).get_clim() == (-1, 1)
    figure.draw_without_rendering()


def test_letters_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"must be \(4, 12\).*not shape \(4, 11\)"):
        heat_map_figure({"a": SCORES}, PRESENT[:, 1:])
