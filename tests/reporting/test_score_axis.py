"""Ticks of scores: round, each once, with their common power of ten in the label."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from attribution_bench.reporting.score_axis import label_scores, tick_texts, ticks_between, with_power


@pytest.mark.parametrize(
    ("ticks", "texts", "power"),
    [
        ([0, 2e-8, 4e-8], ["0", "2", "4"], -8),
        ([-2.5e-8, 0, 2.5e-8], ["−2.5", "0.0", "2.5"], -8),
        ([0, 0.25, 0.5], ["0.00", "0.25", "0.50"], 0),
        ([0, 5000], ["0", "5000"], 0),
        ([0, 50000], ["0", "5"], 4),
        ([1e-3, 2e-3], ["0.001", "0.002"], 0),
        ([0], ["0"], 0),
        ([-1e300, 0, 1e300], ["−1", "0", "1"], 300),
        ([0, 5e-320], ["0", "5"], -320),
    ],
)
def test_texts_and_their_common_factor(ticks: list[float], texts: list[str], power: int) -> None:
    assert tick_texts(ticks) == (texts, power)


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e6), st.integers(-30, 30))
def test_texts_are_the_numbers_and_none_is_repeated(low: float, width: float, exponent: int) -> None:
    low, high = (min(0.0, low) * 10.0**exponent, (max(0.0, low) + width) * 10.0**exponent)
    ticks = ticks_between(low, high)
    texts, power = tick_texts(ticks)
    assert 1 <= len(texts) <= 7
    assert len(set(texts)) == len(texts)
    read = np.array([float(text.replace("−", "-")) for text in texts]) * 10.0**power
    np.testing.assert_allclose(read, ticks, rtol=1e-4, atol=1e-6 * (high - low))


def test_the_factor_stands_in_the_label() -> None:
    assert with_power("score", 0) == "score"
    assert with_power("score", -12) == "score (×10⁻¹²)"
    axes = Figure().subplots()
    axes.set_ylim(-1e-8, 3e-8)
    label_scores(axes, "score")
    axes.figure.draw_without_rendering()
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert texts == ["−1", "0", "1", "2", "3"]
    assert axes.get_ylabel() == "score (×10⁻⁸)"
    assert axes.get_ylim() == (-1e-8, 3e-8)
