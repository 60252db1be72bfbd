"""One real sequence scored by every method, for the logos of a report: scored and stored here, drawn elsewhere."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.description import describe, describe_installed, plain_label
from attribution_bench.errors import AttributionBenchError, InvalidInputError, ResultError
from attribution_bench.files import reading, write_whole
from attribution_bench.json_files import json_text, read_json
from attribution_bench.models import SequenceModel, as_sequence_model
from attribution_bench.registry import get_method, get_model
from attribution_bench.sequences import DNA
from attribution_bench.sequences.fasta import Sequences
from attribution_bench.sequences.lambda_phage import lambda_windows
from attribution_bench.typed_json import FileName, Label, MismatchError, Positive, read_as

LARGEST = 2**26
"""Bytes of a file of logo scores."""
WIDEST_WINDOW, MOST_METHODS = 5000, 100
"""Positions and methods of a figure of logos that can still be read."""
SEED = 0
"""Seed of the model's weights, so that a stored logo can be computed again."""


@dataclass(frozen=True)
class MethodScores:
    """What one method says of the window, or why it says nothing."""

    method: Label
    hypothetical: tuple[tuple[float, ...], ...] | None = None
    """(A, P): what each letter would contribute at each position."""
    convention: str | None = None
    """ISM methods: what the scores are relative to."""
    reason: str | None = None
    """Why there are no scores."""
    label: Label = ""
    """Name of the method that people read."""


@dataclass(frozen=True)
class LogoScores:
    """A window of one sequence, and the scores of each method there."""

    architecture: Label
    length: Positive
    """Letters of the whole sequence that the model read."""
    framework: FileName
    """``torch`` or ``keras``; a part of the names of files."""
    device: Label
    sequence_name: Label
    letters: str
    """(P,) the letters of the window."""
    start: int
    """0-based position of the window's first letter in the sequence."""
    alphabet: str
    """Letters in the order of the rows of the scores."""
    methods: tuple[MethodScores, ...]

    def observed(self, scores: MethodScores) -> NDArray[np.float64]:
        """Return the score of the reference letter as (A, P), zero for the other letters.

        Raises
        ------
        InvalidInputError
            The method has no scores.
        """
        if scores.hypothetical is None:
            raise InvalidInputError(f"{scores.method} has no scores here: {scores.reason}")
        present = np.array([[letter == there for there in self.letters] for letter in self.alphabet])
        return np.where(present, np.asarray(scores.hypothetical), 0.0)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``logos-<framework>.json`` into a results folder, whole or not at all; returns its path.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        return write_whole(Path(folder) / f"logos-{self.framework}.json", json_text("logo scores", asdict(self)) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "LogoScores":
        """Read what `save` wrote.

        Raises
        ------
        OutputError
            The file cannot be read, or does not hold such scores.
        """
        with reading(path, "holds no logo scores that can be read"):
            scores = read_as(cls, read_json(path, LARGEST))
            scores._check()
        labelled = (replace(m, label=m.label or describe_installed(m.method).label) for m in scores.methods)
        return replace(scores, methods=tuple(labelled))

    def _check(self) -> None:
        """Check that the parts fit together; raises ValueError."""
        if len(self.letters) > WIDEST_WINDOW or len(self.methods) > MOST_METHODS:
            raise ValueError(f"logos are of {WIDEST_WINDOW:,} positions and {MOST_METHODS} methods at most")
        if not self.letters or self.start + len(self.letters) > self.length:
            raise MismatchError(f"must lie within the {self.length} letters of the sequence", "letters")
        if len(set(self.alphabet)) < len(self.alphabet) or not self.alphabet:
            raise MismatchError("the letters must be distinct", "alphabet")
        labels = [method.method for method in self.methods]
        if len(set(labels)) < len(labels):
            raise MismatchError("two methods have one name", "methods")
        wanted = [len(self.letters)] * len(self.alphabet)
        for index, method in enumerate(self.methods):
            if method.hypothetical is not None and [len(row) for row in method.hypothetical] != wanted:
                shape = f"({len(self.alphabet)}, {len(self.letters)})"
                raise MismatchError(f"scores must have shape {shape}", "methods", index, "hypothetical")


def find_logo_scores(folder: str | os.PathLike[str]) -> tuple[LogoScores, ...]:
    """Load every file of logo scores in a results folder.

    Raises
    ------
    OutputError
        As `LogoScores.load`, and for a file that is named after another framework than it holds.
    """
    found = {path: LogoScores.load(path) for path in sorted(Path(folder).glob("logos-*.json"))}
    for path, scores in found.items():
        if path.stem != f"logos-{scores.framework}":
            raise ResultError(f"{path} holds logo scores of {scores.framework}; name it logos-{scores.framework}.json")
    return tuple(found.values())


def measure_logo_scores(
    methods: Sequence[str],
    framework: str,
    device: str | None = None,
    *,
    architecture: str = "basset",
    length: int = 1000,
    window: int = 120,
    sequences: Sequences | None = None,
) -> LogoScores:
    """Score the middle of one sequence by each method with its default options.

    Parameters
    ----------
    methods
        Registered names. One that cannot be loaded, does not run on the framework or fails is kept with its reason.
    framework, device
        ``torch`` or ``keras``; the device is the model's own by default.
    architecture, length
        A registered architecture, built with one output and seeded random weights.
    window
        Positions that are stored, in the middle of the sequence.
    sequences
        The first of these is scored; a window of the genome of phage lambda by default.

    Raises
    ------
    InvalidInputError
        The window is longer than the sequence or than a figure can show, or the architecture does not take the length
        or the device.
    MissingDependencyError
        The framework is not installed.
    """
    if not 0 < window <= length:
        raise InvalidInputError(f"the window must lie within the {length} positions of the sequence, not be {window}")
    if window > WIDEST_WINDOW:
        raise InvalidInputError(f"the window must be of {WIDEST_WINDOW:,} positions at most, not of {window:,}")
    if sequences is None:
        sequences = lambda_windows(length, 1)
    name, sequence = sequences.names[0], sequences.strings[0]
    if len(sequence) != length:
        raise InvalidInputError(f"{name} has {len(sequence)} letters, but the model is built for {length}")
    built = get_model(architecture)(length=length, framework=framework, outputs=1, seed=SEED)
    model = as_sequence_model(built, device=device)
    start = (length - window) // 2
    one_hot = DNA.one_hot([sequence])
    return LogoScores(
        architecture=architecture,
        length=length,
        framework=framework,
        device=model.device,
        sequence_name=name,
        letters=sequence[start : start + window],
        start=start,
        alphabet=DNA.letters,
        methods=tuple(_score(method, model, one_hot, start, window) for method in methods),
    )


def _score(name: str, model: SequenceModel, one_hot: NDArray[np.float32], start: int, window: int) -> MethodScores:
    label = plain_label(name)
    try:
        method = get_method(name)
        label = describe(name, method).label
        result = method(model).attribute(one_hot, positions=slice(start, start + window))
    except AttributionBenchError as error:
        return MethodScores(name, reason=str(error), label=label)
    except Exception as error:  # a method may fail in any way; the others are still drawn
        return MethodScores(name, reason=f"{type(error).__name__}: {error}", label=label)
    scores = result.scores[0]
    if scores.dtype.kind not in "fiu" or not np.isfinite(scores).all():
        return MethodScores(name, reason="its scores are not all finite real numbers", label=label)
    rows = tuple(tuple(float(f"{score:.6g}") for score in row) for row in scores)
    return MethodScores(name, rows, convention=result.metadata.get("convention"), label=label)
