"""`attribution-bench explain`."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from attribution_bench.cli.app import app
from attribution_bench.errors import InvalidInputError, ModelError
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
        (["basset", "--alphabet", "morse"], InvalidInputError, "unknown alphabet"),
        (["basset", "--length", "10"], ModelError, "at least 48"),
        (["basset", "--extra-shape", "1,x"], InvalidInputError, "--extra-shape"),
    ],
)
def test_bad_input(arguments: list[str], error: type[Exception], message: str) -> None:
    done = CliRunner().invoke(app, ["explain", *arguments])
    assert isinstance(done.exception, Exception)
    assert message in str(done.exception)


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
