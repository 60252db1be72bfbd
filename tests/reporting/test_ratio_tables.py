"""The table of ratios: figures worked out by hand, the sign of what was scaled up, and a column that LaTeX can set."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from attribution_bench.benchmark.results import Record
from attribution_bench.reporting.comparison import compare
from attribution_bench.reporting.latex_tables import latex_table, ratio_latex
from attribution_bench.reporting.ratio_tables import ratio_markdown

LATEX = shutil.which("pdflatex")
BOOKTABS = LATEX and subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode == 0
NARROWEST_CHARACTERS = 50
"""Digits of 7 points side by side in a column of 8.6 cm, with the room between the columns taken off."""


def lines(records: list[Record]) -> list[str]:
    return [line for line in ratio_markdown(compare(records)).splitlines() if line.startswith("|")]


def test_one_line_a_model_with_two_digits_and_the_papers_in_parentheses(full_table: list[Record]) -> None:
    found = lines(full_table)
    assert len(found) == 2 + 6
    assert found[0] == ("| Model | Standard ISM | Gradient × Input | Integrated Gradients | DeepSHAP | fastISM (s) |")
    assert found[2] == "| Basset, 1000 | 10 (10) | 0.015 (0.015) | 0.87 (0.87) | 0.65 (0.65) | 11 (2.7) |"
    assert found[6] == (
        "| BPNet (profile and count), 1000 | 1.6 (1.6) | 1.4 (1.4) | ≈150 (150) | ≈60 (60) | 120 (29) |"
    )


def test_the_sign_stands_where_some_figures_are_scaled_up_and_others_not(mixed_row: list[Record]) -> None:
    (line,) = lines(mixed_row)[2:]
    assert line == "| Basset, 1000 | ≈150 (10) | 0.021 (0.015) | – (0.87) | – (0.65) | 2.0 (2.7) |"
    caption = ratio_markdown(compare(mixed_row)).splitlines()[0]
    assert caption == (
        "How many times as long as fastISM each method takes with PyTorch (in parentheses: in the paper, on one NVIDIA "
        "Tesla P100, TensorFlow 2.3), and in the last column fastISM's seconds per 100 sequences; ≈ is scaled up from "
        "a part of the work; – has no figure."
    )


def test_a_ratio_is_scaled_up_where_fastism_is(make_record: Callable[..., Record]) -> None:
    part = {"done": (1, 1000, 1)}
    records = [make_record("fastism", 1.0, **part), make_record("deepshap", 200.0)]
    text = ratio_markdown(compare(records))
    assert "2.0 (0.65) | 100 (2.7) |" in text
    assert "what was measured here is scaled up" in text
    assert "≈" not in text


def test_without_the_fast_method_the_figures_are_seconds(make_record: Callable[..., Record]) -> None:
    records = [make_record("deepshap", 3.0, architecture="mine"), make_record("zoom", 0.0412, architecture="mine")]
    assert ratio_markdown(compare(records)).splitlines() == [
        "Seconds per 100 sequences with PyTorch.",
        "",
        "| Model | DeepSHAP (s) | zoom (s) |",
        "| --- | ---: | ---: |",
        "| mine, 1000 | 3.0 | 0.041 |",
    ]


def test_what_is_of_several_outputs_is_said_below(make_record: Callable[..., Record]) -> None:
    one = [make_record("fastism", 1.0), make_record("deepshap", 2.0)]
    assert "outputs" not in ratio_markdown(compare(one))
    several = [
        make_record(method, 3.0, architecture="bpnet", length=length, asked=(100, length, length + 1))
        for length in (1000, 2000)
        for method in ("fastism", "standard_ism", "deepshap", "gradient_x_input")
    ]
    assert ratio_markdown(compare([*one, *several])).splitlines()[-2:] == [
        "",
        "The figures of BPNet (profile and count) are of all outputs (1001 or 2001 a sequence), for each of which "
        "Gradient × Input and DeepSHAP take a run.",
    ]


def test_names_are_escaped(make_record: Callable[..., Record]) -> None:
    records = [
        make_record("fastism", 1.0, architecture="a|b_"),
        make_record("x", 2.0, architecture="a|b_", label="*m*"),
    ]
    assert r"| a\|b\_, 1000 | 2.0 | 1.0 |" in ratio_markdown(compare(records))
    assert r"\*m\*" in ratio_markdown(compare(records))
    assert r"\textit{a\textbar{}b\_, 1000 letters}" in ratio_latex(compare(records))


def test_the_latex_table_has_every_framework_and_the_paper_in_few_characters(full_table: list[Record]) -> None:
    text = ratio_latex(compare(full_table))
    rows = [line for line in text.splitlines() if line.endswith(r" \\") and "multicolumn" not in line]
    assert len(rows) == 2 + 8 + 6
    assert {line.count("&") for line in rows} == {5}
    assert r"Keras & 10 & 0.015 & 0.87 & -- & 14 \\" in text
    assert r"paper & 10 & 0.015 & 0.87 & 0.65 & 2.7 \\" in text
    cells = [[cell.strip() for cell in line.removesuffix(r" \\").replace(r"$\approx$", "~").replace(r"$\times$", "x")
              .split("&")] for line in rows]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    assert sum(widths) <= NARROWEST_CHARACTERS
    assert text.isascii()


@pytest.mark.skipif(not BOOKTABS, reason="no LaTeX with booktabs is installed")
def test_latex_sets_it_within_one_column_of_an_article(full_table: list[Record], tmp_path: Path) -> None:
    comparison = compare(full_table)
    (tmp_path / "table.tex").write_text(ratio_latex(comparison))
    (tmp_path / "full.tex").write_text(latex_table(comparison, "A remark."))
    # A column of this class is 8.1 cm wide; those of Bioinformatics and of PNAS are some millimetres wider.
    (tmp_path / "article.tex").write_text(
        r"\documentclass[twocolumn,10pt]{article}\usepackage{booktabs}\begin{document}"
        r"\input{table}\input{full}\end{document}"
    )
    run = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "article.tex"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "article.log").read_text()
    assert not re.findall(r"Overfull \\hbox.*", log)
    assert "Undefined" not in log
