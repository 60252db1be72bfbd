"""Archives of arrays and metadata: ``.npz`` files that are written whole, and read without executing anything."""

import contextlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import OutputError
from attribution_bench.files import write_whole

FORMAT_VERSION = 2
"""Version that `write_archive` puts into every file. Files of version 1 hold none."""
VERSION, METADATA = "format_version", "metadata"
DAMAGED = (OSError, ValueError, LookupError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error)
"""Errors of zipfile, NumPy and whoever takes the arrays apart, by which a damaged or foreign file shows."""


def archive_path(path: str | os.PathLike[str]) -> Path:
    """Return the path with the suffix ``.npz``, which is added when missing."""
    path = Path(path)
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def write_archive(
    path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> Path:
    """Write arrays and JSON-able metadata as one file, whole or not at all; returns its path.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    content: dict[str, Any] = {
        **arrays,
        METADATA: np.array(json.dumps(dict(metadata), sort_keys=True)),
        VERSION: np.array(FORMAT_VERSION),
    }
    archive = io.BytesIO()
    np.savez_compressed(archive, **content)
    return write_whole(archive_path(path), archive.getvalue())


@contextlib.contextmanager
def opened_archive(
    path: str | os.PathLike[str], content: str
) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, Any]]]:
    """Yield the arrays and the metadata of a file that `write_archive` wrote, while its content is taken apart.

    Parameters
    ----------
    path
        The file, with or without its suffix.
    content
        Kind of content that is expected, for messages: ``attribution result``.

    Raises
    ------
    OutputError
        There is no such file, it is damaged or of a newer format, or the body of the ``with`` statement does not find
        in it what it expects (a KeyError or ValueError).
    """
    path = archive_path(path)
    try:
        # zipfile takes nothing but an archive, where np.load would also read a bare array.
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:
            version = int(file[VERSION]) if VERSION in file.files else 1
            if version > FORMAT_VERSION:
                raise OutputError(
                    f"{path} has format version {version}, but this release of attribution-bench reads versions up to "
                    f"{FORMAT_VERSION}; upgrade attribution-bench to read it"
                )
            arrays = {name: file[name] for name in file.files if name not in (METADATA, VERSION)}
            metadata = json.loads(str(file[METADATA]))
        if not isinstance(metadata, dict):
            raise ValueError("its metadata are no JSON object")
        yield arrays, metadata
    except OutputError:
        raise
    except DAMAGED as error:
        reason = f"it holds no {error}" if isinstance(error, KeyError) else error
        raise OutputError(f"{path} is no {content} that can be read: {reason}") from error


def under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names start with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
