"""Long sequences, narrow figures and few positions: lines, bars, dots, titles and captions."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import PathPatch, Rectangle

from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.figures import render
from attribution_bench.reporting.glyphs import outline
from attribution_bench.reporting.heat_maps import heat_map_figure
from attribution_bench.reporting.letter_colours import letter_colours
from attribution_bench.reporting.logomaker_letters import LogomakerLetters
from attribution_bench.reporting.logos import logo_figure
from attribution_bench.reporting.wrapped_text import wrapped
from attribution_bench.sequences.sites import Site

GENERATOR = np.random.default_rng(0)
SCORES = GENERATOR.normal(size=(4, 250))
PRESENT = np.arange(4)[:, None] == GENERATOR.integers(4, size=250)


def _letters(axes: Axes) -> list[PathPatch]:
    return [patch for patch in axes.patches if isinstance(patch, PathPatch)]


def _ranges(axes: Axes, *, fill: bool) -> list[tuple[float, float]]:
    """Return the ranges that are shaded, or framed."""
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_fill() is fill]
    return [(box.get_x(), box.get_x() + box.get_width()) for box in boxes]


def test_lines_follow_each_other_with_letters_of_one_size() -> None:
    panels = {"a": SCORES, "b": 3 * SCORES}
    figure = logo_figure(panels, wrap=100, start=1000, highlights=[(1090, 1110)], sites=[Site(0, 1095, 1105, "X", "+")])
    figure.draw_without_rendering()
    # Two lines have a track of the site below.
    lines = [figure.axes[:3], figure.axes[3:6], figure.axes[6:]]
    assert [len(rows) for rows in lines] == [3, 3, 2]
    for number, rows in enumerate(lines):
        first, last = 1000 + 100 * number, min(1100 + 100 * number, 1250)
        for axes in rows:
            assert axes.get_xlim() == (first - 0.5, first + 99.5)
        assert [axes.get_title(loc="left") for axes in rows[:2]] == ["a", "b"]
        whole = logo_figure({"b": 3 * SCORES}, start=1000).axes[0]
        mine = np.concatenate([np.asarray(patch.get_path().vertices) for patch in _letters(rows[1])])
        all_of_it = np.concatenate([np.asarray(patch.get_path().vertices) for patch in _letters(whole)])
        inside = (all_of_it[:, 0] > first - 0.5) & (all_of_it[:, 0] < last - 0.5)
        np.testing.assert_allclose(np.sort(mine, axis=0), np.sort(all_of_it[inside], axis=0))
    assert len({axes.get_ylim() for axes in (lines[0][0], lines[1][0], lines[2][0])}) == 1
    assert len({axes.get_ylim() for axes in (lines[0][1], lines[1][1], lines[2][1])}) == 1
    shaded = [_ranges(rows[0], fill=True) for rows in lines]
    assert shaded == [[(1089.5, 1099.5)], [(1099.5, 1109.5)], []]
    assert lines[2][0].lines[0].get_xydata().tolist() == [[1199.5, 0], [1249.5, 0]]
    assert [axes.get_xlabel() != "" for axes in figure.axes] == [False] * 7 + [True]


def test_a_single_title_stands_above_the_first_line_and_scales_are_shared_where_asked_for() -> None:
    figure = logo_figure({"only": SCORES}, wrap=100)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["only", "", ""]
    shared = logo_figure({"a": SCORES, "b": 3 * SCORES}, wrap=100, scale="shared")
    assert len({axes.get_ylim() for axes in shared.axes}) == 1


def test_a_silent_line_or_panel_does_not_widen_the_scale() -> None:
    quiet = np.where(np.arange(250) < 200, 1e-8, 0) * SCORES
    figure = logo_figure({"a": quiet, "silent": 0 * SCORES}, wrap=100, scale="shared")
    assert all(axes.get_ylim()[1] < 1e-6 for axes in figure.axes)


def test_maps_wrap_with_their_logos() -> None:
    figure = heat_map_figure({"a": SCORES}, PRESENT, wrap=100, highlights=[(95, 130)])
    maps = [axes for axes in figure.axes if axes.lines and axes.collections]
    assert [axes.get_xlim() for axes in maps] == [(-0.5, 99.5), (99.5, 199.5), (199.5, 299.5)]
    meshes = [next(artist for artist in axes.collections if isinstance(artist, QuadMesh)) for axes in maps]
    shown = np.concatenate([np.asarray(mesh.get_array()).reshape(4, -1) for mesh in meshes], axis=1)
    np.testing.assert_array_equal(shown, SCORES)
    assert {mesh.get_clim() for mesh in meshes} == {(-np.abs(SCORES).max(), np.abs(SCORES).max())}
    assert [_ranges(axes, fill=False) for axes in maps] == [[(94.5, 99.5)], [(99.5, 129.5)], []]


@pytest.mark.parametrize(("width", "inches"), [("one-column", 3.4), ("two-columns", 7.0), (5, 5)])
def test_widths_of_an_article(width: float | str, inches: float) -> None:
    figure = heat_map_figure({"a name": SCORES[:, :80]}, PRESENT[:, :80], width=width, heading="A heading " * 9)
    figure.draw_without_rendering()
    assert figure.get_figwidth() == inches
    box = figure.get_suptitle(), figure._suptitle.get_window_extent()
    assert "\n" in box[0]
    assert box[1].x0 >= 0
    assert box[1].x1 <= figure.dpi * inches


@pytest.mark.parametrize(("width", "bars", "dots"), [(24, False, True), (8, False, False), (4, True, False)])
def test_letters_below_three_pixels_are_bars_and_dots_below_six_are_left_out(
    width: float, bars: bool, dots: bool
) -> None:
    logo, below = heat_map_figure({"a": SCORES}, PRESENT, width=width).axes[:2]
    assert bool(below.lines) is dots
    heights = np.where(PRESENT, SCORES, 0)
    for row, (letter, patch) in enumerate(zip("ACGT", _letters(logo), strict=True)):
        assert to_hex(patch.get_facecolor()) == letter_colours("ACGT")[letter].lower()
        (there,) = np.nonzero(heights[row])
        corners = 5 if bars else len(outline(letter).vertices)
        parts = np.asarray(patch.get_path().vertices).reshape(len(there), corners, 2)
        low, high = parts.min(axis=1), parts.max(axis=1)
        np.testing.assert_allclose(low[:, 1], heights[row, there].clip(max=0), atol=1e-12)
        np.testing.assert_allclose(high[:, 1], heights[row, there].clip(min=0), atol=1e-12)
        if bars:
            # A bar is as wide as its position.
            np.testing.assert_allclose(low[:, 0], there - 0.5)
            np.testing.assert_allclose(high[:, 0], there + 0.5)


def test_bars_thinner_than_a_pixel_are_drawn_a_pixel_wide() -> None:
    scores = np.zeros((4, 4000))
    scores[1, 7] = 1
    (axes,) = logo_figure({"a": scores}, width=5).axes
    (bar,) = _letters(axes)
    assert np.ptp(np.asarray(bar.get_path().vertices)[:, 0]) > 5


def test_few_letters_are_not_stretched_over_the_width() -> None:
    figure = logo_figure({"a": SCORES[:, :1]}, start=100)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    left, right = axes.get_xlim()
    assert left == 99.5
    assert axes.get_window_extent().width / figure.dpi / (right - left) <= 0.65


def test_titles_and_captions_wrap_and_nothing_is_lost() -> None:
    words = "a title of many words that goes on and on for much longer than a figure is wide, and then some"
    figure = logo_figure({words: SCORES[:, :30]}, width=3.4, caption=words, heading=words + " x" * 80)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    title, caption = axes.get_title(loc="left"), figure.get_supxlabel()
    assert " ".join(title.split()) == " ".join(caption.split()) == words
    assert title.count("\n") >= 2
    for text in (axes._left_title, figure._supxlabel, figure._suptitle):
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        assert box.y1 <= figure.bbox.y1
    assert axes.get_window_extent().height > 0.8 * figure.dpi
    assert wrapped("x" * 100, 1, 10).count("\n") >= 5
    assert wrapped(" ", 1, 10) == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wrap": 0}, "at least 1 position, not 0"),
        ({"wrap": 1, "panels": 4}, "inches high"),
        ({"width": "three-columns"}, "unknown width 'three-columns'; give inches, or one of one-column, two-columns"),
    ],
)
def test_lines_and_widths_that_cannot_be_drawn(settings: dict[str, object], message: str) -> None:
    settings = dict(settings)
    panels = {str(number): SCORES for number in range(settings.pop("panels", 1))}
    with pytest.raises(InvalidInputError, match=message):
        logo_figure(panels, **settings)


def test_logomaker_draws_letters_in_its_schemes_and_styles() -> None:
    import logomaker.src.colors as schemes

    scores = np.diag([1.0, -2.0, 3.0, 0.5])
    own = logo_figure({"a": scores}, start=50, letters=LogomakerLetters()).axes[0]
    plain = logo_figure({"a": scores}, start=50).axes[0]
    assert own.get_xlim() == plain.get_xlim()
    assert own.get_ylim() == plain.get_ylim()
    assert _colours(own) == [to_rgb(colour) for colour in letter_colours("ACGT").values()]
    styled = logo_figure({"a": scores}, letters=LogomakerLetters("classic", {"fade_below": 0.5, "vpad": 0.1})).axes[0]
    classic = schemes.COLOR_SCHEME_DICT["classic"]
    assert _colours(styled) == [to_rgb(classic[letters]) for letters in ("A", "C", "G", "TU")]
    assert [patch.get_alpha() for patch in _by_position(styled)] == [1, 0.5, 1, 1]
    for wrong in (LogomakerLetters("no such scheme"), LogomakerLetters(None, {"alpha": 7.0})):
        with pytest.raises(InvalidInputError, match="logomaker cannot draw this"):
            logo_figure({"a": scores}, letters=wrong)
    with pytest.raises(InvalidInputError, match="unknown style of glyphs 'shadow'; choose one of font_name"):
        LogomakerLetters(None, {"shadow": 1})


def _by_position(axes: Axes) -> list[PathPatch]:
    return sorted(_letters(axes), key=lambda patch: patch.get_path().get_extents().x0)


def _colours(axes: Axes) -> list[tuple[float, float, float]]:
    return [to_rgb(patch.get_facecolor()) for patch in _by_position(axes)]


def test_an_svg_says_what_it_is_and_its_text_can_be_selected() -> None:
    from xml.etree import ElementTree

    figure = logo_figure({"DeepSHAP": SCORES[:, :20]}, heading="A & B")
    about = {"title": "A & <B>", "description": "highest\n 0.4 \x00at 3"}
    outlined, selectable = (render(figure, "svg", text=text, **about) for text in ("outlines", "text"))
    for drawn in (outlined, selectable):
        root = ElementTree.fromstring(drawn)
        found = [(child.tag.rpartition("}")[2], child.text) for child in root][:2]
        assert found == [("title", "A & <B>"), ("desc", "highest 0.4 at 3")]
        assert root.get("role") == "img"
    texts = {
        "".join(text.itertext()) for text in ElementTree.fromstring(selectable).iter("{http://www.w3.org/2000/svg}text")
    }
    assert {"DeepSHAP", "A & B", "score", "10"} <= texts
    assert b"<text" not in outlined
    assert render(figure, "svg").count(b"<title>") == 0
    assert b"A & <B>" in render(figure, "png", **about)
