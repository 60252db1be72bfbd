"""Logos: the heights, order, sides and colours of the letters."""

import sys
from collections.abc import Mapping

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Polygon, Rectangle
from matplotlib.path import Path

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.glyphs import outline
from attribution_bench.reporting.letter_colours import NUCLEOTIDES
from attribution_bench.reporting.logos import logo_figure, stack
from attribution_bench.sequences.alphabet import DNA, PROTEIN, RNA
from attribution_bench.sequences.sites import Site

Box = tuple[float, float, float, float]


def _boxes(axes: Axes, colours: Mapping[str, str] = NUCLEOTIDES) -> dict[tuple[int, str], Box]:
    """(position, letter) -> left, right, floor and ceiling of each letter drawn; letters are known by their colours."""
    found: dict[tuple[int, str], Box] = {}
    of_colour = {to_hex(colour): letter for letter, colour in colours.items() if letter != "U"}
    for patch in axes.patches:
        if not isinstance(patch, PathPatch):
            continue
        letter = of_colour[to_hex(patch.get_facecolor())]
        codes, vertices = outline(letter).codes, patch.get_path().vertices
        for part in np.split(np.asarray(vertices), len(vertices) // len(codes)):
            box = Path(part, codes).get_extents()
            found[round((box.x0 + box.x1) / 2), letter] = (box.x0, box.x1, box.y0, box.y1)
    return found


def _of_logomaker(scores: np.ndarray, alphabet: str, start: int) -> dict[tuple[int, str], Box]:
    import logomaker
    import pandas as pd

    frame = pd.DataFrame(scores.T, index=np.arange(start, start + scores.shape[1]), columns=list(alphabet))
    logo = logomaker.Logo(frame, ax=Figure().subplots(), font_weight="bold", color_scheme="gray")
    found: dict[tuple[int, str], Box] = {}
    for glyph in logo.glyph_list:
        if glyph.patch is not None:
            box = glyph.patch.get_path().get_extents()
            found[glyph.p, glyph.c] = (box.x0, box.x1, glyph.floor, glyph.ceiling)
    return found


@pytest.mark.parametrize("alphabet", [DNA.letters, PROTEIN.letters])
@pytest.mark.parametrize("seed", range(3))
def test_letters_stand_where_logomaker_puts_them(alphabet: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(len(alphabet), 9)) * (generator.random((len(alphabet), 9)) > 0.3)
    # Colours tell which letter is which.
    colours = {letter: f"#{index:02x}0000" for index, letter in enumerate(alphabet, 1)}
    (axes,) = logo_figure({"scores": scores}, alphabet=alphabet, start=57, colours=colours).axes
    mine, theirs = _boxes(axes, colours), _of_logomaker(scores, alphabet, 57)
    assert mine.keys() == theirs.keys()
    for key, box in mine.items():
        assert box == pytest.approx(theirs[key], abs=1e-6), key


def test_equal_scores_fill_the_places_that_logomaker_gives_them() -> None:
    scores = np.array([[1.0, -1, 2, 0], [1, -1, 1, 0], [1, -0.5, 2, 1], [-1, -1, -2, 1]])
    (axes,) = logo_figure({"scores": scores}).axes

    def places(boxes: dict[tuple[int, str], Box]) -> list[tuple[float, ...]]:
        return sorted((position, *np.round(box[2:], 6)) for (position, _), box in boxes.items())

    assert places(_boxes(axes)) == places(_of_logomaker(scores, "ACGT", 0))
    assert _boxes(axes).keys() == _of_logomaker(scores, "ACGT", 0).keys()


def test_letters_below_zero_hang_head_down_as_those_of_logomaker() -> None:
    import logomaker
    import pandas as pd

    scores = np.zeros((4, 2))
    scores[0, 0], scores[2, 1] = -1.5, -0.5
    (axes,) = logo_figure({"scores": scores}).axes
    logo = logomaker.Logo(pd.DataFrame(scores.T, columns=list("ACGT")), ax=Figure().subplots(), font_weight="bold")
    for patch, glyph in zip(axes.patches, (logo.glyph_df.loc[0, "A"], logo.glyph_df.loc[1, "G"]), strict=True):
        path, theirs = patch.get_path(), glyph.patch.get_path()
        drawn = path.codes != Path.CLOSEPOLY
        assert path.codes.tolist() == theirs.codes.tolist()
        assert np.allclose(path.vertices[drawn], theirs.vertices[drawn], atol=1e-6)


def test_a_stack_is_summed_from_zero_outwards() -> None:
    floors, ceilings = stack(np.array([[0.1], [0.3], [-0.2], [-0.7]]))
    assert floors[:, 0].tolist() == pytest.approx([0, 0.1, -0.2, -0.9])
    assert ceilings[:, 0].tolist() == pytest.approx([0.1, 0.4, 0, -0.2])
    assert floors[0, 0] == 0.0
    assert ceilings[2, 0] == 0.0


def test_a_letter_is_one_artist_however_long_the_logo() -> None:
    figure = logo_figure({"all": np.ones((4, 300))})
    assert len(figure.axes[0].patches) == 4


def test_observed_scores_draw_one_letter_a_position() -> None:
    scores = np.zeros((4, 3))
    scores[0, 0], scores[2, 1], scores[3, 2] = 2.0, -1.0, 0.5
    boxes = _boxes(logo_figure({"observed": scores}).axes[0])
    assert {key: box[2:] for key, box in boxes.items()} == {
        (0, "A"): pytest.approx((0, 2)),
        (1, "G"): pytest.approx((-1, 0)),
        (2, "T"): pytest.approx((0, 0.5)),
    }


def test_letters_lie_within_the_axes() -> None:
    scores = np.random.default_rng(5).normal(size=(4, 30))
    axes = logo_figure({"one": scores}, start=12).axes[0]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for box in _boxes(axes).values():
        assert left < box[0] < box[1] < right
        assert low < box[2] < box[3] < high


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
    titles = [axes._left_title.get_window_extent() for axes in figure.axes]
    assert not titles[1].overlaps(first.get_window_extent())


def test_one_scale_for_all_panels() -> None:
    panels = {"small": np.full((4, 5), -0.1), "large": np.full((4, 5), 3.0)}
    small, large = logo_figure(panels, scale="shared").axes
    assert small.get_ylim() == large.get_ylim()
    assert small.get_ylim()[0] < -0.4
    assert small.get_ylim()[1] > 12


def test_a_letter_is_wide_enough_to_read() -> None:
    figure = logo_figure({"observed": np.zeros((4, 150))})
    figure.draw_without_rendering()
    inches = figure.axes[0].get_window_extent().width / figure.dpi
    assert inches / 150 > 0.1


def test_the_width_of_a_page() -> None:
    assert logo_figure({"observed": np.zeros((4, 150))}, width=7).get_figwidth() == 7


def test_scores_of_zero_draw_a_line_only() -> None:
    figure = logo_figure({"silent": np.zeros((4, 5))})
    assert _boxes(figure.axes[0]) == {}
    figure.draw_without_rendering()


@pytest.mark.parametrize("alphabet", [RNA.letters, PROTEIN.letters, "ACGTmh"])
def test_other_alphabets_have_letters_too(alphabet: str) -> None:
    figure = logo_figure({"all": np.ones((len(alphabet), 2))}, alphabet=alphabet)
    assert len(figure.axes[0].patches) == len(alphabet)


def test_genome_coordinates_highlights_and_sites() -> None:
    sites = [Site(0, 1_000_010, 1_000_018, "GATA1", "+"), Site(0, 1_000_014, 1_000_030, "TAL1", "-", -1)]
    figure = logo_figure(
        {"a": np.ones((4, 200)), "b": np.ones((4, 200))},
        start=1_000_000,
        chromosome="chr1",
        sites=sites,
        highlights=[(1_000_005, 1_000_025), (1_000_100, 1_000_101)],
    )
    figure.draw_without_rendering()
    first, second, track = figure.axes
    ticks = zip(track.get_xticks(), track.get_xticklabels(), strict=True)
    assert {round(at): label.get_text() for at, label in ticks}[1_000_119] == "1,000,120"
    assert track.get_xlabel() == "position on chr1 (1-based)"
    for axes in (first, second):
        shaded = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert [(box.get_x(), box.get_x() + box.get_width()) for box in shaded] == [
            (1_000_004.5, 1_000_024.5),
            (1_000_099.5, 1_000_100.5),
        ]
        letters = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
        assert max(box.get_zorder() for box in shaded) < min(letter.get_zorder() for letter in letters)
    assert [text.get_text() for text in track.texts] == ["GATA1", "TAL1"]
    assert len([patch for patch in track.patches if isinstance(patch, Polygon)]) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["raises the prediction", "lowers it"]


def test_positions_of_a_sequence_are_plain() -> None:
    figure = logo_figure({"a": np.ones((4, 60))}, start=12_000)
    figure.draw_without_rendering()
    assert "12010" in [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_titles_are_no_formulae() -> None:
    logo_figure({"a $x$ and $_": np.ones((4, 6))}, heading="$\\nonsense$").draw_without_rendering()


def test_no_figure_is_registered_with_pyplot() -> None:
    logo_figure({"one": np.ones((4, 3))})
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
        ({"a": np.full((4, 2), 1j)}, "'a' must be real numbers, not complex128"),
        ({"a": np.full((4, 2), "x")}, "'a' must be real numbers, not <U1"),
        ({"a": np.zeros((4, 100_001))}, "100,000 positions, not 100,001"),
        ({"a": np.ones((4, 2)), "b": np.ones((4, 3))}, r"\[2, 3\] wide"),
    ],
)
def test_scores_that_cannot_be_drawn_are_refused(panels: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        logo_figure(panels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": "log"}, "unknown scale 'log'"),
        ({"highlights": [(5, 21)]}, "5:21 is not within the positions 0:20"),
        ({"highlights": [(5, 5)]}, "5:5"),
        ({"sites": [Site(0, 5, 5, "nothing")]}, "'nothing' ends at 5"),
        ({"width": 1000}, "not 1000"),
        ({"width": float("nan")}, "not nan"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        logo_figure({"a": np.ones((4, 20))}, **settings)
