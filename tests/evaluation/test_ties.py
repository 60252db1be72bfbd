"""Scores equal but for rounding, by hand."""

import numpy as np
import pytest

from attribution_bench.evaluation.ties import constant, settled


@pytest.mark.parametrize(
    ("row", "noise", "same"),
    [
        ([0.0, 0, 0], 0.0, True),
        ([3.0, 3, 3], 0.0, True),
        ([3.0, 3 + 2e-6, 3], 0.0, True),
        ([3.0, 3 + 4e-6, 3], 0.0, False),
        ([1e-9, -1e-9, 0], 0.0, False),  # tiny, but nothing says that it is noise
        ([1e-9, -1e-9, 0], 1e-9, True),
        ([1e-9, -2e-9, 0], 1e-9, False),
    ],
)
def test_constant(row, noise, same):
    assert constant(np.array([row]), noise).tolist() == [same]


def test_noise_becomes_zero_and_nearly_equal_rows_equal_each_by_its_own():
    scores = np.array([[1e-8, -2e-8, 0.5, -0.25], [1e-8, -2e-8, 3e-8, 0], [7, 7 + 1e-7, 7, 7 - 1e-7]])
    found = settled(scores, np.array([1e-7, 1e-9, 0.0]))
    np.testing.assert_array_equal(found[0], [0, 0, 0.5, -0.25])
    np.testing.assert_array_equal(found[1], scores[1])
    assert len(set(found[2].tolist())) == 1
    assert found[2, 0] == pytest.approx(7)


def test_what_is_a_millionth_of_the_largest_is_noise_whatever_the_unit():
    for unit in (1e-30, 1.0, 1e30):
        found = settled(unit * np.array([[1.0, 2e-6, 5e-7, -5e-7]]))
        np.testing.assert_array_equal(found, unit * np.array([[1.0, 2e-6, 0, 0]]))
