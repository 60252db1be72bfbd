"""Results as shap, logomaker and tangermeme take them, and tangermeme's arrays as results."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import attribution_bench as ab
from attribution_bench.attribution import AttributionResult
from attribution_bench.bridges import from_tangermeme
from attribution_bench.conventions import PROJECTED
from attribution_bench.errors import InvalidInputError, MissingDependencyError, TargetError
from attribution_bench.reporting.logomaker_letters import LogomakerLetters


@pytest.fixture
def result(curved: nn.Module, one_hot: np.ndarray) -> AttributionResult:
    return ab.get_method("standard_ism")(curved).attribute(one_hot, target="all", names=list("vwxyz"))


@pytest.fixture
def gradients(curved: nn.Module, one_hot: np.ndarray) -> AttributionResult:
    return ab.get_method("gradient_x_input")(curved).attribute(one_hot, target=1)


def test_scores_for_shap_add_up_to_the_prediction(
    result: AttributionResult, curved: nn.Module, one_hot: np.ndarray
) -> None:
    explanation = result.to_shap(target=1)
    predicted = curved(torch.from_numpy(one_hot)).detach().numpy()[:, 1]
    np.testing.assert_allclose(explanation.base_values + explanation.values.sum(axis=1), predicted, rtol=1e-5)
    np.testing.assert_array_equal(explanation.values, result.observed[:, :, 1])
    assert explanation.data[0, 7] == "·"
    assert (explanation.values[0, 7], explanation.feature_names[7]) == (0, "position 7")
    letters = ["ACGT".find(letter) for letter in explanation.data[2]]
    np.testing.assert_array_equal(letters, one_hot[2].argmax(axis=0))
    assert explanation[2].values.shape == (one_hot.shape[2],)


def _plots() -> dict[str, Callable[[Any], Any]]:
    import shap

    return {
        "bar": lambda one: shap.plots.bar(one, show=False),
        "bar of one": lambda one: shap.plots.bar(one[0], show=False),
        "beeswarm": lambda one: shap.plots.beeswarm(one, show=False),
        "heatmap": lambda one: shap.plots.heatmap(one, show=False),
        "scatter": lambda one: shap.plots.scatter(one[:, 3], show=False),
        "waterfall": lambda one: shap.plots.waterfall(one[0], show=False),
        "force": lambda one: shap.plots.force(one[0], matplotlib=True, show=False),
        "text": lambda one: shap.plots.text(one[0], display=False),
    }


def _draw(name: str, explanation: Any) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    plt.figure()
    _plots()[name](explanation)
    plt.close("all")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning", "ignore::FutureWarning")
def test_the_plots_of_shap_take_it(result: AttributionResult, gradients: AttributionResult) -> None:
    explanation = result.to_shap(target=(1,))
    for name in _plots():
        _draw(name, explanation)
    # shap's explainers by gradients give no base values either, and these plots need none.
    without = gradients.to_shap()
    assert without.base_values is None
    for name in ("bar", "bar of one", "beeswarm", "heatmap", "scatter"):
        _draw(name, without)
    given = gradients.to_shap(base_values=0.5)
    assert given.base_values.tolist() == [0.5] * 5
    for name in ("waterfall", "force", "text"):
        _draw(name, given)


def test_logomaker_draws_the_scores(result: AttributionResult, one_hot: np.ndarray) -> None:
    import logomaker

    part = replace(result, positions=result.positions + 100)
    frame = part.to_logomaker(2, target=1)
    assert list(frame.columns) == list("ACGT")
    assert list(frame.index) == list(range(100, 124))
    np.testing.assert_allclose(frame.to_numpy().T, result.scores[2, :, :, 1] * one_hot[2])
    logo = logomaker.Logo(frame, ax=Figure().subplots())
    heights = {glyph.p - 100: (glyph.c, glyph.floor, glyph.ceiling) for glyph in logo.glyph_list if glyph.patch}
    for position, (letter, floor, ceiling) in heights.items():
        score = result.observed[2, round(position), 1]
        assert one_hot[2, "ACGT".index(letter), round(position)] == 1
        assert (floor, ceiling) == pytest.approx((min(score, 0), max(score, 0)))
    hypothetical = result.to_logomaker(2, (1,), hypothetical=True)
    np.testing.assert_allclose(hypothetical.to_numpy().T, result.scores[2, :, :, 1])
    for wrong in (5, -1, True, 1.0):
        with pytest.raises(InvalidInputError, match="index from 0 to 4"):
            result.to_logomaker(wrong, 1)
    with pytest.raises(InvalidInputError, match="repeatedly"):
        replace(result, positions=np.zeros_like(result.positions)).to_logomaker(0, 1)


@pytest.mark.parametrize("hypothetical", [False, True])
def test_tangermeme_gives_the_same_arrays(
    hypothetical: bool, result: AttributionResult, curved: nn.Module, one_hot: np.ndarray
) -> None:
    from tangermeme.plot import plot_logo
    from tangermeme.saturation_mutagenesis import saturation_mutagenesis

    known = one_hot[1:]
    theirs = saturation_mutagenesis(
        curved, torch.from_numpy(known), target=1, hypothetical=hypothetical, device="cpu", fast=False
    )
    letters, scores = result[1:].to_tangermeme(1, hypothetical=hypothetical)
    assert letters.dtype == scores.dtype == torch.float32
    np.testing.assert_array_equal(letters, known)
    torch.testing.assert_close(scores, theirs, atol=1e-5, rtol=1e-5)
    axes = plot_logo(scores[0], ax=Figure().subplots())
    assert axes.get_ylim()[0] == pytest.approx(float(scores[0].clip(max=0).sum(dim=0).min()))
    back = from_tangermeme(known.astype(np.int8), theirs, names=list("abcd"))
    np.testing.assert_array_equal(back.scores, theirs)
    np.testing.assert_array_equal(back.observed, (theirs.numpy() * known).sum(axis=1))
    assert back.names == ("a", "b", "c", "d")
    assert bool(back.metadata.get(PROJECTED)) is not hypothetical
    if not hypothetical:
        with pytest.raises(InvalidInputError, match="reference letters only"):
            back.to_tangermeme(hypothetical=True)


def test_a_result_from_tangermeme_can_be_saved(one_hot: np.ndarray, tmp_path: Any) -> None:
    scores = np.random.default_rng(0).normal(size=one_hot.shape)
    made = from_tangermeme(one_hot, scores, method="theirs")
    np.testing.assert_array_equal(AttributionResult.load(made.save(tmp_path / "theirs")).scores, scores)


@pytest.mark.parametrize(
    ("letters", "scores", "alphabet", "message"),
    [
        ((2, 4, 5), (2, 4, 6), "ACGT", r"shapes \(2, 4, 5\) and \(2, 4, 6\)"),
        ((2, 5, 4), (2, 5, 4), "ACGT", r"\(N, 4, L\)"),
        ((4, 5), (4, 5), "ACGT", r"\(N, 4, L\)"),
        ((0, 4, 5), (0, 4, 5), "ACGT", r"\(0, 4, 5\)"),
        ((2, 4, 5), (2, 4, 5), "ACGU", "one-hot|at most one 1"),
    ],
)
def test_arrays_that_are_no_attributions(letters: Any, scores: Any, alphabet: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        from_tangermeme(np.ones(letters), np.ones(scores), alphabet=alphabet)


TO = {
    "shap": lambda result, **settings: result.to_shap(**settings),
    "logomaker": lambda result, **settings: result.to_logomaker(0, **settings),
    "tangermeme": lambda result, **settings: result.to_tangermeme(**settings),
}


@pytest.mark.parametrize("to", sorted(TO))
def test_what_cannot_be_given(to: str, result: AttributionResult, gradients: AttributionResult) -> None:
    for convention in ("delta", "max-abs", "l2"):
        settings = {"target": 1} if convention == "delta" else {}
        with pytest.raises(InvalidInputError, match=rf"all zero by the convention '{convention}'.*'centred'"):
            TO[to](result.with_convention(convention), **settings)
    with pytest.raises(TargetError, match="several values"):
        TO[to](result)
    with pytest.raises(TargetError, match="one score a letter, and no 1"):
        TO[to](gradients, target=1)


def test_gaps_and_base_values_that_do_not_fit(gradients: AttributionResult) -> None:
    with pytest.raises(InvalidInputError, match="without gaps"):
        replace(gradients, positions=gradients.positions * 2).to_tangermeme()
    for wrong in ([1, 2], "x", [[1.0]] * 5):
        with pytest.raises(InvalidInputError, match="a number, or one a sequence"):
            gradients.to_shap(base_values=wrong)


@pytest.mark.parametrize(
    ("package", "use"),
    [
        ("shap", lambda result: result.to_shap()),
        ("pandas", lambda result: result.to_logomaker()),
        ("logomaker", lambda result: LogomakerLetters()),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    package: str, use: Callable[[AttributionResult], Any], gradients: AttributionResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"'{package}'.*\.\[plots\]"):
        use(gradients)
