"""The commands that measure, from end to end on the smallest cells."""

import json
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.benchmark import load_records
from attribution_bench.cli.benchmark import parse_target

SMALLEST = ("--framework", "torch", "--architectures", "basset", "--lengths", "200", "--device", "cpu")
METHODS = "standard_ism,gradient_x_input"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_reproduce_paper_writes_records_and_report_and_goes_on(command: Any, tmp_path: Path) -> None:
    arguments = ("reproduce-paper", *SMALLEST, "--budget", "0.2", "--output", tmp_path)
    first = command(*arguments, "--methods", METHODS)
    assert first.code == 0, first.err
    records = {record.workload.method: record for record in load_records(tmp_path)}
    assert set(records) == set(METHODS.split(","))
    for record in records.values():
        assert record.status == "ok"
        assert record.check is not None
        assert record.check.passed
        assert record.asked is not None
        assert (record.asked.sequences, record.asked.positions, record.asked.outputs) == (100, 200, 1)
    assert records["standard_ism"].check.largest_difference is not None  # type: ignore[union-attr]
    assert records["gradient_x_input"].check.largest_difference is None  # type: ignore[union-attr]
    # What a full sweep by standard ISM costs is far above one gradient.
    ism, gradient = (records[name].seconds_per_100_sequences or 0.0 for name in METHODS.split(","))
    assert ism > 3 * gradient > 0
    assert str(tmp_path / "README.md") in first.out
    assert (tmp_path / "README.md").is_file()
    assert list(tmp_path.glob("logos-torch.json"))

    dates = {record.workload.file_name: record.date for record in records.values()}
    again = command(*arguments, "--methods", "standard_ism")
    assert again.code == 0
    assert {r.workload.file_name: r.date for r in load_records(tmp_path)} == dates
    assert again.err.count("measured before") == 1

    table = (tmp_path / "table.csv").read_text()
    for path in tmp_path.glob("table.*"):
        path.unlink()
    report = command("report", tmp_path)
    assert report.code == 0
    assert (tmp_path / "table.csv").read_text() == table


def test_a_cell_that_fails_gives_exit_code_1(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attribution_bench.benchmark import runner
    from attribution_bench.errors import PluginError, UnsupportedError

    working = runner.get_method
    errors = {"deepshap": PluginError("the method 'deepshap' cannot be loaded"), "fastism": UnsupportedError("not yet")}

    def get(name: str) -> Any:
        if name in errors:
            raise errors[name]
        return working(name)

    monkeypatch.setattr(runner, "get_method", get)
    arguments = ("benchmark", "basset?length=100", "--budget", "0.05", "--device", "cpu", "--output", tmp_path)
    some = command(*arguments, "--methods", "gradient_x_input,deepshap")
    assert some.code == 1
    assert "basset 100 torch deepshap: failed: PluginError" in some.err
    assert "basset 100 torch gradient_x_input: " in some.err
    unsupported = command(*arguments, "--methods", "gradient_x_input,fastism")
    assert unsupported.code == 0
    assert "unsupported" in unsupported.err


def test_an_interruption_says_what_is_kept(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attribution_bench.benchmark import runner

    working = runner.get_method

    def get(name: str) -> Any:
        if name == "gradient_x_input":
            raise KeyboardInterrupt
        return working(name)

    monkeypatch.setattr(runner, "get_method", get)
    outcome = command(
        *("benchmark", "basset", "--lengths", "100", "--budget", "0.05", "--device", "cpu", "--output", tmp_path),
        *("--methods", "standard_ism,gradient_x_input"),
    )
    assert outcome.code == 130
    assert "0 finished cells are kept" in outcome.err
    assert not list((tmp_path / "records").glob("*"))


def test_benchmark_takes_targets_batch_sizes_and_sequences(command: Any, tmp_path: Path) -> None:
    sequences = tmp_path / "sequences.fa"
    sequences.write_text("".join(f">s{i}\n{'ACGTTGCA' * 10}\n" for i in range(3)))
    outcome = command(
        *("benchmark", "bpnet", "--sequences", sequences, "--methods", "gradient_x_input", "--device", "cpu"),
        # A budget that no machine, however busy, uses up before every batch size was tried.
        *("--target", "profile:7", "--batch-sizes", "1,2", "--budget", "600", "--output", tmp_path / "out"),
    )
    assert outcome.code == 0, outcome.err
    (record,) = load_records(tmp_path / "out")
    assert record.workload.length == 80
    assert record.asked is not None
    assert (record.asked.sequences, record.asked.outputs) == (3, 1)
    assert record.sequences.count == 3
    assert [timing.batch_size for timing in record.batch_sizes] == [1, 2]
    assert (
        json.loads(next((tmp_path / "out" / "records").iterdir()).read_text())["settings"]["target"] == "('profile', 7)"
    )


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("all", "all"),
        ("sum", "sum"),
        ("3", 3),
        ("-1", -1),
        ("count", "count"),
        ("profile:12", ("profile", 12)),
        ("profile:logsumexp", ("profile", "logsumexp")),
    ],
)
def test_targets_are_read(text: str, target: Any) -> None:
    assert parse_target(text) == target
