"""Agreement measures: cases worked by hand, SciPy row by row, and what must not change them."""

import numpy as np
import pytest
import scipy.spatial
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.agreement import (
    agreements,
    cosine,
    mutual_agreements,
    pearson,
    sign_agreement,
    spearman,
    top_k_overlap,
)

# Whole numbers, so that no two differ by rounding only.
SCORES = arrays(np.float64, (3, 7), elements=st.integers(-9, 9))
PAIRWISE = [pearson, spearman, cosine]


def test_pearson_by_hand():
    # Means 2 and 4; a - 2 = (-1, 0, 1), b - 4 = (-3, 1, 2).
    # Products 3 + 0 + 2 = 5; squares 2 and 14; 5 / sqrt(28).
    a, b = np.array([[1.0, 2, 3]]), np.array([[1.0, 5, 6]])
    np.testing.assert_allclose(pearson(a, b), [5 / np.sqrt(28)])


def test_spearman_by_hand_with_ties():
    # Ranks of a: 5 and 5 share ranks 2 and 3: (1, 2.5, 2.5, 4). Ranks of b: (2, 1, 3, 4). Both have mean 2.5.
    # Differences (-1.5, 0, 0, 1.5) and (-0.5, -1.5, 0.5, 1.5): products 0.75 + 2.25 = 3; squares 4.5 and 5.
    a, b = np.array([[1.0, 5, 5, 9]]), np.array([[20.0, 10, 30, 4000]])
    np.testing.assert_allclose(spearman(a, b), [3 / np.sqrt(22.5)])


def test_cosine_by_hand():
    # 3 * 4 + 4 * 3 = 24 over 5 * 5; then a right angle.
    a, b = np.array([[3.0, 4, 0], [1, 0, 0]]), np.array([[4.0, 3, 0], [0, 2, 1]])
    np.testing.assert_allclose(cosine(a, b), [24 / 25, 0])


def test_top_k_by_hand():
    # The three highest: positions 0, 4, 2 of a (9, 7, 5) and 4, 1, 0 of b (8, 6, 3): 0 and 4 are common, 2 of 3.
    # That -99 is the largest absolute score of both does not matter.
    a, b = np.array([[9.0, 1, 5, -99, 7]]), np.array([[3.0, 6, 2, -99, 8]])
    np.testing.assert_allclose(top_k_overlap(a, b, 3), [2 / 3])
    np.testing.assert_allclose(top_k_overlap(a, b, 1), [0])
    np.testing.assert_allclose(top_k_overlap(a, b, 5), [1])


@pytest.mark.parametrize(
    ("a", "k"),
    [
        ([0.0, 0, 0, 0], 1),
        ([0.1, 0.1, 0.1, 0.1], 2),
        ([0.1, 0.1, 0.1, 0.1], 4),  # every position, but none of them is high
        ([1.0, 1, 1, 2], 2),  # the second highest could be any of three
        ([0.3, 0.1 + 0.2, -1, -2], 1),  # equal but for rounding
        ([5.0, 5 + 1e-7, 1, 0], 1),
        ([7.0, 0, 0, 0], 2),  # one letter tells something, the second of the two does not
    ],
)
def test_top_k_is_undefined_where_the_scores_do_not_say_which_k_are_highest(a, k):
    tied, other = np.array([a]), np.array([[4.0, 1, 3, 2]])
    for first, second in ((tied, other), (other, tied), (tied, tied)):
        assert np.isnan(top_k_overlap(first, second, k)).all()


def test_top_k_takes_no_notice_of_ties_away_from_the_boundary():
    # The two highest are 3 and 0 whatever the order of the others, and among themselves.
    a, b = np.array([[5.0, 1, 1, 5]]), np.array([[9.0, 0, 0, 3]])
    np.testing.assert_allclose(top_k_overlap(a, b, 2), [1])
    np.testing.assert_allclose(top_k_overlap(np.array([[5.0, 1, 1, 5]]), np.array([[0.0, 9, 4, 3]]), 2), [0])


def test_sign_by_hand():
    # The largest absolute truth: positions 1 (-5), 3 (4), 4 (-3), 0 (2). Signs agree at 1 and 0; the score at 3 is 0,
    # which agrees with nothing, and the one at 4 is positive.
    truth, scores = np.array([[2.0, -5, 1, 4, -3]]), np.array([[0.1, -9, -1, 0, 1]])
    np.testing.assert_allclose(sign_agreement(scores, truth, 1), [1])
    np.testing.assert_allclose(sign_agreement(scores, truth, 2), [1 / 2])
    np.testing.assert_allclose(sign_agreement(scores, truth, 4), [2 / 4])


