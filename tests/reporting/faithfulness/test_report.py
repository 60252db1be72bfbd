"""A comparison's folder rendered from what is stored in it alone."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.benchmark.results import Record, save_record
from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.faithfulness import render_evaluation

FIGURES = [f"{name}.{kind}" for name in ("plane", "agreement", "curves") for kind in ("png", "svg")]
TABLES = ["metrics.csv", "values.csv", "agreement.csv", "curves.csv"]


def _names(written: list[Path]) -> list[str]:
    return [path.name for path in written]


def test_everything_is_written(comparison_folder: Path) -> None:
    written = render_evaluation(comparison_folder)
    assert _names(written) == [*FIGURES, *TABLES, "README.md", "index.html"]
    assert all(path.parent == comparison_folder and path.stat().st_size for path in written)
    assert not list(comparison_folder.rglob("*.partial"))
    page = (comparison_folder / "README.md").read_text()
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", page) == ["plane.png", "agreement.png", "curves.png"]
    for image in ("plane.png", "agreement.png", "curves.png"):
        assert (comparison_folder / image).read_bytes().startswith(b"\x89PNG")


def test_rendering_again_changes_no_byte(comparison_folder: Path) -> None:
    first = {path: path.read_bytes() for path in render_evaluation(comparison_folder)}
    assert {path: path.read_bytes() for path in render_evaluation(comparison_folder)} == first


def test_the_summary_says_what_came_out(comparison_folder: Path) -> None:
    render_evaluation(comparison_folder)
    page = (comparison_folder / "README.md").read_text()
    assert page.startswith("# Attribution methods compared: example.keras\n")
    assert "5 attribution methods" in page
    assert "predicts as output:0 for 12 sequences of 120 letters" in page
    assert "The closest to exact ISM (Standard ISM) is fastISM, Pearson r 1.000 (1.000 to 1.000)" in page
    assert "of the methods that do not ask the model for every mutation, DeepSHAP" in page
    assert "The cheapest is Gradient × Input with 0.0500 seconds per 100 sequences" in page
    assert "better in Pearson r than Gradient × Input and fastISM." in page
    assert "| Metric | Better | Standard ISM | fastISM | DeepSHAP | Integrated Gradients | Gradient × Input |" in page
    assert "| Pearson r | higher | reference | 1.000 (1.000, 1.000) ★ | " in page
    assert "| Use | **fastISM** | 1.20 s per 100 sequences | Exact: it asks the model for every mutation." in page
    assert re.search(r"\| Completeness error \| lower \| – \| – \| [^–|]+ \| – \| – \|", page)
    assert "★ marks the best mean" in page
    assert "- DeepSHAP: references 10; Median completeness error 1e-07, largest 2e-06." in page


def test_a_comparison_stored_with_old_option_names_reads_alike(comparison_folder: Path) -> None:
    render_evaluation(comparison_folder)
    page = (comparison_folder / "README.md").read_text()
    stored = Evaluation.load(comparison_folder)
    older = [replace(m, options={"references": 10}) if m.options else m for m in stored.methods]
    replace(stored, methods=tuple(older)).save(comparison_folder)
    render_evaluation(comparison_folder)
    assert (comparison_folder / "README.md").read_text() == page


def test_the_tables_hold_every_number(comparison_folder: Path) -> None:
    render_evaluation(comparison_folder)
    evaluation = Evaluation.load(comparison_folder)
    read = {name: list(csv.DictReader((comparison_folder / name).read_text().splitlines())) for name in TABLES}
    deepshap = evaluation.method("deepshap")
    (line,) = [row for row in read["metrics.csv"] if (row["method"], row["metric"]) == ("deepshap", "auroc")]
    assert float(line["low"]) == deepshap.means["auroc"].low
    (line,) = [
        row for row in read["values.csv"]
        if (row["sequence"], row["method"], row["metric"]) == ("sequence 3", "deepshap", "pearson")
    ]  # fmt: skip
    assert float(line["value"]) == deepshap.values["pearson"][3]
    assert len(read["agreement.csv"]) == 10 * 5
    assert len(read["curves.csv"]) == 5 * 2 * 12 * len(evaluation.shares)
    assert float(read["curves.csv"][1]["prediction"]) == evaluation.methods[0].curves["deletion"][0][1]


def test_table_1_is_shown_where_there_are_records(comparison_folder: Path, make_record: Callable[..., Record]) -> None:
    render_evaluation(comparison_folder)
    assert 'id="speed"' not in (comparison_folder / "index.html").read_text()
    save_record(make_record("fastism", 2.0), comparison_folder)
    save_record(make_record("standard_ism", 3.0, done=(2, 500, 1)), comparison_folder)
    render_evaluation(comparison_folder)
    page = (comparison_folder / "index.html").read_text()
    assert 'id="speed"' in page
    assert "<td>300 (150)<sup>a</sup></td>" in page
    assert "<td>paper</td><td>2.70</td><td>27.36</td>" in page
    assert "300 (150) <sup>a</sup>" in (comparison_folder / "README.md").read_text()


def test_a_method_without_scores_is_listed_with_its_reason(synthetic: Callable[..., Any], tmp_path: Path) -> None:
    made = synthetic()
    methods = ("standard_ism", "deepshap")
    found = made.evaluation(methods)
    failed = MethodEvaluation("mine", reason="OutOfMemoryError: 5 GiB wanted")
    folder = made.save(tmp_path, methods, methods=(*found.methods, failed))
    render_evaluation(folder)
    assert "**No scores from mine: OutOfMemoryError: 5 GiB wanted.**" in (folder / "README.md").read_text()
    assert "- mine: no scores; OutOfMemoryError: 5 GiB wanted." in (folder / "README.md").read_text()
    page = (folder / "index.html").read_text()
    assert "no scores: OutOfMemoryError: 5 GiB wanted" in page
    assert page.index(
        '<p class="summary failed">No scores from mine: OutOfMemoryError: 5 GiB wanted.</p>'
    ) < page.index('<section id="plane">')


@pytest.mark.parametrize("methods", [("standard_ism",), ("deepshap",), ("deepshap", "gradient_x_input")])
def test_few_methods_without_sites_render(
    synthetic: Callable[..., Any], tmp_path: Path, methods: tuple[str, ...]
) -> None:
    folder = synthetic(4, 40, sites=False).save(tmp_path, methods)
    written = _names(render_evaluation(folder))
    assert ("agreement.png" in written) == (len(methods) > 1)
    assert "Known sites" not in (folder / "README.md").read_text()


def test_an_evaluation_that_measured_nothing_renders(synthetic: Callable[..., Any], tmp_path: Path) -> None:
    made = synthetic(4, 60)
    bare = replace(
        made.evaluation(("deepshap",)).methods[0],
        values={}, means={}, behind_best={}, curves={}, seconds_per_100_sequences=None,
    )  # fmt: skip
    folder = made.save(tmp_path, ("deepshap",), methods=(bare,))
    assert _names(render_evaluation(folder)) == [*TABLES, "README.md", "index.html"]


def test_scores_may_be_missing(comparison_folder: Path) -> None:
    for path in (comparison_folder / "scores").iterdir():
        path.unlink()
    render_evaluation(comparison_folder)
    assert '"effects":null' in (comparison_folder / "index.html").read_text()


def test_what_does_not_fit_together_is_named_and_nothing_is_written(
    comparison_folder: Path, synthetic: Callable[..., Any]
) -> None:
    before = sorted(comparison_folder.rglob("*"))
    other = synthetic(3, 120).result("deepshap")
    other.save(comparison_folder / "scores" / "deepshap.npz")
    with pytest.raises(OutputError, match=r"deepshap\.npz .* holds scores of shape \(3, 4, 120\), but .* 12 sequences"):
        render_evaluation(comparison_folder)
    (comparison_folder / "scores" / "deepshap.npz").write_bytes(b"nothing")
    with pytest.raises(OutputError, match=r"deepshap\.npz is no attribution result"):
        render_evaluation(comparison_folder)
    assert sorted(comparison_folder.rglob("*")) == before


def test_a_folder_without_an_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no evaluation"):
        render_evaluation(tmp_path)


def test_a_broken_record_is_named(comparison_folder: Path) -> None:
    (comparison_folder / "records").mkdir()
    (comparison_folder / "records" / "x.json").write_text("{}")
    with pytest.raises(InvalidInputError, match=r"x\.json is no benchmark record"):
        render_evaluation(comparison_folder)


def test_importing_needs_no_plotting_and_rendering_no_framework(comparison_folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from attribution_bench.reporting.faithfulness import render_evaluation; "
        "early = {'torch', 'tensorflow', 'keras', 'matplotlib', 'pandas'} & set(sys.modules); "
        "render_evaluation(Path(sys.argv[1])); "
        "late = {'torch', 'tensorflow', 'keras', 'captum', 'shap', 'pandas'} & set(sys.modules); "
        "sys.exit(str(early | late or '') or 0)"
    )
    environment = {**os.environ, "PYTHONWARNINGS": ""}
    subprocess.run([sys.executable, "-c", code, str(comparison_folder)], check=True, env=environment)
