"""One sequence's scores read from stored results, one or several methods, ready to be drawn over one axis."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, OutputError, TargetError
from attribution_bench.models.targets import OutputSpec, Target, place_of_value
from attribution_bench.reporting.labels import method_label
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import Interval
from attribution_bench.storage.stored_scores import StoredScores


@dataclass(frozen=True, eq=False)
class ScorePanels:
    """Scores of one sequence, a panel a result; A letters, P consecutive positions."""

    hypothetical: Mapping[str, NDArray[np.floating]]
    """Title -> (A, P): what each letter would contribute; zero where a position was not scored."""
    present: NDArray[np.bool_]
    """(A, P): the observed letter; none where it is unknown or was not scored."""
    alphabet: str
    start: int
    """0-based position of the first column in the sequence."""
    sequence: int
    """Index of the sequence in the results."""
    names: tuple[str, ...]
    """Names of all sequences in the results; their indices where the results do not name them."""
    length: int
    """Letters of the whole sequence."""
    interval: Interval | None = None
    """Genomic interval of the whole sequence, where a result holds it."""
    name: str | None = None
    """Name of the sequence, where a result holds it."""

    @property
    def stop(self) -> int:
        """0-based position after the last column."""
        return self.start + len(self.present[0])

    @property
    def observed(self) -> dict[str, NDArray[np.floating]]:
        """Title -> (A, P): the score of the reference letter, zero for the others."""
        return {title: np.where(self.present, scores, 0) for title, scores in self.hypothetical.items()}


def read_score_panels(
    paths: Sequence[str | os.PathLike[str]],
    *,
    sequence: str = "0",
    span: tuple[int, int] | None = None,
    target: Target = None,
) -> ScorePanels:
    """Read one sequence's scores from files that `AttributionResult.save` wrote, or from stores of jobs.

    Parameters
    ----------
    paths
        One file a panel, or one store for a panel a method. A panel's title is the method, and the file's name too
        where methods repeat. Of a store only the sequence is read.
    sequence
        Index of the sequence, or its name where the results hold names.
    span
        Positions to take, 0-based and half-open; all that were scored when None.
    target
        Which value, where the scores hold several: an index, a tuple of indices, an output's name, or (name, index).

    Raises
    ------
    OutputError
        A file cannot be read, or is no attribution result.
    InvalidInputError
        No file, files of different sequences or alphabets, no such sequence or value, or positions that were not
        scored.
    """
    if not paths:
        raise InvalidInputError("there are no scores to draw; give at least one .npz file or a store")
    opened = [_opened(Path(path)) for path in paths]
    for path, scores in zip(paths[1:], opened[1:], strict=True):
        _check_equal(path, paths[0], "number of sequences", len(scores), len(opened[0]))
    named = next((scores.names for scores in opened if scores.names is not None), None)
    names = named or tuple(str(index) for index in range(len(opened[0])))
    index = _index_of(sequence, names)
    files, results = [], []
    for path, scores in zip(paths, opened, strict=True):
        found = _results_of(scores, index)
        files += [Path(path)] * len(found)
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
    present = [_dense(result.one_hot[0], result, start, stop) > 0 for result in results]
    for file, result, there in zip(files[1:], results[1:], present[1:], strict=True):
        both = _scored(result, start, stop) & _scored(first, start, stop)
        differ = np.flatnonzero(both & (there != present[0]).any(axis=0))
        if len(differ):
            raise InvalidInputError(
                f"{file} holds another sequence {sequence} than {files[0]}: they differ at position "
                f"{start + differ[0]}; give results of the same sequences"
            )
    drawn = {
        title: _dense(_scores_of(file, result, target), result, start, stop)
        for title, file, result in zip(_titles(files, results), files, results, strict=True)
    }
    return ScorePanels(
        drawn,
        np.logical_or.reduce(present),
        first.metadata["alphabet"],
        start,
        index,
        names,
        first.metadata["length"],
        None if intervals is None else intervals[0],
        None if named is None else named[index],
    )


def _check_comparable(file: Path, result: AttributionResult, first_file: Path, first: AttributionResult) -> None:
    for what in ("alphabet", "length"):
        _check_equal(file, first_file, what, result.metadata[what], first.metadata[what])


def _check_equal(
    file: str | os.PathLike[str], first_file: str | os.PathLike[str], what: str, here: object, there: object
) -> None:
    if here != there:
        raise InvalidInputError(
            f"{os.fspath(file)} and {os.fspath(first_file)} are not of the same sequences: the {what} is {here} in one "
            f"and {there} in the other"
        )


def _opened(path: Path) -> AttributionResult | StoredScores:
    """Open a file or a store, both of which know how many sequences they hold, and their names."""
    return StoredScores(path) if path.is_dir() else AttributionResult.load(path)


def _results_of(scores: AttributionResult | StoredScores, index: int) -> list[AttributionResult]:
    """Return the results of one sequence, those of all methods of a store."""
    if isinstance(scores, StoredScores):
        return [scores.one(method, index) for method in scores.methods]
    return [scores[index]]


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


def _dense(values: NDArray[np.floating], result: AttributionResult, start: int, stop: int) -> NDArray[np.floating]:
    """Return values (A, positions of the result) at consecutive positions [start, stop), zero where there are none."""
    dense = np.zeros((len(values), stop - start), dtype=values.dtype)
    inside = (result.positions >= start) & (result.positions < stop)
    dense[:, result.positions[inside] - start] = values[:, inside]
    return dense


def _scores_of(file: Path, result: AttributionResult, target: Target) -> NDArray[np.floating]:
    """Return (A, positions) of the one sequence of a result, and one value."""
    scores = result.scores[0]
    if scores.ndim == 2:
        if target is not None:
            raise TargetError(f"{file} has one score a letter, and no {target!r}")
        return np.asarray(scores)
    outputs = [OutputSpec(output["name"], tuple(output["shape"])) for output in result.metadata["outputs"]]
    place = _place(file, outputs, target)
    flat: NDArray[np.floating] = scores.reshape(*scores.shape[:2], -1)
    return flat[:, :, place]


def _place(file: Path, outputs: Sequence[OutputSpec], target: Target) -> int:
    """Return where a value stands among all those of the outputs, flattened and concatenated."""
    try:
        return place_of_value(target, outputs)
    except TargetError as error:
        raise TargetError(f"{file}: {error}") from error


def _titles(files: Sequence[Path], results: Sequence[AttributionResult]) -> list[str]:
    """Return each result's method, and its file where methods repeat."""
    labels = [result.metadata.get("method_label") or method_label(result.metadata["method"]) for result in results]
    for names in ([""] * len(files), [f" ({file.stem})" for file in files], [f" ({file})" for file in files]):
        titles = [label + name for label, name in zip(labels, names, strict=True)]
        if len(set(titles)) == len(titles):
            return titles
    raise InvalidInputError("a file of scores is given twice; give each once")
