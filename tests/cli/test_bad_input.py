"""Every bad input is one line on stderr and exit code 2, and leaves no results folder behind."""

from pathlib import Path
from typing import Any

import pytest

GOOD = ">a\n" + "ACGT" * 100 + "\n"


def fasta(folder: Path, text: str) -> Path:
    path = folder / "sequences.fa"
    path.write_text(text)
    return path


def check(outcome: Any, message: str, output: Path) -> None:
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.startswith("attribution-bench: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    assert not outcome.out
    assert not output.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (">a\nACGT\n>b\nACG\n", "must have one length"),
        (">a\nACGZ\n", "'Z' at position 3"),
        ("ACGT\n", "before any header"),
    ],
)
def test_sequences_that_cannot_be_used(command: Any, tmp_path: Path, text: str, message: str) -> None:
    for arguments in (("reproduce-paper", "--framework", "torch"), ("benchmark", "basset")):
        outcome = command(*arguments, "--sequences", fasta(tmp_path, text), "--output", tmp_path / "out")
        check(outcome, message, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "fastim"), "did you mean 'fastism'"),
        (("--methods", "fastism,fastism"), "given twice"),
        (("--methods", ","), "no method was given"),
        (("--architectures", "basenji"), "unknown model 'basenji'"),
        (("--lengths", "10"), "10"),
        (("--lengths", "0"), "at least 1, not 0"),
        (("--lengths", "many"), "--lengths takes whole numbers"),
        (("--lengths", "100000"), "not 100000"),
        (("--device", "cuda:99"), "'cuda:99'"),
        (("--device", "toaster"), "'toaster'"),
        (("--budget", "0"), "budget"),
        (("--budget", "nan"), "budget"),
        (("--sequences", "absent.fa"), "absent.fa"),
    ],
)
def test_reproduce_paper(command: Any, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    check(
        command("reproduce-paper", "--framework", "torch", "--output", tmp_path / "out", *arguments),
        message,
        tmp_path / "out",
    )


def test_lengths_that_the_sequences_do_not_have(command: Any, tmp_path: Path) -> None:
    outcome = command(
        *("reproduce-paper", "--framework", "torch", "--sequences", fasta(tmp_path, GOOD)),
        *("--lengths", "1000", "--output", tmp_path / "out"),
    )
    check(outcome, "have 400 letters", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("basett",), "names no model"),
        (("nosuch.pt",), "there is no model file"),
        (("model.pt2",), "there is no model file"),
        (("basset?colour=red",), "cannot be built with"),
        (("basset", "--lengths", "3"), "3"),
        (("basset", "--target", "profile"), "unknown target 'profile'"),
        (("basset", "--target", "5"), "out of range"),
        (("basset", "--target", "output:"), "name:index"),
        (("basset", "--batch-sizes", "0"), "batch sizes"),
        (("basset", "--alphabet", "RNA"), "--sequences"),
        (("basset", "--alphabet", "runes"), "unknown alphabet"),
        (("basset", "--device", "cuda:99"), "'cuda:99'"),
        (("basset", "--methods", "x"), "unknown method 'x'"),
    ],
)
def test_benchmark(command: Any, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    check(command("benchmark", *arguments, "--output", tmp_path / "out"), message, tmp_path / "out")


def test_a_missing_framework_names_the_extra(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attribution_bench.benchmark import devices

    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    for arguments in (("--framework", "both"), ()):
        outcome = command("reproduce-paper", *arguments, "--output", tmp_path / "out")
        check(outcome, "pip install '.[", tmp_path / "out")


def test_an_output_that_cannot_be_written(command: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = command(
        *("reproduce-paper", "--framework", "torch", "--architectures", "basset", "--lengths", "200"),
        *("--output", tmp_path / "file" / "out"),
    )
    check(outcome, "choose a folder you can write", tmp_path / "file" / "out")


def test_a_folder_without_records(command: Any, tmp_path: Path) -> None:
    check(command("report", tmp_path), "holds no benchmark records", tmp_path / "out")
