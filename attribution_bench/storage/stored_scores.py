"""Scores of a job, read from its store a few sequences at a time."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import PROJECTED, UNSIGNED
from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.result import AttributionResult
from attribution_bench.sequences.interval import Interval, Strand
from attribution_bench.storage.places import store_path, zarr_place
from attribution_bench.storage.record_arrays import (
    CHROMOSOME,
    CONTIG_LENGTH,
    DETAIL,
    END,
    LETTERS,
    NAME,
    PENDING,
    SET_ASIDE,
    START,
    STRAND,
    array_name,
)
from attribution_bench.storage.zarr_store import ZarrStore

if TYPE_CHECKING:
    import xarray


class StoredScores:
    """What a job stored, finished or not; a sequence is known by its index, that of its record in the source.

    Parameters
    ----------
    path
        Folder of the store, or its address (``s3://bucket/scores.zarr``).

    Raises
    ------
    OutputError
        The folder holds no store, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = store_path(path)
        self._store = ZarrStore.open(self.path)
        try:
            self.metadata: dict[str, Any] = json.loads(self._store.attributes["metadata"])
            self.methods = tuple(self.metadata["methods"])
            self.alphabet, self.length = str(self.metadata["alphabet"]), int(self.metadata["length"])
        except (ValueError, LookupError, TypeError) as error:
            raise OutputError(f"{self.path} is no store of attributions: its metadata lack {error}") from error
        self._specs = self._store.specs()

    def __len__(self) -> int:
        return self._store.sequences

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all records; empty for those of shards that are not done."""
        return tuple(self._column(NAME).tolist())

    @cached_property
    def set_aside(self) -> tuple[str, ...]:
        """Why each record has no scores; empty where it has them."""
        return tuple(self._column(SET_ASIDE).tolist())

    @property
    def scored(self) -> NDArray[np.int64]:
        """Indices of the records that have scores, ascending."""
        return np.flatnonzero([reason == "" for reason in self.set_aside])

    def check_scored(self) -> None:
        """Raise InvalidInputError unless a record has scores."""
        if not len(self.scored):
            reasons = "every one is set aside" if self.complete else "its job has scored none yet"
            raise InvalidInputError(f"{self.path} holds no scored sequence: {reasons}")

    def has_predictions(self, method: str) -> bool:
        """Whether predictions of mutations by a method are among what was stored."""
        outputs = self.metadata["methods"][method]["outputs"]
        return any(array_name(method, f"predictions_{output['name']}") in self._specs for output in outputs)

    def why_no_map(self, method: str) -> str:
        """Return why a method has no influence map of what the store holds; empty where predictions for one are."""
        convention = self.metadata["methods"][method].get("convention")
        if convention in UNSIGNED:
            return f"its convention, {convention}, has no sign"
        for content in ("predictions", "reference_predictions"):
            if content not in self.contents:
                return f"the store lacks `{content}`; attribute with --store predictions,reference_predictions"
        return "" if self.has_predictions(method) else "it predicts no mutations"

    def index(self, sequence: str) -> int:
        """Return the index of a record from its name, or from the index as text.

        Raises
        ------
        InvalidInputError
            There is none, or several have that name.
        """
        found = [index for index, name in enumerate(self.names) if name == sequence]
        if len(found) == 1:
            return found[0]
        if not found and sequence.isdecimal() and int(sequence) < len(self):
            return int(sequence)
        reason = f"{len(found)} sequences are named" if found else "there is no sequence"
        raise InvalidInputError(
            f"{reason} {sequence!r} in {self.path}; give an index from 0 to {len(self) - 1}, or a name of only one"
        )

    def result(self, method: str, start: int, stop: int) -> AttributionResult:
        """Return a method's scores of the records [start, stop) that have any.

        Raises
        ------
        InvalidInputError
            The store does not hold that method, or its scores.
        """
        if method not in self.methods:
            raise InvalidInputError(f"{self.path} holds no scores of {method!r}, but of {', '.join(self.methods)}")
        stretch = slice(start, stop)
        rows = [row for row, reason in enumerate(self.set_aside[stretch]) if reason == ""]
        letters = self._store.read(LETTERS, stretch)[rows]
        one_hot = np.asarray(letters[:, None, :] == np.arange(len(self.alphabet))[:, None], dtype=np.float32)
        metadata = dict(self.metadata["methods"][method])
        outputs = [output["name"] for output in metadata["outputs"]]
        predictions = self._outputs(method, "predictions", outputs, stretch, rows)
        reference = self._outputs(method, "reference_predictions", outputs, stretch, rows)
        # Of several strands or models a norm of the mean predictions is not the mean of the norms that is stored.
        readable = bool(predictions) and bool(reference) and metadata.get("convention") not in UNSIGNED
        scores = self._read(array_name(method, "scores"), stretch, rows)
        observed = self._read(array_name(method, "observed"), stretch, rows) if scores is None else None
        if observed is not None:
            scores = one_hot.reshape(*one_hot.shape, *[1] * (observed.ndim - 2)) * observed[:, None]
            metadata[PROJECTED] = True
        elif scores is None and not readable:
            raise InvalidInputError(f"{self.path} holds no scores of {method!r}, only {', '.join(self.contents)}")
        return AttributionResult(
            one_hot,
            np.arange(self.length),
            metadata,
            predictions if readable else {},
            reference if readable else {},
            self._read(array_name(method, "convergence_delta"), stretch, rows),
            # Predictions may be stored in half precision, where those of mutations hardly differ.
            scores,
            tuple(self._store.read(NAME, stretch)[rows].tolist()),
            self._intervals(stretch, rows),
        )

    def one(self, method: str, index: int) -> AttributionResult:
        """Return a method's scores of one record.

        Raises
        ------
        InvalidInputError
            The record has none; the message says why.
        """
        reason = self.set_aside[index]
        if reason:
            detail = self._store.read(DETAIL, slice(index, index + 1))[0] if reason != PENDING else ""
            words = f"{reason}{f' ({detail})' if detail else ''}"
            raise InvalidInputError(f"sequence {index} ({self.names[index]}) of {self.path} has no scores: {words}")
        return self.result(method, index, index + 1)

    def results(self, method: str) -> Iterator[AttributionResult]:
        """Yield a method's scores, shard after shard, without the records that have none."""
        size, done = self._store.shard_size, self._store.marked()
        for shard in done:
            result = self.result(method, shard * size, min((shard + 1) * size, len(self)))
            if len(result):
                yield result

    def places(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of places of the records of all shards that are done, by name, (N,) each.

        They are chromosome, start, end, strand, and the contig's length, which is 0 where it is unknown.
        """
        places = {name: self._column(name) for name in (CHROMOSOME, START, END, STRAND)}
        # Stores of earlier days do not have it.
        known = CONTIG_LENGTH in self._specs
        return {**places, CONTIG_LENGTH: self._column(CONTIG_LENGTH) if known else np.zeros(len(self), dtype=np.int64)}

    @property
    def shard_size(self) -> int:
        """Records of a shard, which are read as fast as one of them."""
        return self._store.shard_size

    @property
    def contents(self) -> tuple[str, ...]:
        """What was stored of the methods, in the words of `attribution_bench.jobs.contents`."""
        return tuple(self.metadata["contents"])

    @property
    def complete(self) -> bool:
        """Whether every shard is done."""
        return len(self._store.marked()) == self._store.shards

    def to_xarray(self) -> "xarray.Dataset":
        """Return the store as a dataset whose arrays are read when they are used."""
        import xarray

        dataset: xarray.Dataset = xarray.open_zarr(zarr_place(self.path))
        return dataset

    def _column(self, name: str) -> NDArray[Any]:
        """Return an array (N,), of which only those shards are read that are done."""
        size, spec = self._store.shard_size, self._specs[name]
        column = np.full(len(self), spec.fill, dtype=object if spec.dtype == "str" else spec.dtype)
        for first, last in _runs(self._store.marked()):
            stretch = slice(first * size, min(last * size, len(self)))
            column[stretch] = self._store.read(name, stretch)
        return column

    def _read(self, name: str, stretch: slice, rows: Sequence[int]) -> NDArray[Any] | None:
        """Return some rows of an array in single precision; None where the store does not have it."""
        if name not in self._specs:
            return None
        values: NDArray[Any] = self._store.read(name, stretch)[list(rows)].astype(np.float32)
        return values

    def _outputs(
        self, method: str, what: str, outputs: Sequence[str], stretch: slice, rows: Sequence[int]
    ) -> Mapping[str, NDArray[Any]]:
        found = {output: self._read(array_name(method, f"{what}_{output}"), stretch, rows) for output in outputs}
        return {output: values for output, values in found.items() if values is not None}

    def _intervals(self, stretch: slice, rows: Sequence[int]) -> tuple[Interval, ...] | None:
        """Return the intervals of some records; None where one has none, or reaches beyond the contig's start."""
        columns = [self._store.read(name, stretch)[list(rows)].tolist() for name in (CHROMOSOME, START, END, STRAND)]
        if not all(columns[0]) or any(start < 0 for start in columns[1]):
            return None
        return tuple(
            Interval(chromosome, start, end, cast(Strand, strand))
            for chromosome, start, end, strand in zip(*columns, strict=True)
        )


def _runs(shards: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the stretches [first, last) of ascending indices that follow each other."""
    for _, run in groupby(enumerate(shards), key=lambda entry: entry[1] - entry[0]):
        indices = [index for _, index in run]
        yield indices[0], indices[-1] + 1
