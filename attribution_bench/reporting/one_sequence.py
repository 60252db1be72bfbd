"""One sequence's results read from files and stores, checked to be of the same sequence and positions."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.reporting.labels import method_label
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import Interval
from attribution_bench.storage.places import is_remote, store_path
from attribution_bench.storage.stored_scores import StoredScores


@dataclass(frozen=True, eq=False)
class OneSequence:
    """Results of one sequence, each of it alone, at the positions [start, stop)."""

    results: Mapping[str, AttributionResult]
    """Title -> result: the method, and the file's name too where methods repeat."""
    files: Mapping[str, Path]
    """Title -> file or store."""
    present: NDArray[np.bool_]
    """(A, P): the observed letter; none where it is unknown or was not scored."""
    start: int
    """0-based position of the first column in the sequence."""
    stop: int
    sequence: int
    """Index of the sequence in the results."""
    names: tuple[str, ...]
    """Names of all sequences in the results; their indices where the results do not name them."""
    name: str | None
    """Name of the sequence, where a result holds it."""
    interval: Interval | None
    """Genomic interval of the whole sequence, where a result holds it."""
    left_out: tuple[str, ...] = ()
    """Why methods of stores are not among the results."""

    @property
    def alphabet(self) -> str:
        """Letters, in the order of the rows."""
        alphabet: str = next(iter(self.results.values())).metadata["alphabet"]
        return alphabet

    @property
    def length(self) -> int:
        """Letters of the whole sequence."""
        return int(next(iter(self.results.values())).metadata["length"])


def read_one_sequence(
    paths: Sequence[str | os.PathLike[str]],
    *,
    sequence: str,
    span: tuple[int, int] | None,
    without: Callable[[StoredScores, str], str] = lambda stored, method: "",
) -> OneSequence:
    """Read one sequence's results from files that `AttributionResult.save` wrote, or from stores of jobs.

    Parameters
    ----------
    paths
        Files of one result, or stores with one a method, or their addresses, of which only the sequence is read.
    sequence
        Index of the sequence, or its name where the results hold names.
    span
        Positions to take, 0-based and half-open; all that were scored when None.
    without
        Function of a store and a method that says why its result is left out; empty where it is not.

    Raises
    ------
    OutputError
        A file cannot be read, or is no attribution result.
    InvalidInputError
        No file, files of different sequences or alphabets, no such sequence, positions that were not scored, or a store
        of which all is left out.
    """
    if not paths:
        raise InvalidInputError("there are no scores to draw; give at least one .npz file or a store")
    places = [store_path(path) for path in paths]
    opened = [_opened(place) for place in places]
    for path, scores in zip(places[1:], opened[1:], strict=True):
        _check_equal(path, places[0], "number of sequences", len(scores), len(opened[0]))
    named = next((scores.names for scores in opened if scores.names is not None), None)
    names = named or tuple(str(index) for index in range(len(opened[0])))
    index = _index_of(sequence, names)
    files: list[Path] = []
    results: list[AttributionResult] = []
    left_out: list[str] = []
    for path, scores in zip(places, opened, strict=True):
        if isinstance(scores, StoredScores):
            reasons = {method: without(scores, method) for method in scores.methods}
            found = [scores.one(method, index) for method, reason in reasons.items() if not reason]
            said = [f"{method}: {reason}" for method, reason in reasons.items() if reason]
            if not found:
                raise InvalidInputError(f"{path} holds nothing to draw: {'; '.join(said)}")
            left_out += [f"{path}: {one}" for one in said]
        else:
            found = [scores[index]]
        files += [path] * len(found)
        results += found
    for file, result in zip(files, results, strict=True):
        if "length" not in result.metadata:
            raise OutputError(f"{file} does not say how long its sequences are; attribute them again")
        if not len(result) or not len(result.positions):
            raise OutputError(
                f"{file} holds {len(result)} sequences at {len(result.positions)} positions: nothing to draw"
            )
    first = results[0]
    for file, result in zip(files[1:], results[1:], strict=True):
        _check_comparable(file, result, files[0], first)
    intervals = next((result.intervals for result in results if result.intervals is not None), None)
    start, stop = _span(span, files, results)
    present = [at_positions(result.one_hot[0], result, start, stop) > 0 for result in results]
    for file, result, there in zip(files[1:], results[1:], present[1:], strict=True):
        both = _scored(result, start, stop) & _scored(first, start, stop)
        differ = np.flatnonzero(both & (there != present[0]).any(axis=0))
        if len(differ):
            raise InvalidInputError(
                f"{file} holds another sequence {sequence} than {files[0]}: they differ at position "
                f"{start + differ[0]}; give results of the same sequences"
            )
    titles = _titles(files, results)
    return OneSequence(
        dict(zip(titles, results, strict=True)),
        dict(zip(titles, files, strict=True)),
        np.logical_or.reduce(present),
        start,
        stop,
        index,
        names,
        None if named is None else named[index],
        None if intervals is None else intervals[0],
        tuple(left_out),
    )


