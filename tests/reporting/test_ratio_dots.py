"""The figure of dots: every ratio where it belongs, filled or hollow, and texts that keep clear of each other."""

from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.results import Record
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.comparison import compare
from attribution_bench.reporting.figures import render
from attribution_bench.reporting.ratio_dots import COLOURS, INK, MARKERS, dots_figure


def dots(figure: Figure, *, filled: bool) -> list[list[float]]:
    """Return the values of the dots of each panel."""
    return [
        [
            float(line.get_xdata()[0])
            for line in axes.lines
            if isinstance(line, Line2D)
            and line.get_marker() in MARKERS
            and (line.get_markerfacecolor() != "white") is filled
        ]
        for axes in figure.axes
    ]


def texts(figure: Figure) -> list[Text]:
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text()]
    # Axes keep tick labels beyond their limits, and those of axes above the last one, which are not drawn.
    hidden = [
        tick.label1
        for axes in figure.axes
        for tick in axes.xaxis.get_major_ticks()
        if axes is not figure.axes[-1] or not axes.get_xlim()[0] <= tick.get_loc() <= axes.get_xlim()[1]
    ]
    return [text for text in found if text not in hidden]


def test_every_ratio_is_a_dot_filled_here_and_hollow_in_the_paper(full_table: list[Record]) -> None:
    figure = dots_figure(compare(full_table))
    names = ["Standard ISM", "Gradient × Input", "Integrated Gradients", "DeepSHAP"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == names
    for method, measured, published in zip(
        paper.METHODS[1:], dots(figure, filled=True), dots(figure, filled=False), strict=True
    ):
        ratios = [row.ratio_to_fastism(method) for row in paper.TABLE_1]
        assert published == pytest.approx(ratios)
        # Both frameworks are at the paper's ratios; Keras has the two lines of Basset, without DeepSHAP.
        assert sorted(measured) == pytest.approx(sorted(ratios + ratios[: 0 if method == "deepshap" else 2]))
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert "times the seconds of fastISM" in figure.axes[-1].get_xlabel()
    low, high = figure.axes[0].get_xlim()
    assert low < 0.0094
    assert high > 153


def test_methods_and_lines_without_a_figure_are_left_out(mixed_row: list[Record]) -> None:
    figure = dots_figure(compare(mixed_row))
    assert dots(figure, filled=True) == [[150.0], [pytest.approx(0.04123 / 2)]]


def test_without_the_fast_method_the_dots_are_seconds(make_record: Callable[..., Record]) -> None:
    for records in (
        [make_record("deepshap", 3.0, architecture="mine"), make_record("zoom", 5.0, architecture="mine")],
        [make_record("fastism", 3.0, architecture="mine"), make_record("fastism", 5.0, architecture="yours")],
    ):
        figure = dots_figure(compare(records))
        assert sorted(value for panel in dots(figure, filled=True) for value in panel) == pytest.approx([3.0, 5.0])
        assert figure.axes[-1].get_xlabel() == "seconds per 100 sequences"
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["PyTorch"]


@pytest.mark.parametrize("rows", ["mixed_row", "full_table"])
def test_no_text_lies_on_another_or_outside(rows: str, request: pytest.FixtureRequest) -> None:
    figure = dots_figure(compare(request.getfixturevalue(rows)))
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    assert len(boxes) > 8
    assert [(a, b) for (a, first), (b, second) in combinations(boxes, 2) if first.overlaps(second)] == []
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0, text
        assert box.y1 <= figure.bbox.y1, text


def luminance(colour: str) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[place : place + 2], 16) / 255) for place in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [*COLOURS, INK])
def test_dots_have_the_contrast_of_graphics(colour: str) -> None:
    assert 1.05 / (luminance(colour) + 0.05) >= 3


def test_frameworks_differ_in_shape_too() -> None:
    assert len(set(MARKERS)) == len(MARKERS) == len(COLOURS)


def test_rendering_twice_gives_the_same_bytes(mixed_row: list[Record]) -> None:
    magic = {"png": b"\x89PNG", "svg": b"<?xml"}
    for kind, start in magic.items():
        first, second = (render(dots_figure(compare(mixed_row)), kind) for _ in range(2))
        assert first.startswith(start)
        assert first == second


def test_nothing_measured_is_no_figure(make_record: Callable[..., Record]) -> None:
    with pytest.raises(InvalidInputError, match="no cell was measured"):
        dots_figure(compare([make_record("fastism", None, status="failed", error="E: e")]))


def test_more_than_a_figure_can_show_is_refused(make_record: Callable[..., Record]) -> None:
    records = [make_record("deepshap", 1.0, architecture=f"model {number}") for number in range(2000)]
    with pytest.raises(InvalidInputError, match="2000 lines are more than one figure can show"):
        dots_figure(compare(records))
