"""`attribution-bench explain`."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from attribution_bench.cli.app import app
from attribution_bench.errors import AttributionBenchError, InvalidInputError, ModelError
from attribution_bench.registry import get_method, get_model


def test_table_and_summary_of_a_built_in_architecture() -> None:
    done = CliRunner().invoke(app, ["explain", "basset", "--length", "300"])
    assert done.exit_code == 0, done.output
    assert "19 of 300" in done.output
    assert "times as fast as standard ISM at 300 letters" in done.output


def test_eighty_columns_hold_every_line_and_no_word_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(app, ["explain", "bpnet"])
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    layers = get_method("fastism")(get_model("bpnet")()).explain(1000).layers
    for layer in layers:
        (line,) = (line for line in lines if line.startswith(f"{layer.layer} "))
        assert layer.extent in line
    assert "reached: positions that one mutation reaches." in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["nosuch"], InvalidInputError, "names no model"),
        (["baset?length=300"], InvalidInputError, "did you mean 'basset'?"),
        (["basset", "--alphabet", "morse"], InvalidInputError, "unknown alphabet"),
        (["basset", "--length", "10"], ModelError, "at least 48"),
        (["basset", "--extra-shape", "1,x"], InvalidInputError, "--extra-shape"),
    ],
)
def test_bad_input(arguments: list[str], error: type[Exception], message: str) -> None:
    done = CliRunner().invoke(app, ["explain", *arguments])
    assert isinstance(done.exception, Exception)
    assert message in str(done.exception)


def test_the_length_of_an_exported_program_is_read_from_it(tmp_path: Path) -> None:
    export, save, free = torch.export.export, torch.export.save, torch.export.Dim.DYNAMIC
    network = torch.nn.Sequential(
        torch.nn.Conv1d(4, 3, 5, padding=2), torch.nn.AdaptiveMaxPool1d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2)
    ).eval()
    x = torch.zeros(4, 4, 60)
    save(export(network, (x,), dynamic_shapes=({0: free},)), tmp_path / "fixed.pt2")
    save(export(network, (x,), dynamic_shapes=({0: free, 2: free},)), tmp_path / "free.pt2")

    def explained(*arguments: object) -> Any:
        return CliRunner().invoke(app, ["explain", *map(str, arguments)])

    assert "at 60 letters" in explained(tmp_path / "fixed.pt2").output
    assert "at 90 letters" in explained(tmp_path / "free.pt2", "--length", 90).output
    for arguments, said in (
        (["fixed.pt2", "--length", 90], r"exported for input of the shape \(any, 4, 60\).*--length 60"),
        (["free.pt2"], r"free\.pt2 does not state the length of its sequences; give it with --length"),
    ):
        failed = explained(tmp_path / str(arguments[0]), *arguments[1:])
        assert isinstance(failed.exception, AttributionBenchError)
        assert re.search(said, str(failed.exception))


def test_what_a_target_does_not_read_is_not_computed() -> None:
    whole, part = (
        CliRunner().invoke(app, ["explain", "bpnet", "--length", "300", *arguments]).output
        for arguments in ([], ["--target", "profile:150"])
    )
    assert "count: linear" in whole
    assert "count: linear" not in part
    assert "25 of 300" in part  # what the profile's kernel reads of the last layer


def test_tables_of_a_terminal_wait_for_no_statistics() -> None:
    """Importing them takes as long as all else that a quick command needs."""
    program = "import sys, attribution_bench.reporting; assert 'scipy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
