"""chrombpnet's HDF5 files of scores as results, and results as such files."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attribution_bench.bridges.given_scores import result_of_scores
from attribution_bench.conventions import UNSIGNED
from attribution_bench.conversions.one_value import check_without_gaps, hypothetical_scores
from attribution_bench.errors import InvalidInputError, OutputError, ResultError
from attribution_bench.files import write_whole
from attribution_bench.models import Target
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import Interval
from attribution_bench.storage.exports.chrombpnet import import_h5py

LETTERS, HYPOTHETICAL, OBSERVED = "raw/seq", "shap/seq", "projected_shap/seq"
"""Names of the three arrays, each (N, 4, L)."""


def read_chrombpnet(
    path: str | os.PathLike[str],
    *,
    method: str = "chrombpnet",
    names: Sequence[str] | None = None,
    intervals: Sequence[Interval] | None = None,
) -> AttributionResult:
    """Return the scores that chrombpnet's ``contribs_bw`` wrote into ``*_scores.h5``, or `write_chrombpnet` did.

    Parameters
    ----------
    path
        File of ``raw/seq`` and ``shap/seq``; of ``projected_shap/seq`` where the hypothetical scores are missing.
    method
        What the scores are called in tables and figures.
    names, intervals
        A name, and where in a genome it comes from, for each row of the file.

    Raises
    ------
    OutputError
        The file cannot be read, or holds something else.
    MissingDependencyError
        h5py is not installed.
    """
    h5py = import_h5py()
    try:
        with h5py.File(path, "r") as file:
            scores = file.get(HYPOTHETICAL, file.get(OBSERVED))
            if LETTERS not in file or scores is None:
                raise ResultError(f"{path} holds no {LETTERS} with {HYPOTHETICAL} or {OBSERVED}, as chrombpnet writes")
            arrays = (np.asarray(file[LETTERS], dtype=np.float32), np.asarray(scores, dtype=np.float32))
    except ResultError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        hint = "; files compressed by Blosc need `import hdf5plugin` first" if "filter" in str(error) else ""
        raise OutputError(f"cannot read {path} as chrombpnet's HDF5: {error}{hint}") from error
    try:
        return result_of_scores(*arrays, method, "ACGT", names, intervals)
    except InvalidInputError as error:
        raise ResultError(f"{path}: {error}") from error


def write_chrombpnet(result: AttributionResult, path: str | os.PathLike[str], *, target: Target = None) -> Path:
    """Write letters, hypothetical scores and those of the reference letters in chrombpnet's layout; returns the path.

    A store is written shard by shard by ``attribution-bench export --format chrombpnet`` instead.

    Parameters
    ----------
    result
        Of DNA, at positions without gaps.
    target
        Which value, where the scores are of several.

    Raises
    ------
    InvalidInputError
        Scores of several values, without a sign or of the reference letters only, or positions with gaps.
    OutputError
        The scores are not finite, or the file cannot be written.
    MissingDependencyError
        h5py is not installed.
    """
    h5py = import_h5py()
    purpose = "chrombpnet's layout"
    result.check(f"written in {purpose}")
    check_without_gaps(result, purpose)
    convention = result.metadata.get("convention")
    if convention in UNSIGNED:
        raise InvalidInputError(f"{purpose} takes scores with a sign; use result.with_convention('centred')")
    scores = hypothetical_scores(result, target, purpose).astype(np.float32)
    whole = io.BytesIO()
    with h5py.File(whole, "w") as file:
        for name, array in (
            (LETTERS, result.one_hot.astype(np.int8)),
            (HYPOTHETICAL, scores),
            (OBSERVED, scores * result.one_hot.astype(np.float32)),
        ):
            file.create_dataset(name, data=array, compression="gzip", compression_opts=4)
    return write_whole(Path(path), whole.getvalue())
