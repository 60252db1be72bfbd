"""Durable writing: files that survive a crash of the machine once their name is there."""

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from attribution_bench.errors import AttributionBenchError, OutputError
from attribution_bench.storage.places import is_remote

PARTIAL = ".partial"
"""Suffix of files that are being written; in folders of nothing but a store's files it may be removed."""
NAME_BYTES = 8
"""Random bytes in the name of a file that is being written."""


def write_durable(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON as `write_text_durable` does; the bytes depend on the content alone. Raises OSError."""
    write_text_durable(path, durable_text(content))


def durable_text(content: Mapping[str, Any]) -> str:
    """Return the JSON that `write_durable` writes."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_text_durable(path: Path, text: str) -> None:
    """Write a text under its final name once all of it is on the disk; several processes may write the same one.

    Raises
    ------
    OSError
        It cannot be written.
    """
    with durable_file(path) as file:
        file.write(text.encode())


@contextlib.contextmanager
def durable_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that has its final name once all of it is on the disk: written by another, fsync, rename, fsync.

    Several processes may write the same one: each has a name of its own meanwhile. At an address it is written by one
    put, which is whole or not at all.

    Raises
    ------
    OSError
        It cannot be written; there is no file of that name then, or the one that was there.
    """
    if is_remote(path):
        buffer = io.BytesIO()
        yield buffer
        path.write_bytes(buffer.getvalue())
        return
    partial = path.with_name(f"{path.name}.{secrets.token_hex(NAME_BYTES)}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def is_partial(path: Path) -> bool:
    """Tell whether a file has a name that `durable_file` gives while it writes."""
    return re.search(rf"\.[0-9a-f]{{{2 * NAME_BYTES}}}{re.escape(PARTIAL)}$", path.name) is not None


def sync_file(path: Path) -> None:
    """Put a file's bytes on the disk; what was put to an address is there. Raises OSError."""
    if is_remote(path):
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system lets folders be opened. Raises OSError."""
    if os.name == "posix" and not is_remote(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def is_unreached(error: Exception, path: Path) -> bool:
    """Tell whether an error is one of reaching a file, and not of what is done with it.

    What reads addresses has errors of its own, which need not be those of the operating system.
    """
    return isinstance(error, OSError) or is_remote(path)


def reading(path: Path) -> AbstractContextManager[None]:
    """Raise what goes wrong while files under a path are read as one OutputError that says how to go on.

    Raises
    ------
    OutputError
        The disk, the mount or the network is gone, or the files may not be read.
    """
    return _as_one_error(path, "read", "the same command goes on once it can be read")


def writing(path: Path) -> AbstractContextManager[None]:
    """Raise what goes wrong while files under a path are written as one OutputError that says how to go on.

    Raises
    ------
    OutputError
        The disk is full, the mount is gone, the network is away, or the folder may not be written.
    """
    advice = (
        "finished shards are kept, so that the same command goes on from there once the disk has room and can be "
        "written"
    )
    return _as_one_error(path, "write", advice)


@contextlib.contextmanager
def _as_one_error(path: Path, deed: str, advice: str) -> Iterator[None]:
    try:
        yield
    except AttributionBenchError:
        raise
    except Exception as error:
        if not is_unreached(error, path):
            raise
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot {deed} {path}: {reason}; {advice}") from error
