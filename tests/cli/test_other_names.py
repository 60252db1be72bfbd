"""Methods of another distribution, under names that nothing knows, through every command that decides by tags.

The figures of the reports are worked out here from the raw durations of the records.
"""

import csv
import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from attribution_bench.benchmark import Record, load_records
from attribution_bench.benchmark.engine_profile import load_profiles
from attribution_bench.benchmark.engine_suite import default_methods
from attribution_bench.sequences import lambda_windows
from attribution_bench.sequences.fasta import write_fasta
from installed_plugins import install

LENGTH = 60
OUTPUTS = LENGTH + 1
"""BPNet predicts a profile and a count."""
CODE = """
from attribution_bench import Tags
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.gradient_x_input import GradientXInput
from attribution_bench_plugins.standard_ism import StandardISM


class Slow(StandardISM):
    name = "zzz_third_party"


class Quick(FastISM):
    name = "aaa_quick"
    label = "Quick ISM"


class Plain(StandardISM):
    name = "my_ism"
    tags = Tags(frozenset({"torch"}), gives_predictions=True, exact=True)


class Slope(GradientXInput):
    name = "mmm_slope"
"""
POINTS = {"zzz_third_party": "Slow", "aaa_quick": "Quick", "my_ism": "Plain", "mmm_slope": "Slope"}
METHODS = ",".join(POINTS)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the plugin; returns the folder that holds what registers it."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    install(folder, "other-names", POINTS, CODE)
    return folder


def lines_of(folder: Path) -> dict[tuple[str, ...], dict[str, str]]:
    """Return the lines of the folder's table by method and, in the engine suite, number of sequences."""
    lines = csv.DictReader((folder / "table.csv").read_text().splitlines())
    return {tuple(line[name] for name in ("method", "sequences") if name in line): line for line in lines}


def seconds_a_sequence(record: Record) -> float:
    """Return a round's median, scaled to every position of one sequence, of what one run of the method gives."""
    assert record.done is not None
    assert record.asked is not None
    runs = record.done.outputs if record.workload.method == "mmm_slope" else 1
    return median(record.durations) / record.done.sequences / runs * record.asked.positions / record.done.positions


def uninstall(folder: Path) -> None:
    for path in (folder / "other_names-1.0.dist-info").iterdir():
        path.unlink()
    (folder / "other_names-1.0.dist-info").rmdir()


def test_the_engine_suite_divides_by_outputs_and_takes_ratios_by_tags(
    command: Any, tmp_path: Path, installed: Path
) -> None:
    output = tmp_path / "out"
    cells = ("--architectures", "bpnet", "--lengths", LENGTH, "--sequence-counts", "1,2", "--methods", METHODS)
    done = command("engine", *cells, "--budget", "0.3", "--device", "cpu", "--threads", "1", "--output", output)
    assert done.code == 0, done.err
    records = {(r.workload.method, str(r.workload.sequences)): r for r in load_records(output)}
    assert {method for method, _ in records} == set(POINTS)
    lines = lines_of(output)
    assert set(lines) == set(records)
    for (method, count), record in records.items():
        assert record.asked is not None
        assert (record.asked.outputs, record.tags is None) == (OUTPUTS, False)
        own, baseline = seconds_a_sequence(record), seconds_a_sequence(records["zzz_third_party", count])
        assert float(lines[method, count]["seconds_per_sequence"]) == pytest.approx(own)
        assert float(lines[method, count]["ratio_over_zzz_third_party"]) == pytest.approx(baseline / own)
    # Both take full passes, one call of each gives all outputs: the clock may tell them apart, their outputs may not.
    assert 0.1 < float(lines["my_ism", "2"]["ratio_over_zzz_third_party"]) < 10
    (profile,) = load_profiles(output)
    assert (profile.method, profile.label, profile.length) == ("aaa_quick", "Quick ISM", LENGTH)
    page = (output / "README.md").read_text()
    assert page.startswith("# Quick ISM's engine, measured\n")
    assert "| Quick ISM | zzz third party | mmm slope | my ism |" in page
    assert "how many times as fast as zzz third party at its own best batch size" in page
    assert "Quick ISM, zzz third party and my ism predict every mutation" in page
    assert "fastISM" not in page
    assert "Standard ISM" not in page
    uninstall(installed)
    before = {path: path.read_bytes() for path in (output / "README.md", output / "table.csv")}
    assert command("report", output).code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_the_benchmark_takes_ratios_to_the_method_of_partial_passes(
    command: Any, tmp_path: Path, installed: Path
) -> None:
    output = tmp_path / "out"
    cells = ("bpnet", "--lengths", LENGTH, "--target", "count", "--methods", METHODS)
    done = command("benchmark", *cells, "--budget", "0.3", "--device", "cpu", "--threads", "1", "--output", output)
    assert done.code == 0, done.err
    records = {record.workload.method: record for record in load_records(output)}
    lines = lines_of(output)
    quick = 100 * seconds_a_sequence(records["aaa_quick"])
    for method, record in records.items():
        own = 100 * seconds_a_sequence(record)
        assert float(lines[method,]["seconds_per_100_sequences"]) == pytest.approx(own)
        ratio = lines[method,]["ratio_to_aaa_quick"]
        assert ratio == "" if method == "aaa_quick" else float(ratio) == pytest.approx(own / quick)
    table = (output / "table.md").read_text()
    assert "in parentheses how many times Quick ISM's seconds on the same line." in table
    assert "Seconds per 100 sequences (times Quick ISM's)" in done.out
    uninstall(installed)
    assert command("report", output).code == 0
    assert (output / "table.md").read_text() == table


