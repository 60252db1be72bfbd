"""Further inputs of a model for every record of a source: arrays whose rows go with the records."""

import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.jobs.file_rows import FileRows, as_rows
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.request import further_inputs


def read_further_inputs(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file in their order, or the one of an ``.npy`` file, which stays on the disk.

    Raises
    ------
    InvalidInputError
        The file cannot be read, or holds no arrays.
    """
    path = Path(path)
    try:
        if path.suffix == ".npy":
            return {path.stem: FileRows.open(path)}
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InvalidInputError(
            f"{path} holds no arrays that can be read ({error}); give an .npz or .npy file"
        ) from error
    if not found:
        raise InvalidInputError(f"{path} holds no arrays; give one for each further input of the model")
    return found


def checked_rows(arrays: Any, count: int) -> "dict[str, NDArray[Any] | TrackRows]":
    """Return further inputs by name, given as a mapping, an array or a tuple of arrays, each with a row a record.

    Raises
    ------
    InvalidInputError
        Something is no array, has another number of rows than the source has records, or holds no numbers.
    """
    if not isinstance(arrays, Mapping):
        arrays = {f"input {index}": array for index, array in enumerate(further_inputs(arrays), 1)}
    found = {
        str(name): array if isinstance(array, TrackRows) else as_rows(array, f"the further input {name!r}")
        for name, array in arrays.items()
    }
    for name, array in found.items():
        if array.ndim == 0 or len(array) != count:
            raise InvalidInputError(
                f"the further input {name!r} must have one row for each of {count} records, those that are set aside "
                f"included, but has shape {array.shape}"
            )
    return found


def array_digests(arrays: "Mapping[str, NDArray[Any] | TrackRows]", rows: Sequence[slice]) -> dict[str, Any]:
    """Return places, shapes and digests of arrays, as a manifest holds them, reading some rows at a time."""
    return read_through(arrays, rows)[0]


def read_through(
    arrays: "Mapping[str, NDArray[Any] | TrackRows]", rows: Sequence[slice]
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return what `array_digests` does, and of each array the digest of each stretch of rows, as of `rows_digest`."""
    found, parts = {}, dict[str, list[str]]()
    for place, (name, array) in enumerate(arrays.items()):
        digest = hashlib.sha256()
        parts[name] = []
        for part in rows:
            read = np.ascontiguousarray(array[part])
            digest.update(read.tobytes())
            parts[name].append(rows_digest(read))
        found[name] = {
            "place": place,
            "shape": list(array.shape),
            "dtype": str(array.dtype),
            "sha256": digest.hexdigest(),
        }
    return found, parts


def rows_digest(rows: NDArray[Any]) -> str:
    """Return the SHA-256 of rows of a further input: their type, shape and bytes."""
    digest = hashlib.sha256(f"{rows.dtype} {rows.shape}\n".encode())
    digest.update(np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()
