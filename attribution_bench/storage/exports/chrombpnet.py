"""chrombpnet's HDF5 layout from a store, written a shard at a time."""

from pathlib import Path
from typing import Any

import numpy as np

from attribution_bench.errors import MissingDependencyError
from attribution_bench.storage.exports.regions_file import write_regions
from attribution_bench.storage.selected_scores import SelectedScores
from attribution_bench.storage.whole_files import whole_file


def export_chrombpnet(selected: SelectedScores, path: Path) -> list[Path]:
    """Write ``raw/seq``, ``shap/seq`` (hypothetical) and ``projected_shap/seq``, each (N, 4, L), and the regions' file.

    The regions go beside it, as ``<name>.interpreted_regions.bed``. Returns the paths.

    Raises
    ------
    InvalidInputError
        The scores are of the reference letters only, or have no sign.
    MissingDependencyError
        h5py is not installed.
    OutputError
        The file cannot be written.
    """
    selected.check_hypothetical("chrombpnet's layout")
    h5py = import_h5py()
    shape = (len(selected), len(selected.store.alphabet), selected.store.length)
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        rows = min(len(selected), 64)
        settings: dict[str, Any] = {"chunks": (rows, *shape[1:]), "compression": "gzip", "compression_opts": 4}
        letters = file.create_dataset("raw/seq", shape, np.int8, **settings)
        hypothetical = file.create_dataset("shap/seq", shape, np.float32, **settings)
        projected = file.create_dataset("projected_shap/seq", shape, np.float32, **settings)
        done = 0
        for part in selected:
            stretch = slice(done, done + len(part.records))
            letters[stretch] = part.one_hot.astype(np.int8)
            hypothetical[stretch] = part.scores
            projected[stretch] = part.scores * part.one_hot
            done = stretch.stop
    return [path, *write_regions(path.with_name(f"{path.stem}.interpreted_regions.bed"), selected)]


def import_h5py() -> Any:
    """Return h5py; raises MissingDependencyError where it is not installed."""
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependencyError.of("h5py", "genomics", "an HDF5 file") from error
    return h5py
