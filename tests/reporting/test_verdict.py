"""Whether the paper is reproduced: counts worked out by hand, and every outcome said as it is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.results import Record, Units
from attribution_bench.reporting.comparison import compare
from attribution_bench.reporting.verdict import Verdict, verdict_lines, verdict_points, verdict_sentence

Make = Callable[..., Record]


def of(*records: Record) -> str:
    return verdict_sentence(compare(records))


def like_the_paper(make_record: Make, row: paper.PaperRow, **changed: float) -> list[Record]:
    """Return the records of a row at four times the paper's seconds, but for some methods."""
    seconds = {method: 4 * value for method, value in row.seconds_per_100_sequences.items()} | changed
    place = {"architecture": row.architecture, "length": row.length}
    return [make_record(method, value, **place) for method, value in seconds.items()]


def test_the_papers_own_figures_are_reproduced_but_for_the_machine(make_record: Make) -> None:
    records = [record for row in paper.TABLE_1 for record in like_the_paper(make_record, row)]
    assert of(*records) == (
        "Reproduced: fastISM is faster than Standard ISM in 6 of 6 comparisons (PyTorch), 1.6 to 15 times as "
        "fast (in the paper 1.6 to 15). Times and their ratios depend on the hardware (here Example CPU (2 cores), in "
        "the paper one NVIDIA Tesla P100, TensorFlow 2.3) and how many sequences are scored at once (here at most 100, "
        "in the paper up to 4096)."
    )
    points = dict(verdict_points(compare(records)))
    assert points["Order of the methods"] == "the paper's in 6 of 6 comparisons."
    assert points["Ratios to fastISM"].startswith(
        "24 of 24 are within a factor of two of the paper's; they are 1.0 times"
    )


def test_on_the_papers_machine_and_as_many_sequences_nothing_differs(make_record: Make) -> None:
    def there(record: Record) -> Record:
        machine = replace(record.machine, gpu="Tesla P100-PCIE-16GB")
        many = Units(paper.AT_ONCE, 1000, 1)
        durations = tuple(seconds * paper.AT_ONCE / 100 for seconds in record.durations)
        return replace(record, machine=machine, asked=many, done=many, durations=durations)

    sentence = of(*map(there, like_the_paper(make_record, paper.TABLE_1[0])))
    assert sentence == (
        "Reproduced: fastISM is faster than Standard ISM in 1 of 1 comparison (PyTorch), 10 times as fast (in the "
        "paper 10)."
    )


def test_a_turned_order_and_far_ratios_are_counted_and_named(make_record: Make) -> None:
    # fastISM takes 10.8 s: Integrated Gradients (0.87 in the paper) and DeepSHAP (0.65) come to 2.8 and 3.7.
    changed = {"integrated_gradients": 30.0, "deepshap": 40.0}
    comparison = compare(like_the_paper(make_record, paper.TABLE_1[0], **changed))
    verdict = Verdict(comparison)
    assert verdict.orders == (
        (("fastism", "integrated_gradients"), ("fastism", "deepshap"), ("integrated_gradients", "deepshap")),
    )
    assert (verdict.near, len(verdict.shares)) == (2, 4)
    sentence = verdict_sentence(comparison)
    assert (
        "Not as in the paper: the order of all methods (the paper's in 0 of 1) and how many times as long as fastISM a "
        "method takes (2 of 4 within a factor of two). Times and their ratios depend on the hardware (here Example"
    ) in sentence
    order = dict(verdict_points(comparison))["Order of the methods"]
    assert order == (
        "the paper's in 0 of 1 comparison; unlike there, fastISM takes less than Integrated Gradients (1 comparison) "
        "and DeepSHAP (1 comparison), and Integrated Gradients takes less than DeepSHAP (1 comparison)."
    )


def test_figures_that_look_alike_have_no_order(make_record: Make) -> None:
    near = like_the_paper(make_record, paper.TABLE_1[0], integrated_gradients=9.361, deepshap=9.362)
    assert Verdict(compare(near)).ordered == 1
    apart = like_the_paper(make_record, paper.TABLE_1[0], integrated_gradients=9.36, deepshap=9.40)
    assert Verdict(compare(apart)).ordered == 0


@pytest.mark.parametrize(
    ("seconds", "begins"),
    [
        ((5.0, 1.0), "Not reproduced: fastISM is faster than Standard ISM in 0 of 2 comparisons (PyTorch). Not as"),
        (
            (100.0, 1.0),
            "Reproduced in part: fastISM is faster than Standard ISM in 1 of 2 comparisons (PyTorch), 10",
        ),
        (
            (100.0, 80.0),
            "Reproduced: fastISM is faster than Standard ISM in 2 of 2 comparisons (PyTorch), 8.0 to 10",
        ),
    ],
)
def test_the_claim_is_counted(make_record: Make, seconds: tuple[float, float], begins: str) -> None:
    slow = zip((1000, 2000), seconds, strict=True)
    records = [make_record("standard_ism", taken, length=length) for length, taken in slow]
    records += [make_record("fastism", 10.0, length=length) for length in (1000, 2000)]
    assert of(*records).startswith(begins)


def test_what_cannot_be_judged_is_said(make_record: Make, mixed_row: list[Record]) -> None:
    assert of(make_record("fastism", 1.0)).startswith("Not judged")
    assert of(make_record("fastism", 1.0), make_record("standard_ism", None, status="failed", error="E: e")).startswith(
        "Not judged"
    )
    assert of(make_record("fastism", 1.0, length=500), make_record("standard_ism", 2.0, length=500)) == ""
    assert verdict_lines(compare([make_record("fastism", 1.0, architecture="mine")])) == []
    lines = verdict_lines(compare(mixed_row))
    assert len(lines) == 5
    assert "Example CPU (2 cores) here, one NVIDIA Tesla P100" in lines[3]
    assert "at most 100 sequences at once here, up to 4096" in lines[4]
