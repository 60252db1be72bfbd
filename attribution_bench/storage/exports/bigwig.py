"""Genome browser tracks of a store: observed scores as bigWig, overlapping regions merged."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, MissingDependencyError, OutputError
from attribution_bench.storage.exports.overlaps import Overlaps, Pile
from attribution_bench.storage.record_arrays import CHROMOSOME, CONTIG_LENGTH, START, STRAND
from attribution_bench.storage.selected_scores import SelectedScores
from attribution_bench.storage.whole_files import whole_file

SUFFIXES = (".bw", ".bigwig")


def export_bigwig(
    selected: SelectedScores, path: Path, sizes: Mapping[str, int] | None = None, overlaps: str = "mean"
) -> list[Path]:
    """Write the observed score of every position that a region covers, in the genome's order; returns the path.

    Parameters
    ----------
    selected
        Scores of sequences whose places in the genome are known.
    path
        The file.
    sizes
        Contig -> letters, as the genome's index has them; those of the genome that was scored by default.
    overlaps
        What becomes of positions that several regions cover; see `Overlaps`.

    Raises
    ------
    InvalidInputError
        A sequence has no place, a contig no size, a region begins beyond its end, or the name ends in something else
        than ``.bw`` or ``.bigWig``.
    MissingDependencyError
        pybigtools is not installed.
    OutputError
        The file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInputError(f"the name of a bigWig ends in {' or '.join(SUFFIXES)}, but {path} does not")
    if overlaps not in get_args(Overlaps):
        raise InvalidInputError(f"overlaps must be one of {', '.join(get_args(Overlaps))}, not {overlaps!r}")
    try:
        import pybigtools
    except ImportError as error:
        raise MissingDependencyError.of("pybigtools", "genomics", "a bigWig file") from error
    places = {name: values[selected.records] for name, values in selected.store.places().items()}
    if sizes is None:
        sizes = _stored_sizes(places)
    _check_places(selected, places, sizes)
    used = {contig: int(sizes[contig]) for contig in sorted(set(places[CHROMOSOME]))}
    # On disk, since the regions are read in the source's order and written in the genome's.
    with whole_file(path) as partial, tempfile.TemporaryFile(dir=path.parent) as file:
        observed = np.memmap(file, np.float32, "w+", shape=(len(selected), selected.store.length))
        done = 0
        for part in selected:
            observed[done : done + len(part.records)] = part.observed
            done += len(part.records)
        try:
            pybigtools.open(str(partial), "w").write(used, _values(observed, places, used, overlaps))
        except (RuntimeError, ValueError) as error:
            raise OutputError(f"cannot write {path}: {error}; choose a folder you can write") from error
        del observed
    return [path]


def read_sizes(path: Path) -> dict[str, int]:
    """Read sizes of contigs from a table ``contig<tab>letters``, such as a .fai index or a chrom.sizes file.

    Raises
    ------
    InvalidInputError
        The file cannot be read, or a line is none of these.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        rows = [line.split("\t") for line in lines if line.strip()]
        return {row[0]: int(row[1]) for row in rows}
    except (OSError, ValueError, IndexError) as error:
        raise InvalidInputError(
            f"{path} gives no sizes of contigs ({error}); give a .fai index or a chrom.sizes file: contig, tab, letters"
        ) from error


def _stored_sizes(places: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """Return contig -> letters where the job knew them."""
    pairs = zip(places[CHROMOSOME].tolist(), places[CONTIG_LENGTH].tolist(), strict=True)
    return {contig: length for contig, length in pairs if length}


def _check_places(selected: SelectedScores, places: Mapping[str, NDArray[Any]], sizes: Mapping[str, int]) -> None:
    for row, record in enumerate(selected.records):
        contig = places[CHROMOSOME][row]
        if not contig:
            raise InvalidInputError(
                f"sequence {record} ({selected.store.names[record]}) has no place in a genome, and so no track; score "
                "regions of a genome"
            )
        if contig not in sizes:
            raise InvalidInputError(f"there is no size of the contig {contig!r}; give the genome that was scored")
        if places[START][row] >= sizes[contig]:
            raise InvalidInputError(
                f"sequence {record} begins at {places[START][row]}, beyond the {sizes[contig]} letters of {contig}; "
                "give the genome that was scored"
            )


def _values(
    observed: NDArray[np.float32], places: Mapping[str, NDArray[Any]], sizes: Mapping[str, int], overlaps: str
) -> Iterator[tuple[str, int, int, float]]:
    """Yield (contig, start, end, score) of every covered position, in order."""
    for contig, size in sizes.items():
        rows = np.flatnonzero(places[CHROMOSOME] == contig)
        rows = rows[np.argsort(places[START][rows], kind="stable")]
        pile = Pile(size, overlaps)
        for row in rows:
            start = int(places[START][row])
            yield from ((contig, *entry) for entry in pile.before(start))
            scores = observed[row]
            pile.add(start, scores[::-1] if places[STRAND][row] == "-" else scores, int(row))
        yield from ((contig, *entry) for entry in pile.before(size))
