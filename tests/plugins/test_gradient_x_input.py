"""Gradient x Input against central differences, and between the frameworks."""

import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import torch
from scipy.special import logsumexp

import attribution_bench as ab
from attribution_bench.errors import InvalidInputError, MissingDependencyError, TargetError, UnsupportedError
from attribution_bench_plugins.gradient_x_input import GradientXInput

# Target -> the same of the outputs as NumPy arrays, (N, T).
TARGETS = {
    "count": lambda out: out["count"],
    ("count", 0): lambda out: out["count"],
    "profile": lambda out: out["profile"],
    ("profile", 2): lambda out: out["profile"][:, 2:],
    ("profile", -1): lambda out: out["profile"][:, 2:],
    "all": lambda out: np.concatenate([out["profile"], out["count"]], axis=1),
    ("profile", "sum"): lambda out: out["profile"].sum(1, keepdims=True),
    ("profile", "mean"): lambda out: out["profile"].mean(1, keepdims=True),
    ("profile", "logsumexp"): lambda out: logsumexp(out["profile"], axis=1, keepdims=True),
    ("profile", lambda value: value[:, 0] * value[:, 1]): lambda out: (out["profile"][:, 0] * out["profile"][:, 1])[
        :, None
    ],
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target).partition(" at 0x")[0])
def test_scores_are_the_gradient_at_every_letter(two_heads, one_hot, numerical_gradient, target):
    x = one_hot(3)
    expected = numerical_gradient(lambda x: TARGETS[target](two_heads.predict(x)), x)
    result = GradientXInput(two_heads).attribute(x, target=target)
    scores = result.scores.reshape(expected.shape)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        result.observed.reshape(3, 7, -1), (expected * x[..., None]).sum(axis=1), rtol=0, atol=1e-8
    )
    assert result.scores.dtype == np.float64


def test_shapes_follow_the_target(two_heads, one_hot):
    method, x = GradientXInput(two_heads), one_hot(2)
    shapes = {target: method.attribute(x, target=target).scores.shape[3:] for target in list(TARGETS)[:7]}
    assert shapes["count"] == (1,)
    assert shapes[("count", 0)] == ()
    assert shapes["profile"] == (3,)
    assert shapes[("profile", 2)] == ()
    assert shapes["all"] == (4,)
    assert shapes[("profile", "sum")] == ()


def test_extra_inputs(two_inputs, one_hot, numerical_gradient):
    x, extra = one_hot(5), np.random.default_rng(1).normal(size=(5, 2))
    expected = numerical_gradient(lambda x: two_inputs.predict(x, (np.resize(extra, (len(x), 2)),))["profile"], x)
    result = GradientXInput(two_inputs).attribute(x, target="profile", additional_forward_args=extra, batch_size=2)
    np.testing.assert_allclose(result.scores, expected, rtol=0, atol=1e-8)


def test_batch_size_positions_and_strings(two_heads, one_hot):
    method, x = GradientXInput(two_heads), one_hot(5)
    whole = method.attribute(x, target="all")
    for batch_size in (1, 2, 5, 100):
        part = method.attribute(x, target="all", batch_size=batch_size)
        np.testing.assert_allclose(part.scores, whole.scores, rtol=0, atol=1e-12)
    some = method.attribute(x, target="all", positions=[5, 1])
    np.testing.assert_array_equal(some.positions, [5, 1])
    np.testing.assert_allclose(some.scores, whole.scores[:, :, [5, 1]], rtol=0, atol=1e-12)
    named = method.attribute(two_heads.alphabet.decode(x), target="all")
    np.testing.assert_allclose(named.scores, whole.scores, rtol=0, atol=1e-12)


def test_unknown_letters_score_nothing(two_heads):
    result = GradientXInput(two_heads).attribute(["ACGNTAN", "NNNNNNN"], target="profile")
    unknown = np.array([[False, False, False, True, False, False, True], [True] * 7])
    scores = result.scores.transpose(0, 2, 1, 3)
    assert (scores[unknown] == 0).all()
    assert (scores[~unknown] != 0).all()


