"""ISM score conventions against cases worked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attribution_bench.conventions import CONVENTIONS, check_convention, ism_scores
from attribution_bench.errors import InvalidInputError

# One sequence, two positions: C is there, then an unknown letter. Reference prediction 1.
ONE_HOT = np.array([[[0, 0], [1, 0], [0, 0], [0, 0]]])
PREDICTIONS = np.array([[[4.0, 3.0], [1.0, 1.0], [2.0, 5.0], [-3.0, -1.0]]])
REFERENCE = np.array([1.0])
EXPECTED = {
    "delta": [[3, 2], [0, 0], [1, 4], [-4, -2]],
    "centred": [[3, 1], [0, -1], [1, 3], [-4, -3]],
    "centred-alternatives": [[3, 1], [0, -1], [1, 3], [-4, -3]],
    "max-abs": [[3, 2], [0, 0], [1, 4], [4, 2]],
    "l2": [[3, 2], [0, 0], [1, 4], [4, 2]],
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_one_output_by_hand(convention):
    scores = ism_scores(PREDICTIONS, REFERENCE, ONE_HOT, convention)
    np.testing.assert_allclose(scores, np.array([EXPECTED[convention]]))


def test_means_differ_by_four_thirds():
    predictions = np.array([[[4.0], [1.0], [5.0], [0.0]]])
    one_hot = np.array([[[0], [1], [0], [0]]])
    centred = ism_scores(predictions, REFERENCE, one_hot, "centred")
    alternatives = ism_scores(predictions, REFERENCE, one_hot, "centred-alternatives")
    np.testing.assert_allclose(centred[0, :, 0], [1.5, -1.5, 2.5, -2.5])
    np.testing.assert_allclose(alternatives[0, :, 0], [1, -2, 2, -3])
    assert alternatives[0, 1, 0] / centred[0, 1, 0] == pytest.approx(4 / 3)


def test_several_outputs_by_hand():
    predictions = np.array([[[[4.0, -4.0]], [[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 12.0]]]])
    reference, one_hot = np.array([[1.0, 0.0]]), np.array([[[0], [1], [0], [0]]])
    largest = ism_scores(predictions, reference, one_hot, "max-abs")
    norm = ism_scores(predictions, reference, one_hot, "l2")
    np.testing.assert_allclose(largest, [[[4], [0], [0], [12]]])
    np.testing.assert_allclose(norm, [[[5], [0], [0], [12]]])
    centred = ism_scores(predictions, reference, one_hot, "centred")
    np.testing.assert_allclose(centred[0, :, 0], [[2.25, -6], [-0.75, -2], [-0.75, -2], [-0.75, 10]])


@settings(deadline=None)
@given(
    predictions=arrays(np.float64, (2, 4, 3, 2), elements=st.integers(-1000, 1000)),
    reference=arrays(np.float64, (2, 2), elements=st.integers(-1000, 1000)),
    letters=arrays(np.int64, (2, 3), elements=st.integers(-1, 3)),
)
def test_properties(predictions, reference, letters):
    one_hot = (letters[:, None] == np.arange(4)[:, None]).astype(float)
    predictions = np.where(one_hot[..., None] == 1, reference[:, None, None], predictions)
    delta, centred, alternatives, largest, norm = (
        ism_scores(predictions, reference, one_hot, convention) for convention in CONVENTIONS
    )
    assert (delta[one_hot == 1] == 0).all()
    np.testing.assert_allclose(centred.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose((alternatives * (1 - one_hot)[..., None]).sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(centred - delta, np.broadcast_to((centred - delta)[:, :1], delta.shape), atol=1e-9)
    assert (norm >= largest * (1 - 1e-12)).all()
    assert (norm <= np.sqrt(2) * largest * (1 + 1e-12)).all()
    np.testing.assert_array_equal(largest, np.abs(delta).max(axis=-1))


def test_an_unknown_convention_lists_those_there_are():
    with pytest.raises(InvalidInputError, match=r"'centered'; choose one of delta, centred, .*l2"):
        check_convention("centered")
