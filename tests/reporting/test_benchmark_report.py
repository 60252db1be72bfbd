"""A results folder rendered from its stored JSON alone."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from attribution_bench.benchmark.logo_scores import LogoScores, MethodScores
from attribution_bench.benchmark.results import Record, save_record
from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.reporting import render_report

TABLES = ["ratios.md", "table.md", "table.csv", "table.tex", "table-full.tex"]
FILES = [*TABLES, "dots.png", "dots.svg"]


def _store(records: list[Record], folder: Path) -> Path:
    for record in records:
        save_record(record, folder)
    return folder


def _logos(framework: str = "torch") -> LogoScores:
    rows = ((0.5, -0.1, 0.0), (0.1, 0.2, -0.2), (0.0, 0.3, 0.1), (-0.2, 0.0, 0.4))
    methods = (
        MethodScores("standard_ism", rows, convention="centred"),
        MethodScores("deepshap", rows),
        MethodScores("zoom", reason="it does *not* run"),
    )
    return LogoScores("basset", 1000, framework, "cpu", "NC_001416.1:0-1000", "AGT", 440, "ACGT", methods)


def test_everything_is_written_and_shown_on_the_page(mixed_row: list[Record], tmp_path: Path) -> None:
    _store(mixed_row, tmp_path)
    _logos().save(tmp_path)
    written = render_report(tmp_path)
    assert [path.name for path in written] == [*FILES, "logos-torch.png", "logos-torch.svg", "README.md"]
    page = (tmp_path / "README.md").read_text()
    assert page.startswith("# Table 1 of the fastISM paper, measured here\n")
    sentence = "**Reproduced: fastISM is faster than Standard ISM in 1 of 1 comparison (PyTorch)"
    assert page.split("\n")[2].startswith(sentence)
    for table in ("ratios.md", "table.md"):
        assert (tmp_path / table).read_text().strip() in page
    images = re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)
    assert images == ["dots.png", "logos-torch.png"]
    for image in images:
        assert (tmp_path / image).read_bytes().startswith(b"\x89PNG")
    assert r"- zoom: no logo; it does \*not\* run" in page
    assert "positions 440 to 443" in page
    assert "attribution-bench report ." in page
    assert "- machine: Example CPU (2 cores, 8 GiB memory, no GPU used), Linux 6.1" in page
    assert not list(tmp_path.rglob("*.partial"))


def test_rendering_again_changes_no_byte(mixed_row: list[Record], tmp_path: Path) -> None:
    _store(mixed_row, tmp_path)
    _logos().save(tmp_path)
    first = {path: path.read_bytes() for path in render_report(tmp_path)}
    assert {path: path.read_bytes() for path in render_report(tmp_path)} == first


def test_a_folder_with_one_cell_renders(make_record: Callable[..., Record], tmp_path: Path) -> None:
    written = render_report(_store([make_record("deepshap", 3.0, framework="keras")], tmp_path))
    assert [path.name for path in written] == [*FILES, "README.md"]
    (line,) = csv.DictReader((tmp_path / "table.csv").read_text().splitlines())
    assert line["framework"] == "keras"
    assert float(line["seconds_per_100_sequences"]) == pytest.approx(3.0)
    assert "| Basset | 1000 | Keras | 3.00 |" in (tmp_path / "README.md").read_text()


def test_a_folder_of_failures_renders_without_a_figure(make_record: Callable[..., Record], tmp_path: Path) -> None:
    written = render_report(_store([make_record("fastism", None, status="failed", error="E: e")], tmp_path))
    assert [path.name for path in written] == [*TABLES, "README.md"]
    assert "dots.png" not in (tmp_path / "README.md").read_text()


def test_another_model_is_reported_without_the_paper(make_record: Callable[..., Record], tmp_path: Path) -> None:
    render_report(_store([make_record("fastism", 3.0, architecture="my_model.pt2")], tmp_path))
    page = (tmp_path / "README.md").read_text()
    assert "# Attribution methods, measured" in page
    assert "paper" not in page.lower()


def test_the_page_says_of_the_protocol_what_holds_for_its_records(
    make_record: Callable[..., Record], tmp_path: Path
) -> None:
    def page(*records: Record) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        render_report(_store(list(records), folder))
        return (folder / "README.md").read_text()

    three = page(make_record("fastism", 3.0))
    assert "There are at least 3 rounds, and more while they disagree" in three
    assert "In-silico mutagenesis means" in three
    assert "Integrated Gradients" not in three.replace("fastISM", "")
    assert "one by one" not in three
    old = page(make_record("fastism", 3.0, durations=(3.0,)), make_record("integrated_gradients", 1.0))
    assert "There are at least" not in old
    assert "rounds a cell: 1 to 3" in old
    assert "Integrated Gradients takes 50 steps from zeros." in old
    several = page(make_record("deepshap", 3.0, architecture="bpnet", asked=(100, 1000, 1001), done=(1, 1000, 1)))
    assert "explain every one of BPNet (profile and count)" in several
    assert "In-silico mutagenesis means" not in several
    assert "random" not in page(make_record("fastism", 3.0, architecture="mine.pt2"))


def test_logos_of_two_frameworks_are_kept_apart(mixed_row: list[Record], tmp_path: Path) -> None:
    _store(mixed_row, tmp_path)
    for framework in ("torch", "keras"):
        _logos(framework).save(tmp_path)
    names = {path.name for path in render_report(tmp_path)}
    assert {"logos-torch.png", "logos-keras.png"} <= names
    page = (tmp_path / "README.md").read_text()
    assert page.index("### Basset in PyTorch, device cpu\n") < page.index("### Basset in Keras, device cpu\n")
    # What both show is said once.
    assert page.count("positions 440 to 443") == 1


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InvalidInputError, match="holds no benchmark records"):
            render_report(folder)
    assert not list(tmp_path.iterdir())


def test_a_broken_file_is_named_and_nothing_is_written(mixed_row: list[Record], tmp_path: Path) -> None:
    _store(mixed_row, tmp_path)
    (tmp_path / "logos-torch.json").write_text('{"methods": []}')
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=r"logos-torch\.json holds no logo scores"):
        render_report(tmp_path)
    (tmp_path / "records" / "zzz.json").write_text("{}")
    with pytest.raises(InvalidInputError, match=r"zzz\.json is no benchmark record"):
        render_report(tmp_path)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "records" / "zzz.json"])


def test_a_place_that_cannot_be_written_is_named(mixed_row: list[Record], tmp_path: Path) -> None:
    _store(mixed_row, tmp_path)
    # A folder in the way stops root as well, whom permissions do not.
    (tmp_path / "table.md" / "inside").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"cannot write .*table\.md.*choose a folder you can write"):
        render_report(tmp_path)
    assert not list(tmp_path.rglob("*.partial"))


def test_importing_needs_no_framework_and_no_plotting() -> None:
    heavy = "{'torch', 'tensorflow', 'keras', 'captum', 'shap', 'matplotlib', 'logomaker', 'pandas'}"
    code = f"import sys, attribution_bench.reporting as r; sys.exit(str({heavy} & set(sys.modules) or '') or 0)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONWARNINGS": ""})


def test_rendering_imports_no_framework(mixed_row: list[Record], tmp_path: Path) -> None:
    _store(mixed_row, tmp_path)
    _logos().save(tmp_path)
    code = (
        "import sys; from pathlib import Path; from attribution_bench.reporting import render_report; "
        "render_report(Path(sys.argv[1])); "
        "sys.exit(str({'torch', 'tensorflow', 'keras', 'captum', 'shap'} & set(sys.modules) or '') or 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