def test_progress_counts_gradients(two_heads, one_hot):
    seen: list[tuple[int, int]] = []
    GradientXInput(two_heads).attribute(
        one_hot(3), target="all", batch_size=2, progress=lambda *state: seen.append(state)
    )
    assert seen == [(2, 12), (4, 12), (6, 12), (8, 12), (9, 12), (10, 12), (11, 12), (12, 12)]


@pytest.mark.parametrize("name", ["basset", "factorized_basset", "bpnet"])
def test_frameworks_agree(name, one_hot):
    build, x = ab.get_model(name), one_hot(3, 100).astype(np.float32)
    target = "all" if name != "bpnet" else ("profile", (50,))
    in_torch = GradientXInput(build(100)).attribute(x, target=target)
    in_keras = GradientXInput(build(100, framework="keras")).attribute(x, target=target)
    scale = np.abs(in_torch.scores).max()
    assert scale > 1e-2
    np.testing.assert_allclose(in_torch.scores, in_keras.scores, rtol=0, atol=1e-5 * scale)


def test_torch_layout_nla(one_hot):
    class Transposed(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x.transpose(1, 2))

    with torch.random.fork_rng(devices=[]):
        inner = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28, 1), torch.nn.Softplus()).double()
    x = one_hot(2)
    expected = GradientXInput(inner).attribute(x)
    result = GradientXInput(ab.as_sequence_model(Transposed(inner), layout="NLA")).attribute(x)
    np.testing.assert_array_equal(result.scores, expected.scores)
    assert expected.scores.shape == (2, 4, 7)


def test_works_where_gradients_are_switched_off(one_hot):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28, 1)).double()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        result = GradientXInput(model).attribute(one_hot(2))
    weight = model[1].weight.detach().numpy().reshape(4, 7)
    np.testing.assert_allclose(result.scores, np.stack([weight, weight]), rtol=0, atol=1e-15)


