import json
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest

import attribution_bench as ab
from attribution_bench.demo import build_classifier, build_profile, demonstration_sequences
from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences.sites import site_effects

WEIGHTS = files("attribution_bench.demo") / "weights"
BUILDERS = (build_classifier, build_profile)


@pytest.fixture(scope="session")
def stored():
    return json.loads((WEIGHTS / "performance.json").read_text())


@pytest.fixture(scope="session")
def shown():
    return demonstration_sequences(24, seed=5)


def observed(method, build, shown, target=None):
    return ab.get_method(method)(build()).attribute(shown.sequences.one_hot(), target=target).observed


def mean_auroc(scores, shown):
    """Mean over sequences of the AUROC of letters in sites, scores negated in sites that lower."""
    from sklearn import metrics

    effects = site_effects(shown.sites, *scores.shape)
    signed = np.where(effects < 0, -scores, scores)
    return np.mean([metrics.roc_auc_score(effect != 0, row) for effect, row in zip(effects, signed, strict=True)])


def test_importing_the_demonstration_imports_no_framework():
    code = (
        "import sys, attribution_bench.demo as demo; demo.demonstration_sequences(1); "
        "sys.exit(bool({'torch', 'tensorflow', 'keras', 'sklearn'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("build", BUILDERS)
def test_another_length_or_framework_is_refused(build):
    with pytest.raises(InvalidInputError, match="256 letters only, not 1000"):
        build(length=1000)
    with pytest.raises(InvalidInputError, match="'torch' only, not 'keras'"):
        build(framework="keras")


def test_outputs_have_their_names_and_shapes():
    for build, shapes in (
        (build_classifier, {"accessible": (1,)}),
        (build_profile, {"profile": (256,), "count": (1,)}),
    ):
        model = build(length=256)
        assert not model.training
        assert {output.name: output.shape for output in ab.as_sequence_model(model).outputs(256)} == shapes


def test_building_leaves_the_random_state_alone():
    import torch

    before = torch.random.get_rng_state()
    build_classifier()
    assert torch.equal(before, torch.random.get_rng_state())


def test_weights_are_small():
    assert sum(len((WEIGHTS / f"{name}.safetensors").read_bytes()) for name in ("classifier", "profile")) < 2_000_000


def test_the_classifier_performs_as_stored(stored, held_out):
    from attribution_bench.demo.performance import classifier_performance

    expected, found = stored["classifier"]["held_out"], classifier_performance(build_classifier(), held_out)
    assert expected["auroc"] > 0.97
    assert found["auroc"] == pytest.approx(expected["auroc"], abs=0.01)
    assert found["auprc"] == pytest.approx(expected["auprc"], abs=0.015)
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=0.03)
    assert found["logit_pearson"] == pytest.approx(expected["logit_pearson"], abs=0.03)


def test_the_profile_model_performs_as_stored(stored, held_out):
    from attribution_bench.demo.performance import profile_performance

    expected, found = stored["profile"]["held_out"], profile_performance(build_profile(), held_out)
    assert found["count_pearson"] == pytest.approx(expected["count_pearson"], abs=0.03)
    assert found["profile_distance"] == pytest.approx(expected["profile_distance"], abs=0.03)
    # Nearer to what no model can beat than to what knows nothing.
    best, worst = found["profile_distance_truth"], found["profile_distance_even"]
    assert found["profile_distance"] < (best + worst) / 2


@pytest.mark.parametrize("method", ["fastism", "deepshap", "integrated_gradients"])
def test_methods_recover_the_planted_motifs_from_the_classifier(method, shown):
    assert mean_auroc(observed(method, build_classifier, shown), shown) > 0.9


@pytest.mark.parametrize("method", ["fastism", "deepshap"])
def test_methods_recover_the_planted_motifs_from_the_counts(method, shown):
    assert mean_auroc(observed(method, build_profile, shown, ("count", 0)), shown) > 0.9


def test_scores_without_their_sign_miss_the_repressor(shown):
    scores = observed("gradient_x_input", build_classifier, shown)
    assert mean_auroc(scores, shown) > mean_auroc(np.abs(scores), shown) + 0.05


def test_sites_stand_out_in_scores_of_either_sign(shown):
    scores = observed("fastism", build_classifier, shown)
    effects = site_effects(shown.sites, *scores.shape)
    background = np.sqrt(np.mean(scores[effects == 0] ** 2))
    assert scores[effects > 0].mean() > 5 * background
    assert scores[effects < 0].mean() < -5 * background
