"""Deletion and insertion curves: cases worked by hand, one letter at a time, and an additive model's best order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.curves import area_above, curve, masking_order

# Two letters; a sequence of the first only, replaced by the second only, which adds nothing.
WEIGHTS = np.array([[8.0, 4, 2, 1], [0, 0, 0, 0]])
ONE_HOT = np.array([[[1.0, 1, 1, 1], [0, 0, 0, 0]]])
REPLACED = 1 - ONE_HOT
SHARES = [0, 0.5, 1]


def predict(rows):
    return np.einsum("nal,al->n", rows, WEIGHTS)


def test_order_by_hand():
    np.testing.assert_array_equal(masking_order(np.array([[2.0, 8, -9, 4]])), [[1, 3, 0, 2]])


def test_equal_scores_keep_their_order():
    np.testing.assert_array_equal(masking_order(np.array([[0.0, 1, 0, 1, 0]])), [[1, 3, 0, 2, 4]])
    many = np.random.default_rng(0).integers(-1, 2, (2, 1000))
    expected = [sorted(range(1000), key=lambda p, row=row: (-row[p], p)) for row in many]
    np.testing.assert_array_equal(masking_order(many), expected)


def test_deletion_by_hand():
    # Scores of 2, 8, 4 and 1 replace positions 1 and 2 (weights 4 and 2) by half of the letters: 15, 15 - 6, 0.
    # Area (15 + 9) / 2 * 0.5 + (9 + 0) / 2 * 0.5 = 8.25, of 15.
    order = masking_order(np.array([[2.0, 8, 4, 1]]))
    found = curve(predict, ONE_HOT, REPLACED, order, SHARES)
    np.testing.assert_allclose(found, [[15, 9, 0]])
    np.testing.assert_allclose(area_above(found, np.array([0.0]), 15, SHARES), [0.55])


def test_insertion_by_hand():
    # The same letters are put back: 0, 4 + 2, 15. Area (0 + 6) / 2 * 0.5 + (6 + 15) / 2 * 0.5 = 6.75, of 15.
    order = masking_order(np.array([[2.0, 8, 4, 1]]))
    found = curve(predict, REPLACED, ONE_HOT, order, SHARES)
    np.testing.assert_allclose(found, [[0, 6, 15]])
    np.testing.assert_allclose(area_above(found, np.array([0.0]), 15, SHARES), [0.45])


def test_number_of_letters_is_rounded():
    # Shares of 4 letters: 0.125 -> 0.5 -> 0, 0.3 -> 1.2 -> 1, 0.375 -> 1.5 -> 2, 0.9 -> 3.6 -> 4.
    found = curve(predict, ONE_HOT, REPLACED, np.arange(4)[None], [0.125, 0.3, 0.375, 0.9])
    np.testing.assert_allclose(found, [[15, 7, 3, 0]])


def test_area_of_part_of_the_shares_by_hand():
    # From 0 to 0.5 the curve is 12 and then 6 above an empty of 2, of a difference of 12: a mean of (10 + 4) / 2 / 12.
    found = area_above(np.array([[12.0, 6]]), np.array([2.0]), 12, [0, 0.5])
    np.testing.assert_allclose(found, [7 / 12])


def test_shares_that_are_not_evenly_spaced_by_hand():
    # (10 + 6) / 2 * 0.2 + (6 + 0) / 2 * 0.8 = 1.6 + 2.4 = 4, of 10.
    found = area_above(np.array([[10.0, 6, 0]]), np.array([0.0]), 10, [0, 0.2, 1])
    np.testing.assert_allclose(found, [0.4])


def test_one_unit_for_all_sequences_by_hand():
    # Heights above empty of 4 to 0 (mean 2), and of -4 to 0 (mean -2), in units of 8.
    found = area_above(np.array([[5.0, 1], [-5, -1]]), np.array([1.0, -1]), 8, [0, 1])
    np.testing.assert_allclose(found, [0.25, -0.25])


@given(arrays(np.float64, (3, 5), elements=st.integers(-5, 5)), st.integers(0, 2**32 - 1))
def test_same_as_one_letter_at_a_time(observed, seed):
    generator = np.random.default_rng(seed)
    one_hot, replaced = (np.eye(4)[generator.integers(0, 4, (3, 5))].transpose(0, 2, 1) for _ in range(2))
    weights = generator.normal(size=(4, 5))

    def interacting(rows):
        return np.tanh(np.einsum("nal,al->n", rows, weights)) + rows[:, 0, 0] * rows[:, 1, 4]

    order = masking_order(observed)
    found = curve(interacting, one_hot, replaced, order, np.arange(6) / 5)
    for row in range(3):
        now = one_hot[row].copy()
        for step in range(6):
            np.testing.assert_allclose(found[row, step], interacting(now[None])[0])
            if step < 5:
                now[:, order[row, step]] = replaced[row, :, order[row, step]]
    # All letters replaced in one order are the letters put back in the other.
    back = curve(interacting, replaced, one_hot, order[:, ::-1], np.arange(6) / 5)
    np.testing.assert_allclose(back, found[:, ::-1])


@given(st.permutations(range(6)), st.integers(0, 2**32 - 1))
def test_no_order_beats_the_contributions_of_an_additive_model(order, seed):
    weights = np.random.default_rng(seed).normal(size=6)

    def additive(rows):
        return np.einsum("nal,l->n", rows, weights)

    one_hot, shares = np.ones((1, 1, 6)), np.arange(7) / 6
    best, other = masking_order(weights[None]), np.array([order])
    empty = np.zeros_like(one_hot)
    assert (
        curve(additive, one_hot, empty, best, shares) <= curve(additive, one_hot, empty, other, shares) + 1e-12
    ).all()
    assert (
        curve(additive, empty, one_hot, best, shares) >= curve(additive, empty, one_hot, other, shares) - 1e-12
    ).all()


@given(
    arrays(np.float64, (2, 4), elements=st.floats(-10, 10)),
    st.floats(0.1, 100),
    st.floats(-10, 10),
)
def test_units_of_the_prediction_do_not_matter(curves, scale, offset):
    empty, shares = np.array([1.0, -5]), [0, 0.3, 0.6, 1]
    found = area_above(curves, empty, 7, shares)
    moved = area_above(curves * scale + offset, empty * scale + offset, 7 * scale, shares)
    np.testing.assert_allclose(moved, found, atol=1e-9)


def test_inputs_stay_and_the_model_gets_its_own_type():
    one_hot, replaced = ONE_HOT.astype(np.float32), REPLACED.astype(np.float64)
    types = []

    def watching(rows):
        types.append(rows.dtype)
        rows[:] = 0
        return np.zeros(len(rows), dtype=np.float32)

    curve(watching, one_hot, replaced, np.arange(4)[None], SHARES)
    assert set(types) == {np.dtype(np.float32)}
    np.testing.assert_array_equal(one_hot, ONE_HOT)
    np.testing.assert_array_equal(replaced, REPLACED)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"replaced": REPLACED[:, :, :3]}, "replaced must have shape"),
        ({"one_hot": ONE_HOT[0]}, "one_hot must have shape"),
        ({"order": np.arange(3)[None]}, "order must have shape"),
        ({"order": np.array([[0, 1, 1, 2]])}, "each of the 4 positions once"),
        ({"order": np.array([[1, 2, 3, 4]])}, "each of the 4 positions once"),
        ({"shares": [0, 1.5]}, "in \\[0, 1\\]"),
        ({"shares": []}, "shares must have shape"),
        ({"shares": [0, np.nan]}, "finite"),
        ({"predict": lambda rows: np.full(len(rows), np.nan)}, "predictions must be finite"),
        ({"predict": lambda rows: np.zeros((len(rows), 1))}, "predictions must have shape"),
    ],
)
def test_what_does_not_fit_is_refused(changed, message):
    arguments = {
        "predict": predict,
        "one_hot": ONE_HOT,
        "replaced": REPLACED,
        "order": np.arange(4)[None],
        "shares": SHARES,
    }
    with pytest.raises(InvalidInputError, match=message):
        curve(**{**arguments, **changed})


@pytest.mark.parametrize(
    ("curves", "empty", "unit", "shares", "message"),
    [
        (np.zeros((1, 3)), np.zeros(1), 1, [0, 1], "curve must have shape"),
        (np.zeros((2, 2)), np.zeros(1), 1, [0, 1], "empty must have shape"),
        (np.zeros((1, 2)), np.array([np.inf]), 1, [0, 1], "empty must be finite"),
        (np.zeros((1, 2)), np.zeros(1), 0, [0, 1], "unit must be"),
        (np.zeros((1, 2)), np.zeros(1), np.nan, [0, 1], "unit must be"),
        (np.zeros((1, 2)), np.zeros(1), 1, [1, 0], "each above the one before"),
        (np.zeros((1, 2)), np.zeros(1), 1, [0.5, 0.5], "each above the one before"),
        (np.zeros((1, 1)), np.zeros(1), 1, [0], "at least two"),
    ],
)
def test_areas_that_do_not_fit_are_refused(curves, empty, unit, shares, message):
    with pytest.raises(InvalidInputError, match=message):
        area_above(curves, empty, unit, shares)


def test_order_of_scores_that_are_not_finite_is_refused():
    with pytest.raises(InvalidInputError, match="finite"):
        masking_order(np.array([[np.nan, 1]]))
