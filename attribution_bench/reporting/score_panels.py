"""One sequence's scores read from stored results, one or several methods, ready to be drawn over one axis."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import PROJECTED, REFERENCE_AT_ZERO, letter_heights
from attribution_bench.errors import InvalidInputError, TargetError
from attribution_bench.models.targets import OutputSpec, Target, place_of_value
from attribution_bench.reporting.one_sequence import at_positions, read_one_sequence
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import Interval


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
    conventions: Mapping[str, str | None] = field(default_factory=dict)
    """Title -> score convention; None of other scores than those of mutations."""
    projected: tuple[str, ...] = ()
    """Titles of scores that are known of the reference letters only."""

    @property
    def stop(self) -> int:
        """0-based position after the last column."""
        return self.start + len(self.present[0])

    @property
    def observed(self) -> dict[str, NDArray[np.floating]]:
        """Title -> (A, P): how high the reference letter stands in a logo, zero for the others.

        That is its score, or what `letter_heights` has by conventions that leave the reference letter at zero.

        Raises
        ------
        InvalidInputError
            Only the scores of the reference letters are known, by a convention that leaves them at zero.
        """
        for title in self.projected:
            if self.conventions.get(title) in REFERENCE_AT_ZERO:
                raise InvalidInputError(
                    f"{title} holds the scores of the reference letters only, which are all zero by the convention "
                    f"{self.conventions[title]!r}; run the job with scores stored"
                )
        return {
            title: letter_heights(scores, self.present, self.conventions.get(title))
            for title, scores in self.hypothetical.items()
        }

    def check_hypothetical(self, purpose: str) -> None:
        """Raise InvalidInputError where only the scores of the reference letters are known."""
        if self.projected:
            raise InvalidInputError(
                f"{purpose} takes hypothetical scores (of every letter), but {', '.join(self.projected)} holds those "
                "of the reference letters only"
            )


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
    one = read_one_sequence(paths, sequence=sequence, span=span)
    drawn = {
        title: at_positions(_scores_of(one.files[title], result, target), result, one.start, one.stop)
        for title, result in one.results.items()
    }
    return ScorePanels(
        drawn,
        one.present,
        one.alphabet,
        one.start,
        one.sequence,
        one.names,
        one.length,
        one.interval,
        one.name,
        {title: result.metadata.get("convention") for title, result in one.results.items()},
        tuple(title for title, result in one.results.items() if result.metadata.get(PROJECTED)),
    )


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
