"""`attribution-bench explain`."""

import pytest
from typer.testing import CliRunner

from attribution_bench.cli.app import app
from attribution_bench.errors import InvalidInputError, ModelError


def test_table_and_summary_of_a_built_in_architecture() -> None:
    done = CliRunner().invoke(app, ["explain", "basset", "--length", "300"])
    assert done.exit_code == 0, done.output
    assert "19 of 300" in done.output
    assert "times as fast as standard ISM at 300 letters" in done.output


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
