"""The table as data, against cells worked out by hand."""

from collections.abc import Callable

import pytest

from attribution_bench.benchmark.results import BatchTiming, Record, Units
from attribution_bench.errors import InvalidInputError
from attribution_bench.reporting.comparison import compare, mark


def test_cells_hold_the_figures_worked_out_by_hand(mixed_row: list[Record]) -> None:
    comparison = compare(mixed_row)
    (row,) = comparison.rows
    assert [cell.text for cell in row.cells] == [
        "2.00",
        "300 (150)",
        "0.0412 (0.021)",
        "failed: OutOfMemoryError",
        "–",
    ]
    assert [comparison.marks(cell) for cell in row.cells] == ["", "a", "b", "c", "d"]
    assert comparison.notes == (
        "measured on 2 of 100 sequences, 500 of 1000 positions (1% of the work) and scaled up",
        "the check of its output did not pass: scores_finite | one-hot",
        "failed: OutOfMemoryError: 5 GiB_wanted & 100% used more",
        "not supported: deepshap does not run on torch models yet",
    )
    assert row.paper is not None
    assert row.paper.seconds_per_100_sequences["deepshap"] == 1.75


def test_order_is_the_papers_whatever_the_order_of_the_records(full_table: list[Record]) -> None:
    comparison = compare(full_table[::-1])
    assert comparison.methods == ("fastism", "standard_ism", "gradient_x_input", "integrated_gradients", "deepshap")
    assert [(row.architecture, row.length, row.framework) for row in comparison.rows] == [
        ("basset", 1000, "torch"),
        ("basset", 1000, "keras"),
        ("basset", 2000, "torch"),
        ("basset", 2000, "keras"),
        ("factorized_basset", 1000, "torch"),
        ("factorized_basset", 2000, "torch"),
        ("bpnet", 1000, "torch"),
        ("bpnet", 2000, "torch"),
    ]
    assert comparison == compare(full_table)


def test_equal_footnotes_share_a_mark(full_table: list[Record]) -> None:
    comparison = compare(full_table)
    assert len(comparison.notes) == 2
    marked = [comparison.marks(cell) for row in comparison.rows for cell in row.cells if cell.notes]
    assert marked == ["a", "a", "b", "b", "b", "b"]


def test_no_ratio_without_a_figure_of_fastism(make_record: Callable[..., Record]) -> None:
    for records in (
        [make_record("standard_ism", 30.0)],
        [make_record("standard_ism", 30.0), make_record("fastism", None, status="failed", error="E: e")],
        [make_record("standard_ism", 30.0), make_record("fastism", 2.0, framework="keras")],
    ):
        cells = [cell for row in compare(records).rows for cell in row.cells if cell.method == "standard_ism"]
        assert [cell.ratio for cell in cells] == [None] * len(cells)
        assert cells[0].text == "30.0"


def test_a_cell_that_was_not_run_says_so(make_record: Callable[..., Record]) -> None:
    comparison = compare([make_record("fastism", 2.0), make_record("deepshap", 1.0, length=2000)])
    assert [[cell.text for cell in row.cells] for row in comparison.rows] == [["2.00", "not run"], ["not run", "1.00"]]


def test_other_architectures_and_methods_come_last_by_name(make_record: Callable[..., Record]) -> None:
    records = [
        make_record(method, 1.0, architecture=architecture)
        for architecture in ("zebra", "bpnet", "apple")
        for method in ("zoom", "deepshap", "aim")
    ]
    comparison = compare(records)
    assert comparison.methods == ("deepshap", "aim", "zoom")
    assert [row.architecture for row in comparison.rows] == ["bpnet", "apple", "zebra"]
    assert [row.paper is None for row in comparison.rows] == [False, True, True]


def test_warnings_of_a_method_become_footnotes(make_record: Callable[..., Record]) -> None:
    comparison = compare([make_record("deepshap", 1.0, warnings=("delta\nis large", "second"))])
    assert comparison.notes == ("warned: delta is large", "warned: second")
    assert comparison.marks(comparison.rows[0].cells[0]) == "a,b"


@pytest.mark.parametrize(
    ("done", "durations", "text"),
    [
        ((1, 1000, 1), (27.36,) * 3, "2740 (1370)"),  # 1 of 100 sequences
        ((1, 100, 1), (2.736,) * 3, "2700 (1400)"),  # a thousandth
        ((100, 1000, 1), (25.0, 27.36, 30.0), "27 (14)"),  # the median is 9% above the fastest
        ((100, 1000, 1), (26.5, 27.36, 30.0), "27.4 (13.7)"),  # 3%
        ((100, 1000, 1), (27.3, 27.36, 300.0), "27.4 (13.7)"),  # one hiccup does not move the median
        ((100, 1000, 1), (2.0, 27.36, 30.0), "30 (10)"),
    ],
)
def test_digits_follow_from_what_was_measured_and_how_far_rounds_disagree(
    make_record: Callable[..., Record], done: tuple[int, int, int], durations: tuple[float, ...], text: str
) -> None:
    uncertain = make_record("standard_ism", 1.0, done=done, durations=durations)
    (row,) = compare([make_record("fastism", 2.0), uncertain]).rows
    assert row.cells[1].text == text


def test_a_ratio_has_the_digits_of_its_less_certain_figure(make_record: Callable[..., Record]) -> None:
    uncertain = make_record("fastism", 0.002, done=(1, 100, 1))
    (row,) = compare([uncertain, make_record("standard_ism", 27.36)]).rows
    assert [cell.text for cell in row.cells] == ["2.0", "27.4 (14)"]


def test_rounds_that_are_few_or_disagree_are_footnotes(make_record: Callable[..., Record]) -> None:
    sweep = (BatchTiming(8, 0.5, Units(100, 1000, 1)),)
    cells = [
        make_record("fastism", 5.7, durations=(5.7,)),
        make_record("standard_ism", 5.7, durations=(5.7, 5.8, 5.75), batch_sizes=sweep),
        make_record("gradient_x_input", 1.0, durations=(1.0, 1.2, 1.4)),
        make_record("integrated_gradients", 1.0, durations=(1.0, 1.0, 9.0)),
    ]
    (row,) = compare(cells).rows
    assert [cell.notes for cell in row.cells] == [
        ("timed in 1 round alone",),
        ("a round took 5.75 s, where the trial of batch sizes foretold 0.500 s",),
        ("rounds disagree: 1.00 to 1.40 s",),
        (),
    ]


def test_the_papers_line_stands_beside_what_explains_every_output_alone(make_record: Callable[..., Record]) -> None:
    for target, there in (("all", True), ("count", False), (3, False)):
        (row,) = compare([make_record("fastism", 2.0, architecture="bpnet", settings={"target": target})]).rows
        assert (row.paper is not None) == there


def test_marks_go_on_after_z() -> None:
    assert [mark(index) for index in (0, 25, 26, 27, 51, 52)] == ["a", "z", "aa", "ab", "az", "ba"]


def test_nothing_or_a_cell_twice_is_refused(make_record: Callable[..., Record]) -> None:
    with pytest.raises(InvalidInputError, match="no records"):
        compare([])
    with pytest.raises(InvalidInputError, match="same cell"):
        compare([make_record("fastism", 1.0), make_record("fastism", 2.0)])
