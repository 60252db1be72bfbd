"""Standard ISM against a brute-force loop, and against tangermeme."""

import numpy as np
import pytest
import torch
from tangermeme.saturation_mutagenesis import saturation_mutagenesis

import attribution_bench as ab
from attribution_bench_plugins.standard_ism import StandardISM


def brute_force(predict, x):
    """Every letter at every position, one sequence and one mutation a call: (N, A, L, *output)."""
    rows = []
    for sequence in x:
        for letter in range(x.shape[1]):
            for position in range(x.shape[2]):
                mutated = sequence.copy()
                mutated[:, position] = 0
                mutated[letter, position] = 1
                rows.append(predict(mutated[None])[0])
    return np.stack(rows).reshape(*x.shape, *rows[0].shape)


@pytest.mark.parametrize("output", ["profile", "count"])
def test_predictions_are_brute_force(two_heads, one_hot, output):
    x = one_hot(2)
    x[0, :, 2] = 0  # an unknown letter, which all four letters replace
    expected = brute_force(lambda x: two_heads.predict(x)[output], x)
    result = StandardISM(two_heads).attribute(x, target=output, batch_size=5)
    np.testing.assert_allclose(result.predictions[output], expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.reference_predictions[output], two_heads.predict(x)[output], rtol=0, atol=1e-12)
    delta = expected - two_heads.predict(x)[output][:, None, None]
    np.testing.assert_allclose(result.scores, delta - delta.mean(axis=1, keepdims=True), rtol=0, atol=1e-12)
    assert np.abs(result.scores).max() > 1e-2


def test_the_letter_that_is_there_holds_the_reference_exactly(two_heads, one_hot):
    x = one_hot(3)
    result = StandardISM(two_heads).attribute(x, target="all", batch_size=4)
    delta = result.with_convention("delta")
    assert (delta.observed == 0).all()
    assert set(result.predictions) == {"profile", "count"}
    assert result.scores.shape == (3, 4, 7, 4)


def test_tangermeme_agrees(one_hot):
    model = ab.get_model("bpnet")(20).double()

    class Profile(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return self.inner(x)["profile"]

    x = one_hot(2, 20)
    raw = saturation_mutagenesis(
        Profile(), torch.from_numpy(x), raw_outputs=True, device="cpu", dtype=torch.float64, fast=False
    )
    result = StandardISM(model).attribute(x, target="profile")
    np.testing.assert_allclose(result.reference_predictions["profile"], raw.y0.numpy(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.predictions["profile"], raw.y_hat.numpy(), rtol=0, atol=1e-12)


def test_tangermeme_centres_alike(one_hot):
    model, x = ab.get_model("basset")(48).double(), one_hot(2, 48)
    theirs = saturation_mutagenesis(
        model, torch.from_numpy(x), hypothetical=True, device="cpu", dtype=torch.float64, fast=False
    )
    np.testing.assert_allclose(StandardISM(model).attribute(x).scores, theirs.numpy(), rtol=0, atol=1e-12)


def test_targets_reduce_before_the_copy(two_heads, one_hot):
    x = one_hot(2)
    whole = StandardISM(two_heads).attribute(x, target="profile").predictions["profile"]
    for target, expected in {
        ("profile", 1): whole[..., 1],
        ("profile", "sum"): whole.sum(axis=-1),
        ("profile", "mean"): whole.mean(axis=-1),
        ("profile", "logsumexp"): np.log(np.exp(whole).sum(axis=-1)),
        ("profile", lambda value: value[:, 0] - value[:, 2]): whole[..., 0] - whole[..., 2],
    }.items():
        found = StandardISM(two_heads).attribute(x, target=target)
        np.testing.assert_allclose(found.predictions["profile"], expected, rtol=0, atol=1e-12)


def test_extra_inputs_follow_their_sequence(two_inputs, one_hot):
    x, extra = one_hot(3), np.random.default_rng(1).normal(size=(3, 2))
    result = StandardISM(two_inputs).attribute(x, target="count", additional_forward_args=(extra,), batch_size=4)
    for row in range(3):
        alone = StandardISM(two_inputs).attribute(
            x[row : row + 1], target="count", additional_forward_args=(extra[row : row + 1],)
        )
        np.testing.assert_allclose(result.predictions["count"][row], alone.predictions["count"][0], rtol=0, atol=1e-12)
    assert np.abs(result.reference_predictions["count"] - two_inputs.predict(x, (extra[::-1],))["count"]).max() > 1e-3


def test_positions_batch_size_and_progress(two_heads, one_hot):
    x, seen = one_hot(3), []
    whole = StandardISM(two_heads).attribute(x, target="profile")
    some = StandardISM(two_heads).attribute(
        x, target="profile", positions=[6, 0], batch_size=7, progress=lambda *state: seen.append(state)
    )
    np.testing.assert_allclose(some.predictions["profile"], whole.predictions["profile"][:, :, [6, 0]], atol=1e-12)
    np.testing.assert_array_equal(some.one_hot, x[:, :, [6, 0]])
    # Three alternatives at two positions of three sequences.
    assert seen == [(7, 18), (14, 18), (18, 18)]


def test_an_alphabet_of_twenty(one_hot):
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(20 * 3, 1)).double()
    subject = ab.as_sequence_model(model, alphabet="protein")
    result = StandardISM(subject).attribute(["MKX"])
    weight = model[1].weight.detach().numpy().reshape(20, 3)
    expected = weight - weight.mean(axis=0)  # linear: every letter's share, centred
    np.testing.assert_allclose(result.scores[0], expected, rtol=0, atol=1e-12)
