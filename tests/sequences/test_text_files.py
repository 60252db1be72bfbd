"""Lines of text files, whatever system, compression or encoding they come from."""

import gzip
import io
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from attribution_bench.errors import SequenceError
from attribution_bench.sequences import text_files
from attribution_bench.sequences.text_files import quoted, readable, stream_lines, text_lines, unreadable

BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def read(folder: Path, data: bytes, **bounds: int) -> list[str]:
    path = folder / "file"
    path.write_bytes(data)
    return list(text_lines(path, "list", **bounds))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["unix", "windows", "old mac"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: gzip.compress(data) + BGZIP_END])
def test_ends_of_lines_and_compression(tmp_path: Path, end: bytes, last: bool, pack: Callable[[bytes], bytes]) -> None:
    data = end.join([b"one", b"", b"two words"]) + (end if last else b"")
    assert read(tmp_path, pack(data)) == ["one", "", "two words"]


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
def test_nothing_else_ends_a_line(tmp_path: Path, character: str) -> None:
    assert read(tmp_path, f"one{character}two\nthree".encode()) == [f"one{character}two", "three"]


@pytest.mark.parametrize("size", [8191, 8192, 8193])
def test_a_windows_end_at_the_border_of_a_block_is_one_end(tmp_path: Path, size: int) -> None:
    assert read(tmp_path, b"A" * (size - 1) + b"\r\nC") == ["A" * (size - 1), "C"]


def test_members_of_gzip_follow_each_other(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(b"ab\ncd") + gzip.compress(b"ef\n") + bytes(100)) == ["ab", "cdef"]


def test_a_byte_order_mark_is_no_letter(tmp_path: Path) -> None:
    for pack in (bytes, gzip.compress):
        assert read(tmp_path, pack(b"\xef\xbb\xbfone\n")) == ["one"]


def test_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("café ☃\n".encode())
    code = (
        "import sys; from attribution_bench.sequences.text_files import text_lines\n"
        "print(ascii(list(text_lines(sys.argv[1], 'list'))))"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    said = subprocess.run([sys.executable, "-c", code, path], env=environment, capture_output=True, text=True)
    assert said.stdout.strip() == ascii(["café ☃"]), said.stderr


def test_bytes_of_other_encodings_are_kept_apart(tmp_path: Path) -> None:
    first, second = read(tmp_path, b"caf\xe9 and \xc3\xa9\nplain\n")
    assert unreadable(first)
    assert readable(first) == "caf\ufffd and é"
    assert not unreadable("é")
    assert readable(second) == second == "plain"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"one\n" * 1000, mtime=0)[:-10], "damaged gzip file"),
        (gzip.compress(b"one\n", mtime=0) + b"more", "damaged gzip file"),
        (b"\x1f\x8bnonsense", "damaged gzip file"),
        (gzip.compress(b"one\n", mtime=0)[:-5] + b"\0\0\0\0\0", "damaged gzip file"),
        ("one\n".encode("utf-16"), "UTF-16"),
        ("one\n".encode("utf-16-le"), "line 1 of .* is not text"),
        (b"one\ntw\0o\n", "line 2 of .* is not text"),
        (b"BZh91AY&SY", "bzip2"),
        (b"PK\x03\x04", "zip archive"),
        (b"\xfd7zXZ\0", "compressed by xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (gzip.compress(gzip.compress(b"one\n", mtime=0), mtime=0), "not text"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        read(tmp_path, data)


def test_bounds_are_named(tmp_path: Path) -> None:
    assert read(tmp_path, b"A" * 10 + b"\n", longest_line=11) == ["A" * 10]
    with pytest.raises(SequenceError, match=r"line 2 of .* has more than 10 characters"):
        read(tmp_path, b"A\n" + b"A" * 11, longest_line=10)
    for pack in (bytes, gzip.compress):
        with pytest.raises(SequenceError, match="holds more than 100 bytes"):
            read(tmp_path, pack(b"A\n" * 51), largest=100)


@pytest.mark.parametrize("line", [b"A" * 2**20, b"A" * 99 + b"\n", b"\n"], ids=["one line", "lines", "blank lines"])
def test_a_file_that_unpacks_to_gigabytes_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    monkeypatch.setattr(text_files, "UNPACKED_FREELY", 2**19)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(line * (2**22 // len(line))))
    tracemalloc.start()
    try:
        with pytest.raises(SequenceError, match="unpacks to more than 100 times its size"):
            for _ in text_lines(path, "list"):
                pass
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_pipes_and_open_streams(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(b"one\ntwo\n"),))
    writer.start()
    assert list(text_lines(pipe, "list")) == ["one", "two"]
    writer.join()
    stream = io.BytesIO(b"one\n\xff\n\0")
    with pytest.raises(SequenceError, match="line 3 of standard input is not text"):
        list(stream_lines(stream, "standard input", "list"))
    assert not stream.closed


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "absent", "No such file"), (tmp_path, "Is a directory"), ("a\0b", "null")):
        with pytest.raises(SequenceError, match=f"cannot read .*{reason}.*; give the path of a list"):
            list(text_lines(path, "list"))


def test_quotations_are_short_and_without_control_characters() -> None:
    assert quoted("a\x1b[31mb\u202ec") == r"'a\x1b[31mb\u202ec'"
    assert len(quoted("x" * 10_000)) < 100
