"""Logos: the heights, order, sides and colours of the letters."""

import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.logos import NUCLEOTIDES, draw_logo, logo_figure


def _letters(figure: Figure, panel: int = 0) -> list[tuple[int, float, float, str]]:
    """(position, floor, ceiling, colour) of each letter drawn, from left to right."""
    found = []
    for patch in figure.axes[panel].patches:
        assert isinstance(patch, PathPatch)
        box = patch.get_path().get_extents()
        found.append((round((box.x0 + box.x1) / 2), box.y0, box.y1, to_hex(patch.get_facecolor()).upper()))
    return sorted(found)


def test_heights_of_a_stack_sum_to_the_scores() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 7))
    letters = _letters(logo_figure({"all letters": scores}, start=100))
    assert len(letters) == 28
    for column in range(7):
        here = [letter for letter in letters if letter[0] == 100 + column]
        above = sum(ceiling - floor for _, floor, ceiling, _ in here if floor >= -1e-9)
        below = sum(ceiling - floor for _, floor, ceiling, _ in here if ceiling <= 1e-9)
        assert above == pytest.approx(scores[:, column].clip(min=0).sum())
        assert below == pytest.approx(-scores[:, column].clip(max=0).sum())
        heights = {colour: ceiling - floor for _, floor, ceiling, colour in here}
        for letter, score in zip("ACGT", scores[:, column], strict=True):
            assert heights[NUCLEOTIDES[letter].upper()] == pytest.approx(abs(score))


def test_observed_scores_draw_one_letter_a_position() -> None:
    scores = np.zeros((4, 3))
    scores[0, 0], scores[2, 1], scores[3, 2] = 2.0, -1.0, 0.5
    letters = _letters(logo_figure({"observed": scores}))
    expected = [(0, 0.0, 2.0, "A"), (1, -1.0, 0.0, "G"), (2, 0.0, 0.5, "T")]
    for (position, floor, ceiling, colour), (at, low, high, letter) in zip(letters, expected, strict=True):
        assert (position, colour) == (at, NUCLEOTIDES[letter].upper())
        assert (floor, ceiling) == pytest.approx((low, high), abs=1e-12)


def test_panels_share_the_axis_of_positions_and_keep_their_scales() -> None:
    generator = np.random.default_rng(1)
    panels = {"one": generator.normal(size=(4, 20)), "two": 100 * generator.normal(size=(4, 20))}
    figure = logo_figure(panels, start=440, heading="heading")
    first, second = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["one", "two"]
    assert first.get_xlim() == second.get_xlim() == (439.5, 459.5)
    for axes, scores in zip(figure.axes, panels.values(), strict=True):
        low, high = axes.get_ylim()
        assert low < scores.clip(max=0).sum(axis=0).min()
        assert high > scores.clip(min=0).sum(axis=0).max()
    assert second.get_ylim()[1] > 20 * first.get_ylim()[1]
    figure.draw_without_rendering()
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    assert not titles[1].overlaps(first.get_window_extent())


def test_a_letter_is_wide_enough_to_read() -> None:
    figure = logo_figure({"observed": np.zeros((4, 150))})
    figure.draw_without_rendering()
    inches = figure.axes[0].get_window_extent().width / figure.dpi
    assert inches / 150 > 0.1


def test_scores_of_zero_draw_a_line_only() -> None:
    figure = logo_figure({"silent": np.zeros((4, 5))})
    assert _letters(figure) == []
    figure.draw_without_rendering()


def test_rna_and_proteins_have_letters_too() -> None:
    assert len(_letters(logo_figure({"rna": np.ones((4, 2))}, alphabet="ACGU"))) == 8
    assert len(_letters(logo_figure({"protein": np.ones((20, 2))}, alphabet="ACDEFGHIKLMNPQRSTVWY"))) == 40


def test_no_figure_is_registered_with_pyplot() -> None:
    logo_figure({"one": np.ones((4, 3))})
    figure = Figure()
    draw_logo(figure.subplots(), np.ones((4, 3)))
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({}, "no scores"),
        ({"a": np.ones((3, 5))}, r"'a' must be \(4, positions\), not shape \(3, 5\)"),
        ({"a": np.ones((4, 0))}, r"shape \(4, 0\)"),
        ({"a": np.ones(4)}, r"shape \(4,\)"),
        ({"a": np.full((4, 2), np.nan)}, "not all finite"),
        ({"a": np.ones((4, 2)), "b": np.ones((4, 3))}, r"\[2, 3\] wide"),
    ],
)
def test_scores_that_cannot_be_drawn_are_refused(panels: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        logo_figure(panels)
