"""Scoring of a block of sequences: one method on one model and every strand, as the arrays that are stored."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Attribution
from attribution_bench.conventions import Convention, check_convention
from attribution_bench.errors import InvalidInputError, UnsupportedError
from attribution_bench.jobs.contents import (
    PER_CALL,
    Values,
    mean_of,
    on_forward_strand,
    values_of,
    with_observed,
)
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.models import SequenceModel, Target
from attribution_bench.models.strand_targets import same_on_both_strands
from attribution_bench.request import MEMORY_HALVINGS, Progress
from attribution_bench.result import AttributionResult
from attribution_bench.sequences.strands import check_strands, reverse_complement


@dataclass(frozen=True)
class Asked:
    """What is asked of every method of a job."""

    target: Target
    contents: tuple[str, ...]
    """Some of `attribution_bench.jobs.contents.CONTENTS`."""
    dtype: str
    """Type of the numbers that are stored."""
    convention: Convention | None = None
    """Of the scores of ISM methods; their default when None."""
    both_strands: bool = False
    """Store the mean over each sequence and its reverse complement."""
    members: bool = False
    """Of several models, store each one's values beside their mean and standard deviation."""


@dataclass(frozen=True)
class Block:
    """Sequences that go through a method in one call."""

    one_hot: NDArray[np.floating]
    """(n, A, L)."""
    extras: tuple[NDArray[Any], ...]
    """The model's further inputs, n rows each."""
    other_strand: tuple[NDArray[Any], ...]
    """The same for the reverse complements."""


@dataclass(frozen=True)
class Scored:
    """What a method found of a block."""

    arrays: Mapping[str, Values]
    """Name in the store -> values."""
    metadata: Mapping[str, Any]
    """Of the method, as its results have it."""
    halvings: int = 0
    """How often the method halved its own blocks because memory ran out."""


@dataclass(frozen=True)
class Choice:
    """A method, and the options that the caller gave."""

    method: type[Attribution]
    options: Mapping[str, Any] = field(default_factory=dict)


class MethodScorer:
    """One method bound to one model of a job.

    Parameters
    ----------
    name
        Registered name of the method.
    choice
        The method and its options.
    model
        The model.
    machine_options
        Those that an earlier run of the job took from its machine; None to take them from this one.
    asked
        What is stored of it.
    """

    def __init__(
        self,
        name: str,
        choice: Choice,
        model: SequenceModel,
        machine_options: Mapping[str, Any] | None,
        asked: Asked,
    ) -> None:
        self.name, self._asked = name, asked
        bound = _bound(name, choice, model)
        self.machine_options = dict(bound.machine_options() if machine_options is None else machine_options)
        if self.machine_options:
            bound = _bound(name, replace(choice, options={**choice.options, **self.machine_options}), model)
        self._bound = bound

    def score(self, block: Block, batch_size: int | None, progress: Progress) -> Scored:
        """Score a block on every strand; raises as `Attribution.attribute` does."""
        asked, turns = self._asked, (False, True) if self._asked.both_strands else (False,)
        results: list[AttributionResult] = []
        strands = []
        for turned in turns:
            result = self._bound.attribute(
                np.ascontiguousarray(reverse_complement(block.one_hot)) if turned else block.one_hot,
                target=asked.target,
                additional_forward_args=(block.other_strand if turned else block.extras) or None,
                batch_size=batch_size,
                progress=partial(_report, progress, len(results), len(turns)),
            )
            if asked.convention is not None and result.predictions:
                result = result.with_convention(check_convention(asked.convention))
            results.append(result)
            values = values_of(self.name, result, asked.contents)
            strands.append(on_forward_strand(values) if turned else values)
        metadata = {key: value for key, value in results[0].metadata.items() if key not in PER_CALL}
        halvings = max(int(result.metadata.get(MEMORY_HALVINGS, 0)) for result in results)
        arrays = mean_of(strands)
        if "observed" in asked.contents:
            arrays = with_observed(arrays, block.one_hot, self.name)
        stored = {name: one for name, one in arrays.items() if one.content in asked.contents}
        return Scored(stored, {**metadata, "method": self.name}, halvings)

    def words(self, values: Values, scored: Scored) -> dict[str, Any]:
        """Return what an array of the method's says of itself in the store."""
        words = {"method": self.name, "content": values.content}
        if values.content in ("scores", "observed") and "convention" in scored.metadata:
            words["convention"] = scored.metadata["convention"]
        return words


def check_both_strands(
    model: SequenceModel, target: Target, extras: "Sequence[NDArray[Any] | TrackRows]", length: int
) -> tuple[str, ...]:
    """Check that a target means the same on both strands; returns what has to be taken for granted, in words.

    Of an output with one axis nobody but the user can tell whether it is of tasks, or of places along the sequence.

    Raises
    ------
    UnsupportedError
        The alphabet has one strand, a further input has one number for each of several places, or the target picks
        places of an output with several axes, which lie elsewhere on the other strand.
    """
    check_strands(model.alphabet)
    if any(extra[:1].size > 1 for extra in extras if not isinstance(extra, TrackRows)):
        raise UnsupportedError(
            "both strands cannot be averaged where a further input has several numbers a sequence, whose order on the "
            "other strand is not known; score one strand"
        )
    return same_on_both_strands(target, model.outputs(length, tuple(extra[:1] for extra in extras)))


def _report(progress: Progress, before: int, passes: int, done: int, of: int) -> None:
    """Report what is done of one of several passes, `before` of which are done."""
    progress(before * of + done, passes * of)


def _bound(name: str, choice: Choice, model: SequenceModel) -> Attribution:
    method, options = choice.method, choice.options
    try:
        inspect.signature(method).bind(model, **options)
    except TypeError as error:
        known = ", ".join(list(inspect.signature(method).parameters)[1:]) or "none"
        raise InvalidInputError(
            f"{name} cannot take the options {', '.join(options)}: {error}; it takes {known}"
        ) from error
    return method(model, **options)
