"""Rounds by hand: how far they spread, and when their median is believed."""

import math

import pytest

from attribution_bench.benchmark.rounds import agree, excess, slower_than_foretold, spread


@pytest.mark.parametrize(
    ("durations", "spreads", "above"),
    [
        ([2.0, 2.0, 2.0], 0.0, 0.0),
        ([1.0, 2.0, 4.0], 1.5, 1.0),
        ([4.0, 1.0, 1.0], 3.0, 0.0),
        ([1.0, 2.0], 2 / 3, 0.5),
        ([3.0], None, 0.0),
        ([0.0, 0.0, 5.0], None, 0.0),
        ([0.0, 1.0, 1.0], 1.0, math.inf),
    ],
)
def test_spread_and_excess(durations: list[float], spreads: float | None, above: float) -> None:
    assert spread(durations) == (None if spreads is None else pytest.approx(spreads))
    assert excess(durations) == pytest.approx(above)


def test_one_hiccup_is_believed_to_be_one_and_a_slow_median_is_not() -> None:
    assert agree([1.0, 5.7, 1.0], None)
    assert agree([1.0, 1.09, 5.7], 1.0)
    assert not agree([1.0, 1.11, 5.7], 1.0)
    assert not agree([1.0, 5.7, 5.7], 1.0)


def test_agreeing_rounds_are_held_against_the_sweep() -> None:
    assert not agree([5.7, 5.7, 5.7], 0.5)
    assert slower_than_foretold([5.7, 5.7, 5.7], 0.5)
    assert agree([5.7, 5.7, 5.7], None)
    assert agree([0.5, 0.5, 0.5], 5.7)
    assert not slower_than_foretold([0.5, 5.7, 0.5], 0.5)
