"""What a comparison of methods found: stored as one JSON file beside the scores, read by the report."""

import os
from collections.abc import Mapping, Sized
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from attribution_bench.attribution import AttributionResult
from attribution_bench.description import describe_installed, plain_label
from attribution_bench.errors import ResultError
from attribution_bench.files import check_file_names, reading, write_whole
from attribution_bench.json_files import json_text, read_json
from attribution_bench.sequences.sites import Site
from attribution_bench.typed_json import Label, MismatchError, Positive, Seconds, read_as

FILE = "evaluation.json"
SCORES = "scores"
"""Folder of one ``<method>.npz`` a method, as `AttributionResult.save` writes it."""
FORMAT = 1
MOST_METHODS = 100
"""Methods of one comparison; figures have a line or a bar for each."""
LARGEST = 2**28
"""Bytes of a comparison's file; one of 10,000 sequences of 2000 letters and six methods has some 100 million."""


@dataclass(frozen=True)
class Interval:
    """A mean over sequences, and the bootstrap interval that holds it with 95% confidence."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodEvaluation:
    """What was found of one method; per-sequence values are in the order of the sequences."""

    method: Label
    """Name under which the method was compared, and its scores are stored."""
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_100_sequences: Seconds | None = None
    convention: str | None = None
    """ISM methods: what scores are relative to."""
    exact: bool = False
    """The method asks the model itself for every mutation."""
    reason: str | None = None
    """Why there are no scores; everything below is empty then."""
    cautions: tuple[str, ...] = ()
    """Sentences that a reader of the scores should know."""
    values: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """Metric -> (N,) values; None where a metric is not defined for that sequence or was not asked for it."""
    means: Mapping[str, Interval] = field(default_factory=dict)
    """Metric -> mean of its values."""
    behind_best: Mapping[str, Interval] = field(default_factory=dict)
    """Metric -> mean of paired differences, this method minus the one with the best mean."""
    curves: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    """``deletion`` and ``insertion`` -> (N, S): what the model predicts when each share of letters was changed."""
    label: Label = ""
    """Name of the method that people read."""
    result_method: str = ""
    """Method that the stored scores name, which is the class's own name; empty where that is not recorded."""


@dataclass(frozen=True)
class PairAgreement:
    """How far two methods agree, sequence by sequence."""

    first: str
    second: str
    values: Mapping[str, tuple[float | None, ...]]
    """Agreement metric -> (N,) values."""
    means: Mapping[str, Interval]


@dataclass(frozen=True)
class Readable:
    """What exact ISM tells of what the target reads; a change of the prediction by rounding is none."""

    method: str
    """Name of the exact method."""
    silent: tuple[int, ...]
    """Indices of the sequences in which no single substitution changes the prediction."""
    unread_sites: tuple[int, ...]
    """Indices of the known sites in which none does; they do not count as sites."""


