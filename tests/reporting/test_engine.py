"""The engine suite's page and table, from records and profiles made by hand."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attribution_bench import Tags
from attribution_bench.benchmark.engine_profile import EngineProfile, MeasuredProfile, NodeTime, PrecisionTime
from attribution_bench.benchmark.results import OutputCheck, Record, Workload, save_record
from attribution_bench.environment import Machine
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting import of_engine_suite, render_engine_report
from attribution_bench.reporting.engine import EngineComparison, compare_engine
from attribution_bench.reporting.engine_figure import ratio_figure
from attribution_bench.reporting.engine_summary import summary


@pytest.fixture
def records(make_record: Callable[..., Record]) -> list[Record]:
    """BPNet at 1000 letters and 8 sequences by three methods, and fastISM on one sequence."""

    def cell(method: str, count: int, seconds: float | None, done: tuple[int, int, int], **changes: Any) -> Record:
        made = make_record(method, seconds, architecture="bpnet", done=done, asked=(count, 1000, 1001), **changes)
        return replace(made, workload=Workload("bpnet", 1000, "torch", method, count))

    return [
        cell("fastism", 8, 4.0, (8, 1000, 1001)),  # 0.5 s a sequence
        cell("standard_ism", 8, 2.0, (1, 200, 1001)),  # 2 s for a fifth of one: 10 s a sequence
        cell("deepshap", 8, 0.8, (8, 1000, 2)),  # 0.05 s a sequence and output
        cell("integrated_gradients", 8, None, (8, 1000, 1), status="failed", error="MemoryError: no | more"),
        cell("fastism", 1, 0.75, (1, 1000, 1001)),
    ]


@pytest.fixture
def profile(records: list[Record]) -> EngineProfile:
    measured = MeasuredProfile(
        letters=4, products_standard=120_000_000, products_fast=10_000_000, predicted_ratio=16.0, fallback="",
        matrix_products_per_second=1e11, capture_seconds=1.25, positions=300, first_seconds=0.4, warm_seconds=0.2,
        single_thread_seconds=0.5, nodes=(NodeTime("tower.0: conv", "conv", "windowed", 0.3),
        *(NodeTime(f"layer {i}", "relu", "windowed", 0.02) for i in range(7))),
        precisions=(PrecisionTime("float32", 0.2, 1e-7, 2e-6), PrecisionTime("bfloat16", 0.1, 3e-5, 4e-3)),
    )  # fmt: skip
    return EngineProfile(
        "fastism", "fastISM", "bpnet", 1000, "torch", "cpu", 2, 6.0, records[0].machine, records[0].versions, None,
        date="2026-01-02T03:04:05Z", measured=measured,
    )  # fmt: skip


def arranged(records: list[Record], profiles: tuple[EngineProfile, ...] = ()) -> EngineComparison:
    return compare_engine(records, profiles)


def test_figures_are_a_sequences_and_ratios_are_over_standard_ism(records: list[Record]) -> None:
    comparison = arranged(records)
    assert comparison.methods == ("fastism", "standard_ism", "integrated_gradients", "deepshap")
    one, eight = comparison.rows
    assert (one.sequences, eight.sequences) == (1, 8)
    assert eight.text("fastism") == "0.500 (20.0)"
    assert eight.text("standard_ism") == "≈10.0"
    assert eight.text("deepshap") == "0.0500 (200)"
    assert eight.text("integrated_gradients") == "failed: MemoryError"
    assert one.text("fastism") == "0.750"
    assert one.text("standard_ism") == ""
    assert comparison.notes == ("bpnet 1000 8 sequences torch integrated_gradients: failed: MemoryError: no | more",)


def test_what_one_run_gives_and_what_ratios_are_over_is_decided_by_tags_alone(
    make_record: Callable[..., Record],
) -> None:
    def cell(method: str, seconds: float, count: int = 1, **tags: bool) -> Record:
        made = make_record(method, seconds, architecture="bpnet", asked=(1, 1000, 1001), done=(1, 1000, 1001))
        workload = Workload("bpnet", 1000, "torch", method, count)
        return replace(made, workload=workload, label="", tags=Tags(frozenset({"torch"}), **tags))

    ism = {"gives_predictions": True, "exact": True}
    records = [
        cell("odd", 10.0, **ism, full_passes=True),
        cell("my_ism", 10.0, **ism),
        cell("swift", 0.5, **ism, partial_passes=True),
        # It bears the name of another kind of method, and takes each of 1001 outputs by itself.
        cell("standard_ism", 1001.0, needs_gradient=True),
    ]
    comparison = compare_engine(records, ())
    (row,) = comparison.rows
    assert (comparison.fast, comparison.baseline, comparison.whole) == ("swift", "odd", ("swift", "odd", "my_ism"))
    assert {method: row.seconds(method) for method in row.records} == pytest.approx(
        {"odd": 10.0, "my_ism": 10.0, "swift": 0.5, "standard_ism": 1.0}
    )
    assert {method: row.ratio(method) for method in row.records} == pytest.approx(
        {"odd": 1.0, "my_ism": 1.0, "swift": 20.0, "standard_ism": 10.0}
    )
    assert comparison.headings == ("swift", "odd", "standard ism", "my ism")


def test_of_several_baselines_the_one_with_the_most_cells_is_taken(make_record: Callable[..., Record]) -> None:
    def cell(method: str, length: int) -> Record:
        made = make_record(method, 1.0, length=length)
        tags = Tags(frozenset({"torch"}), gives_predictions=True, full_passes=True)
        return replace(made, workload=Workload("basset", length, "torch", method, 1), tags=tags)

    assert compare_engine([cell("b", 10), cell("a", 10)], ()).baseline == "a"
    assert compare_engine([cell("b", 10), cell("b", 20), cell("a", 10)], ()).baseline == "b"


def test_where_a_methods_tags_are_unknown_its_figure_is_for_every_output_and_a_note_says_so(
    records: list[Record],
) -> None:
    unknown = replace(records[0], workload=replace(records[0].workload, method="gone"), tags=None)
    comparison = compare_engine([*records, unknown], ())
    assert comparison.rows[-1].seconds("gone") == pytest.approx(0.5)
    assert [note for note in comparison.notes if "gone" in note] == [
        "bpnet 1000 8 sequences torch gone: one run may give one output or all 1001, which the record does not say; "
        "the figure is for all"
    ]


def test_counted_work_is_set_against_the_matrix_product(records: list[Record], profile: EngineProfile) -> None:
    (found,) = arranged(records, (profile, replace(profile, architecture="basset"))).efficiencies
    assert found.row.sequences == 8
    # 3000 mutations of 10 M in 0.5 s, of 120 M in 10 s.
    assert found.products_per_second == pytest.approx(6e10)
    assert found.standard_products_per_second == pytest.approx(3.6e10)
    assert found.factor == pytest.approx(16 / 20)
    fallback = replace(profile.measured, fallback="it follows an LSTM")
    (none,) = arranged(records, (replace(profile, measured=fallback),)).efficiencies
    assert none.products_per_second is None


def test_growth_with_the_number_of_sequences_and_the_length(records: list[Record]) -> None:
    longer = replace(records[0], workload=replace(records[0].workload, length=2000), durations=(12.0,))
    short, long = arranged([*records, longer]).growths
    # 0.75 s for one against 0.5 s for each of eight; 1.5 s at twice the letters is 1.5 times linear.
    assert short.few_over_many == pytest.approx(1.5)
    assert short.over_linear is None
    assert long.few_over_many is None
    assert long.over_linear == pytest.approx(1.5)


def test_the_page_shows_everything_and_renders_the_same_again(
    records: list[Record], profile: EngineProfile, tmp_path: Path
) -> None:
    for record in records:
        save_record(record, tmp_path)
    profile.save(tmp_path)
    written = render_engine_report(tmp_path)
    assert [path.name for path in written] == ["table.csv", "ratio.png", "ratio.svg", "README.md"]
    page = (tmp_path / "README.md").read_text()
    # 10 s against 0.5; one sequence alone takes 0.75. No check, no longer sequences, no other method: two sentences.
    assert page.split("\n\n")[1] == (
        "fastISM is 20 times as fast as Standard ISM on BPNet (profile and count) (1000 letters). It needs no large "
        "batch: one sequence alone costs 1.5 times as much as one among 8."
    )
    assert page.split("\n\n")[2].endswith("](ratio.svg)")
    assert "not run" not in page
    assert "No GPU was used where this was measured" in page
    assert "| BPNet (profile and count) | 1000 | PyTorch | 8 | 0.500 (20.0) | ≈10.0 | failed: MemoryError |" in page
    assert "integrated\\_gradients: failed: MemoryError: no \\| more" in page
    assert "| 1000 | PyTorch | 300 | 1.25 | 0.400 | 0.200 |" in page
    assert "| 1000 | PyTorch | 1 | 8 | 1.50 |  |" in page
    assert "| 8 | 120 | 10 | 16.0 | 20.0 | 200 | 120 (60%) | 72 (36%) |" in page
    assert "differ by a factor of at most 1.25." in page
    # 0.3 of 0.5 s, five of the others are named, two are not, 0.06 s lie between the steps.
    assert "tower.0: conv 60%, layer 0 4%, layer 1 4%, layer 2 4%, layer 3 4%, layer 4 4% | 8% | 12% |" in page
    assert "| 1000 | PyTorch | 300 | bfloat16 | 0.100 | 3.0e-05 | 4.0e-03 |" in page
    assert "What stands in the way" not in page
    assert "The outputs" in page or "No output was checked." in page
    lines = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [(line["sequences"], line["method"], line["scaled"]) for line in lines] == [
        ("1", "fastism", "False"),
        ("8", "fastism", "False"),
        ("8", "standard_ism", "True"),
        ("8", "integrated_gradients", ""),
        ("8", "deepshap", "False"),
    ]
    assert float(lines[3 - 1]["seconds_per_sequence"]) == pytest.approx(10.0)
    before = {path: path.read_bytes() for path in written}
    assert {path: path.read_bytes() for path in render_engine_report(tmp_path)} == before


def test_notes_become_a_part_of_the_page(records: list[Record], tmp_path: Path) -> None:
    save_record(records[0], tmp_path)
    (tmp_path / "notes.md").write_text("Most of it is *memory*.\n")
    render_engine_report(tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "## What stands in the way of more\n\nMost of it is *memory*.\n\n## How it was measured" in page


def test_a_gpu_is_not_denied(records: list[Record], tmp_path: Path) -> None:
    for record in records:
        save_record(replace(record, machine=Machine("Linux", "a processor", 2, 2**34, gpu="Example GPU")), tmp_path)
    render_engine_report(tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "No GPU" not in page
    assert "Example GPU" in page


def test_records_of_the_suite_and_others_are_not_mixed(records: list[Record], make_record: Any) -> None:
    other = make_record("fastism", 1.0)
    assert of_engine_suite(records)
    assert not of_engine_suite([other])
    with pytest.raises(InvalidInputError, match="separate folders"):
        of_engine_suite([*records, other])


def test_methods_that_were_run_on_few_rows_have_lines_in_the_place_of_columns(
    records: list[Record], make_record: Callable[..., Record], tmp_path: Path
) -> None:
    rows = [*records]
    for length in (2000, 4000):  # twice and three times as long as linear growth from 4 s for 8 sequences
        made = make_record("fastism", 4.0 * (length / 1000) ** 2, architecture="bpnet", done=(8, length, 1))
        check = OutputCheck("predictions with plain passes", passed=True, largest_difference=length / 1e9)
        changes = {"asked": made.done, "check": check, "sequences": replace(made.sequences, length=length)}
        rows.append(replace(made, workload=Workload("bpnet", length, "torch", "fastism", 8), **changes))
    other = make_record("another", 8.0, architecture="bpnet", done=(8, 1000, 1001), asked=(8, 1000, 1001))
    tags = Tags(frozenset({"torch"}), gives_predictions=True)
    rows.append(replace(other, workload=Workload("bpnet", 1000, "torch", "another", 8), tags=tags, label="Another"))

    comparison = compare_engine(rows, ())
    assert comparison.occasional == ("integrated_gradients", "deepshap", "another")
    assert comparison.usual == ("fastism", "standard_ism")
    sentences = summary(rows, comparison)
    assert sentences[1].startswith(
        "The ratio grows with the length: fastISM takes 2.0 to 4.0 times as long for a letter"
    )
    assert "in 2 cells" in sentences[2]
    assert "at most 4.0e-06 of the largest" in sentences[2]
    assert sentences[-1] == (
        "Of other methods, on the lines where they were run, DeepSHAP took 0.10 times and Another took 2.0 times "
        "as long as fastISM."
    )
    for record in rows:
        save_record(record, tmp_path)
    page = render_engine_report(tmp_path)[-1].read_text()
    assert "| Model | Length | Framework | Sequences | fastISM | Standard ISM |" in page
    assert "| Another | BPNet (profile and count) | 1000 | PyTorch | 8 | 1.00 (10.0) | 2.0 |" in page


def test_without_a_baseline_nothing_is_claimed(records: list[Record], tmp_path: Path) -> None:
    alone = [record for record in records if record.workload.method == "deepshap"]
    assert summary(alone, compare_engine(alone, ())) == []
    save_record(alone[0], tmp_path)
    assert [path.name for path in render_engine_report(tmp_path)] == ["table.csv", "README.md"]


def test_the_figure_has_a_line_a_model_and_no_ticks_that_overlap(make_record: Callable[..., Record]) -> None:
    def cell(architecture: str, framework: str, length: int, method: str, seconds: float) -> Record:
        made = make_record(method, seconds, architecture=architecture, done=(1, length, 1), asked=(1, length, 1))
        return replace(made, workload=Workload(architecture, length, framework, method, 1))

    lines = {("bpnet", "torch"): (1000, 2000), ("bpnet", "keras"): (1000,), ("odd $x$", "torch"): (2100,)}
    records = [
        cell(*model, length, method, seconds)
        for model, lengths in lines.items()
        for length in lengths
        for method, seconds in (("fastism", 1.0), ("standard_ism", length / 100))
    ]
    figure = ratio_figure(compare_engine(records, ()))
    axes = figure.axes[0]
    assert [line.get_xydata().tolist() for line in axes.get_lines()] == [
        [[1000.0, 10.0], [2000.0, 20.0]],
        [[1000.0, 10.0]],
        [[2100.0, 21.0]],
    ]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "odd $x$: 21×",
        "BPNet (profile and count): 10× to 20×",
        "BPNet (profile and count) in Keras: 10×",
    ]
    assert axes.get_xticks().tolist() == [1000.0, 2000.0]
