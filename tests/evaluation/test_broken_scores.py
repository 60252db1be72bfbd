"""Broken scores come out last: on an additive model, whose truth is known, no metric prefers them to the truth.

Sensitivity and stability are not here: they ask whether scores hold still, not whether they are right.
"""

import numpy as np
import pytest

from attribution_bench.evaluation.agreement import agreements
from attribution_bench.evaluation.completeness import completeness_error
from attribution_bench.evaluation.curves import area_above, curve, masking_order
from attribution_bench.evaluation.metrics import METRICS
from attribution_bench.evaluation.perturbation import infidelity, random_mutations
from attribution_bench.evaluation.recovery import recovery

COUNT, LENGTH, K = 12, 40, 10
SITES = {1: slice(5, 12), -1: slice(25, 30)}


def additive_model():
    """Sequences (N, A, L) and weights (N, A, L) of letters, which add up to 0 at each position.

    Each sequence has its own weights, as its sites hold its own letters; those outside are small.
    """
    generator = np.random.default_rng(0)
    letters = generator.integers(0, 4, (COUNT, LENGTH))
    one_hot = np.eye(4)[letters].transpose(0, 2, 1)
    weights = generator.normal(0, 0.2, (COUNT, 4, LENGTH))
    for effect, where in SITES.items():
        weights[:, :, where] += effect * generator.uniform(2, 4, (COUNT, 1, 1)) * one_hot[:, :, where]
    return one_hot, weights - weights.mean(axis=1, keepdims=True)


def metrics_of(scores):
    """Metric -> (N,), of hypothetical scores (N, A, L)."""
    one_hot, weights = additive_model()

    def predict(rows):
        return np.einsum("nal,nal->n", rows, weights)

    observed, truth = (np.einsum("nal,nal->nl", values, one_hot) for values in (scores, weights))
    empty, shares = np.zeros_like(one_hot), np.linspace(0, 1, 21)
    whole, order = predict(one_hot), masking_order(observed)
    nothing = predict(empty)
    unit = float(np.median(np.abs(whole - nothing)))
    effects = np.zeros((COUNT, LENGTH), dtype=int)
    for effect, where in SITES.items():
        effects[:, where] = effect
    mutated = random_mutations(one_hot, 30, 4, np.random.default_rng(1))
    change = np.einsum("nmal,nal->nm", mutated, weights) - whole[:, None]
    attributed = observed.sum(axis=1)
    return {
        **agreements(observed, truth, K),
        **recovery(observed, effects),
        "deletion": area_above(curve(predict, one_hot, empty, order, shares), nothing, unit, shares),
        "insertion": area_above(curve(predict, empty, one_hot, order, shares), nothing, unit, shares),
        "infidelity": infidelity(scores, one_hot, mutated, change),
        "completeness": completeness_error(attributed, attributed - (whole - nothing)),
    }


BROKEN = {
    "random": np.random.default_rng(2).normal(size=(COUNT, 4, LENGTH)),
    "negated": -additive_model()[1],
    "absolute": np.abs(additive_model()[1]),
    "shifted by half of the sequence": np.roll(additive_model()[1], 20, axis=2),
    "of another sequence": np.roll(np.roll(additive_model()[1], 1, axis=0), 1, axis=1),
}


@pytest.fixture(name="exact", scope="module")
def metrics_of_the_truth():
    return metrics_of(additive_model()[1])


def test_the_truth_is_as_good_as_can_be(exact):
    for name in ("pearson", "spearman", "cosine", "top_k", "sign", "auroc", "auprc"):
        np.testing.assert_allclose(exact[name], 1, err_msg=name)
    for name in ("infidelity", "completeness"):
        np.testing.assert_allclose(exact[name], 0, atol=1e-12, err_msg=name)
    assert set(exact) == set(METRICS) - {"sensitivity", "stability"}
    assert np.isfinite(exact["deletion"]).sum() > COUNT / 2


@pytest.mark.parametrize("name", BROKEN)
def test_broken_scores_lose_on_every_metric(exact, name):
    for metric, values in metrics_of(BROKEN[name]).items():
        sign = 1 if METRICS[metric].better == "higher" else -1
        defined = np.isfinite(values)
        np.testing.assert_array_equal(defined, np.isfinite(exact[metric]), err_msg=metric)
        margin = sign * (exact[metric] - values)[defined]
        assert (margin >= -1e-12).all(), (metric, margin)
        assert margin.mean() > 0.05, (metric, margin)
