"""TF-MoDISco's archives from a store, written a shard at a time."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.storage.exports.regions_file import write_regions
from attribution_bench.storage.selected_scores import Part, SelectedScores
from attribution_bench.storage.whole_files import whole_file


def export_modisco(selected: SelectedScores, folder: Path) -> list[Path]:
    """Write ``sequences.npz`` and ``scores.npz``, which ``modisco motifs -s sequences.npz -a scores.npz`` takes.

    Each holds ``arr_0`` (N, A, L) of the N scored sequences; ``regions.bed`` has the regions of the rows, where they
    are known. Returns the paths.

    Raises
    ------
    InvalidInputError
        The scores are of the reference letters only, or have no sign.
    OutputError
        The folder cannot be written.
    """
    selected.check_hypothetical("TF-MoDISco")
    return [
        _archive(folder / "sequences.npz", selected, lambda part: part.one_hot),
        _archive(folder / "scores.npz", selected, lambda part: part.scores),
        *write_regions(folder / "regions.bed", selected),
    ]


def _archive(path: Path, selected: SelectedScores, of: Callable[[Part], NDArray[np.float32]]) -> Path:
    shape = (len(selected), len(selected.store.alphabet), selected.store.length)
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date, so that the same scores are the same file.
        entry = zipfile.ZipInfo("arr_0.npy", (1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        with archive.open(entry, "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in selected:
                file.write(np.ascontiguousarray(of(part), dtype="<f4").tobytes())
    return path
