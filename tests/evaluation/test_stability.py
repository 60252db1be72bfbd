"""Stability: cases worked by hand, NumPy's correlation matrix, and what must not change it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.stability import stability

RUNS = arrays(np.float64, (4, 2, 6), elements=st.integers(-9, 9))


def test_by_hand():
    # r of the first and second run 1, of the first and third -1, of the second and third -1: a mean of -1/3.
    runs = np.array([[[1.0, 2, 3]], [[10, 20, 30]], [[3, 2, 1]]])
    np.testing.assert_allclose(stability(runs), [-1 / 3])


def test_equal_runs():
    runs = np.repeat(np.array([[[1.0, 5, 2], [0, 1, 0]]]), 3, axis=0)
    np.testing.assert_allclose(stability(runs), [1, 1])


def test_a_run_of_equal_scores_is_undefined():
    runs = np.array([[[1.0, 2, 3], [1, 2, 4]], [[1, 2, 3], [7, 7, 7]], [[1, 2, 3], [1, 2, 4]]])
    np.testing.assert_array_equal(np.isnan(stability(runs)), [False, True])


@given(RUNS)
def test_same_as_numpy(runs):
    found = stability(runs)
    for row in range(2):
        if (np.ptp(runs[:, row], axis=1) > 0).all():
            correlations = np.corrcoef(runs[:, row])[np.triu_indices(4, 1)]
            np.testing.assert_allclose(found[row], correlations.mean(), atol=1e-12)
        else:
            assert np.isnan(found[row])


@given(RUNS, st.permutations(range(4)), st.permutations(range(6)), st.floats(0.01, 100))
def test_order_and_scale_do_not_matter(runs, run_order, position_order, scale):
    found = stability(runs)
    scaled = np.concatenate([runs[:1] * scale, runs[1:]])
    for other in (runs[run_order], runs[:, :, position_order], scaled):
        np.testing.assert_allclose(stability(other), found, atol=1e-12)
    assert (np.isnan(found) | ((found >= -1 / 3 - 1e-12) & (found <= 1))).all()


@pytest.mark.parametrize("runs", [np.zeros((1, 2, 3)), np.zeros((2, 3)), np.full((2, 1, 2), np.nan)])
def test_what_does_not_fit_is_refused(runs):
    with pytest.raises(InvalidInputError):
        stability(runs)