def test_methods_are_compared_with_the_one_that_takes_full_passes(
    command: Any, tmp_path: Path, installed: Path
) -> None:
    fasta, output = write_fasta(tmp_path / "windows.fa", lambda_windows(LENGTH, 3)), tmp_path / "out"
    # The first exact method is another one, and has the alphabet's first name.
    methods = "aaa_quick,my_ism,mmm_slope,zzz_third_party"
    cells = (f"basset?length={LENGTH}", fasta, "--methods", methods, "--repeated", 0)
    done = command("compare", *cells, "--output", output)
    assert done.code == 0, done.err
    stored = json.loads((output / "evaluation.json").read_text())
    assert stored["truth"] == "zzz_third_party"
    found = {method["method"]: method for method in stored["methods"]}
    assert {name: method["exact"] for name, method in found.items()} == {
        "aaa_quick": True, "my_ism": True, "mmm_slope": False, "zzz_third_party": True,
    }  # fmt: skip
    assert found["my_ism"]["means"]["pearson"]["mean"] == pytest.approx(1)
    page = (output / "README.md").read_text()
    assert "The closest to exact ISM (zzz third party) are Quick ISM and my ism, Pearson r 1.000 each" in page
    uninstall(installed)
    assert command("report", output).code == 0
    assert (output / "README.md").read_text() == page


def test_a_method_that_explains_is_found_by_its_tags(command: Any, tmp_path: Path, installed: Path) -> None:
    both = command("explain", "basset", "--length", 300)
    assert both.code == 2
    assert "2 installed methods explain what they do with a model; choose one of aaa_quick, fastism" in both.err
    one = command("explain", "basset", "--length", 300, "--method", "aaa_quick")
    assert one.code == 0, one.err
    assert "19 of 300" in one.out
    other = command("explain", "basset", "--method", "zzz_third_party")
    assert other.code == 2
    assert "the method 'zzz_third_party' does not explain" in other.err
    uninstall(installed)
    assert command("explain", "basset", "--length", 300).code == 0


def test_the_suites_methods_are_fast_ones_baselines_and_those_of_the_paper(installed: Path) -> None:
    fast, standard = ("aaa_quick", "fastism"), ("standard_ism", "zzz_third_party")
    assert default_methods() == (*fast, *standard, "integrated_gradients", "deepshap")
    uninstall(installed)
    assert default_methods() == ("fastism", "standard_ism", "integrated_gradients", "deepshap")
