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


CHANGES = SCORES - np.where(PRESENT, SCORES, 0).sum(axis=0)
"""Scores by the convention ``delta``: exactly zero at the letters that are there."""


def _heights(axes: Axes) -> list[float]:
    """Return the ends away from zero of the letters, in no order."""
    ends = []
    for patch in axes.patches:
        vertices = np.asarray(patch.get_path().vertices)
        for position in np.unique(np.round(vertices[:, 0])):
            own = vertices[np.round(vertices[:, 0]) == position, 1]
            ends.append(float(own[np.abs(own).argmax()]))
    return sorted(ends)


@pytest.mark.parametrize(("convention", "sign"), [("delta", -1), ("l2", 1), ("max-abs", 1)])
def test_letters_that_score_zero_by_definition_stand_as_high_as_the_others_change(convention: str, sign: int) -> None:
    scores = CHANGES if convention == "delta" else np.abs(CHANGES)
    figure = heat_map_figure({"a": scores}, PRESENT, convention=convention)
    expected = sorted(sign * column[~there].mean() for column, there in zip(scores.T, PRESENT.T, strict=True))
    assert _heights(figure.axes[0]) == pytest.approx(expected)
    assert figure.axes[0].get_ylabel() == "score"
    # Sizes have no sign, and no colours of raising and lowering.
    low, _ = _mesh(figure.axes[1]).get_clim()
    assert (low == 0) is (convention != "delta")
    assert _mesh(figure.axes[1]).get_cmap().name == ("RdBu_r" if convention == "delta" else "Greys")


def test_changes_that_are_not_said_to_be_such_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"'b' are zero at every letter that is there.*convention='delta'"):
        heat_map_figure({"a": SCORES, "b": CHANGES}, PRESENT)
    heat_map_figure({"a": SCORES, "b": CHANGES}, PRESENT, convention={"b": "delta"})
    heat_map_figure({"a": 0 * SCORES}, PRESENT)


@pytest.mark.parametrize(
    ("convention", "factor", "label"),
    [
        (None, 1, "score"),
        ("centred", 1e-8, "score (×10⁻⁸)"),
        ("delta", 1, "change of the prediction"),
        ("delta", 1e6, "change of the prediction (×10⁶)"),
    ],
)
def test_colour_bars_say_what_colours_are(convention: str | None, factor: float, label: str) -> None:
    scores = factor * (CHANGES if convention == "delta" else SCORES)
    figure = heat_map_figure({"a": scores}, PRESENT, convention=convention)
    figure.draw_without_rendering()
    bar = figure.axes[2]
    assert " ".join(bar.get_ylabel().split()) == label
    texts = [text.get_text() for text in bar.get_yticklabels()]
    assert "0" in {text.rstrip("0").rstrip(".") or "0" for text in texts}
    assert len(set(texts)) == len(texts)