class Fails(torch.nn.Module):
    """A model in training mode whose forward fails when asked for a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(28), torch.nn.Linear(28, 1))

    def forward(self, x):
        if x.requires_grad:
            raise RuntimeError("out of luck")
        return self.body(x)


def test_torch_model_is_left_as_it_was_after_an_error(one_hot):
    model = Fails().double()
    model.body[2].weight.requires_grad_(False)
    model.body[1].weight.grad = torch.ones(28, dtype=torch.float64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UnsupportedError, match="out of luck"):
        GradientXInput(model).attribute(one_hot(2))
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [True, True, False, True]
    assert torch.equal(model.body[1].weight.grad, torch.ones(28, dtype=torch.float64))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_keras_weights_are_left_as_they_were(one_hot):
    model = ab.get_model("basset")(48, framework="keras")
    before = model.get_weights()
    GradientXInput(model).attribute(one_hot(4, 48))
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_what_cannot_be_differentiated_is_named(two_heads, one_hot):
    def rounded(value):
        if two_heads.framework == "torch":
            return value.argmax(1).double()
        return keras.ops.cast(keras.ops.argmax(value, 1), "float64")

    with pytest.raises(UnsupportedError, match="differentiable operations"):
        GradientXInput(two_heads).attribute(one_hot(2), target=("profile", rounded))


def test_a_reducer_of_the_wrong_shape_is_named(two_heads, one_hot):
    with pytest.raises(TargetError, match=r"a tensor \(2,\) of values \(2, 3\), but gave \(2, 3\)"):
        GradientXInput(two_heads).attribute(one_hot(2), target=("profile", lambda value: value * 2))


def test_eager_keras_models_stay_eager(one_hot):
    class Branches(keras.Model):
        def call(self, x):
            # A branch on a tensor's value works in eager mode only.
            return x[:, 0] * 2 if float(keras.ops.sum(x)) > 0 else x[:, 0]

    model = Branches(dtype="float64")
    model.compile(run_eagerly=True)
    scores = GradientXInput(model).attribute(one_hot(2), target=1).scores
    expected = np.zeros((2, 4, 7))
    expected[:, 1, 0] = 2
    np.testing.assert_array_equal(scores, expected)


def test_other_keras_backends_are_refused(monkeypatch):
    model = keras.Sequential([keras.Input((7, 4)), keras.layers.Flatten(), keras.layers.Dense(1)])
    subject = ab.as_sequence_model(model)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UnsupportedError, match="tensorflow or torch backend, not 'jax'"):
        GradientXInput(subject)


def test_missing_captum_names_the_extra(monkeypatch, one_hot):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.delitem(sys.modules, "captum.attr", raising=False)
    with pytest.raises(MissingDependencyError, match=r"'captum'.*'\.\[torch\]'"):
        GradientXInput(torch.nn.Flatten()).attribute(one_hot(1), target=0)


def test_options_are_refused():
    with pytest.raises(TypeError):
        GradientXInput(torch.nn.Flatten(), steps=3)


def test_bad_batch_size(two_heads, one_hot):
    with pytest.raises(InvalidInputError, match="batch_size must be at least 1, not 0"):
        GradientXInput(two_heads).attribute(one_hot(2), target="count", batch_size=0)


KERAS_ON_TORCH = """
import warnings
import keras, numpy as np
import attribution_bench as ab
assert keras.backend.backend() == "torch"
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((7, 4)), keras.layers.Flatten(), keras.layers.Dense(2, "tanh")])
weight, bias = model.get_weights()
x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (3, 7))]
slope = 1 - np.tanh(x.reshape(3, -1) @ weight + bias) ** 2
expected = (slope[:, None] * weight).reshape(3, 7, 4, 2).transpose(0, 2, 1, 3)
found = ab.get_method("gradient_x_input")(model).attribute(x.transpose(0, 2, 1), target="all")
np.testing.assert_allclose(found.scores, expected, atol=1e-5)
found = ab.get_method("integrated_gradients")(model).attribute(x.transpose(0, 2, 1), target="all")
assert np.abs(found.convergence_delta).max() < 1e-5
"""


def test_keras_on_the_torch_backend():
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", KERAS_ON_TORCH], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["gradient_x_input", "integrated_gradients"])
def test_gradients_of_a_keras_model_that_was_changed(name: str) -> None:
    """What is kept compiled from call to call is of the model as it is."""
    given = keras.Input((12, 4))
    conv = keras.layers.Conv1D(3, 5, activation="tanh")
    model = keras.Model(given, keras.layers.Dense(1)(keras.layers.Flatten()(conv(given))))
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (2, 12))].transpose(0, 2, 1)
    kept = ab.get_method(name)(model)
    before = kept.attribute(x).scores
    conv.activation = keras.activations.sigmoid
    after, anew = kept.attribute(x).scores, ab.get_method(name)(model).attribute(x).scores
    np.testing.assert_allclose(after, anew, atol=1e-6 * np.abs(anew).max())
    assert np.abs(after - before).max() > 1e-2 * np.abs(before).max()


class Squashed:
    """An activation that is an object, whose attributes are in no dict."""

    __slots__ = ("k",)

    def __init__(self) -> None:
        self.k = 1.0

    def __call__(self, x: Any) -> Any:
        return keras.ops.tanh(self.k * x)


class Scaled:
    k = 1.0

    def __call__(self, x: Any) -> Any:
        return keras.ops.tanh(self.k * x)


@pytest.mark.parametrize("activation", [Squashed(), Scaled()], ids=["slots", "class"])
def test_what_code_of_others_reads_may_change(activation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given = keras.Input((12, 4))
    hidden = keras.layers.Conv1D(3, 5, activation=activation)(given)
    model = keras.Model(given, keras.layers.Dense(1)(keras.layers.Flatten()(hidden)))
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (2, 12))].transpose(0, 2, 1)
    kept: Any = GradientXInput(model)
    before = kept.attribute(x).scores
    monkeypatch.setattr(activation if isinstance(activation, Squashed) else Scaled, "k", 3.0)
    after, anew = kept.attribute(x).scores, GradientXInput(model).attribute(x).scores
    np.testing.assert_allclose(after, anew, atol=1e-6 * np.abs(anew).max())
    assert np.abs(after - before).max() > 1e-2 * np.abs(before).max()
