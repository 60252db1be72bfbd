import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from attribution_bench.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["attribution-bench", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        # The command line sets these for its own process; here they are to go again.
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "")
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return Outcome(int(caught.value.code or 0), captured.out, captured.err)

    return run
