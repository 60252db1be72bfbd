"""Lines of text files as people have them: plain or gzipped, with a byte order mark, ends of lines of any system."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from attribution_bench.errors import SequenceError

GZIP = b"\x1f\x8b"
OTHER_CONTENTS = {
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"PK\x03\x04": "a zip archive",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
"""First bytes of files that are often given in place of plain or gzipped text."""
LONGEST_LINE = 2**28
"""Characters of a line; a human chromosome on one line has 249 million."""
LARGEST = 2**32
"""Bytes of a file, once unpacked."""
UNPACKED_FREELY, LARGEST_RATIO = 2**26, 100
"""Bytes that a gzip file may unpack to whatever its size, and how many times its size beyond that.

Letters of sequences are packed 4 to 30 times; deflate reaches 1032 times, on files that were made to fill a memory.
"""
SHOWN = 60
"""Characters of a line that a message quotes."""


def text_lines(
    path: str | os.PathLike[str], kind: str, *, longest_line: int = LONGEST_LINE, largest: int = LARGEST
) -> Iterator[str]:
    r"""Yield the lines of a text file, without their ends, as they are read.

    The text is UTF-8 whatever the locale says, without a byte order mark. Lines end at ``\n``, ``\r\n`` or ``\r``, and
    nowhere else. gzip (bgzip too) is known by the first bytes, not by the name. A byte that is not UTF-8 becomes a
    surrogate, which `unreadable` finds and `readable` replaces, so that it can be refused in data and let pass
    elsewhere.

    Parameters
    ----------
    path
        The file; a pipe will do.
    kind
        What the file should be, for messages: ``FASTA file``.
    longest_line, largest
        Bounds on the characters of a line and the bytes of the whole, once unpacked.

    Raises
    ------
    SequenceError
        The file cannot be read, is damaged, no text, or exceeds a bound.
    """
    try:
        with open(path, "rb") as file:
            yield from stream_lines(file, os.fspath(path), kind, longest_line=longest_line, largest=largest)
    except SequenceError:
        raise
    except (OSError, ValueError) as error:  # a ValueError where the path holds a NUL character
        raise SequenceError(_cannot_read(path, error, kind)) from error


def stream_lines(
    stream: BinaryIO, name: str, kind: str, *, longest_line: int = LONGEST_LINE, largest: int = LARGEST
) -> Iterator[str]:
    """Yield the lines of an open binary stream, such as ``sys.stdin.buffer``; otherwise as `text_lines`.

    Parameters
    ----------
    name
        What messages call the stream.
    """
    counted = _Counted(stream)
    packed = io.BufferedReader(counted)
    try:
        start = packed.peek(8)
        for magic, content in OTHER_CONTENTS.items():
            if start.startswith(magic):
                raise SequenceError(f"{name} is not text but {content}; give a {kind}, plain or gzipped")
        unpacked = io.BufferedReader(_Bounded(packed, counted, name, largest))
        text = io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors="surrogateescape", newline=None)
        number = 0
        while line := text.readline(longest_line + 1):
            number += 1
            if len(line) > longest_line:
                raise SequenceError(
                    f"line {number} of {name} has more than {longest_line} characters; give a {kind} with ends of lines"
                )
            if "\0" in line:
                raise SequenceError(f"line {number} of {name} is not text; give a {kind}, plain or gzipped")
            yield line.removesuffix("\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SequenceError(f"{name} is a damaged gzip file ({error}); fetch or compress it again") from error
    except OSError as error:
        raise SequenceError(_cannot_read(name, error, kind)) from error


def unreadable(text: str) -> bool:
    """Whether a text of `text_lines` holds a byte that is not UTF-8."""
    return any("\udc80" <= character <= "\udcff" for character in text) if not text.isascii() else False


def readable(text: str) -> str:
    """Return a text of `text_lines` with each byte that is not UTF-8 replaced by U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if unreadable(text) else text


def quoted(text: str) -> str:
    """Return the beginning of a text as a message may show it: in quotes, control characters and bytes as escapes."""
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...").replace("\\udc", "\\x")


def _cannot_read(path: object, error: Exception, kind: str) -> str:
    reason = getattr(error, "strerror", None) or error
    return f"cannot read {path}: {reason}; give the path of a {kind}"


class _Counted(io.RawIOBase):
    """A stream that counts what was read of it, which a pipe cannot tell."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self.count += len(data)
        return len(data)


class _Bounded(io.RawIOBase):
    """What a stream unpacks to, where it is gzip; raises SequenceError where that is more than its bounds."""

    def __init__(self, packed: "io.BufferedReader[_Counted]", counted: _Counted, name: str, largest: int) -> None:
        self._counted = counted
        self._gzip = packed.peek(2).startswith(GZIP)
        self._source: BinaryIO = gzip.GzipFile(fileobj=packed) if self._gzip else packed  # type: ignore[assignment]
        self._name, self._largest = name, largest
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._source.read(len(view))
        view[: len(data)] = data
        self._count += len(data)
        if self._count > self._largest:
            raise SequenceError(
                f"{self._name} holds more than {self._largest} bytes{' once unpacked' if self._gzip else ''}; "
                "give it in several files"
            )
        if self._gzip and self._count > UNPACKED_FREELY + LARGEST_RATIO * self._counted.count:
            raise SequenceError(
                f"{self._name} unpacks to more than {LARGEST_RATIO} times its size, as no file of sequences does; "
                "unpack it, if it is what you mean to give"
            )
        return len(data)
