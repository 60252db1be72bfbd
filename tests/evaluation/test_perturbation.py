"""Infidelity and sensitivity: cases worked by hand and Captum on a small model; random mutations: what they are."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.perturbation import infidelity, random_mutations, sensitivity

# Two letters, two positions; the first letter stands at both.
SCORES = np.array([[[1.0, 3], [0, 1]]])
ONE_HOT = np.array([[[1.0, 1], [0, 0]]])
# The first position mutated, the second, both: the scores say -1, -2 and -3.
MUTATED = np.array([[[[0.0, 1], [1, 0]], [[1, 0], [0, 1]], [[0, 0], [1, 1]]]])


def one_hots(generator, *shape):
    return np.moveaxis(np.eye(4)[generator.integers(0, 4, shape)], -1, -2)


def test_infidelity_by_hand():
    # Products with the changes 2 + 4 + 18 = 24, squares of what is said 1 + 4 + 9 = 14: the scale is 12/7.
    # Errors -12/7 + 2, -24/7 + 2, -36/7 + 6 = 2/7, -10/7, 6/7: squares 140/49, over the changes' 4 + 4 + 36 = 44.
    found = infidelity(SCORES, ONE_HOT, MUTATED, np.array([[-2.0, -2, -6]]))
    np.testing.assert_allclose(found, [140 / 49 / 44])


def test_right_up_to_scale():
    np.testing.assert_allclose(infidelity(SCORES, ONE_HOT, MUTATED, np.array([[-5.0, -10, -15]])), [0], atol=1e-15)


def test_wrong_sign_is_as_bad_as_nothing():
    change = np.array([[5.0, 10, 15]])
    np.testing.assert_array_equal(infidelity(SCORES, ONE_HOT, MUTATED, change), [1])
    np.testing.assert_array_equal(infidelity(np.zeros_like(SCORES), ONE_HOT, MUTATED, change), [1])
    # Equal for all letters of a position, scores say that no mutation matters.
    np.testing.assert_array_equal(infidelity(np.ones_like(SCORES), ONE_HOT, MUTATED, change), [1])


def test_undefined_where_no_mutation_matters():
    assert np.isnan(infidelity(SCORES, ONE_HOT, MUTATED, np.zeros((1, 3)))).all()


@given(
    st.integers(0, 2**32 - 1),
    st.floats(1e-200, 1e200),
    st.floats(0.01, 100),
    arrays(np.float64, (2, 1, 5), elements=st.integers(-9, 9)),
)
def test_units_and_what_all_letters_share_do_not_matter(seed, scale, change_scale, shared):
    generator = np.random.default_rng(seed)
    one_hot, scores = one_hots(generator, 2, 5), generator.normal(size=(2, 4, 5))
    mutated = random_mutations(one_hot, 6, 2, generator)
    change = generator.normal(size=(2, 6))
    found = infidelity(scores, one_hot, mutated, change)
    assert ((found >= 0) & (found <= 1)).all()
    for other in (
        infidelity(scores * scale, one_hot, mutated, change),
        infidelity(scores, one_hot, mutated, change * change_scale),
        infidelity(scores + shared, one_hot, mutated, change),
        infidelity(-scores, one_hot, mutated, -change),
        infidelity(scores, one_hot, mutated[:, ::-1], change[:, ::-1]),
        infidelity(scores[:, ::-1], one_hot[:, ::-1], mutated[:, :, ::-1], change),
    ):
        np.testing.assert_allclose(other, found, atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_no_scale_is_better(seed):
    generator = np.random.default_rng(seed)
    one_hot, scores = one_hots(generator, 1, 5), generator.normal(size=(1, 4, 5))
    mutated = random_mutations(one_hot, 6, 3, generator)
    change = generator.normal(size=(1, 6))
    said = [sum((m - one_hot[0])[a, p] * scores[0, a, p] for a in range(4) for p in range(5)) for m in mutated[0]]
    errors = [np.mean((scale * np.array(said) - change[0]) ** 2) for scale in np.linspace(0, 3, 301)]
    assert infidelity(scores, one_hot, mutated, change)[0] <= min(errors) / np.mean(change**2) + 1e-12


def test_whole_number_one_hots_are_subtracted_without_a_wrap():
    change = np.array([[-2.0, -2, -6]])
    whole = infidelity(SCORES, ONE_HOT.astype(np.uint8), MUTATED.astype(np.uint8), change)
    np.testing.assert_array_equal(whole, infidelity(SCORES, ONE_HOT, MUTATED, change))


@pytest.fixture(name="network")
def small_network():
    torch = pytest.importorskip("torch")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (
            torch.nn.Sequential(
                torch.nn.Conv1d(4, 5, 3, padding=1),
                torch.nn.Softplus(),
                torch.nn.Flatten(),
                torch.nn.Linear(5 * 12, 1),
                torch.nn.Flatten(0),
            )
            .double()
            .eval()
        )


@pytest.mark.parametrize("sign", [1, -1])
def test_infidelity_same_as_captum(network, sign):
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("captum.metrics")
    generator = np.random.default_rng(1)
    one_hot = one_hots(generator, 3, 12)
    mutated = random_mutations(one_hot, 20, 3, generator)
    x, copies = torch.tensor(one_hot, requires_grad=True), torch.tensor(mutated.reshape(60, 4, 12))
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    # Beside the gradient, scores with the same linear part as noise, and both with the wrong sign.
    noisy = gradient + 0.3 * gradient.std() * torch.tensor(generator.normal(size=(3, 4, 12)))
    for scores in (sign * gradient, sign * noisy):
        theirs = metrics.infidelity(
            network,
            lambda repeated: (repeated - copies, copies),
            x.detach(),
            scores,
            n_perturb_samples=20,
            normalize=True,
        ).numpy()
        with torch.no_grad():
            change = (network(copies).reshape(3, 20) - network(x)[:, None]).numpy()
        ours = infidelity(scores.numpy(), one_hot, mutated, change)
        if sign == 1:
            assert (ours < 0.9).all()
            np.testing.assert_allclose(ours * np.mean(change**2, axis=1), theirs, rtol=1e-9)
        else:
            # Captum's scale turns the sign; ours does not.
            np.testing.assert_array_equal(ours, 1)
            assert (theirs < 0.9 * np.mean(change**2, axis=1)).all()


def test_sensitivity_by_hand():
    # Norm of (3, 4) is 5. Changes (0, 1) and (6, -8) have norms 1 and 10: the larger is 10 / 5.
    scores, perturbed = np.array([[3.0, 4]]), np.array([[[3.0, 5]], [[-3, 12]]])
    np.testing.assert_allclose(sensitivity(scores, perturbed), [2])
    np.testing.assert_allclose(sensitivity(scores, perturbed[:1]), [1 / 5])


def test_sensitivity_of_no_scores_is_undefined():
    found = sensitivity(np.array([[0.0, 0], [1, 0]]), np.array([[[1.0, 0], [1, 0]]]))
    np.testing.assert_array_equal(found, [np.nan, 0])


def test_sensitivity_same_as_captum(network):
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("captum.metrics")
    attribute = pytest.importorskip("captum.attr").InputXGradient(network).attribute
    generator = np.random.default_rng(2)
    one_hot = one_hots(generator, 3, 12)
    copies = torch.tensor(random_mutations(one_hot, 8, 1, generator).reshape(24, 4, 12))

    def observed(inputs):
        if isinstance(inputs, tuple):
            return tuple(observed(part) for part in inputs)
        return attribute(inputs.detach().requires_grad_()).sum(dim=1).detach()

    x = torch.tensor(one_hot)
    theirs = metrics.sensitivity_max(observed, x, perturb_func=lambda repeated: copies, n_perturb_samples=8)
    perturbed = observed(copies).reshape(3, 8, 12).numpy().swapaxes(0, 1)
    np.testing.assert_allclose(sensitivity(observed(x).numpy(), perturbed), theirs.numpy(), rtol=1e-9)


@given(
    arrays(np.float64, (2, 5), elements=st.integers(-9, 9)),
    arrays(np.float64, (3, 2, 5), elements=st.integers(-9, 9)),
    st.floats(0.01, 100),
    st.permutations(range(5)),
    st.permutations(range(3)),
)
def test_sensitivity_ignores_units_and_order(scores, perturbed, scale, positions, copies):
    found = sensitivity(scores, perturbed)
    assert (np.isnan(found) | (found >= 0)).all()
    np.testing.assert_array_equal(np.isnan(found), ~scores.any(axis=1))
    np.testing.assert_allclose(sensitivity(scores * scale, perturbed * scale), found)
    np.testing.assert_allclose(sensitivity(scores[:, positions], perturbed[:, :, positions]), found)
    np.testing.assert_allclose(sensitivity(scores, perturbed[copies]), found)
    np.testing.assert_array_equal(sensitivity(scores, np.stack([scores, scores])), np.where(np.isnan(found), np.nan, 0))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([np.float32, np.float64, np.uint8]))
def test_mutations_change_known_letters_and_nothing_else(seed, letters, dtype):
    generator = np.random.default_rng(seed)
    one_hot = one_hots(generator, 3, 7).astype(dtype)
    one_hot[1, :, [0, 4, 6]] = 0  # four known letters remain
    before = one_hot.copy()
    mutated = random_mutations(one_hot, 5, letters, generator)
    np.testing.assert_array_equal(one_hot, before)
    assert mutated.shape == (3, 5, 4, 7)
    assert mutated.dtype == dtype
    assert np.isin(mutated, (0, 1)).all()
    np.testing.assert_array_equal(mutated.sum(axis=2), np.broadcast_to(one_hot.sum(axis=1)[:, None], (3, 5, 7)))
    np.testing.assert_array_equal((mutated != one_hot[:, None]).any(axis=2).sum(axis=2), letters)


def test_mutations_repeat_with_the_state_of_the_generator():
    one_hot = one_hots(np.random.default_rng(0), 2, 9)
    first, again, other = (random_mutations(one_hot, 4, 2, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_every_position_pair_and_letter_is_equally_likely():
    one_hot = np.zeros((1, 4, 5))
    one_hot[0, [0, 1, 2, 3], [0, 1, 3, 4]] = 1  # the third letter is unknown
    mutated = random_mutations(one_hot, 6000, 2, np.random.default_rng(0))[0]
    changed = (mutated != one_hot[0]).any(axis=1)
    pairs = np.unique(changed, axis=0, return_counts=True)[1]
    assert len(pairs) == 6  # of 4 known positions
    assert scipy.stats.chisquare(pairs).pvalue > 0.01
    for letter, position in ((0, 0), (1, 1), (2, 3), (3, 4)):
        new = mutated[changed[:, position], :, position].sum(axis=0)
        assert new[letter] == 0
        assert scipy.stats.chisquare(np.delete(new, letter)).pvalue > 0.01


@pytest.mark.parametrize(
    ("one_hot", "count", "letters", "message"),
    [
        (np.ones((1, 4, 3)) / 4, 1, 1, "single 1"),
        (np.ones((1, 4, 3)), 1, 1, "single 1"),
        (np.eye(4), 1, 1, "shape"),
        (np.eye(4)[None], 0, 1, "at least 1"),
        (np.eye(4)[None], 1, 0, "at least 1"),
        (np.eye(4)[None], 1, 5, "sequence 0 has 4 and 5"),
        (np.ones((1, 1, 3)), 1, 1, "at least 2 letters"),
    ],
)
def test_sequences_that_cannot_be_mutated_are_refused(one_hot, count, letters, message):
    with pytest.raises(InvalidInputError, match=message):
        random_mutations(one_hot, count, letters, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scores": SCORES[0]}, "scores must have shape"),
        ({"scores": SCORES * np.nan}, "scores must be finite"),
        ({"one_hot": ONE_HOT[:, :, :1]}, "one_hot must have shape"),
        ({"mutated": MUTATED[0]}, "mutated must have shape"),
        ({"mutated": MUTATED[:, :, :1]}, "mutated must have shape"),
        ({"mutated": MUTATED[:, :0]}, "mutated must have shape"),
        ({"mutated": np.full_like(MUTATED, np.inf)}, "mutated must be finite"),
        ({"change": np.zeros((1, 2))}, "change must have shape"),
        ({"change": np.array([[0, 0, np.nan]])}, "change must be finite"),
    ],
)
def test_infidelity_of_what_does_not_fit_is_refused(changed, message):
    arguments = {"scores": SCORES, "one_hot": ONE_HOT, "mutated": MUTATED, "change": np.zeros((1, 3))}
    with pytest.raises(InvalidInputError, match=message):
        infidelity(**{**arguments, **changed})


@pytest.mark.parametrize(
    ("scores", "perturbed"),
    [
        (np.ones((2, 3)), np.ones((2, 3))),
        (np.ones((2, 3)), np.ones((1, 2, 4))),
        (np.ones((2, 3)), np.ones((0, 2, 3))),
        (np.ones((2, 3)), np.full((1, 2, 3), np.nan)),
    ],
)
def test_sensitivity_of_what_does_not_fit_is_refused(scores, perturbed):
    with pytest.raises(InvalidInputError):
        sensitivity(scores, perturbed)
