"""The figure of seconds: its panels and bars, and texts that keep clear of each other."""

from collections.abc import Callable
from itertools import combinations

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from attribution_bench.benchmark.results import Record
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.comparison import compare
from attribution_bench.reporting.figures import COLOURS, PAPER_COLOUR, render, seconds_figure


def _bars(figure: Figure) -> list[Rectangle]:
    return [patch for axes in figure.axes for patch in axes.patches if isinstance(patch, Rectangle)]


def _texts(figure: Figure) -> list[Text]:
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text()]
    # Axes keep tick labels beyond their limits, which are not drawn.
    hidden = [
        tick.label1
        for axes in figure.axes
        for tick in axes.xaxis.get_major_ticks()
        if not axes.get_xlim()[0] <= tick.get_loc() <= axes.get_xlim()[1]
    ]
    return [text for text in found if text not in hidden]


def test_a_panel_a_row_and_a_bar_a_figure(full_table: list[Record]) -> None:
    figure = seconds_figure(compare(full_table))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        *("Basset, 1000 letters", "Basset, 2000 letters"),
        *("Factorized Basset, 1000 letters", "Factorized Basset, 2000 letters"),
        *("BPNet (profile and count), 1000 letters", "BPNet (profile and count), 2000 letters"),
    ]
    # PyTorch 5 and the paper 5 a panel, Keras 4 in two panels.
    assert [len(axes.patches) for axes in figure.axes] == [14, 14, 10, 10, 10, 10]
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}


def test_bars_end_at_the_seconds_and_scaled_ones_are_hatched(mixed_row: list[Record]) -> None:
    figure = seconds_figure(compare(mixed_row))
    bars = _bars(figure)
    assert sorted(bar.get_width() for bar in bars) == pytest.approx(
        sorted([2, 300, 0.04123, 2.7, 27.36, 0.04, 2.34, 1.75])
    )
    assert [bar.get_width() for bar in bars if bar.get_hatch()] == [300]
    assert {text.get_text() for text in _texts(figure)} >= {"failed", "not supported", "2.00", "27.36"}
    low, high = figure.axes[0].get_xlim()
    assert low < 0.04
    assert high > 300


def test_legend_names_what_is_there_only(mixed_row: list[Record], make_record: Callable[..., Record]) -> None:
    def names(records: list[Record]) -> list[str]:
        return [text.get_text() for text in seconds_figure(compare(records)).legends[0].get_texts()]

    assert names(mixed_row) == ["PyTorch", "paper", "scaled up from a part of the work"]
    assert names([make_record("fastism", 1.0, architecture="mine", framework="keras")]) == ["Keras"]


@pytest.mark.parametrize("rows", ["mixed_row", "full_table"])
def test_no_text_lies_on_another_or_outside(rows: str, request: pytest.FixtureRequest) -> None:
    figure = seconds_figure(compare(request.getfixturevalue(rows)))
    figure.draw_without_rendering()
    texts = _texts(figure)
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    assert len(boxes) > 15
    clashes = [(a, b) for (a, first), (b, second) in combinations(boxes, 2) if first.overlaps(second)]
    assert clashes == []
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0, text
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_frameworks_and_paper_differ_in_lightness_too() -> None:
    # Two frameworks and the paper are what a figure shows; without colour they stay apart by their lightness.
    shades = [_luminance(colour) for colour in (*COLOURS[:2], PAPER_COLOUR)]
    assert min(abs(a - b) for a, b in combinations(shades, 2)) > 0.1


def test_rendering_twice_gives_the_same_bytes(mixed_row: list[Record]) -> None:
    magic = {"png": b"\x89PNG", "svg": b"<?xml"}
    for kind, start in magic.items():
        first, second = (render(seconds_figure(compare(mixed_row)), kind) for _ in range(2))
        assert first.startswith(start)
        assert first == second


def test_nothing_measured_is_no_figure(make_record: Callable[..., Record]) -> None:
    with pytest.raises(InvalidInputError, match="no cell was measured"):
        seconds_figure(compare([make_record("fastism", None, status="failed", error="E: e")]))
