"""Ticks of positions: whole numbers among those shown, each once, so that no two texts touch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from attribution_bench.reporting.position_axis import label_positions, tick_step, ticks_within, within


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.integers(1, 12))
def test_ticks_are_few_round_positions(start: int, positions: int, most: int) -> None:
    step = tick_step(positions, most)
    assert str(step).rstrip("0") in {"1", "2", "5"}
    ticks = ticks_within(start, start + positions, step)
    assert 1 <= len(ticks) <= most
    assert all(start <= tick < start + positions for tick in ticks)
    assert len(ticks) == 1 or all(tick % step == 0 for tick in ticks)
    smaller = next(s for s in (step // 2, step * 2 // 5) if str(s).rstrip("0") in {"1", "2", "5"} or s == 0)
    assert smaller == 0 or -(-positions // smaller) > most


@pytest.mark.parametrize(("start", "stop"), [(100, 101), (101, 103), (7, 8), (0, 1), (999, 1002)])
def test_a_position_is_written_once(start: int, stop: int) -> None:
    axes = Figure(figsize=(6, 2)).subplots()
    label_positions(axes, start, stop, chromosome=None, inches=5)
    axes.figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(p) for p in range(start, stop)]


@pytest.mark.parametrize(("start", "stop"), [(100, 103), (0, 2), (999, 1002)])
def test_positions_on_a_chromosome_are_1_based(start: int, stop: int) -> None:
    axes = Figure(figsize=(6, 2)).subplots()
    label_positions(axes, start, stop, chromosome="chr1", inches=5)
    axes.figure.draw_without_rendering()
    assert list(axes.get_xticks()) == list(range(start, stop))
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"{p + 1:,}" for p in range(start, stop)]


@pytest.mark.parametrize("inches", [2.4, 5.0, 6.0])
@pytest.mark.parametrize("chromosome", ["chr1", "NC_001416.1"])
def test_narrow_axes_on_a_chromosome_have_several_round_ticks(chromosome: str, inches: float) -> None:
    axes = Figure(figsize=(inches, 2)).subplots()
    label_positions(axes, 1_000_000, 1_000_060, chromosome=chromosome, inches=inches)
    axes.figure.draw_without_rendering()
    assert len(axes.get_xticks()) >= 2
    assert all((tick + 1) % 10 == 0 for tick in axes.get_xticks())


def test_parts_of_ranges() -> None:
    assert within([(0, 5), (3, 12), (20, 30)], 4, 10) == [(4, 5), (4, 10)]
