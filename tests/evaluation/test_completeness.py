"""Completeness error: cases worked by hand, and what results of the methods hold against fresh predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.completeness import completeness_error
from attribution_bench.models import as_sequence_model


def test_by_hand():
    # Attributions of 12 and a delta of 2: f(x) - f(baseline) is 10, and 2 is 0.2 of it. Of -9 and 1: 1 of |-10|.
    np.testing.assert_allclose(completeness_error(np.array([12.0, -9]), np.array([2.0, 1])), [0.2, 0.1])


def test_references_by_hand():
    # Deltas 3, -1 and 1 have a mean of 1; attributions of 6 then stand against a mean difference of 5.
    np.testing.assert_allclose(completeness_error(np.array([6.0]), np.array([[3.0, -1, 1]])), [0.2])


def test_no_scores_miss_everything():
    np.testing.assert_allclose(completeness_error(np.zeros(2), np.array([3.0, -4])), [1, 1])


def test_undefined_where_nothing_is_to_be_explained():
    observed, delta = np.array([0.0, 5, 1, 1]), np.array([0, 5, 1 - 1e-8, 0.999])
    np.testing.assert_array_equal(np.isnan(completeness_error(observed, delta)), [True, True, True, False])


@given(st.floats(-100, 100), st.floats(0.1, 100), st.booleans(), st.floats(1e-6, 1e6))
def test_is_the_relative_error_in_any_unit(attributed, difference, negative, scale):
    difference = -difference if negative else difference
    found = completeness_error(np.array([attributed]) * scale, np.array([attributed - difference]) * scale)
    np.testing.assert_allclose(found, [abs(attributed - difference) / abs(difference)], rtol=1e-6, atol=1e-9)


@pytest.fixture(name="network")
def small_network():
    torch = pytest.importorskip("torch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (
            torch.nn.Sequential(
                torch.nn.Conv1d(4, 6, 5, padding=2),
                torch.nn.ReLU(),
                torch.nn.MaxPool1d(2),
                torch.nn.Flatten(),
                torch.nn.Linear(6 * 8, 1),
            )
            .double()
            .eval()
        )


def sequences_with_unknown_letters():
    one_hot = np.eye(4)[np.random.default_rng(3).integers(0, 4, (4, 16))].transpose(0, 2, 1)
    one_hot[0, :, [3, 9]] = 0
    return one_hot


def predictions(network, one_hot):
    (values,) = as_sequence_model(network).predict(one_hot).values()
    return values[:, 0]


@pytest.mark.parametrize("steps", [2, 200])
def test_integrated_gradients_against_fresh_predictions(network, steps):
    one_hot = sequences_with_unknown_letters()
    result = ab.get_method("integrated_gradients")(network, n_steps=steps).attribute(one_hot)
    attributed = result.observed.sum(axis=1)
    difference = predictions(network, one_hot) - predictions(network, np.zeros_like(one_hot))
    found = completeness_error(attributed, result.convergence_delta)
    np.testing.assert_allclose(attributed - result.convergence_delta, difference, atol=1e-9)
    np.testing.assert_allclose(found, np.abs(attributed - difference) / np.abs(difference), rtol=1e-6)
    assert found.max() > 0


def test_integrated_gradients_from_another_baseline(network):
    one_hot, baseline = sequences_with_unknown_letters()[1:], np.full((4, 16), 0.25)
    result = ab.get_method("integrated_gradients")(network, n_steps=3, baselines=baseline).attribute(one_hot)
    difference = predictions(network, one_hot) - predictions(network, baseline[None])
    error = np.abs(result.observed.sum(axis=1) - difference) / np.abs(difference)
    np.testing.assert_allclose(
        completeness_error(result.observed.sum(axis=1), result.convergence_delta), error, rtol=1e-6
    )


def test_deepshap_against_fresh_predictions(network):
    one_hot, generator = sequences_with_unknown_letters(), np.random.default_rng(4)
    baselines = np.eye(4)[generator.integers(0, 4, (4, 3, 16))].swapaxes(2, 3)
    baselines = baselines * one_hot.any(axis=1)[:, None, None]  # unknown letters are unknown in references
    result = ab.get_method("deepshap")(network, baselines=baselines).attribute(one_hot)
    attributed = result.observed.sum(axis=1)
    of_references = predictions(network, baselines.reshape(-1, 4, 16)).reshape(4, 3)
    difference = predictions(network, one_hot) - of_references.mean(axis=1)
    assert result.convergence_delta.shape == (4, 3)
    np.testing.assert_allclose(attributed - result.convergence_delta.mean(axis=1), difference, atol=1e-9)
    np.testing.assert_allclose(completeness_error(attributed, result.convergence_delta), 0, atol=1e-9)


def test_deepshap_with_its_own_references(network):
    result = ab.get_method("deepshap")(network, n_references=4).attribute(sequences_with_unknown_letters())
    found = completeness_error(result.observed.sum(axis=1), result.convergence_delta)
    np.testing.assert_allclose(found, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("attributed", "delta", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2), "observed_sum must have shape"),
        (np.zeros(2), np.zeros(3), "convergence_delta must have shape"),
        (np.zeros(2), np.zeros((3, 2)), "convergence_delta must have shape"),
        (np.zeros(2), np.zeros((2, 0)), "convergence_delta must have shape"),
        (np.zeros(2), np.zeros((2, 3, 1)), "one output at a time"),
        (np.array([np.nan]), np.zeros(1), "observed_sum must be finite"),
        (np.zeros(1), np.array([np.inf]), "convergence_delta must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(attributed, delta, message):
    with pytest.raises(InvalidInputError, match=message):
        completeness_error(attributed, delta)