def test_where_the_truth_is_zero_there_is_no_sign_to_agree_with():
    truth = np.array([[3.0, 0, -2, 0]])
    np.testing.assert_allclose(sign_agreement(np.array([[1.0, 0, 0, 7]]), truth, 3), [1 / 2])
    np.testing.assert_allclose(sign_agreement(np.array([[1.0, 5, -1, -7]]), truth, 4), [1])
    np.testing.assert_allclose(sign_agreement(np.zeros((1, 4)), truth, 2), [0])


def test_signs_count_at_all_positions_that_equal_the_last_of_the_k():
    # Of the absolute truth 5, 2, 2, 2, 1 the second highest is any of three: all three count, in whatever order.
    truth, scores = np.array([[2.0, -5, -2, 2, 1]]), np.array([[1.0, -1, 1, 1, -1]])
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        np.testing.assert_allclose(sign_agreement(scores[:, order], truth[:, order], 2), [3 / 4])


@pytest.mark.parametrize("truth", [np.zeros((1, 5)), np.full((1, 5), 0.1), np.full((1, 5), -3) + 1e-7 * np.arange(5)])
def test_sign_is_undefined_where_the_truth_says_the_same_of_every_position(truth):
    assert np.isnan(sign_agreement(np.array([[1.0, -1, 0, 2, 3]]), truth, 2)).all()


@given(SCORES, SCORES, st.integers(1, 7))
def test_no_agreement_of_a_pair_depends_on_which_is_named_first(a, b, k):
    found, turned = mutual_agreements(a, b, k), mutual_agreements(b, a, k)
    assert list(found) == list(agreements(a, b, k))
    for name, values in found.items():
        np.testing.assert_allclose(turned[name], values, atol=1e-12)


def test_sign_of_a_pair_is_the_mean_of_the_two_by_hand():
    # By a: positions 0 and 1, whose signs agree and do not: 1/2. By b: 1 and 2, neither: 0.
    a, b = np.array([[9.0, 8, 1, -1]]), np.array([[1.0, -8, -9, 0]])
    np.testing.assert_allclose(sign_agreement(b, a, 2), [1 / 2])
    np.testing.assert_allclose(sign_agreement(a, b, 2), [0])
    np.testing.assert_allclose(mutual_agreements(a, b, 2)["sign"], [1 / 4])


@given(SCORES, SCORES)
def test_same_as_scipy(a, b):
    varied = (np.ptp(a, axis=1) > 0) & (np.ptp(b, axis=1) > 0)
    assume(varied.any())
    rows = list(zip(a[varied], b[varied], strict=True))
    linear = [scipy.stats.pearsonr(x, y).statistic for x, y in rows]
    ranks = [scipy.stats.spearmanr(x, y).statistic for x, y in rows]
    np.testing.assert_allclose(pearson(a, b)[varied], linear, atol=1e-12)
    np.testing.assert_allclose(spearman(a, b)[varied], ranks, atol=1e-12)
    nonzero = a.any(axis=1) & b.any(axis=1)
    angles = [1 - scipy.spatial.distance.cosine(x, y) for x, y in zip(a[nonzero], b[nonzero], strict=True)]
    np.testing.assert_allclose(cosine(a, b)[nonzero], angles, atol=1e-12)


@given(SCORES, SCORES, st.integers(1, 7))
def test_same_as_plain_sorting(a, b, k):
    top, sign = top_k_overlap(a, b, k), sign_agreement(a, b, k)
    for row, (x, y) in enumerate(zip(a, b, strict=True)):
        falling = [sorted(v, reverse=True) for v in (x, y)]
        decided = all(v[0] > v[-1] and (k == 7 or v[k - 1] > v[k]) for v in falling)
        first, second = ({p for p in range(7) if v[p] >= sorted(v)[-k]} for v in (x, y))
        np.testing.assert_equal(top[row], len(first & second) / k if decided else np.nan)
        large = [p for p in range(7) if y[p] and abs(y[p]) >= sorted(abs(y))[-k]]
        expected = np.mean([x[p] * y[p] > 0 for p in large]) if np.ptp(y) > 0 else np.nan
        np.testing.assert_allclose(sign[row], expected)


