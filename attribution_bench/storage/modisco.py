"""Scores as TF-MoDISco reads them."""

import io
import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import UNSIGNED
from attribution_bench.errors import InvalidInputError, ResultError
from attribution_bench.files import write_whole
from attribution_bench.result import AttributionResult


def write_modisco(result: AttributionResult, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Write what ``modisco motifs -s sequences.npz -a scores.npz`` takes (tfmodisco-lite); returns both paths.

    ``sequences.npz`` holds the one-hot letters and ``scores.npz`` the hypothetical scores, each (N, A, P) under the
    name ``arr_0``. TF-MoDISco multiplies them itself to have the scores of the reference letters.

    Raises
    ------
    InvalidInputError
        The result is of no sequence, of several outputs, has a score convention without a sign, or is of positions with
        gaps or out of order.
    OutputError
        The scores are not finite real numbers in single precision, or the folder cannot be written.
    """
    result.check("written for TF-MoDISco")
    scores = result.scores
    if not scores.size:
        raise InvalidInputError(f"TF-MoDISco takes scores of sequences, but these have shape {scores.shape}")
    if math.prod(scores.shape[3:]) != 1:
        raise InvalidInputError(
            f"TF-MoDISco takes scores of one output, but these have shape {scores.shape}; attribute one target"
        )
    convention = result.metadata.get("convention")
    if convention in UNSIGNED:
        raise InvalidInputError(
            f"TF-MoDISco takes scores with a sign, which {convention!r} has not; use result.with_convention('centred')"
        )
    if (np.diff(result.positions) != 1).any():
        raise InvalidInputError(
            "TF-MoDISco takes stretches without gaps; attribute every position of a range, in ascending order"
        )
    with np.errstate(over="ignore"):
        single = scores.reshape(scores.shape[:3]).astype(np.float32)
    if not np.isfinite(single).all():
        raise ResultError("the result cannot be written for TF-MoDISco: scores are too large for single precision")
    folder = Path(folder)
    return (
        write_whole(folder / "sequences.npz", _archive(result.one_hot.astype(np.float32))),
        write_whole(folder / "scores.npz", _archive(single)),
    )


def _archive(array: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, array)
    return file.getvalue()
