"""Bootstrap intervals: cases worked by hand, SciPy's bootstrap, theory, and ranges."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation import bootstrap
from attribution_bench.evaluation.bootstrap import mean_interval, paired_difference
from attribution_bench.evaluation.results import Interval

VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=12).map(np.array)


def test_one_value():
    assert mean_interval(np.array([3.0]), seed=0) == Interval(3, 3, 3)
    assert mean_interval(np.array([np.nan, 3.0, np.nan]), seed=0) == Interval(3, 3, 3)


def test_equal_values():
    assert mean_interval(np.full(5, 2.0), seed=0) == Interval(2, 2, 2)


def test_two_values_by_hand():
    # Two draws from (0, 1) give a mean of 0, 0.5 or 1 with chances 1/4, 1/2, 1/4: the quantiles at 0.025 and 0.975 are
    # 0 and 1, those at 0.3 and 0.7 (level 0.4) both 0.5.
    values = np.array([0.0, 1.0])
    assert mean_interval(values, seed=0) == Interval(0.5, 0, 1)
    assert mean_interval(values, seed=0, level=0.4) == Interval(0.5, 0.5, 0.5)


def test_many_values_follow_the_normal_distribution():
    # The mean of 400 values has a standard error of their deviation / 20; the interval is 1.96 of them to each side.
    values = np.random.default_rng(0).normal(5, 2, 400)
    interval = mean_interval(values, seed=1, resamples=20_000)
    error = values.std() / 20
    np.testing.assert_allclose(
        [interval.low, interval.high], values.mean() + np.array([-1.96, 1.96]) * error, rtol=2e-3
    )


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_same_as_scipy(level):
    values = np.random.default_rng(0).exponential(size=30)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=1000, confidence_level=level, method="percentile", rng=np.random.default_rng(7)
    ).confidence_interval
    found = mean_interval(values, seed=7, resamples=1000, level=level)
    np.testing.assert_allclose([found.mean, found.low, found.high], [values.mean(), theirs.low, theirs.high])


def test_paired_difference_same_as_scipy():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=25), generator.normal(size=25)
    theirs = scipy.stats.bootstrap(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        paired=True,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    found = paired_difference(a, b, seed=7, resamples=1000)
    np.testing.assert_allclose([found.mean, found.low, found.high], [(a - b).mean(), theirs.low, theirs.high])


def test_paired_difference_by_hand():
    # Both are defined for the first and the last: differences 1 and 1, whatever is drawn. Unpaired, the means of
    # (1, 11) and (0, 10) would overlap.
    values, others = np.array([1.0, np.nan, 5, 11]), np.array([0.0, 3, np.nan, 10])
    assert paired_difference(values, others, seed=0) == Interval(1, 1, 1)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_intervals_of_several_values_are_those_of_each(count, monkeypatch):
    rows = np.random.default_rng(4).normal(size=(count, 5))
    expected = [mean_interval(column, seed=9, resamples=500) for column in rows.T]
    for block in (bootstrap.BLOCK, 60):
        monkeypatch.setattr(bootstrap, "BLOCK", block)
        mean, low, high = bootstrap.mean_intervals(rows, seed=9, resamples=500)
        np.testing.assert_allclose(mean, [found.mean for found in expected], rtol=1e-12)
        np.testing.assert_allclose(low, [found.low for found in expected], rtol=1e-12)
        np.testing.assert_allclose(high, [found.high for found in expected], rtol=1e-12)


def test_blocks_give_the_same_interval(monkeypatch):
    values = np.random.default_rng(0).normal(size=9)
    whole = mean_interval(values, seed=3)
    monkeypatch.setattr(bootstrap, "BLOCK", 50)
    assert mean_interval(values, seed=3) == whole


@settings(deadline=None)
@given(VALUES, st.integers(0, 9), st.floats(0.05, 0.99))
def test_interval_is_ordered_within_the_values_and_repeats(values, seed, level):
    found = mean_interval(values, seed=seed, resamples=200, level=level)
    slack = 1e-9
    assert values.min() - slack <= found.low <= found.high <= values.max() + slack
    assert found.mean == pytest.approx(values.mean(), abs=1e-12)
    assert found == mean_interval(values, seed=seed, resamples=200, level=level)
    wider = mean_interval(values, seed=seed, resamples=200, level=0.995)
    assert wider.low <= found.low
    assert found.high <= wider.high


@settings(deadline=None)
@given(VALUES, st.floats(0.01, 100), st.floats(-10, 10))
def test_interval_moves_with_scale_and_offset(values, scale, offset):
    found = mean_interval(values, seed=1, resamples=100)
    moved = mean_interval(values * scale + offset, seed=1, resamples=100)
    expected = np.array([found.mean, found.low, found.high]) * scale + offset
    np.testing.assert_allclose([moved.mean, moved.low, moved.high], expected, atol=1e-8)


@settings(deadline=None)
@given(VALUES)
def test_undefined_values_do_not_count(values):
    with_gaps = np.concatenate([[np.nan], values, [np.nan]])
    assert mean_interval(with_gaps, seed=1, resamples=50) == mean_interval(values, seed=1, resamples=50)
    assert paired_difference(with_gaps, np.zeros(len(with_gaps)), seed=1, resamples=50) == mean_interval(
        values, seed=1, resamples=50
    )


def test_coverage():
    # Of 200 samples of 40, about 95% of the intervals hold the true mean of 0.
    samples = np.random.default_rng(0).normal(size=(200, 40))
    intervals = [mean_interval(sample, seed=number, resamples=400) for number, sample in enumerate(samples)]
    assert 0.90 <= np.mean([interval.low <= 0 <= interval.high for interval in intervals]) <= 0.98


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.array([]), {}, "no sequence"),
        (np.array([np.nan, np.nan]), {}, "no sequence"),
        (np.array([1, np.inf]), {}, "1 are infinite"),
        (np.ones((2, 2)), {}, "shape"),
        (np.array(["a"]), {}, "numbers"),
        (np.ones(2), {"resamples": 0}, "resamples"),
        (np.ones(2), {"level": 1.0}, "level"),
        (np.ones(2), {"level": 95}, "level"),
    ],
)
def test_what_does_not_fit_is_refused(values, options, message):
    with pytest.raises(InvalidInputError, match=message):
        mean_interval(values, seed=0, **options)


@pytest.mark.parametrize(
    ("values", "others", "message"),
    [
        (np.ones(2), np.ones(3), "one shape"),
        (np.array([1, np.nan]), np.array([np.nan, 1]), "no sequence"),
        (np.array([1, np.inf]), np.array([1, np.nan]), "infinite"),
        (np.array([1, np.inf]), np.array([1, np.inf]), "infinite"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(values, others, message):
    with pytest.raises(InvalidInputError, match=message):
        paired_difference(values, others, seed=0)
