"""What a comparison of methods found: stored as one JSON file beside the scores, read by the report."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from attribution_bench.attribution import AttributionResult
from attribution_bench.description import describe_installed, plain_label
from attribution_bench.errors import OutputError
from attribution_bench.files import write_whole
from attribution_bench.sequences.sites import Site

FILE = "evaluation.json"
SCORES = "scores"
"""Folder of one ``<method>.npz`` a method, as `AttributionResult.save` writes it."""
FORMAT = 1


@dataclass(frozen=True)
class Interval:
    """A mean over sequences, and the bootstrap interval that holds it with 95% confidence."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodEvaluation:
    """What was found of one method; per-sequence values are in the order of the sequences."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds_per_100_sequences: float | None = None
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
    label: str = ""
    """Name of the method that people read."""


@dataclass(frozen=True)
class PairAgreement:
    """How far two methods agree, sequence by sequence."""

    first: str
    second: str
    values: Mapping[str, tuple[float | None, ...]]
    """Agreement metric -> (N,) values."""
    means: Mapping[str, Interval]


@dataclass(frozen=True)
class Evaluation:
    """Methods against each other on one model and one set of sequences."""

    model: str
    framework: str
    device: str
    threads: int
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

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``evaluation.json`` into a folder, whole or not at all; returns its path.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        content = json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False)
        return write_whole(Path(folder) / FILE, content + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Evaluation":
        """Read what `save` wrote.

        Raises
        ------
        OutputError
            There is no such file, or it does not hold an evaluation.
        """
        path = Path(folder) / FILE
        try:
            stored = json.loads(path.read_text())
            if stored.pop("format") != FORMAT:
                raise ValueError("its format is of another version of attribution-bench")
            stored["sites"] = tuple(Site(**site) for site in stored["sites"])
            stored["methods"] = tuple(_method(entry) for entry in stored["methods"])
            stored["agreements"] = tuple(_agreement(entry) for entry in stored["agreements"])
            for name in ("names", "strings", "predictions", "shares"):
                stored[name] = tuple(stored[name])
            return cls(**stored)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(f"{path} holds no evaluation that can be read: {error}") from error

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
    OutputError
        The folder cannot be written.
    """
    written = [result.save(Path(folder) / SCORES / f"{name}.npz") for name, result in results.items()]
    return [*written, evaluation.save(folder)]


def _method(entry: dict[str, Any]) -> MethodEvaluation:
    curves = {name: tuple(tuple(row) for row in rows) for name, rows in entry.pop("curves").items()}
    values, means = _values(entry.pop("values")), _intervals(entry.pop("means"))
    behind, cautions = _intervals(entry.pop("behind_best")), tuple(entry.pop("cautions"))
    entry["label"] = entry.get("label") or describe_installed(entry["method"]).label
    return MethodEvaluation(**entry, cautions=cautions, values=values, means=means, behind_best=behind, curves=curves)


def _agreement(entry: dict[str, Any]) -> PairAgreement:
    return PairAgreement(entry["first"], entry["second"], _values(entry["values"]), _intervals(entry["means"]))


def _values(stored: dict[str, list[float | None]]) -> dict[str, tuple[float | None, ...]]:
    return {name: tuple(values) for name, values in stored.items()}


def _intervals(stored: dict[str, dict[str, float]]) -> dict[str, Interval]:
    return {name: Interval(**interval) for name, interval in stored.items()}
