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


def test_parts_of_ranges() -> None:
    assert within([(0, 5), (3, 12), (20, 30)], 4, 10) == [(4, 5), (4, 10)]
