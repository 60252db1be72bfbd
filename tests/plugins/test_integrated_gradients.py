"""Integrated Gradients against hand-worked models, an independent sum of the same rule, and between the frameworks."""

import keras
import numpy as np
import pytest
import torch
from scipy.special import roots_legendre

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError
from attribution_bench_plugins.integrated_gradients import IntegratedGradients

# Captum rounds the weights of the quadrature to float32, whatever the model's precision.
CAPTUM = 2e-7


def integral(gradient, function, x, baseline, steps):
    """Mean gradient on the path, (N, A, L, T), by Gauss-Legendre nodes from SciPy."""
    nodes, weights = roots_legendre(steps)
    return sum(
        weight / 2 * gradient(function, baseline + (node + 1) / 2 * (x - baseline))
        for node, weight in zip(nodes, weights, strict=True)
    )


def linear(weight: np.ndarray, bias: float) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(weight.size, 1)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.from_numpy(weight.reshape(1, -1)))
        model[1].bias.fill_(bias)
    return model


def test_linear_model_by_hand():
    # f(x) = 3 + sum of weight * x: the path gradient is the weight wherever one stands.
    weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    result = IntegratedGradients(linear(weight, 3.0), n_steps=2).attribute(["CT"])
    np.testing.assert_allclose(result.scores[0], weight, rtol=CAPTUM)
    np.testing.assert_allclose(result.observed[0], [3.0, 8.0], rtol=CAPTUM)
    np.testing.assert_allclose(result.convergence_delta, [0.0], atol=1e-5)


def test_linear_model_with_a_baseline_by_hand():
    weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    baseline = np.array([[0.5, 0.0], [0.5, 0.0], [0.0, 0.0], [0.0, 1.0]])
    # Columns: weight less what the baseline holds of it, 0.5 * 1 + 0.5 * 3 = 2 and 8.
    expected = np.array([[-1.0, -6.0], [1.0, -4.0], [3.0, -2.0], [5.0, 0.0]])
    for given in (baseline, baseline[None], torch.from_numpy(baseline)):
        result = IntegratedGradients(linear(weight, 3.0), baselines=given).attribute(["CT"])
        np.testing.assert_allclose(result.scores[0], expected, rtol=CAPTUM, atol=1e-6)
        np.testing.assert_allclose(result.observed[0], [1.0, 0.0], atol=1e-6)
        np.testing.assert_allclose(result.convergence_delta, [0.0], atol=1e-6)