def at_positions(
    values: NDArray[np.floating], result: AttributionResult, start: int, stop: int
) -> NDArray[np.floating]:
    """Return values (K, positions of the result) at consecutive positions [start, stop), zero where there are none."""
    dense = np.zeros((len(values), stop - start), dtype=values.dtype)
    inside = (result.positions >= start) & (result.positions < stop)
    dense[:, result.positions[inside] - start] = values[:, inside]
    return dense


def _check_comparable(file: Path, result: AttributionResult, first_file: Path, first: AttributionResult) -> None:
    for what in ("alphabet", "length"):
        _check_equal(file, first_file, what, result.metadata[what], first.metadata[what])


def _check_equal(file: Path, first_file: Path, what: str, here: object, there: object) -> None:
    if here != there:
        raise InvalidInputError(
            f"{file} and {first_file} are not of the same sequences: the {what} is {here} in one and {there} in the "
            "other"
        )


def _opened(path: Path) -> AttributionResult | StoredScores:
    """Open a file or a store, both of which know how many sequences they hold, and their names."""
    if is_remote(path) and not path.is_dir():
        raise OutputError(f"there is no store {path}; files of one result are read from this machine")
    return StoredScores(path) if path.is_dir() else AttributionResult.load(path)


def _index_of(sequence: str, names: tuple[str, ...]) -> int:
    found = [index for index, name in enumerate(names) if name == sequence]
    if len(found) == 1:
        return found[0]
    if not found and sequence.isdecimal() and int(sequence) < len(names):
        return int(sequence)
    reason = f"{len(found)} sequences are named" if found else "there is no sequence"
    raise InvalidInputError(f"{reason} {sequence!r}; give an index from 0 to {len(names) - 1}, or a name of only one")


def _span(span: tuple[int, int] | None, files: Sequence[Path], results: Sequence[AttributionResult]) -> tuple[int, int]:
    """Return the positions to take, once every result has scores from the first to the last of them."""
    scored = [(int(result.positions.min()), int(result.positions.max()) + 1) for result in results]
    length = results[0].metadata["length"]
    if span is None:
        if len(set(scored)) > 1:
            spans = ", ".join(f"{start}:{stop} in {file}" for file, (start, stop) in zip(files, scored, strict=True))
            raise InvalidInputError(f"the results are of different positions ({spans}); give a range that all have")
        return scored[0]
    start, stop = span
    if not 0 <= start < stop <= length:
        raise InvalidInputError(
            f"the range {start}:{stop} is not within the {length} letters of the sequence (0-based, half-open)"
        )
    for file, (low, high) in zip(files, scored, strict=True):
        if start < low or stop > high:
            raise InvalidInputError(
                f"the range {start}:{stop} reaches beyond the positions {low}:{high} that were scored in {file}"
            )
    return span


def _scored(result: AttributionResult, start: int, stop: int) -> NDArray[np.bool_]:
    """Return which of the positions [start, stop) a result holds."""
    return np.isin(np.arange(start, stop), result.positions)


def _titles(files: Sequence[Path], results: Sequence[AttributionResult]) -> list[str]:
    """Return each result's method, and its file where methods repeat."""
    labels = [result.metadata.get("method_label") or method_label(result.metadata["method"]) for result in results]
    for names in ([""] * len(files), [f" ({file.stem})" for file in files], [f" ({file})" for file in files]):
        titles = [label + name for label, name in zip(labels, names, strict=True)]
        if len(set(titles)) == len(titles):
            return titles
    raise InvalidInputError("a file of scores is given twice; give each once")