@dataclass(frozen=True)
class Evaluation:
    """Methods against each other on one model and one set of sequences."""

    model: str
    framework: str
    device: str
    threads: Positive
    machine: str
    date: str
    """ISO 8601."""
    versions: Mapping[str, str]
    alphabet: str
    target: str
    sequence_source: str
    names: tuple[str, ...]
    strings: tuple[str, ...]
    predictions: tuple[float, ...]
    """What the model predicts of each sequence."""
    sites: tuple[Site, ...]
    """Sites that are known to matter; empty where none are known."""
    truth: str | None
    """Name of the exact method that ``agreement`` metrics of a single method compare with."""
    shares: tuple[float, ...]
    """Shares of letters changed, the axis of the curves."""
    settings: Mapping[str, Any]
    """Seeds, repeats, numbers of references, k of top-k."""
    methods: tuple[MethodEvaluation, ...]
    agreements: tuple[PairAgreement, ...]
    """Every pair of methods that have scores, each once."""
    readable: Readable | None = None
    """None without an exact method that keeps predictions, and in evaluations that were stored before it was known."""
    processes: Positive = 1
    """Processes that did the stages, each with its threads; methods were timed while the others worked."""

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``evaluation.json`` into a folder, whole or not at all; returns its path.

        Raises
        ------
        OutputError
            The folder cannot be written, or what is to be stored could not be loaded again.
        """
        try:
            self.check()
        except ValueError as error:
            raise ResultError(f"the evaluation cannot be stored: {error}") from error
        content = json_text("the evaluation", {"format": FORMAT, **asdict(self)})
        return write_whole(Path(folder) / FILE, content + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Evaluation":
        """Read what `save` wrote.

        Raises
        ------
        OutputError
            There is no such file, it does not hold an evaluation, or its parts do not fit together.
        """
        path = Path(folder) / FILE
        with reading(path, "holds no evaluation that can be read"):
            stored = read_json(path, LARGEST)
            if not isinstance(stored, dict):
                raise MismatchError("an evaluation is an object")
            if type(stored.get("format")) is not int or stored.pop("format") != FORMAT:
                raise ValueError("its format is of another version of attribution-bench")
            evaluation = read_as(cls, stored)
            evaluation.check()
        labelled = (replace(m, label=m.label or describe_installed(m.method).label) for m in evaluation.methods)
        return replace(evaluation, methods=tuple(labelled))

    def check(self) -> None:
        """Check that the parts fit together: every value is of a sequence, every name of a method.

        Raises
        ------
        ValueError
            They do not; the message begins with the place of what does not fit.
        """
        count, length = len(self.names), len(self.strings[0]) if self.strings else 0
        if not count or not length or not self.methods:
            raise ValueError("there must be at least one sequence with letters, and one method")
        for name, values in (("strings", self.strings), ("predictions", self.predictions)):
            _check_length(values, count, name)
        for index, string in enumerate(self.strings):
            _check_length(string, length, "strings", index)
        if len(set(self.alphabet)) < len(self.alphabet) or not self.alphabet:
            raise MismatchError("the letters must be distinct", "alphabet")
        for index, site in enumerate(self.sites):
            if not (site.sequence < count and site.start < site.stop <= length):
                raise MismatchError(f"lies beyond {count} sequences of {length} letters", "sites", index)
        if any(later <= earlier for earlier, later in pairwise(self.shares)) or not all(
            0 <= s <= 1 for s in self.shares
        ):
            raise MismatchError("shares must rise from 0 to 1", "shares")
        known = [method.method for method in self.methods]
        if len(known) > MOST_METHODS:
            raise MismatchError(f"there are more than the {MOST_METHODS} that can be compared", "methods")
        check_file_names("method", (method.method for method in self.methods if method.reason is None))
        if len(set(known)) < len(known):
            raise MismatchError("two methods have one name", "methods")
        if self.truth is not None and self.truth not in known:
            raise MismatchError(f"{self.truth[:100]!r} is none of the methods", "truth")
        for index, method in enumerate(self.methods):
            _check_values(method, count, "methods", index)
            for name, rows in method.curves.items():
                _check_length(rows, count, "methods", index, "curves", name)
                for row, values in enumerate(rows):
                    _check_length(values, len(self.shares), "methods", index, "curves", name, row)
            for name, interval in method.behind_best.items():
                _check_interval(interval, "methods", index, "behind_best", name)
        pairs = [frozenset((pair.first, pair.second)) for pair in self.agreements]
        for index, (pair, names) in enumerate(zip(self.agreements, pairs, strict=True)):
            if len(names) < 2 or not names <= set(known):
                raise MismatchError("is not of two of the methods", "agreements", index)
            _check_values(pair, count, "agreements", index)
        if len(set(pairs)) < len(pairs):
            raise MismatchError("two are of the same methods", "agreements")
        if self.readable is not None:
            if self.readable.method not in known:
                raise MismatchError(f"{self.readable.method[:100]!r} is none of the methods", "readable", "method")
            _check_indices(self.readable.silent, count, "readable", "silent")
            _check_indices(self.readable.unread_sites, len(self.sites), "readable", "unread_sites")

    def method(self, name: str) -> MethodEvaluation:
        """Return what was found of a method."""
        return next(method for method in self.methods if method.method == name)

    def label(self, name: str) -> str:
        """Return the name of a method that people read."""
        return self.method(name).label or plain_label(name)


def save_evaluation(folder: Path, evaluation: Evaluation, results: Mapping[str, AttributionResult]) -> list[Path]:
    """Write ``scores/<method>.npz`` of each method, then ``evaluation.json``; returns their paths.

    Raises
    ------
    InvalidInputError
        The name of a method cannot name a file.
    OutputError
        The folder cannot be written, or what is to be stored could not be loaded again.
    """
    check_file_names("method", results)
    written = [result.save(Path(folder) / SCORES / f"{name}.npz") for name, result in results.items()]
    return [*written, evaluation.save(folder)]


def _check_length(values: Sized, wanted: int, *place: str | int) -> None:
    if len(values) != wanted:
        raise MismatchError(f"there must be {wanted}, not {len(values)}", *place)


def _check_values(of: MethodEvaluation | PairAgreement, count: int, *place: str | int) -> None:
    for name, values in of.values.items():
        _check_length(values, count, *place, "values", name)
    for name, interval in of.means.items():
        _check_interval(interval, *place, "means", name)


def _check_indices(indices: tuple[int, ...], count: int, *place: str | int) -> None:
    if not all(0 <= index < count for index in indices):
        raise MismatchError(f"an index is not one of {count}", *place)


def _check_interval(interval: Interval, *place: str | int) -> None:
    if interval.low > interval.high:
        raise MismatchError(f"the interval ends at {interval.high} before it begins at {interval.low}", *place)
