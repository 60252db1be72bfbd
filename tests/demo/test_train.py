import numpy as np
import pytest
import torch

from attribution_bench.demo import training_sequences
from attribution_bench.demo.models_torch import Classifier, Profile
from attribution_bench.demo.train import Recipe, classifier_loss, fit, profile_loss

RECIPE = Recipe(epochs=1, batch_size=16, learning_rate=1e-3)


@pytest.fixture(scope="module")
def planted():
    return training_sequences(64, 0)


def trained(name, planted):
    x = torch.from_numpy(planted.sequences.one_hot())
    if name == "classifier":
        return fit(Classifier, classifier_loss, x, torch.from_numpy(planted.accessibility).sigmoid(), RECIPE)
    return fit(Profile, profile_loss, x, torch.from_numpy(planted.reads).float(), RECIPE)


@pytest.mark.parametrize("name", ["classifier", "profile"])
def test_training_is_repeatable_and_leaves_the_random_state_alone(name, planted):
    before = torch.random.get_rng_state()
    first, again = trained(name, planted), trained(name, planted)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not first.training
    for key, value in first.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value)


def test_the_loss_of_the_profile_is_least_at_the_truth(planted):
    reads = torch.from_numpy(planted.reads).float()
    count = reads.sum(dim=1, keepdim=True)
    best = {"profile": (reads / count.clamp(min=1)).clamp(min=1e-12).log(), "count": count.log1p()}
    even = {"profile": torch.zeros_like(reads), "count": count.log1p()}
    short = {"profile": best["profile"], "count": count.log1p() - 1}
    assert profile_loss(best, reads) < profile_loss(even, reads)
    assert profile_loss(best, reads) + 29 < profile_loss(short, reads)


def test_the_distance_between_profiles_is_that_of_scipy():
    from scipy.spatial import distance

    from attribution_bench.demo.performance import _jensen_shannon

    generator = np.random.default_rng(0)
    first, second = generator.dirichlet(np.ones(20), 5), generator.dirichlet(np.ones(20), 5)
    first[:, 0] = 0
    first /= first.sum(axis=1, keepdims=True)
    expected = distance.jensenshannon(first, second, axis=1, base=2).mean()
    assert _jensen_shannon(first, second) == pytest.approx(expected)
