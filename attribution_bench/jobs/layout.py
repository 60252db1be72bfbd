"""Layout of a job's store: the arrays of records, those of scores, and how the rows of one shard are put together."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import AttributionBenchError
from attribution_bench.jobs.contents import Values
from attribution_bench.sequences.alphabet import Alphabet
from attribution_bench.sequences.source import Reason, SourceRecord
from attribution_bench.storage.record_arrays import (
    CHROMOSOME,
    CONTIG_LENGTH,
    COORDINATES,
    DETAIL,
    END,
    LETTERS,
    NAME,
    PENDING,
    SET_ASIDE,
    START,
    STRAND,
)
from attribution_bench.storage.sink import ArraySpec
from attribution_bench.storage.zarr_store import ZarrStore

MODEL, MEMBERS = "model", "_models"
"""Axis of the models, and the end of the names of arrays that have it."""


def record_specs(length: int) -> list[ArraySpec]:
    """Return the arrays that hold the records themselves."""
    words = {
        NAME: ("", "name of the sequence"),
        CHROMOSOME: ("", "contig that the sequence comes from; empty where it is unknown"),
        STRAND: (".", "-: the sequence is the reverse complement of the interval"),
        SET_ASIDE: (PENDING, "why the sequence has no scores; empty where it has them"),
        DETAIL: ("", "what was wrong with it in particular"),
    }
    numbers = {START: "0-based", END: "half-open", CONTIG_LENGTH: "letters of the contig; 0 where that is unknown"}
    letters = ArraySpec(LETTERS, ("position",), (length,), "int8", -1, {"meaning": "index of the letter; -1 unknown"})
    return [
        *(ArraySpec(name, (), (), "str", fill, {"meaning": text}) for name, (fill, text) in words.items()),
        *(ArraySpec(name, (), (), "int64", 0, {"meaning": text}) for name, text in numbers.items()),
        letters,
    ]


def score_specs(
    arrays: Mapping[str, Values], dtype: str, words: Mapping[str, Mapping[str, Any]], models: int, members: bool
) -> list[ArraySpec]:
    """Return the arrays of scores.

    Parameters
    ----------
    arrays
        Those of one model.
    dtype
        Type of their numbers.
    words
        Attributes for some of them.
    models
        Of several models there are standard deviations, too.
    members
        Whether each model's own are stored beside.
    """
    # Rows that are not scored yet, or never will be, hold no numbers.
    nothing = float("nan")
    found = []
    for name, one in arrays.items():
        shape, said = one.array.shape[1:], words.get(name, {})
        names = (name, f"{name}_sd") if models > 1 else (name,)
        found += [ArraySpec(each, one.axes, shape, dtype, nothing, said) for each in names]
        if members:
            # One model's are written without the others'.
            dimensions, chunks = (MODEL, *one.axes), (1, *shape)
            found.append(ArraySpec(f"{name}{MEMBERS}", dimensions, (models, *shape), dtype, nothing, said, chunks))
    return found


def members_in(specs: Mapping[str, ArraySpec]) -> list[str]:
    """Return which arrays hold each model's own values."""
    return [name for name, spec in specs.items() if spec.dimensions[:1] == (MODEL,)]


def blank_members(store: ZarrStore, records: Sequence[slice]) -> None:
    """Leave some records without each model's own values, where a store has those; raises OutputError."""
    specs = store.specs() if records else {}
    for name in members_in(specs):
        for place in range(specs[name].shape[0]):
            for stretch in records:
                store.write_part(name, stretch, place, np.asarray(np.nan))


def record_arrays(
    records: Sequence[SourceRecord], alphabet: Alphabet, length: int, failed: Mapping[int, tuple[Reason, str]]
) -> dict[str, NDArray[Any]]:
    """Return the rows of the records' arrays.

    Parameters
    ----------
    records
        The records of a shard.
    alphabet, length
        Of the sequences.
    failed
        Index of a record that has a sequence, but no scores -> why, and what was wrong in particular.
    """
    letters = np.full((len(records), length), -1, dtype=np.int8)
    rows = [index for index, record in enumerate(records) if record.sequence is not None]
    if rows:
        letters[rows] = alphabet.indices([record.sequence for record in records if record.sequence is not None])
    given = [(record.reason or "", record.detail) for record in records]
    found = [failed.get(index, one) for index, one in enumerate(given)]
    reasons, details = [str(reason) for reason, _ in found], [detail for _, detail in found]
    return {
        NAME: _words(record.name for record in records),
        CHROMOSOME: _words(record.chromosome for record in records),
        STRAND: _words(record.strand for record in records),
        SET_ASIDE: _words(reasons),
        DETAIL: _words(details),
        START: np.array([record.start for record in records], dtype=np.int64),
        END: np.array([record.end for record in records], dtype=np.int64),
        CONTIG_LENGTH: np.array([record.contig_length for record in records], dtype=np.int64),
        LETTERS: letters,
    }


def score_arrays(
    scored: Mapping[str, NDArray[Any]], rows: Sequence[int], count: int, specs: Mapping[str, ArraySpec]
) -> dict[str, NDArray[Any]]:
    """Return the rows of the arrays of scores, which hold no numbers where a record was not scored.

    Those of each model's own values are not among them.

    Raises
    ------
    AttributionBenchError
        The scores are not of the names and shapes that the store was laid out for.
    """
    found = {}
    apart = (*COORDINATES, LETTERS, *members_in(specs))
    wanted = {name: spec for name, spec in specs.items() if name not in apart}
    if scored and {name: one.shape[1:] for name, one in scored.items()} != {
        name: spec.shape for name, spec in wanted.items()
    }:
        shapes = ", ".join(f"{name} {one.shape[1:]}" for name, one in scored.items())
        raise AttributionBenchError(f"the methods gave {shapes}, for which the store was not laid out; begin anew")
    for name, spec in wanted.items():
        found[name] = np.full((count, *spec.shape), np.nan, dtype=spec.dtype)
        if scored:
            found[name][list(rows)] = scored[name]
    return found


def not_finite(scored: Mapping[str, NDArray[Any]], count: int) -> dict[int, str]:
    """Return which of `count` scored sequences have numbers that are not finite, and in which arrays."""
    bad: dict[int, list[str]] = {}
    for name, array in scored.items():
        for row in np.flatnonzero(~np.isfinite(array).reshape(count, -1).all(axis=1)):
            bad.setdefault(int(row), []).append(name)
    return {row: ", ".join(names) for row, names in bad.items()}


def store_attributes(methods: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a store says of itself: xarray's list of coordinates, and the metadata as JSON."""
    metadata = {**facts, "methods": methods}
    return {"coordinates": " ".join(COORDINATES), "metadata": json.dumps(metadata)}


def _words(values: Any) -> NDArray[Any]:
    return np.array(list(values), dtype=object)
