"""Markdown, CSV, LaTeX and the terminal table: structure, escapes, and figures worked out by hand."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from attribution_bench.benchmark.results import Record, save_record
from attribution_bench.reporting import render_engine_report, terminal_table
from attribution_bench.reporting.benchmark_tables import CSV_COLUMNS, csv_table, markdown_table
from attribution_bench.reporting.comparison import compare
from attribution_bench.reporting.latex_tables import latex_table

AWKWARD = r"my_model|v2 & 50% #1 {x} $y ~ ^ \ <b>* `c` [d] é→"


def test_markdown_has_our_figures_above_the_papers(mixed_row: list[Record]) -> None:
    lines = markdown_table(compare(mixed_row)).splitlines()
    assert lines[2] == (
        "| Basset | 1000 | PyTorch | 2.00 | 300 (150) <sup>a</sup> | 0.0412 (0.021) <sup>b</sup> "
        "| failed: OutOfMemoryError <sup>c</sup> | – <sup>d</sup> |"
    )
    assert lines[3] == "|  |  | paper | 2.70 | 27.36 (10.1) | 0.04 (0.015) | 2.34 (0.87) | 1.75 (0.65) |"
    assert "<sup>b</sup> the check of its output did not pass: scores\\_finite \\| one-hot  " in lines


def test_every_markdown_line_has_every_column(full_table: list[Record]) -> None:
    table = [line for line in markdown_table(compare(full_table)).splitlines() if line.startswith("|")]
    assert len(table) == 2 + 8 + 6
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {3 + 5 + 1}


def test_markdown_escapes_names_and_errors(make_record: Callable[..., Record]) -> None:
    text = markdown_table(compare([make_record("odd|method", None, architecture=AWKWARD, status="failed", error="E")]))
    header, _, line = text.splitlines()[:3]
    assert header.endswith(r"| odd\|method |")
    assert line.startswith(r"| my\_model\|v2 & 50% #1 {x} $y ~ ^ \\ \<b\>\* \`c\` \[d\] é→ | 1000 |")


@pytest.mark.parametrize("label", ["Fast |<b>&", "*a* `b`", "a\n\n# b", "[z](u) _v_"])
def test_labels_are_escaped_in_captions_and_headings(
    make_record: Callable[..., Record], tmp_path: Path, label: str
) -> None:
    fast = make_record("fastism", 2.0, label=label)
    records = [fast, make_record("standard_ism", 9.0)]
    escaped = re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(label.split()))
    table = markdown_table(compare(records))
    assert table.count(escaped) == 2
    for record in records:
        save_record(replace(record, workload=replace(record.workload, sequences=8)), tmp_path)
    for text in (table, render_engine_report(tmp_path)[-1].read_text()):
        assert text.replace(escaped, "").count(label) == 0
        assert escaped in text


def test_latex_takes_no_control_characters(make_record: Callable[..., Record]) -> None:
    text = latex_table(compare([make_record("fastism", 2.0, label="a\n\nb\x00\x1b\u202ec"), make_record("x", 9.0)]))
    assert "a b???c" in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_csv_reads_back_with_full_precision(mixed_row: list[Record]) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_table(compare(mixed_row)))))
    assert tuple(lines[0]) == tuple("ratio_to_fastism" if name == "ratio" else name for name in CSV_COLUMNS)
    by_method = {line["method"]: line for line in lines}
    assert list(by_method) == ["fastism", "standard_ism", "gradient_x_input", "integrated_gradients", "deepshap"]
    assert float(by_method["standard_ism"]["seconds_per_100_sequences"]) == 300.0
    assert float(by_method["standard_ism"]["ratio_to_fastism"]) == 150.0
    assert float(by_method["standard_ism"]["paper_ratio_to_fastism"]) == pytest.approx(27.36 / 2.70, rel=1e-15)
    assert float(by_method["standard_ism"]["measured_fraction"]) == 0.01
    assert by_method["standard_ism"]["scaled"] == "True"
    assert by_method["fastism"]["ratio_to_fastism"] == by_method["fastism"]["paper_ratio_to_fastism"] == ""
    assert by_method["fastism"]["check_passed"] == "True"
    assert float(by_method["fastism"]["largest_difference"]) == 2e-7
    assert by_method["gradient_x_input"]["check_passed"] == "False"
    assert by_method["integrated_gradients"]["seconds_per_100_sequences"] == ""
    assert by_method["integrated_gradients"]["error"] == "OutOfMemoryError: 5 GiB_wanted & 100% used\nmore"
    assert by_method["deepshap"]["status"] == "unsupported"


def test_latex_has_the_same_columns_on_every_line(full_table: list[Record]) -> None:
    text = latex_table(compare(full_table), "A remark.")
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(lines) == 1 + 8 + 6
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {7}
    assert r"\begin{tabular}{lrlrrrrr}" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 6, 1]
    assert r"Basset & 1000 & PyTorch & 10.8 & 109 (10.1) & 0.160 (0.015) & 9.36 (0.87) & 7.00 (0.65) \\" in text
    assert r" &  & Keras & 13.5 & 137 (10.1) & 0.200 (0.015) & 11.7 (0.87) & --\textsuperscript{a} \\" in text
    assert r"Gradient $\times$ Input" in text
    assert "A remark.}" in text
    for name in re.findall(r"\\begin\{(\S+?)\}", text):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1


def test_latex_escapes_what_it_would_read_as_commands(make_record: Callable[..., Record]) -> None:
    text = latex_table(compare([make_record("m", None, architecture=AWKWARD, status="failed", error=AWKWARD)]))
    assert (
        r"my\_model\textbar{}v2 \& 50\% \#1 \{x\} \$y \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textless{}b\textgreater{}* `c` [d] e?" in text
    )
    assert text.isascii()
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def _printed(records: list[Record], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(terminal_table(records))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_terminal_table_shows_figures_marks_and_where_it_ran(mixed_row: list[Record]) -> None:
    text = _printed(mixed_row, 160)
    line = next(line for line in text.splitlines() if line.startswith("Basset"))
    assert re.split(r"\s{2,}", line.strip()) == [
        *("Basset", "1000", "PyTorch", "2.00", "300 (150) [a]"),
        *("0.0412 (0.021) [b]", "failed: OutOfMemoryError [c]", "– [d]"),
    ]
    assert "[d] not supported: deepshap does not run on torch models yet" in text
    assert "Measured on Example CPU" in text


def test_terminal_table_takes_brackets_as_text(make_record: Callable[..., Record]) -> None:
    records = [make_record("m", None, architecture="[bold]x[/nope]", status="failed", error="E: [red]y")]
    text = _printed(records, 120)
    assert "[bold]x[/nope]" in text
    assert "failed: E: [red]y" in text


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_table_fits_the_terminal(full_table: list[Record], width: int) -> None:
    text = _printed(full_table, width)
    assert max(map(len, text.splitlines())) <= width
    # Nothing is cut off: every word of every figure and name is there whole.
    comparison = compare(full_table)
    figures = " ".join(cell.text for row in comparison.rows for cell in row.cells)
    assert set(f"{figures} Integrated Gradients DeepSHAP Factorized 12440 (153) 262.24".split()) <= set(text.split())