@pytest.mark.parametrize("measure", PAIRWISE)
@given(a=SCORES, b=SCORES, order=st.permutations(range(7)), scale=st.floats(1e-200, 1e200))
def test_scale_order_of_positions_and_of_the_pair_do_not_matter(measure, a, b, order, scale):
    found = measure(a, b)
    np.testing.assert_allclose(measure(b, a), found, atol=1e-12)
    np.testing.assert_allclose(measure(a[:, order], b[:, order]), found, atol=1e-12)
    np.testing.assert_allclose(measure(a * scale, b), found, atol=1e-12)
    np.testing.assert_allclose(measure(-a, b), -found, atol=1e-12)
    assert (np.isnan(found) | (np.abs(found) <= 1)).all()


@pytest.mark.parametrize("measure", [pearson, spearman])
@given(a=SCORES, b=SCORES)
def test_correlations_ignore_an_offset(measure, a, b):
    np.testing.assert_allclose(measure(a + 3, b), measure(a, b), atol=1e-12)


@given(SCORES, st.integers(1, 7))
def test_scores_agree_with_themselves(scores, k):
    found = agreements(scores, scores, k)
    assert list(found) == ["pearson", "spearman", "cosine", "top_k", "sign"]
    varied = np.ptp(scores, axis=1) > 0
    np.testing.assert_allclose(found["pearson"][varied], 1)
    np.testing.assert_allclose(found["spearman"][varied], 1)
    np.testing.assert_allclose(found["cosine"][scores.any(axis=1)], 1)
    assert np.isin(found["top_k"][~np.isnan(found["top_k"])], 1).all()
    np.testing.assert_allclose(found["sign"], np.where(varied, 1, np.nan))
    for values in found.values():
        assert np.isnan(values[~scores.any(axis=1)]).all()


@given(SCORES, SCORES, st.integers(1, 7))
def test_sequences_do_not_mix(a, b, k):
    whole, alone = agreements(a, b, k), agreements(a[1:2], b[1:2], k)
    for name, values in whole.items():
        np.testing.assert_array_equal(values[1:2], alone[name])


def test_constant_scores_have_no_correlation():
    # 0.1 seven times has a mean that is not 0.1 to the last bit; what remains is rounding, and no correlation.
    constant, varied = np.full((1, 7), 0.1), np.arange(7.0)[None]
    for a, b in ((constant, varied), (varied, constant), (constant, constant)):
        assert np.isnan(pearson(a, b)).all()
        assert np.isnan(spearman(a, b)).all()
    nearly = np.array([[0.3, 0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3]])  # 0.1 + 0.2 is the next float above 0.3
    assert np.isnan(pearson(nearly, varied)).all()
    assert np.isnan(spearman(nearly, varied)).all()
    single = 0.3 + 1e-8 * np.random.default_rng(0).normal(size=(1, 7))  # what single precision makes of one number
    for measure in (pearson, spearman):
        assert np.isnan(measure(single, varied)).all()
    assert np.isnan(cosine(np.zeros((1, 7)), varied)).all()
    assert np.isfinite(cosine(constant, varied)).all()


def test_single_precision_and_whole_numbers_are_taken():
    a, b = np.array([[1, 2, 3]]), np.array([[1, 5, 6]], dtype=np.float32)
    np.testing.assert_allclose(pearson(a, b), [5 / np.sqrt(28)])


@pytest.mark.parametrize("measure", PAIRWISE)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), r"\(2, 3\)"),
        (np.zeros((2, 3)), np.zeros((1, 3)), r"\(2, 3\)"),
        (np.zeros(3), np.zeros(3), "sequences, positions"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "sequences, positions"),
        (np.array([[1, np.nan]]), np.zeros((1, 2)), r"finite.*\(0, 1\)"),
        (np.zeros((1, 2)), np.array([[1, np.inf]]), r"finite.*\(0, 1\)"),
        (np.array([["A", "C"]]), np.zeros((1, 2)), "real numbers"),
        (np.zeros((1, 2), dtype=complex), np.zeros((1, 2)), "real numbers"),
    ],
)
def test_what_does_not_fit_is_refused(measure, a, b, message):
    with pytest.raises(InvalidInputError, match=message):
        measure(a, b)


@pytest.mark.parametrize("k", [0, 4, -1, 1.5, True])
@pytest.mark.parametrize("measure", [top_k_overlap, sign_agreement, agreements])
def test_k_out_of_range(measure, k):
    with pytest.raises(InvalidInputError, match="1 to 3"):
        measure(np.eye(3), np.eye(3), k)
