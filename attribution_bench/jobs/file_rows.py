"""Rows of a further input that stay in an ``.npy`` file, which other processes open by its name."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.request import host_array


class FileRows(np.memmap):
    """The whole array of an ``.npy`` file, which stays on the disk.

    What is made of it, such as a slice, knows of no file, as it has other rows than the file.
    """

    file: str | None = None
    """Absolute path of the file whose array this is; None of an array that was made of it."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "FileRows":
        """Open a file; raises what `numpy.load` does."""
        rows: FileRows = np.load(path, mmap_mode="r", allow_pickle=False).view(cls)
        rows.file = os.path.abspath(path)
        return rows


def as_rows(value: Any, name: str) -> NDArray[Any]:
    """Return a further input as an array, which stays in its file where that was opened by its name.

    Raises
    ------
    InvalidInputError
        It is no array, no tensor and no nested sequence of numbers; the message has its name.
    """
    return value if isinstance(value, FileRows) and value.dtype.kind in "biufc" else host_array(value, name)
