"""Recovery of planted sites: cases worked by hand, scikit-learn, and what must not change it."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.recovery import recovery
from attribution_bench.sequences.sites import Site, site_effects

# Few values, so that ties are common.
OBSERVED = arrays(np.float64, (2, 10), elements=st.integers(-4, 4))
EFFECTS = arrays(np.int8, (2, 10), elements=st.sampled_from([1, -1, 0, 0]))


def test_raising_sites_by_hand():
    # Inside 5 and 2, outside 3, 2 and -1. Pairs: 5 beats all three; 2 beats -1, loses to 3, ties with 2: 3 + 1.5 = 4.5
    # of 6. Thresholds from the top: 5 (precision 1/1, half of the sites), 3 (no gain), 2 (two letters at once: 2/4,
    # the other half): 1/2 + 1/4. Signal (5 + 2) / 2; noise sqrt((9 + 4 + 1) / 3).
    found = recovery(np.array([[5.0, 2, 3, 2, -1]]), np.array([[1, 1, 0, 0, 0]]))
    np.testing.assert_allclose(found["auroc"], [0.75])
    np.testing.assert_allclose(found["auprc"], [0.75])
    np.testing.assert_allclose(found["signal_to_noise"], [3.5 / np.sqrt(14 / 3)])


def test_lowering_sites_by_hand():
    # As above with every sign turned.
    found = recovery(np.array([[-5.0, -2, -3, -2, 1]]), np.array([[-1, -1, 0, 0, 0]]))
    np.testing.assert_allclose([found["auroc"], found["auprc"]], [[0.75], [0.75]])
    np.testing.assert_allclose(found["signal_to_noise"], [3.5 / np.sqrt(14 / 3)])


def test_both_kinds_of_sites_by_hand():
    # Raising: 4 against (1, -2): both pairs won, AUROC 1, AUPRC 1. Lowering: 0 against (1, -2), of negative scores 0
    # against (-1, 2): one of two won, 1/2; the site comes second, precision 1/2.
    # Signal: (4 * 1 + 0 * -1) / 2 = 2; noise sqrt((1 + 4) / 2).
    found = recovery(np.array([[4.0, 1, 0, -2]]), np.array([[1, 0, -1, 0]]))
    np.testing.assert_allclose(found["auroc"], [0.75])
    np.testing.assert_allclose(found["auprc"], [0.75])
    np.testing.assert_allclose(found["signal_to_noise"], [2 / np.sqrt(2.5)])


def test_letters_of_the_other_kind_of_site_are_left_out():
    # The lowering site's high score of 9 does not count against the raising site, which is above all outside.
    found = recovery(np.array([[5.0, 9, 1, 0]]), np.array([[1, -1, 0, 0]]))
    # Raising 1, lowering: -9 against (-1, 0) loses both, 0; the mean is 1/2. AUPRC: 1, and 1/3 for third of three.
    np.testing.assert_allclose(found["auroc"], [0.5])
    np.testing.assert_allclose(found["auprc"], [2 / 3])


def test_undefined():
    observed = np.array([[1.0, 2, 3], [1, 2, 3], [1, 0, 0]])
    found = recovery(observed, np.array([[0, 0, 0], [1, 1, -1], [1, 0, 0]]))
    np.testing.assert_array_equal(np.isnan(found["auroc"]), [True, True, False])
    np.testing.assert_array_equal(np.isnan(found["auprc"]), [True, True, False])
    # Of the last sequence the scores outside are all 0: there is no noise to divide by.
    np.testing.assert_array_equal(np.isnan(found["signal_to_noise"]), [True, True, True])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1])
@pytest.mark.parametrize("noise", [0.0, 1e-17, 1e-8])
def test_scores_that_are_equal_but_for_rounding_find_no_site(level, noise):
    scores = level + (noise if level else 0.0) * np.random.default_rng(0).normal(size=(1, 8))
    found = recovery(scores, np.array([[1, 1, 0, 0, 0, 0, 0, -1]]))
    assert all(np.isnan(values).all() for values in found.values())


def test_noise_about_zero_is_a_tie():
    # Inside 5 and 0, outside 0 three times: 5 beats all, the other ties with all.
    noise = 1e-8 * np.random.default_rng(0).normal(size=4)
    found = recovery(np.array([[5.0, *noise]]), np.array([[1, 1, 0, 0, 0]]))
    np.testing.assert_allclose(found["auroc"], [(3 + 1.5) / 6])
    np.testing.assert_allclose(found["auprc"], [1 / 2 + 1 / 2 * 2 / 5])


@given(OBSERVED, EFFECTS)
def test_same_as_scikit_learn(observed, effects):
    found = recovery(observed, effects)
    for row, (scores, effect) in enumerate(zip(observed, effects, strict=True)):
        curves, precisions = [], []
        for sign in (1, -1):
            used = (effect == sign) | (effect == 0)
            labels = effect[used] == sign
            if labels.any() and not labels.all():
                curves.append(roc_auc_score(labels, sign * scores[used]))
                precisions.append(average_precision_score(labels, sign * scores[used]))
        if curves and np.ptp(scores) > 0:
            np.testing.assert_allclose(found["auroc"][row], np.mean(curves), atol=1e-12)
            np.testing.assert_allclose(found["auprc"][row], np.mean(precisions), atol=1e-12)
        else:
            assert np.isnan(found["auroc"][row])
            assert np.isnan(found["auprc"][row])


@given(OBSERVED, EFFECTS, st.permutations(range(10)), st.floats(0.01, 100))
def test_scale_order_and_the_side_of_zero_do_not_matter(observed, effects, order, scale):
    found = recovery(observed, effects)
    for other in (
        recovery(observed[:, order], effects[:, order]),
        recovery(observed * scale, effects),
        recovery(-observed, -effects),
    ):
        for name, values in found.items():
            np.testing.assert_allclose(other[name], values, atol=1e-12)


@given(OBSERVED, EFFECTS)
def test_negated_scores_reverse(observed, effects):
    found, negated = recovery(observed, effects), recovery(-observed, effects)
    np.testing.assert_allclose(negated["auroc"], 1 - found["auroc"], atol=1e-12)
    np.testing.assert_allclose(negated["signal_to_noise"], -found["signal_to_noise"], atol=1e-12)


@given(OBSERVED, EFFECTS)
def test_ranges(observed, effects):
    found = recovery(observed, effects)
    defined = ~np.isnan(found["auroc"])
    assume(defined.any())
    assert ((found["auroc"][defined] >= 0) & (found["auroc"][defined] <= 1)).all()
    assert ((found["auprc"][defined] > 0) & (found["auprc"][defined] <= 1)).all()
    np.testing.assert_array_equal(np.isnan(found["auprc"]), ~defined)


def test_effects_of_sites():
    sites = (Site(0, 1, 3, "raises"), Site(1, 0, 2, "lowers", effect=-1))
    observed = np.array([[0.0, 5, 6, 1], [-3, -4, 1, 0]])
    found = recovery(observed, site_effects(sites, 2, 4))
    np.testing.assert_array_equal(found["auroc"], [1, 1])
    np.testing.assert_array_equal(found["auprc"], [1, 1])


@pytest.mark.parametrize(
    ("observed", "effects", "message"),
    [
        (np.zeros((1, 3)), np.zeros((1, 4)), "effects must have shape"),
        (np.zeros(3), np.zeros(3), "observed must have shape"),
        (np.array([[np.nan, 0]]), np.array([[1, 0]]), "finite"),
        (np.zeros((1, 2)), np.array([[2, 0]]), "1, -1 or 0"),
        (np.zeros((1, 2)), np.array([[0.5, 0]]), "1, -1 or 0"),
    ],
)
def test_what_does_not_fit_is_refused(observed, effects, message):
    with pytest.raises(InvalidInputError, match=message):
        recovery(observed, effects)
