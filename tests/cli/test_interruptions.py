"""Ctrl-C and SIGTERM: what is kept, which exit code there is, and that the same command goes on."""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.cli.interruptions import interruptible
from attribution_bench.sequences import lambda_windows, write_fasta

LENGTH = 60
ONE_THREAD = ("--threads", 1)
"""For what is quick, several threads wait for each other most of the time."""
METHODS = ("gradient_x_input", "standard_ism", "integrated_gradients")


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "windows.fa", lambda_windows(LENGTH, 2))


class Stopped:
    """Scoring that counts its calls, and stops the process by a signal at the method of a name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module: Any = importlib.import_module("attribution_bench.evaluation.comparison")
        working: Callable[..., Any] = module.score
        self.scored: list[str] = []
        self.at, self.signal = "", signal.SIGINT

        def score(method: Any, *arguments: Any) -> Any:
            self.scored.append(method.name)
            if method.name == self.at:
                os.kill(os.getpid(), self.signal)
            return working(method, *arguments)

        monkeypatch.setattr(module, "score", score)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_comparison_goes_on(
    command: Any, fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    stopped, output = Stopped(monkeypatch), tmp_path / "results"
    arguments = ("compare", f"basset?length={LENGTH}", fasta, "--methods", ",".join(METHODS), "--output", output)
    arguments = (*arguments, "--repeated", 2, *ONE_THREAD)
    stopped.at, stopped.signal = "integrated_gradients", number
    first = command(*arguments)
    assert first.code == code
    assert f"interrupted: 2 finished steps are kept in {output / 'unfinished'}; the same command goes on" in first.err
    assert not (output / "evaluation.json").exists()
    assert not (output / "index.html").exists()

    stopped.at, stopped.scored = "", []
    again = command(*arguments)
    assert again.code == 0, again.err
    assert stopped.scored == ["integrated_gradients"]
    assert "used from the run that was interrupted: gradient_x_input: scores; standard_ism: scores" in again.err
    assert not (output / "unfinished").exists()
    stored = json.loads((output / "evaluation.json").read_text(encoding="utf-8"))
    assert [method["method"] for method in stored["methods"]] == list(METHODS)


def test_what_differs_is_not_used(command: Any, fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped, output = Stopped(monkeypatch), tmp_path / "results"
    arguments = (f"basset?length={LENGTH}", fasta, "--methods", "gradient_x_input,standard_ism", "--output", output)
    arguments = (*arguments, *ONE_THREAD)
    stopped.at = "standard_ism"
    assert command("compare", *arguments, "--repeated", 0).code == 130
    other = write_fasta(tmp_path / "other.fa", lambda_windows(LENGTH, 3))
    for changed in (
        (*arguments, "--repeated", 0, "--seed", 1),
        (f"basset?length={LENGTH}&seed=1", *arguments[1:], "--repeated", 0),
        (arguments[0], other, *arguments[2:], "--repeated", 0),
    ):
        stopped.scored = []
        assert command("compare", *changed).code == 130
        assert stopped.scored == ["gradient_x_input", "standard_ism"]
    stopped.scored, stopped.at = [], ""
    assert command("compare", *arguments, "--repeated", 0).code == 0
    assert stopped.scored == ["standard_ism"]
    assert not (output / "unfinished").exists()


def test_an_interruption_before_anything_is_kept(
    command: Any, fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Stopped(monkeypatch)
    stopped.at = "gradient_x_input"
    output = tmp_path / "results"
    arguments = (f"basset?length={LENGTH}", fasta, "--methods", "gradient_x_input", "--output", output, *ONE_THREAD)
    done = command("compare", *arguments)
    assert done.code == 130
    assert "interrupted: nothing is kept yet" in done.err
    assert not output.exists()


def test_every_step_is_a_line_where_stderr_is_no_terminal(command: Any, fasta: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    arguments = (f"basset?length={LENGTH}", fasta, "--methods", "gradient_x_input", "--repeated", 1, *ONE_THREAD)
    done = command("compare", *arguments, "--output", output)
    assert done.code == 0
    first, *steps = done.err.splitlines()
    assert first.startswith("comparing gradient_x_input on windows.fa (2 sequences of 60 letters): basset")
    assert [step.split(":")[0] for step in steps] == [f"step {number} of 4" for number in range(1, 5)]
    assert "gradient_x_input: scores" in steps[1]


SECOND = """
import os, signal, sys, time
from attribution_bench.cli.interruptions import interruptible
with interruptible() as interruptions:
    try:
        os.kill(os.getpid(), signal.{first})
        time.sleep(10)
    except KeyboardInterrupt:
        print("first", interruptions.exit_code, flush=True)
    try:
        os.kill(os.getpid(), signal.{second})
        time.sleep(10)
    except BaseException:
        print("caught", flush=True)
"""


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_a_second_signal_ends_the_process_at_once(first: str, second: str) -> None:
    code = SECOND.format(first=first, second=second)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == f"first {128 + signal.Signals[first]}\n"
    assert done.returncode == -signal.Signals[second]


def test_handlers_come_back_and_ignored_signals_stay_ignored() -> None:
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        before = signal.getsignal(signal.SIGINT)
        with interruptible() as interruptions:
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGINT) is not before
        assert signal.getsignal(signal.SIGINT) is before
        assert interruptions.exit_code is None
    finally:
        signal.signal(signal.SIGTERM, former)
