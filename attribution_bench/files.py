"""Files written whole or not at all, under names that every file system takes, and stored results read with bounds."""

import contextlib
import os
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from attribution_bench.errors import InvalidInputError, OutputError, ResultError

DAMAGED = (OSError, ValueError, LookupError, RuntimeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)
"""Errors of the file system, the parsers and whoever takes the content apart, by which a damaged file shows."""
LONGEST_NAME = 100
"""Characters of a name that becomes a file's, so that suffixes and older file systems have room."""
SEPARATORS = frozenset('/\\:*?"<>|')
DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in "123456789¹²³"))
)
"""Names that Windows keeps for devices, whatever suffix follows."""


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under its final name only once all of it is on disk; makes missing folders; returns the path.

    Raises
    ------
    OutputError
        The folder or the file cannot be written; an older file of that name is left as it was.
    """
    partial: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            partial = file.name
            file.write(content.encode() if isinstance(content, str) else content)
        # Temporary files are private to their owner; results are to be read by others.
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write") from error
    finally:
        if partial is not None and os.path.exists(partial):
            os.unlink(partial)
    return path


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], fault: str) -> Iterator[None]:
    """Turn whatever shows that a stored result is damaged into one error that names the file.

    Parameters
    ----------
    path
        The file that the body of the ``with`` statement reads.
    fault
        What the message says of it: ``is no attribution result that can be read``.

    Raises
    ------
    ResultError
        The body raised one of the errors in `DAMAGED`.
    """
    try:
        yield
    except ResultError:
        raise
    except DAMAGED as error:
        reasons = {FileNotFoundError: "there is no such file", MemoryError: "it takes more memory than there is"}
        reason = reasons.get(type(error)) or str(error) or type(error).__name__
        raise ResultError(f"{printable(os.fspath(path))} {fault}: {reason}") from error


@contextlib.contextmanager
def regular_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file that is open for reading; a folder, a pipe or a device is none, and is never opened.

    Raises
    ------
    OSError, ValueError
        There is no such file, it cannot be read, or it is something else.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("it is no file, but a folder or a device")
    with open(path, "rb") as file:
        yield file


def read_bounded(path: str | os.PathLike[str], most: int) -> bytes:
    """Return the content of a file of at most that many bytes; raises OSError or ValueError as `regular_file` does."""
    with regular_file(path) as file:
        # A file may grow between the two, and some have no size until they are read.
        content = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
    if content is None or len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return content


def check_file_names(what: str, names: Iterable[str]) -> None:
    """Check names that become names of files beside each other.

    Parameters
    ----------
    what
        What they name, for messages: ``method``.
    names
        The names, without a suffix.

    Raises
    ------
    InvalidInputError
        One is no portable file name, or two would be the same file where case is not told apart.
    """
    found: dict[str, str] = {}
    for name in names:
        fault = file_name_fault(name)
        if fault is not None:
            raise InvalidInputError(f"the {what} {printable(repr(name))} cannot name a file: {fault}")
        other = found.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if other != name:
            raise InvalidInputError(f"the {what}s {other!r} and {name!r} would be one file where case does not count")


def file_name_fault(name: str) -> str | None:
    """Return why a name, to which a suffix is added, is none that every file system takes; None where it is one."""
    if not name or len(name) > LONGEST_NAME or len(name.encode(errors="replace")) > 2 * LONGEST_NAME:
        return f"it must have 1 to {LONGEST_NAME} characters"
    wrong = [letter for letter in name if letter in SEPARATORS or unicodedata.category(letter).startswith("C")]
    if wrong:
        return f"it holds {wrong[0]!a}"
    if name[0] in ". " or name[-1] in ". ":
        return "it begins or ends with a dot or a space"
    return "a device has that name" if name.split(".")[0].rstrip().casefold() in DEVICES else None


def printable(text: str) -> str:
    """Return text with everything that a terminal or a UTF-8 file cannot take as it is written as an escape."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
