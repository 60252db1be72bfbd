"""Names that become files, and files that are read."""

import os

import pytest

from attribution_bench.errors import InvalidInputError, OutputError, ResultError
from attribution_bench.files import check_file_names, file_name_fault, printable, read_bounded, reading


@pytest.mark.parametrize(
    "name",
    ["fastism", "Gradient × Input", "deepshap (10)", "x" * 100, "a.b", "console", "com10", "-x", "mine_2", "方法"],
)
def test_names_that_every_file_system_takes(name, tmp_path):
    assert file_name_fault(name) is None
    check_file_names("method", [name, f"{name}2"[-100:], name])
    (tmp_path / f"{name}.npz").touch()
    assert [path.stem for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/b", "/etc/x", "a\\b", "C:x", "a\0b", "a\nb", "a\x1b[2J", "\u202egpj", "\ud800", "con",
        "CON", "nul.txt", "com1", "LPT9.x", "aux .y", ".hidden", " x", "x ", "x.", "x" * 101, "é" * 101, "a*", "what?",
        '"', "<b>", "a|b",
    ],
)  # fmt: skip
def test_names_that_must_become_no_path(name):
    with pytest.raises(InvalidInputError, match="cannot name a file") as caught:
        check_file_names("method", ["other", name])
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("pair", [("fastism", "FastISM"), ("ß", "ss"), ("é", "e\u0301"), ("\ufb01", "fi")])
def test_names_that_are_one_file_where_case_does_not_count(pair):
    with pytest.raises(InvalidInputError, match="would be one file"):
        check_file_names("method", pair)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file"), "there is no such file"),
        (MemoryError(), "it takes more memory than there is"),
        (RecursionError("deep"), "deep"),
        (ValueError("wrong"), "wrong"),
        (EOFError(), "EOFError"),
    ],
)
def test_what_shows_damage_becomes_one_error_that_names_the_file(error, said):
    for kind in (ResultError, OutputError, InvalidInputError, OSError, ValueError):
        with pytest.raises(kind, match=rf"^a\\x1bb is no thing: {said}$"), reading("a\x1bb", "is no thing"):
            raise error
    with pytest.raises(ZeroDivisionError), reading("a", "is no thing"):
        raise ZeroDivisionError


def test_pipes_and_folders_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/null"):
        with pytest.raises(ValueError, match="a folder or a device"):
            read_bounded(path, 10)


def test_printable_text_is_left_alone():
    assert printable("é × 方") == "é × 方"
    assert printable("a\x1b\n\u202e\ud800") == r"a\x1b\n\u202e\ud800"
