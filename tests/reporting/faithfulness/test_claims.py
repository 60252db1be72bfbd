"""What the summary and the marks of the table claim, for inputs that were made to make it false."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution_bench.evaluation.metrics import METRICS
from attribution_bench.evaluation.results import Evaluation, Interval, MethodEvaluation, Readable
from attribution_bench.reporting.faithfulness import markup, metric_markup
from attribution_bench.reporting.faithfulness.claims import failures, sentences
from attribution_bench.reporting.faithfulness.page_data import page_data
from attribution_bench.reporting.faithfulness.summary import (
    BEST,
    CLOSE,
    SHARED,
    mark,
    markdown_summary,
    marks_text,
    undefined_notes,
)
from attribution_bench.reporting.faithfulness.texts import rounded

COUNT = 2


def method(
    name: str, seconds: float | None = None, exact: bool = False, wide: float = 0.1, **means: float | None
) -> MethodEvaluation:
    """A method whose metrics have a mean, or are defined in no sequence."""
    known = {metric: mean for metric, mean in means.items() if mean is not None}
    return MethodEvaluation(
        name,
        seconds_per_100_sequences=seconds,
        exact=exact,
        values={metric: (mean,) * COUNT for metric, mean in means.items()},
        means={metric: Interval(mean, mean - wide, mean + wide) for metric, mean in known.items()},
    )


@pytest.fixture
def made(synthetic: Callable[..., Any]) -> Callable[..., Evaluation]:
    base: Evaluation = synthetic(COUNT, 60).evaluation()

    def made(*methods: MethodEvaluation, truth: str | None = None, **changes: Any) -> Evaluation:
        return replace(base, methods=methods, truth=truth, agreements=(), **changes)

    return made


def said(evaluation: Evaluation) -> str:
    return " ".join(sentences(evaluation))


def marks(evaluation: Evaluation, metric: str) -> Mapping[str, str]:
    return {m.method: mark(evaluation, m, METRICS[metric]) for m in evaluation.methods}


def test_the_target_stands_in_the_summary(made: Callable[..., Evaluation]) -> None:
    found = made(method("a"), method("b"), target="accessible:0", model="peaks.keras")
    assert "2 attribution methods (a and b) explained what peaks.keras (Keras, cpu) predicts as accessible:0" in said(
        found
    )


def test_a_failed_method_stands_first_with_the_first_line_of_its_error(made: Callable[..., Evaluation]) -> None:
    one = MethodEvaluation("one", reason="RuntimeError: no room.\nTraceback: line 7")
    two = MethodEvaluation("two", reason="E: " + "x" * 500)
    assert failures(made(method("a"), one, two)) == [
        "No scores from one: RuntimeError: no room.",
        f"No scores from two: E: {'x' * 196}….",
    ]
    assert failures(made(MethodEvaluation("three", reason=""))) == ["No scores from three: no reason was recorded."]
    page = markdown_summary(made(method("a"), one), None, ())
    assert page.index("**No scores from one: RuntimeError: no room.**") < page.index("1 attribution method (a)")
    assert "No scores from one" in markup.failures(made(method("a"), one))


def test_where_every_method_failed_nothing_is_claimed(made: Callable[..., Evaluation]) -> None:
    found = made(MethodEvaluation("one", reason="E: e"), MethodEvaluation("two", reason="E: e"))
    assert sentences(found) == [
        f"No attribution method could explain what {found.model} (Keras, cpu) predicts as {found.target} for "
        "2 sequences of 60 letters."
    ]
    assert len(failures(found)) == 2
    assert marks_text(found) == ""


def test_a_model_that_ignores_its_input_has_no_closest_method(made: Callable[..., Evaluation]) -> None:
    dead = dict.fromkeys(("pearson", "top_k", "auroc", "deletion"))
    found = made(
        method("exact", 2.0, exact=True, **dead), method("gradient", 1.0, **dead), truth="exact",
        readable=Readable("exact", (0, 1), (0,)),
    )  # fmt: skip
    text = said(found)
    assert "closest" not in text
    assert "In 2 of 2 sequences no single substitution changes the prediction by more than rounding (exact)" in text
    assert "No metric is defined for any method." in text
    assert "both faster" not in text
    assert marks(found, "pearson") == {"exact": "reference", "gradient": "undefined"}
    assert set(marks(found, "auroc").values()) == {"undefined"}
    notes = undefined_notes(found)
    assert notes[0].startswith("Pearson r is undefined where all scores of one of the two are equal")
    assert notes[0].endswith(": gradient in 2 of 2 sequences.")
    assert "| Pearson r | higher | reference | undefined |" in markdown_summary(found, None, ())
    assert ">undefined</td>" in metric_markup.metric_table(found)


@pytest.mark.parametrize(("count", "text"), [(1, "GATA1 in sequence 0"), (5, "and 2 more")])
def test_sites_that_cannot_be_read_are_named(made: Callable[..., Evaluation], count: int, text: str) -> None:
    found = made(method("exact", exact=True), readable=Readable("exact", (), tuple(range(count))))
    assert f"The target cannot read {count} of 6 known sites" in said(found)
    assert text in said(found)
    data = page_data(found, None)
    assert [site["unread"] for site in data["sites"]] == [index < count for index in range(6)]
    assert not any(site["unread"] for site in page_data(replace(found, readable=None), None)["sites"])


def test_one_contestant_is_neither_best_nor_closest(made: Callable[..., Evaluation]) -> None:
    found = made(
        method("exact", 2.0, exact=True, pearson=1.0, auroc=0.9), method("other", 1.0, pearson=0.3), truth="exact"
    )
    text = said(found)
    assert "other has Pearson r 0.300 (0.200 to 0.400) with exact ISM (exact)." in text
    assert "exact has Motif AUROC 0.900 (0.800 to 1.000) on the known sites, where 0.5 is chance." in text
    assert "closest" not in text
    assert marks(found, "pearson")["other"] == ""
    assert marks(found, "auroc")["exact"] == ""
    assert "★" not in marks_text(found)


def test_one_method_is_not_the_cheapest(made: Callable[..., Evaluation]) -> None:
    assert "a took 2.00 seconds per 100 sequences, by one timed run." in said(made(method("a", 2.0), method("b")))
    assert "a and b took 2.00 seconds per 100 sequences each, by one timed run." in said(
        made(method("a", 2.0), method("b", 2.001))
    )
    three = said(made(method("a", 2.0), method("b", 2.001), method("c", 4.0)))
    assert (
        "The cheapest are a and b with 2.00 seconds per 100 sequences, 2.0 times as fast as c, by one timed run of"
        in three
    )


def test_several_that_share_the_best_are_said_to(made: Callable[..., Evaluation]) -> None:
    two_exact = made(
        method("exact", 3.0, exact=True, pearson=1.0, auroc=0.8),
        method("fast", 1.0, exact=True, pearson=1.0, auroc=0.8),
        method("gradient", 2.0, pearson=0.5, auroc=0.6),
        truth="exact",
    )
    assert (
        "The closest to exact ISM (exact) is fast, Pearson r 1.000 (0.900 to 1.100); gradient, which does not ask"
        in (said(two_exact))
    )
    assert "Known sites are found best, and equally well, by exact and fast, Motif AUROC 0.800 each." in said(two_exact)
    assert marks(two_exact, "auroc") == {"exact": SHARED, "fast": SHARED, "gradient": ""}
    assert marks(two_exact, "pearson") == {"exact": "reference", "fast": BEST, "gradient": ""}
    tied = made(method("a", pearson=0.5, deletion=0.1), method("b", pearson=0.5004, deletion=0.2), truth="c")
    assert marks(tied, "pearson") == {"a": SHARED, "b": SHARED}
    assert marks(tied, "deletion") == {"a": BEST, "b": ""}
    assert "a and b share the best Insertion area, 0.500 each." in said(
        made(method("a", insertion=0.5), method("b", insertion=0.5))
    )


def test_who_is_nearest_without_agreeing_is_not_called_close(made: Callable[..., Evaluation]) -> None:
    found = made(
        method("exact", exact=True, pearson=1.0), method("a", pearson=-0.3), method("b", pearson=-0.5), truth="exact"
    )
    text = said(found)
    assert "No method agrees clearly with exact ISM (exact): the highest Pearson r is −0.300" in text
    assert "closest" not in text


def test_sites_that_nobody_finds_are_not_found_best(made: Callable[..., Evaluation]) -> None:
    found = made(method("a", pearson=0.9, auroc=0.52), method("b", pearson=0.8, auroc=0.4))
    assert "No method finds the known sites clearly better than chance, 0.5: the highest Motif AUROC is 0.520" in said(
        found
    )


def test_a_best_one_that_is_not_clearly_so_is_said_to_be(made: Callable[..., Evaluation]) -> None:
    first = method("first", pearson=0.9)
    near = replace(method("near", pearson=0.85), behind_best={"pearson": Interval(-0.05, -0.2, 0.01)})
    found = made(method("exact", exact=True, pearson=1.0), first, near, truth="exact")
    assert "is first, Pearson r 0.900 (0.800 to 1.000), though not clearly better than near." in said(found)
    assert marks(found, "pearson") == {"exact": "reference", "first": BEST, "near": CLOSE}


def test_means_over_fewer_sequences_say_so(made: Callable[..., Evaluation]) -> None:
    partly = replace(method("a", pearson=0.9), values={"pearson": (0.9, None)})
    found = made(partly, method("b", pearson=0.8))
    assert "0.900 (one sequence) of 1 of 2 sequences ★" in markdown_summary(found, None, ())
    assert "of 1 of 2 sequences" in metric_markup.metric_table(found)
    assert undefined_notes(found)[0].endswith(": a in 1 of 2 sequences.")
    repeated = replace(method("a", sensitivity=0.9), values={"sensitivity": (0.9, None)})
    assert not undefined_notes(made(repeated, settings={"repeated_sequences": 1}))


def test_one_sequence_makes_nothing_clear(made: Callable[..., Evaluation]) -> None:
    def alone(name: str, **means: float) -> MethodEvaluation:
        found = method(name, wide=0.0, **means)
        behind = {metric: Interval(-0.2, -0.2, -0.2) for metric in means}
        return replace(found, values={metric: (mean, None) for metric, mean in means.items()}, behind_best=behind)

    found = made(
        method("exact", exact=True, pearson=1.0),
        alone("a", pearson=0.9, auroc=0.9),
        alone("b", pearson=0.7, auroc=0.7),
        truth="exact",
    )
    text = said(found)
    assert (
        "No method agrees clearly with exact ISM (exact): the highest Pearson r is 0.900 (one sequence), of a." in text
    )
    assert "No method finds the known sites clearly better than chance" in text
    assert marks(found, "pearson") == {"exact": "reference", "a": BEST, "b": CLOSE}
    assert "| 0.900 (one sequence) of 1 of 2 sequences ★ |" in markdown_summary(found, None, ())
    assert '<span class="interval">one sequence</span>' in metric_markup.metric_table(found)


def test_the_agreement_of_two_methods_is_drawn_without_a_truth(synthetic: Callable[..., Any]) -> None:
    base = synthetic(COUNT, 60).evaluation()
    without = replace(base, truth=None, methods=tuple(replace(m, means={}, values={}) for m in base.methods))
    assert [metric["name"] for metric in page_data(without, None)["pairMetrics"]] == [
        "pearson", "spearman", "cosine", "top_k", "sign",
    ]  # fmt: skip


MEANS = st.one_of(st.none(), st.sampled_from([-0.5, 0.0, 0.2, 0.2001, 0.5, 0.6, 1.0]))
METHODS = st.lists(
    st.one_of(
        st.builds(
            method,
            st.just(""),
            st.one_of(st.none(), st.sampled_from([0.0, 1.0, 1.001, 5.0])),
            exact=st.booleans(),
            wide=st.sampled_from([0.0, 0.1]),
            pearson=MEANS,
            auroc=MEANS,
            insertion=MEANS,
            deletion=MEANS,
        ),
        st.just(MethodEvaluation("", reason="E: e")),
    ),
    min_size=1,
    max_size=4,
)


@given(METHODS, st.integers(-1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_claim_is_false_whatever_the_methods_do(
    made: Callable[..., Evaluation], chosen: list[MethodEvaluation], truth: int
) -> None:
    named = [replace(m, method=f"m{index}", label="") for index, m in enumerate(chosen)]
    reference = named[truth].method if 0 <= truth < len(named) and named[truth].exact else None
    found = made(*named, truth=reference)
    text = said(found)
    alive = [m for m in named if m.reason is None]

    def means(metric: str) -> dict[str, float]:
        compared = [m for m in alive if not (metric == "pearson" and m.method == reference)]
        return {m.method: rounded(m.means[metric].mean) for m in compared if metric in m.means}

    def named_in(part: str) -> set[str]:
        return set(re.findall(r"m\d", part))

    for metric in ("pearson", "auroc", "insertion", "deletion"):
        known, at = means(metric), marks(found, metric)
        top = (min if metric == "deletion" else max)(known.values(), default=None)
        leaders = {name for name, value in known.items() if value == top}
        starred, sharing = ({n for n, sign in at.items() if sign == kind} for kind in (BEST, SHARED))
        assert starred == (leaders if len(leaders) == 1 and len(known) > 1 else set())
        assert sharing == (leaders if len(leaders) > 1 else set())
        assert {n for n, sign in at.items() if sign == "undefined"} <= {m.method for m in named} - set(known)
    closest = re.search(r"The closest to exact ISM \((m\d)\) (?:is|are) (m\d[^P;.]*), Pearson", text)
    assert bool(closest) == ("closest" in text)
    if closest:
        known = means("pearson")
        assert len(known) > 1
        assert closest[1] == reference
        assert named_in(closest[2]) == {n for n, v in known.items() if v == max(known.values())}
        assert max(known.values()) > 0
    sites = re.search(r"Known sites are found best[^m]* (m\d[^M]*), Motif AUROC", text)
    assert bool(sites) == ("are found best" in text)
    if sites:
        known = means("auroc")
        assert len(known) > 1
        assert max(known.values()) > 0.5
        assert named_in(sites[1]) == {n for n, v in known.items() if v == max(known.values())}
    seconds = {m.method: m.seconds_per_100_sequences for m in alive if m.seconds_per_100_sequences is not None}
    cheapest = re.search(r"The cheapest (?:is|are) (.*?) with", text)
    assert bool(cheapest) == ("cheapest" in text)
    if cheapest:
        least = named_in(cheapest[1])
        assert max(seconds[n] for n in least) < min(s for n, s in seconds.items() if n not in least)
    front = re.search(r"No method is both faster and better in (.+?) than ([^:.]*)", text)
    if front:
        metric = next(m for m in METRICS.values() if m.label == front[1])
        sign = 1 if metric.better == "higher" else -1
        placed = [m for m in alive if m.method in seconds and metric.name in m.means]
        assert len(placed) > 1
        assert named_in(front[2])
        for name in named_in(front[2]):
            own = found.method(name)
            assert not any(
                seconds[m.method] < seconds[name]
                and sign * m.means[metric.name].mean > sign * own.means[metric.name].mean
                for m in placed
            )
    assert ("No attribution method could explain" in text) == (not alive)
    assert len(failures(found)) == len(named) - len(alive)
    assert "()" not in text
    metric_markup.metric_table(found)
    markdown_summary(found, None, ())
