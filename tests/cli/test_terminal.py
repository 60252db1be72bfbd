"""What commands print reaches a terminal in any encoding, and without control characters of the files it came from."""

import io
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from attribution_bench.cli.terminal import PLAIN, console, printable, readable_output, say
from attribution_bench.sequences import Sequences, lambda_windows, write_fasta

HOSTILE = ["\x1b[31mred", "a\x07b", "a\rb", "\u202eevil", "a\u2066b\u2069", "\x9b1m", "a\u2028b", "\x7f", "[red]x"]
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CP1252 = {"PYTHONIOENCODING": "cp1252"}


@pytest.mark.parametrize("text", HOSTILE)
def test_control_characters_are_escaped(text: str) -> None:
    shown = printable(f"{text}\n")
    assert all(letter.isprintable() or letter == "\n" for letter in shown)
    assert shown.endswith("\n")
    if text.isprintable():
        assert shown == f"{text}\n"
    else:
        assert shown.rstrip("\n").encode().decode("unicode_escape") == text


def test_letters_of_every_language_are_kept() -> None:
    text = "é ☃ 染色体 ↑ × − Ångström 🧬"
    assert printable(text) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_a_console_prints_text_as_it_is(capsys: pytest.CaptureFixture[str], text: str) -> None:
    table = Table(text)
    table.add_row(text)
    console().print(table, text)
    console(stderr=True).print(text, style="red")
    said = "".join(capsys.readouterr())
    assert all(letter.isprintable() or letter == "\n" for letter in said)
    assert "[red]" in said or "[red]" not in text


def test_warnings_are_printable() -> None:
    with readable_output():
        said = warnings.formatwarning("layer '\x1b[2Jconv\u202e' was not captured", UserWarning, "x.py", 1, "")
    assert said == "x.py:1: UserWarning: layer '\\x1b[2Jconv\\u202e' was not captured\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_files_reach_errors_as_escapes(command: Any, tmp_path: Path, name: str) -> None:
    word = name.replace("\r", "\x1b").replace("\x1b[31m", "\x1b[31m")
    path = tmp_path / f"{word}.fa".replace("/", "|")
    path.write_bytes(f">{word}\nACGT\n>{word}\nACG\n".encode())
    outcome = command("compare", "basset", path, "--output", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert all(letter.isprintable() or letter == "\n" for letter in outcome.err)


EVERY = """
import json, sys
from attribution_bench.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["attribution-bench", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
"""


def run(environment: dict[str, str], *commands: tuple[object, ...]) -> subprocess.CompletedProcess[bytes]:
    """Run commands one after the other in one process."""
    arguments = json.dumps([list(map(str, command)) for command in commands])
    return subprocess.run(
        [sys.executable, "-c", EVERY, arguments],
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        check=False,
    )


def test_commands_that_print_run_in_every_encoding(tmp_path: Path) -> None:
    """Among them a comparison of sequences whose names no terminal should see."""
    windows = lambda_windows(60, 3)
    names = ("\u202ename", "\x1b[31m[red]", "caf\xe9_\u2603")
    path = write_fasta(tmp_path / "windows.fa", Sequences(names, windows.strings, "windows"))
    results = tmp_path / "results"
    comparison = ("basset?length=60", path, "--methods", "gradient_x_input", "--repeated", 0, "--threads", 1)
    compare = ("compare", *comparison, "--output", results)
    for environment, *commands in (
        (C_LOCALE, ("methods",), ("compare", "--help"), compare, ("explain", "basset?length=200")),
        (CP1252, ("report", results)),
    ):
        done = run(environment, *commands)
        assert done.returncode == 0, done.stderr
        assert not {0x1B, 0x07} & set(done.stdout + done.stderr)
        assert done.stdout.count(b"Seconds per 100 v") == 1
        assert "\u2191" in (results / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_a_stream_of_any_encoding_takes_every_text(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    with readable_output():
        say("\u2191 \u2603 \udce9 caf\xe9")
        sys.stdout.flush()
    said = written.getvalue().decode(encoding)
    assert said.startswith(("^ ", "\u2191 "))
    assert said.endswith((r"caf\xe9" + "\n", "caf\xe9\n"))
    assert r"\udce9" in said


def test_plain_letters_stand_for_ours() -> None:
    assert all(plain.isascii() and plain.isprintable() for plain in PLAIN.values())


def test_the_module_runs_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "attribution_bench", "--help"], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"Usage: attribution-bench" in done.stdout


def test_streams_are_left_as_they_were() -> None:
    former = sys.stdout.errors, sys.stderr.errors, warnings.formatwarning
    with readable_output():
        pass
    assert (sys.stdout.errors, sys.stderr.errors, warnings.formatwarning) == former