def test_quadratic_model_by_hand():
    # f(x) = (sum of weight * x)^2 with s = w.x: the mean gradient from zero is s * weight, exact for one step.
    weight = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])

    class Square(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = linear(weight, 0.0)

        def forward(self, x):
            return self.inner(x) ** 2

    result = IntegratedGradients(Square(), n_steps=1).attribute(["CT", "AN"])
    np.testing.assert_allclose(result.scores[0], 11 * weight, rtol=CAPTUM)
    np.testing.assert_allclose(result.scores[1], [[1, 0], [3, 0], [5, 0], [7, 0]], rtol=CAPTUM)
    np.testing.assert_allclose(result.convergence_delta, [0.0, 0.0], atol=1e-4)


@pytest.mark.parametrize("with_baseline", [False, True])
@pytest.mark.parametrize(
    ("target", "columns"),
    [("all", slice(None)), (("profile", 1), [1])],
    ids=["all", "index"],
)
def test_scores_are_the_independent_sum(two_heads, one_hot, numerical_gradient, target, columns, with_baseline):
    steps, x = 4, one_hot(2)
    baseline = np.random.default_rng(2).dirichlet([1] * 4, (2, 7)).transpose(0, 2, 1) if with_baseline else 0 * x

    def function(x):
        outputs = two_heads.predict(x)
        return np.concatenate([outputs["profile"], outputs["count"]], axis=1)[:, columns]

    mean = integral(numerical_gradient, function, x, baseline, steps)
    expected = mean - (mean * baseline[..., None]).sum(axis=1, keepdims=True)
    delta = (mean * (x - baseline)[..., None]).sum(axis=(1, 2)) - (function(x) - function(baseline))
    options = {"baselines": baseline} if with_baseline else {}
    result = IntegratedGradients(two_heads, n_steps=steps, **options).attribute(x, target=target)
    scale = np.abs(expected).max()
    assert scale > 1e-2
    np.testing.assert_allclose(result.scores.reshape(expected.shape), expected, rtol=0, atol=CAPTUM * scale)
    np.testing.assert_allclose(result.convergence_delta.reshape(delta.shape), delta, rtol=0, atol=1e-6)
    attribution = (mean * (x - baseline)[..., None]).sum(axis=1)
    np.testing.assert_allclose(result.observed.reshape(attribution.shape), attribution, rtol=0, atol=2 * CAPTUM * scale)
    assert result.convergence_delta.shape == (2, *result.scores.shape[3:])


def test_delta_shrinks_with_steps_and_is_reported(two_heads, one_hot):
    x = one_hot(3)
    rough, fine = (IntegratedGradients(two_heads, n_steps=n).attribute(x, target="profile") for n in (1, 20))
    assert np.abs(rough.convergence_delta).min() > 1e-5
    np.testing.assert_allclose(fine.convergence_delta, 0, atol=1e-6)
    difference = two_heads.predict(x)["profile"] - two_heads.predict(0 * x)["profile"]
    np.testing.assert_allclose(rough.observed.sum(axis=1) - difference, rough.convergence_delta, atol=1e-6)
    convergence = rough.metadata["convergence"]
    assert convergence["largest_absolute"] == pytest.approx(np.abs(rough.convergence_delta).max())
    assert convergence["median_relative"] == pytest.approx(np.median(np.abs(rough.convergence_delta / difference)))
    assert rough.metadata["options"] == {"n_steps": 1, "baselines": None}


def test_extra_inputs_are_held_on_the_path(two_inputs, one_hot, numerical_gradient):
    x, extra = one_hot(3), np.random.default_rng(1).normal(size=(3, 2))
    mean = integral(
        numerical_gradient, lambda x: two_inputs.predict(x, (np.resize(extra, (len(x), 2)),))["count"], x, 0 * x, 3
    )
    for batch_size in (1, 2, 4, 64):
        result = IntegratedGradients(two_inputs, n_steps=3).attribute(
            x, target="count", additional_forward_args=extra, batch_size=batch_size
        )
        np.testing.assert_allclose(result.scores, mean, rtol=0, atol=CAPTUM * np.abs(mean).max())


def test_batch_size_bounds_the_model_calls_and_changes_nothing(one_hot):
    class Counts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = []

        def forward(self, x):
            self.rows.append(len(x))
            return (x * x).sum(1).tanh().prod(1, keepdim=True)

    model, x = Counts(), one_hot(5)
    whole = IntegratedGradients(model, n_steps=6).attribute(x).scores
    for batch_size in (1, 3, 5, 7):
        model.rows.clear()
        part = IntegratedGradients(model, n_steps=6).attribute(x, batch_size=batch_size).scores
        np.testing.assert_allclose(part, whole, rtol=0, atol=1e-6)
        assert max(model.rows) <= max(batch_size, 2)  # the two of the shape probe


def test_positions_progress_and_unknown_letters(two_heads):
    method, sequences = IntegratedGradients(two_heads, n_steps=3), ["ACGNTAN", "ACCNTGT", "NNNNNNN"]
    seen: list[tuple[int, int]] = []
    whole = method.attribute(sequences, target="all", progress=lambda *state: seen.append(state))
    assert seen[-1] == (3 * 4 * 3, 3 * 4 * 3)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert (whole.scores[0, :, [3, 6]] == 0).all()
    assert (whole.scores[2] == 0).all()
    assert (whole.convergence_delta[2] == 0).all()
    some = method.attribute(sequences, target="all", positions=slice(2, 5))
    np.testing.assert_allclose(some.scores, whole.scores[:, :, 2:5], rtol=0, atol=1e-12)
    np.testing.assert_allclose(some.convergence_delta, whole.convergence_delta, rtol=0, atol=1e-12)


@pytest.fixture
def float64():
    """Keras builds in float64 meanwhile. In float32 a ReLU on the path may fall to either side of its kink."""
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "target"), [("basset", None), ("factorized_basset", None), ("bpnet", "count"), ("bpnet", ("profile", 30))]
)
def test_frameworks_agree(name, target, one_hot):
    build, x = ab.get_model(name), one_hot(2, 64)
    in_torch = IntegratedGradients(build(64).double(), n_steps=8).attribute(x, target=target)
    in_keras = IntegratedGradients(build(64, framework="keras"), n_steps=8).attribute(x, target=target)
    scale = np.abs(in_torch.scores).max()
    assert scale > 1e-3
    np.testing.assert_allclose(in_torch.scores, in_keras.scores, rtol=0, atol=CAPTUM * scale)
    np.testing.assert_allclose(in_torch.convergence_delta, in_keras.convergence_delta, rtol=0, atol=1e-5)
    assert in_keras.metadata["dtype"] == in_torch.metadata["dtype"] == "float64"


def test_weights_are_left_as_they_were(two_heads, one_hot):
    def weights():
        if two_heads.framework == "keras":
            return two_heads.model.get_weights()
        return [tensor.numpy().copy() for tensor in two_heads.model.state_dict().values()]

    before = weights()
    IntegratedGradients(two_heads, n_steps=2).attribute(one_hot(4), target="all")
    assert all((a == b).all() for a, b in zip(before, weights(), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1, not 0"),
        ({"baselines": np.zeros(4)}, r"\(A, L\) or \(N, A, L\), not shape \(4,\)"),
        ({"baselines": "zero"}, "baselines must hold numbers"),
        ({"baselines": np.full((4, 7), np.nan)}, "finite numbers"),
    ],
)
def test_bad_options(two_heads, options, message):
    with pytest.raises(InvalidInputError, match=message):
        IntegratedGradients(two_heads, **options)


def test_a_baseline_that_does_not_fit_the_inputs(two_heads, one_hot):
    method = IntegratedGradients(two_heads, baselines=np.zeros((4, 6)))
    with pytest.raises(InvalidInputError, match=r"must be \(4, 7\) or \(2, 4, 7\) for these inputs, not \(4, 6\)"):
        method.attribute(one_hot(2), target="count")
