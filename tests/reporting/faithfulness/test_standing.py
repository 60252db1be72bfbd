"""Which methods are best, by means worked out by hand."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from attribution_bench.evaluation.metrics import METRICS
from attribution_bench.evaluation.results import Evaluation, Interval, MethodEvaluation
from attribution_bench.reporting.faithfulness.claims import sentences
from attribution_bench.reporting.faithfulness.standing import best, close_to_best, headline, pareto_front
from attribution_bench.reporting.faithfulness.texts import interval_text, listed, number_text, rounded


def _method(name: str, seconds: float | None, **means: float) -> MethodEvaluation:
    found = {metric: Interval(mean, mean - 0.1, mean + 0.1) for metric, mean in means.items()}
    return MethodEvaluation(name, seconds_per_100_sequences=seconds, means=found)


@pytest.fixture
def evaluation(synthetic: Callable[..., Any]) -> Callable[..., Evaluation]:
    base: Evaluation = synthetic(2, 60).evaluation()

    def made(*methods: MethodEvaluation, truth: str | None = None) -> Evaluation:
        return replace(base, methods=methods, truth=truth, agreements=())

    return made


def test_the_front_holds_what_nothing_beats(evaluation: Callable[..., Evaluation]) -> None:
    found = evaluation(
        _method("slow and best", 10, pearson=0.9), _method("fast", 1, pearson=0.5), _method("beaten", 5, pearson=0.4),
        _method("between", 2, pearson=0.7), _method("untimed", None, pearson=1.0), _method("unmeasured", 0.1),
    )  # fmt: skip
    assert pareto_front(found, METRICS["pearson"]) == ("fast", "between", "slow and best")


def test_of_what_looks_alike_the_faster_is_on_the_front(evaluation: Callable[..., Evaluation]) -> None:
    found = evaluation(_method("fast", 1, pearson=0.99996), _method("slow", 2, pearson=1.0))
    assert pareto_front(found, METRICS["pearson"]) == ("fast",)
    assert best(found, METRICS["pearson"]) == ("fast", "slow")


def test_lower_may_be_better(evaluation: Callable[..., Evaluation]) -> None:
    found = evaluation(_method("a", 1, deletion=0.5), _method("b", 2, deletion=0.2), _method("c", 3, deletion=0.4))
    assert pareto_front(found, METRICS["deletion"]) == ("a", "b")
    assert best(found, METRICS["deletion"]) == ("b",)


def test_the_reference_is_not_the_best_at_agreeing_with_itself(evaluation: Callable[..., Evaluation]) -> None:
    found = evaluation(_method("t", 9, pearson=1.0, auroc=0.9), _method("b", 2, pearson=0.6, auroc=0.7), truth="t")
    assert best(found, METRICS["pearson"]) == ("b",)
    assert best(found, METRICS["auroc"]) == ("t",)


def test_close_to_the_best_by_the_paired_difference(evaluation: Callable[..., Evaluation]) -> None:
    near, far = (
        replace(_method(name, 1, auroc=0.5), behind_best={"auroc": Interval(-0.1, -0.2, high)})
        for name, high in (("near", 0.01), ("far", -0.05))
    )
    found = evaluation(near, far)
    assert close_to_best(found, near, METRICS["auroc"])
    assert not close_to_best(found, far, METRICS["auroc"])


@pytest.mark.parametrize(
    ("means", "expected"),
    [({"pearson": 1, "auroc": 1}, "pearson"), ({"auroc": 1, "deletion": 1}, "auroc"), ({"infidelity": 1}, "infidelity"),
     ({}, None)],
)  # fmt: skip
def test_the_headline_is_the_first_that_is_known(
    evaluation: Callable[..., Evaluation], means: Mapping[str, float], expected: str | None
) -> None:
    assert getattr(headline(evaluation(_method("a", 1, **means))), "name", None) == expected


def test_what_only_the_reference_has_is_no_headline(evaluation: Callable[..., Evaluation]) -> None:
    found = evaluation(_method("t", 9, pearson=1.0, insertion=0.5), truth="t")
    assert getattr(headline(found), "name", None) == "insertion"
    assert headline(evaluation(_method("t", 9, pearson=1.0), truth="t")) is None


def test_the_summary_does_not_claim_more_than_the_intervals(evaluation: Callable[..., Evaluation]) -> None:
    first, second = _method("first", 1, auroc=0.9), _method("second", 2, auroc=0.8)
    near = replace(second, behind_best={"auroc": Interval(-0.1, -0.2, 0.01)})
    found = evaluation(first, near)
    assert "Motif AUROC is best for first: 0.900 (0.800 to 1.000), though not clearly better than second." in sentences(
        found
    )
    assert "though" not in " ".join(sentences(evaluation(first, second)))


def test_numbers_as_text() -> None:
    values = (0.87149, -12.4, 0, None, 2.13e-7, 12345.0, float("nan"), 0.99996)
    expected = ["0.871", "−12.400", "0.000", "–", "2.1e−07", "1.2e+04", "–", "1.000"]
    assert [number_text(value) for value in values] == expected
    assert interval_text(Interval(0.5, -0.25, 1)) == "0.500 (−0.250 to 1.000)"
    assert rounded(0.99996) == 1.0
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
