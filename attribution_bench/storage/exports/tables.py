"""Tables of a store: a row for every position of every scored sequence, as TSV or Parquet, a shard at a time."""

import contextlib
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import MissingDependencyError
from attribution_bench.storage.record_arrays import CHROMOSOME, CONTIG_LENGTH, END, START, STRAND
from attribution_bench.storage.selected_scores import Part, SelectedScores
from attribution_bench.storage.whole_files import whole_file

UNKNOWN = "N"
NUMBER = "%.9g"
"""Digits that give a float32 back exactly."""


def export_tsv(selected: SelectedScores, path: Path) -> list[Path]:
    """Write a TSV file with a header, gzipped where its name ends in ``.gz``; returns its path.

    Columns: ``sequence`` (index of the record), ``name``, ``chromosome``, ``genome_position`` (0-based; -1 where
    unknown), ``strand``, ``position`` (in the sequence, 0-based), ``letter``, ``observed``, and, where hypothetical
    scores were stored, ``score_A`` and so on.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with whole_file(path) as partial, _opened(partial, path.suffix == ".gz") as file:
        for index, columns in enumerate(_tables(selected)):
            text = io.StringIO()
            if index == 0:
                text.write("\t".join(columns) + "\n")
            words = [_words(values) for values in columns.values()]
            text.writelines("\t".join(row) + "\n" for row in zip(*words, strict=True))
            file.write(text.getvalue().encode())
    return [path]


def export_parquet(selected: SelectedScores, path: Path) -> list[Path]:
    """Write a Parquet file of the same columns as `export_tsv`, a row group a shard; returns its path.

    Raises
    ------
    MissingDependencyError
        pyarrow is not installed.
    OutputError
        The file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependencyError.of("pyarrow", "genomics", "a Parquet file") from error
    with whole_file(path) as partial:
        writer = None
        try:
            for columns in _tables(selected):
                table = pyarrow.table(columns)
                if writer is None:
                    writer = parquet.ParquetWriter(partial, table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
    return [path]


def _tables(selected: SelectedScores) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the columns of each shard, (sequences * L) each."""
    places, letters = selected.store.places(), np.array([*selected.store.alphabet, UNKNOWN], dtype=object)
    for part in selected:
        yield _columns(part, selected, places, letters)


def _columns(
    part: Part, selected: SelectedScores, places: dict[str, NDArray[Any]], letters: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    length = selected.store.length
    known, index = part.one_hot.any(axis=1), part.one_hot.argmax(axis=1)
    position = np.tile(np.arange(length), len(part.records))
    columns: dict[str, NDArray[Any]] = {
        "sequence": part.records.repeat(length),
        "name": np.array(part.names, dtype=object).repeat(length),
        "chromosome": np.array(places[CHROMOSOME][part.records].tolist(), dtype=object).repeat(length),
        "genome_position": genome_positions(part.records, places, length).reshape(-1),
        "strand": np.array(places[STRAND][part.records].tolist(), dtype=object).repeat(length),
        "position": position,
        "letter": letters[np.where(known, index, len(letters) - 1)].reshape(-1),
        "observed": part.observed.reshape(-1),
    }
    if not selected.projected:
        for letter, scores in zip(selected.store.alphabet, part.scores.swapaxes(0, 1), strict=True):
            columns[f"score_{letter}"] = scores.reshape(-1)
    return columns


def genome_positions(records: NDArray[np.int64], places: dict[str, NDArray[Any]], length: int) -> NDArray[np.int64]:
    """Return the 0-based position in the genome of every letter (n, L); -1 where it has none, as beyond the contig."""
    starts, ends = places[START][records][:, None], places[END][records][:, None]
    reverse = (places[STRAND][records] == "-")[:, None]
    offsets = np.arange(length)
    found = np.where(reverse, ends - 1 - offsets, starts + offsets)
    known = (places[CHROMOSOME][records] != "")[:, None]
    lengths = places[CONTIG_LENGTH][records][:, None]
    return np.where(known & (found >= 0) & ((found < lengths) | (lengths == 0)), found, -1)


def _words(values: NDArray[Any]) -> list[str]:
    if np.issubdtype(values.dtype, np.floating):
        return [NUMBER % value for value in values.tolist()]
    return [str(value) for value in values.tolist()]


@contextlib.contextmanager
def _opened(path: Path, compressed: bool) -> Iterator[BinaryIO | gzip.GzipFile]:
    with path.open("wb") as file:
        if compressed:
            # No time and no name inside, so that the same scores are the same file.
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                yield packed
        else:
            yield file
