"""Methods compared on one model: every number recomputed by other means, failures kept, bad input refused."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

import attribution_bench as ab
from attribution_bench.attribution import Attribution, AttributionResult, RawAttribution, Request, Tags
from attribution_bench.errors import AttributionBenchError, InvalidInputError, OutputError, TargetError
from attribution_bench.evaluation import METRICS, Evaluation, Settings, evaluate, save_evaluation
from attribution_bench.evaluation.results import FILE
from attribution_bench.sequences import Sequences, dinucleotide_shuffle
from attribution_bench.sequences.sites import Site
from broken_methods import RandomScores

LENGTH, COUNT = 60, 8
SETTINGS = Settings(mutations=10, shuffles=2, repeats=2, repeated_sequences=4, steps=6)


class Failing(Attribution):
    """Cannot score."""

    name: ClassVar[str] = "failing"
    tags: ClassVar[Tags] = Tags(frozenset({"torch"}))

    def _attribute(self, request: Request) -> RawAttribution:
        raise ZeroDivisionError("by design")


class Slow(RandomScores):
    """Takes a minute to start and two seconds a sequence, on a clock of the tests."""

    now: ClassVar[float] = 0.0

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.started = False

    def _attribute(self, request: Request) -> RawAttribution:
        Slow.now += 2.0 * len(request.one_hot) + (0 if self.started else 60)
        self.started = True
        return super()._attribute(request)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 8, 7, padding="same"), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(8 * LENGTH // 4, 1)
    )


def sequences() -> Sequences:
    letters = np.random.default_rng(1).choice(list("ACGT"), size=(COUNT, LENGTH))
    names = tuple(f"sequence {index}" for index in range(COUNT))
    return Sequences(names, tuple("".join(row) for row in letters), "random letters")


SITES = (
    Site(0, 5, 12, "up", "+"),
    Site(0, 30, 34, "down", "-", -1),
    Site(1, 50, 60, "up", "+"),
    Site(2, 0, 9, "down", effect=-1),
)


@pytest.fixture(scope="module")
def compared() -> tuple[Evaluation, dict[str, AttributionResult]]:
    methods: dict[str, Any] = {name: ab.get_method(name) for name in ab.list_methods()}
    methods |= {"failing": Failing, "random_scores": RandomScores}
    model = ab.as_sequence_model(network())
    return evaluate(
        model, sequences(), methods, label="toy", sites=SITES, truth="standard_ism", settings=SETTINGS, threads=1
    )


def observed(results: dict[str, AttributionResult], name: str) -> NDArray[np.float64]:
    return results[name].observed.astype(np.float64).reshape(COUNT, LENGTH)


def predict(one_hot: NDArray[Any]) -> NDArray[np.float64]:
    with torch.no_grad():
        return network()(torch.as_tensor(one_hot)).numpy()[:, 0].astype(np.float64)


def test_fastism_agrees_with_standard_ism(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    means = compared[0].method("fastism").means
    for metric in ("pearson", "spearman", "cosine", "top_k", "sign"):
        assert means[metric].mean == pytest.approx(1, abs=1e-6)


def test_agreement_equals_that_of_scipy(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    evaluation, results = compared
    truth = observed(results, "standard_ism")
    for name in results:
        mine = observed(results, name)
        values = evaluation.method(name).values
        for row in range(COUNT):
            assert values["pearson"][row] == pytest.approx(stats.pearsonr(mine[row], truth[row]).statistic, abs=1e-9)
            assert values["spearman"][row] == pytest.approx(stats.spearmanr(mine[row], truth[row]).statistic, abs=1e-9)
        pairs = {
            p.second if p.first == name else p.first: p for p in evaluation.agreements if name in (p.first, p.second)
        }
        assert set(pairs) == set(results) - {name}
        if name != "standard_ism":
            assert pairs["standard_ism"].values["pearson"] == pytest.approx(values["pearson"])


def test_recovery_equals_that_of_scikit_learn(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    evaluation, results = compared
    outside = np.ones((COUNT, LENGTH), bool)
    for site in SITES:
        outside[site.sequence, site.start : site.stop] = False
    for name in results:
        mine, values = observed(results, name), evaluation.method(name).values
        for row in range(COUNT):
            found = {"auroc": [], "auprc": []}
            for site in SITES:  # one of each effect a sequence at most
                if site.sequence == row:
                    inside = np.zeros(LENGTH, bool)
                    inside[site.start : site.stop] = True
                    kept = inside | outside[row]
                    found["auroc"].append(roc_auc_score(inside[kept], site.effect * mine[row][kept]))
                    found["auprc"].append(average_precision_score(inside[kept], site.effect * mine[row][kept]))
            for metric, measured in found.items():
                expected = np.mean(measured) if measured else None
                assert values[metric][row] == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_curves_equal_masking_letter_by_letter(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    evaluation, results = compared
    one_hot = sequences().one_hot()
    generator = np.random.default_rng(SETTINGS.seed)
    shuffles = np.stack([dinucleotide_shuffle(row, SETTINGS.shuffles, generator) for row in one_hot])
    empty = np.mean([predict(shuffles[:, i]) for i in range(SETTINGS.shuffles)], axis=0)
    scale = np.median(np.abs(predict(one_hot) - empty))
    for name in ("gradient_x_input", "random_scores"):
        for row in range(COUNT):
            order = sorted(range(LENGTH), key=lambda at: (-observed(results, name)[row, at], at))
            deletion, insertion = [], []
            for step in range(SETTINGS.steps + 1):
                changed = order[: LENGTH * step // SETTINGS.steps]
                removed, put = one_hot[None, row].repeat(SETTINGS.shuffles, 0), shuffles[row].copy()
                for at in changed:
                    removed[:, :, at] = shuffles[row][:, :, at]
                    put[:, :, at] = one_hot[row, :, at]
                deletion.append(predict(removed).mean())
                insertion.append(predict(put).mean())
            found = evaluation.method(name)
            np.testing.assert_allclose(found.curves["deletion"][row], deletion, atol=1e-6)
            np.testing.assert_allclose(found.curves["insertion"][row], insertion, atol=1e-6)
            for kind, values in (("deletion", deletion), ("insertion", insertion)):
                inner = (np.array(values) - empty[row]) / scale
                area = (inner[1:] + inner[:-1]).sum() / 2 / SETTINGS.steps
                assert found.values[kind][row] == pytest.approx(area, abs=1e-5)


def test_completeness_is_the_share_that_is_missing(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    evaluation, results = compared
    one_hot = sequences().one_hot()
    difference = predict(one_hot) - predict(np.zeros_like(one_hot))
    missing = np.abs(observed(results, "integrated_gradients").sum(axis=1) - difference) / np.abs(difference)
    np.testing.assert_allclose(evaluation.method("integrated_gradients").values["completeness"], missing, atol=2e-5)
    assert "completeness" not in evaluation.method("fastism").values
    assert evaluation.method("deepshap").means["completeness"].mean < 1e-3


def test_means_and_best_are_those_of_the_values(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    evaluation, _ = compared
    for name, metric in METRICS.items():
        of = {m.method: np.array(m.values[name], float) for m in evaluation.methods if name in m.means}
        if metric.group == "agreement":  # what others agree with does not compete
            assert name not in evaluation.method("standard_ism").behind_best
            del of["standard_ism"]
        means = {method: np.nanmean(values) for method, values in of.items()}
        best = (max if metric.better == "higher" else min)(means, key=means.__getitem__)
        for method, values in of.items():
            found = evaluation.method(method)
            assert found.means[name].mean == pytest.approx(means[method], abs=1e-12)
            assert found.means[name].low <= found.means[name].mean + 1e-12
            assert found.means[name].high >= found.means[name].mean - 1e-12
            behind = np.nanmean(values - of[best])
            assert found.behind_best[name].mean == pytest.approx(behind, abs=1e-12)


def test_what_repeats_is_measured_on_some_sequences(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    evaluation, _ = compared
    assert sum(value is not None for value in evaluation.method("deepshap").values["sensitivity"]) == 4
    assert sum(value is not None for value in evaluation.method("deepshap").values["stability"]) == 4
    assert "stability" not in evaluation.method("fastism").values  # it has no seed
    assert evaluation.method("random_scores").means["stability"].mean == pytest.approx(0, abs=0.2)


def test_a_method_that_fails_is_kept_with_its_reason(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    evaluation, results = compared
    assert evaluation.method("failing").reason == "ZeroDivisionError: by design"
    assert "failing" not in results
    assert all("failing" not in (pair.first, pair.second) for pair in evaluation.agreements)


def test_random_scores_come_last(compared: tuple[Evaluation, dict[str, AttributionResult]]) -> None:
    for metric in METRICS.values():
        if metric.group in ("recovery", "completeness"):
            continue  # these sites are no truth of this model; random scores have no baseline
        means = {m.method: m.means[metric.name].mean for m in compared[0].methods if metric.name in m.means}
        worst = (min if metric.better == "higher" else max)(means, key=means.__getitem__)
        assert worst == "random_scores", metric.name


def test_what_is_saved_is_what_is_loaded(
    tmp_path: Path, compared: tuple[Evaluation, dict[str, AttributionResult]]
) -> None:
    evaluation, results = compared
    written = save_evaluation(tmp_path, evaluation, results)
    assert {path.name for path in written} == {FILE, *(f"{name}.npz" for name in results)}
    assert Evaluation.load(tmp_path) == evaluation
    np.testing.assert_array_equal(
        AttributionResult.load(tmp_path / "scores" / "deepshap.npz").scores, results["deepshap"].scores
    )
    assert AttributionResult.load(tmp_path / "scores" / "deepshap.npz").names == tuple(evaluation.names)
    (tmp_path / FILE).write_text('{"format": 1}')
    with pytest.raises(OutputError, match="holds no evaluation"):
        Evaluation.load(tmp_path)


def test_the_observer_is_told_every_step() -> None:
    told: list[tuple[int, int]] = []
    methods = {"gradient_x_input": ab.get_method("gradient_x_input"), "failing": Failing}
    evaluate(
        ab.as_sequence_model(network()),
        sequences(),
        methods,
        settings=SETTINGS,
        observer=lambda text, done, total: told.append((done, total)),
    )
    assert [done for done, _ in told] == [*range(7)]
    assert {total for _, total in told} == {7}


def test_what_cannot_be_compared_is_refused() -> None:
    model = ab.as_sequence_model(network())
    gradient = {"gradient_x_input": ab.get_method("gradient_x_input")}
    one = Sequences(("a",), ("ACGT" * 15,), "one")
    with pytest.raises(InvalidInputError, match="at least 2"):
        evaluate(model, one, gradient)
    with pytest.raises(InvalidInputError, match="no method"):
        evaluate(model, sequences(), {})
    with pytest.raises(InvalidInputError, match="truth must be one of"):
        evaluate(model, sequences(), gradient, truth="fastism")
    with pytest.raises(InvalidInputError, match=r"truth must be an exact method.*'gradient_x_input' is none"):
        evaluate(model, sequences(), gradient, truth="gradient_x_input")
    bound = {"mine": lambda bound_to: ab.get_method("gradient_x_input")(bound_to)}
    with pytest.raises(InvalidInputError, match="truth must be an exact method"):
        evaluate(model, sequences(), bound, truth="mine", settings=SETTINGS)
    with pytest.raises(TargetError, match="compared on one number"):
        evaluate(ab.as_sequence_model(nn.Conv1d(4, 1, 3)), sequences(), gradient, target="all")
    with pytest.raises(AttributionBenchError, match="ZeroDivisionError: by design"):
        evaluate(model, sequences(), {"failing": Failing}, settings=SETTINGS)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"repeats": 1}, {"top": 0.0}, {"mutated": 2.0}, {"repeated_sequences": -1}]
)
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        Settings(**wrong)


def test_seconds_are_those_of_100_sequences_by_a_warm_method() -> None:
    model = ab.as_sequence_model(network())
    found, _ = evaluate(model, sequences(), {"slow": Slow}, settings=SETTINGS, clock=lambda: Slow.now)
    (method,) = found.methods
    assert method.seconds_per_100_sequences == 200
