"""The verdict: three rows that follow from the numbers, also where these were made to mislead."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attribution_bench.evaluation.results import Evaluation, Interval, MethodEvaluation, Readable
from attribution_bench.reporting.faithfulness import markup
from attribution_bench.reporting.faithfulness.standing import headline, in_order
from attribution_bench.reporting.faithfulness.summary import markdown_summary
from attribution_bench.reporting.faithfulness.texts import rounded
from attribution_bench.reporting.faithfulness.verdict import NOBODY, Advice, verdict

COUNT = 4
CLEAR, UNCLEAR = Interval(-0.2, -0.3, -0.1), Interval(-0.2, -0.5, 0.1)


def method(
    name: str,
    seconds: float | None = None,
    exact: bool = False,
    behind: Interval | None = CLEAR,
    count: int = COUNT,
    **means: float,
) -> MethodEvaluation:
    """A method whose metrics have a mean with an interval of 0.1 on both sides, and a difference from the best."""
    return MethodEvaluation(
        name,
        seconds_per_100_sequences=seconds,
        exact=exact,
        values={metric: (mean,) * count + (None,) * (COUNT - count) for metric, mean in means.items()},
        means={metric: Interval(mean, mean - 0.1, mean + 0.1) for metric, mean in means.items()},
        behind_best=dict.fromkeys(means, behind) if behind is not None else {},
    )


@pytest.fixture
def made(synthetic: Callable[..., Any]) -> Callable[..., Evaluation]:
    base: Evaluation = synthetic(COUNT, 60).evaluation()

    def made(*methods: MethodEvaluation, truth: str | None = None, **changes: Any) -> Evaluation:
        return replace(base, methods=methods, truth=truth, agreements=(), **changes)

    return made


def _cut(rows: tuple[Advice, ...]) -> list[tuple[str, str, str]]:
    return [(row.subject, row.number, row.reason) for row in rows]


def test_the_fastest_exact_method_is_the_one_to_use(made: Callable[..., Evaluation]) -> None:
    found = made(
        method("slow", 20.0, exact=True, pearson=1.0),
        method("fast", 2.0, exact=True, pearson=0.99996),
        method("other", 1.0, exact=True, pearson=0.9),
        method("rough", 0.5, pearson=0.4),
        truth="slow",
    )
    assert _cut(verdict(found)) == [
        ("fast", "2.00 s per 100 sequences",
         "Exact: it asks the model for every mutation. Pearson r 1.000 with slow, which takes 10.0 times as long."),
        ("other", "2.0 times as fast",
         "Pearson r with exact ISM 0.900 (0.800 to 1.000), the best of the 2 that are faster."),
        ("rough", "Pearson r 0.400", "The lowest agreement with exact ISM of 3 methods, clearly behind the best."),
    ]  # fmt: skip


def test_where_no_other_is_faster_the_next_is_named(made: Callable[..., Evaluation]) -> None:
    found = made(method("exact", 2.0, exact=True, pearson=1.0), method("b", 3.0, pearson=0.5), truth="exact")
    assert _cut(verdict(found)) == [
        ("exact", "2.00 s per 100 sequences", "Exact: it asks the model for every mutation."),
        (NOBODY, "0 of 1 other", "None of the others takes less time: the next, b, takes 1.5 times as long."),
        ("b", "Pearson r 0.500", "Its scores are not those of exact ISM: this is how far they agree (0.400 to 0.600)."),
    ]
    as_fast = replace(found, methods=(found.methods[0], replace(found.methods[1], seconds_per_100_sequences=2.001)))
    assert verdict(as_fast)[1].reason == "None of the others takes less time."


def test_nothing_timed(made: Callable[..., Evaluation]) -> None:
    untimed = made(method("exact", exact=True, pearson=1.0), method("b", 3.0, pearson=0.5), truth="exact")
    assert verdict(untimed)[0].number == "not timed"
    assert verdict(untimed)[1].reason == "Nothing to compare: exact was not timed."
    alone = made(method("exact", 1.0, exact=True, pearson=1.0), method("b", pearson=0.5), truth="exact")
    assert verdict(alone)[1].reason == "Nothing to compare: no other method was timed."


def test_a_faster_one_that_does_not_agree_is_said_not_to(made: Callable[..., Evaluation]) -> None:
    found = made(method("exact", 2.0, exact=True, pearson=1.0), method("b", 1.0, pearson=0.05), truth="exact")
    assert verdict(found)[1].reason == "Pearson r with exact ISM 0.050 (−0.050 to 0.150), which is not clearly above 0."
    assert verdict(found)[2] == Advice(
        "Take care", "b", "Pearson r 0.050", "Not clearly above 0 with exact ISM (−0.050 to 0.150)."
    )


def test_without_exact_ism_the_fastest_that_is_not_clearly_behind(made: Callable[..., Evaluation]) -> None:
    best, near = method("best", 9.0, auroc=0.9), method("near", 3.0, behind=UNCLEAR, auroc=0.85)
    far = method("far", 1.0, auroc=0.7)
    assert _cut(verdict(made(best, near, far))) == [
        ("near", "Motif AUROC 0.850",
         "Not clearly behind the best, best, and 3.0 times as fast; 3.00 s per 100 sequences."),
        ("far", "3.0 times as fast", "Motif AUROC 0.700 (0.600 to 0.800)."),
        ("far", "Motif AUROC 0.700", "The lowest of 3 methods, clearly behind the best."),
    ]  # fmt: skip
    assert verdict(made(best, far))[0].reason == "The best of 2 methods (0.800 to 1.000); 9.00 s per 100 sequences."
    shared = verdict(made(best, replace(near, means=best.means)))
    assert (shared[0].subject, shared[0].reason[:26]) == ("near", "It shares the best mean (0")
    lower = made(method("a", 1.0, deletion=0.1), method("b", 2.0, behind=Interval(0.2, 0.1, 0.3), deletion=0.3))
    assert verdict(lower)[0].subject == "a"
    assert verdict(lower)[2].reason == "The highest of 2 methods, clearly behind the best."
    alone = verdict(made(method("a", 1.0, auroc=0.9)))[0]
    assert alone.reason == "The only method with a Motif AUROC: nothing to compare it with."


def test_where_the_sequences_decide_nothing_it_is_said(made: Callable[..., Evaluation]) -> None:
    open_order = made(method("a", 1.0, auroc=0.9), method("b", 2.0, behind=UNCLEAR, auroc=0.8))
    assert verdict(open_order)[2] == Advice(
        "Take care", "the order", "4 sequences",
        "They do not show that any of the methods is clearly behind another in Motif AUROC.",
    )  # fmt: skip
    few = made(method("a", 1.0, count=1, auroc=0.9), method("b", 2.0, count=1, auroc=0.8))
    assert verdict(few)[0].subject == NOBODY
    chance = verdict(made(method("a", 1.0, auroc=0.52), method("b", 2.0, auroc=0.4)))
    assert chance[0].reason == "The highest, of a, is not clearly better than chance, 0.5."
    assert chance[1].subject == NOBODY


def test_known_sites_that_another_method_finds_better(made: Callable[..., Evaluation]) -> None:
    exact = method("exact", 1.0, exact=True, pearson=1.0, auroc=0.7)
    other = method("other", 2.0, pearson=0.8, auroc=0.95)
    assert verdict(made(exact, other, truth="exact"))[2] == Advice(
        "Take care", "other", "Motif AUROC 0.950",
        "The known sites are found clearly better than by the method to use: exact has 0.700.",
    )  # fmt: skip
    nobody = made(replace(exact, means={**exact.means, "auroc": Interval(0.5, 0.4, 0.6)}), truth="exact")
    assert verdict(nobody)[2].reason == "The highest, not clearly better than chance, 0.5."


def test_what_the_target_does_not_read_comes_first(made: Callable[..., Evaluation]) -> None:
    methods = (method("exact", 1.0, exact=True, pearson=1.0), method("b", 2.0, pearson=0.5))
    some = made(*methods, truth="exact", readable=Readable("exact", (1,), (0, 1)))
    assert verdict(some)[2].number == "1 of 4 sequences"
    assert verdict(replace(some, readable=Readable("exact", (), (0, 1))))[2].number == "2 of 12 known sites"
    whole = verdict(replace(some, readable=Readable("exact", tuple(range(COUNT)), ())))
    assert (whole[0].subject, whole[0].number) == (NOBODY, "4 of 4 sequences")


def test_nothing_scored_or_measured(made: Callable[..., Evaluation]) -> None:
    failed = verdict(made(MethodEvaluation("a", reason="E: e"), MethodEvaluation("b", reason="E: e")))
    assert [(row.subject, row.number) for row in failed] == [
        (NOBODY, "0 of 2 methods"), (NOBODY, "–"), ("the model", "2 methods"),
    ]  # fmt: skip
    bare = verdict(made(method("a", 1.0), method("b", 2.0)))
    assert bare[0].reason == "No metric is defined that tells them apart."
    assert bare[2].reason == "They are of one model, example.keras: another may put methods in another order."


def test_the_order_is_truth_then_headline_then_the_rest(made: Callable[..., Evaluation]) -> None:
    failed = MethodEvaluation("failed", reason="E: e")
    found = made(
        failed, method("bare"), method("low", pearson=0.2), method("high", pearson=0.9), method("same", pearson=0.9001),
        method("t", exact=True, pearson=1.0), truth="t",
    )  # fmt: skip
    assert [m.method for m in in_order(found).methods] == ["t", "high", "same", "low", "bare", "failed"]
    lower = made(method("a", deletion=0.5), method("b", deletion=0.2))
    assert [m.method for m in in_order(lower).methods] == ["b", "a"]
    assert in_order(in_order(found)) == in_order(found)


def test_page_and_summary_have_the_rows(made: Callable[..., Evaluation]) -> None:
    found = made(method("<b>", 1.0, auroc=0.9), method("other", 2.0, auroc=0.8))
    assert markup.verdict(found).count("<li>") == 3
    assert '<strong class="subject">&lt;b&gt;</strong>' in markup.verdict(found)
    assert "| Use | **\\<b\\>** | Motif AUROC 0.900 |" in markdown_summary(found, None, ())


MEANS = st.sampled_from([None, -0.5, 0.0, 0.2, 0.5, 0.6, 0.9, 1.0])
METHODS = st.lists(
    st.one_of(
        st.builds(
            lambda seconds, exact, behind, **means: method(
                "", seconds, exact, behind, **{name: mean for name, mean in means.items() if mean is not None}
            ),
            st.one_of(st.none(), st.sampled_from([0.0, 1.0, 1.001, 5.0])),
            st.booleans(),
            st.sampled_from([None, CLEAR, UNCLEAR]),
            pearson=MEANS,
            auroc=MEANS,
            deletion=MEANS,
        ),
        st.just(MethodEvaluation("", reason="E: e")),
    ),
    min_size=1,
    max_size=5,
)


@given(METHODS, st.integers(-1, 4), st.sets(st.integers(0, COUNT - 1)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_row_is_false_whatever_the_methods_do(
    made: Callable[..., Evaluation], chosen: list[MethodEvaluation], truth: int, silent: set[int]
) -> None:
    named = [replace(m, method=f"m{index}", label="") for index, m in enumerate(chosen)]
    reference = named[truth].method if 0 <= truth < len(named) and named[truth].exact else None
    readable = Readable("m0", tuple(sorted(silent)), ()) if silent else None
    found = in_order(made(*named, truth=reference, readable=readable))
    use, faster, care = verdict(found)
    alive = {m.method: m for m in named if m.reason is None}
    assert all(row.subject and row.number and row.reason.endswith(".") for row in (use, faster, care))
    metric = headline(found)
    if reference in alive and len(silent) < COUNT:
        same = [
            m for m in alive.values()
            if m.method == reference or (m.exact and "pearson" in m.means and rounded(m.means["pearson"].mean) == 1)
        ]  # fmt: skip
        assert use.subject in {m.method for m in same}
        timed = [m.seconds_per_100_sequences for m in same if m.seconds_per_100_sequences is not None]
        assert alive[use.subject].seconds_per_100_sequences == min(timed, default=None)
        assert use.reason.startswith("Exact")
    elif use.subject != NOBODY:
        assert metric is not None
        sign = 1 if metric.better == "higher" else -1
        rivals = [m for m in alive.values() if metric.name in m.means]
        top = max(sign * m.means[metric.name].mean for m in rivals)
        mine = alive[use.subject]
        behind = mine.behind_best.get(metric.name)
        assert sign * mine.means[metric.name].mean == top or (behind is not None and behind.low <= 0 <= behind.high)
        assert ("best of" in use.reason) <= (sign * mine.means[metric.name].mean == top)
    else:
        assert not alive or metric is None or len(silent) == COUNT or "chance" in use.reason
    if faster.subject != NOBODY:
        mine, other = alive[use.subject], alive[faster.subject]
        assert (other.seconds_per_100_sequences or 0) < (mine.seconds_per_100_sequences or 0)
    elif faster.number.startswith("0 of"):
        own = alive[use.subject].seconds_per_100_sequences or 0
        assert not [m for m in alive.values() if (m.seconds_per_100_sequences or own) < own - 0.01]
    if "lowest" in care.reason:
        assert metric is not None
        sign = 1 if metric.better == "higher" else -1
        compared = [
            m
            for m in alive.values()
            if metric.name in m.means and not (metric.group == "agreement" and m.method == reference)
        ]
        worst = min(sign * rounded(m.means[metric.name].mean) for m in compared)
        named_there = set(re.findall(r"m\d", care.subject))
        assert named_there == {m.method for m in compared if sign * rounded(m.means[metric.name].mean) == worst}
    if "exact ISM" in f"{use} {faster} {care}":
        assert reference is not None
    assert set(re.findall(r"m\d", f"{use} {faster} {care}")) <= set(alive)
