"""Archives of arrays and metadata: ``.npz`` files that are written whole, and read without executing anything."""

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.array_layout import INTEGERS, TEXT, Layout, Part, check_layout
from attribution_bench.errors import OutputError, ResultError
from attribution_bench.files import reading, write_whole
from attribution_bench.json_files import json_text, parse_json
from attribution_bench.npz_files import NpzFile, inflated, opened_npz
from attribution_bench.typed_json import read_plain

FORMAT_VERSION = 2
"""Version that `write_archive` puts into every file. Files of version 1 hold none."""
VERSION, METADATA = "format_version", "metadata"
FRAME: Layout = {VERSION: Part(INTEGERS, ()), METADATA: Part(TEXT, (), needed=True)}
"""What every archive holds beside its arrays."""
LONGEST_METADATA = 2**26
"""Bytes of the metadata, at four a character."""


def archive_path(path: str | os.PathLike[str]) -> Path:
    """Return the path with the suffix ``.npz``, which is added when missing; raises OutputError for a folder."""
    path = Path(path)
    if not path.name:
        raise OutputError(f"{str(path)!r} is a folder; give the path of an .npz file")
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def write_archive(
    path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> Path:
    """Write arrays and JSON-able metadata as one file, whole or not at all; returns its path.

    Raises
    ------
    OutputError
        The file cannot be written, or the metadata hold what JSON does not have.
    """
    content: dict[str, Any] = {
        **arrays,
        METADATA: np.array(json_text("its metadata", dict(metadata), sort_keys=True)),
        VERSION: np.array(FORMAT_VERSION),
    }
    archive = io.BytesIO()
    np.savez_compressed(archive, **content)
    if inflated(sum(values.nbytes for values in content.values()), archive.tell()):
        # Arrays of almost nothing but zeros would be taken for a bomb when they are read.
        archive = io.BytesIO()
        np.savez(archive, **content)
    return write_whole(archive_path(path), archive.getvalue())


@contextlib.contextmanager
def opened_archive(
    path: str | os.PathLike[str], content: str, layout: Layout
) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, Any]]]:
    """Yield the arrays and the metadata of a file that `write_archive` wrote, while its content is taken apart.

    Headers are checked against the layout before any array is unpacked.

    Parameters
    ----------
    path
        The file; where there is none of that name, the one with the suffix ``.npz`` added.
    content
        Kind of content that is expected, for messages: ``attribution result``.
    layout
        The arrays that make it up.

    Raises
    ------
    OutputError
        There is no such file, it is damaged, of a newer format, does not fit the layout, or the body of the ``with``
        statement does not find in it what it expects (a KeyError or ValueError).
    """
    path = existing_path(path)
    with reading(path, f"is no {content} that can be read"), opened_npz(path) as file:
        version = _version(file)
        if version > FORMAT_VERSION:
            raise ResultError(
                f"{path} has format version {version}, but this release of attribution-bench reads versions up to "
                f"{FORMAT_VERSION}; upgrade attribution-bench to read it"
            )
        check_layout({**FRAME, **layout}, file.headers)
        yield {name: file.array(name) for name in file.headers if name not in FRAME}, _metadata(file)


def existing_path(path: str | os.PathLike[str]) -> Path:
    """Return a path as it is given where such a file exists, and with the suffix ``.npz`` where only that one does."""
    given = Path(path)
    try:
        return given if given.is_file() or not archive_path(given).exists() else archive_path(given)
    except (OSError, ValueError):
        return given  # a name that no file can have; opening it tells why


def _version(file: NpzFile) -> int:
    """Return the version of a file's format; what else a newer one holds is not looked at."""
    found = file.headers.get(VERSION)
    if found is None:
        return 1
    check_layout({VERSION: FRAME[VERSION]}, {VERSION: found})
    version = int(file.array(VERSION))
    if version < 1:
        raise ValueError(f"its format version is {version}, but versions start at 1")
    return version


def _metadata(file: NpzFile) -> dict[str, Any]:
    if file.headers[METADATA].dtype.itemsize > LONGEST_METADATA:
        raise ValueError(f"its metadata are longer than {LONGEST_METADATA // 4:,} characters")
    metadata = read_plain(parse_json(str(file.array(METADATA))))
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are no JSON object")
    return metadata


def under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays whose names start with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
