"""The work of one cell: a method bound to a model and sequences, able to do any part of what is asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Attribution, AttributionResult, Progress
from attribution_bench.benchmark.parts import Division, spread
from attribution_bench.benchmark.results import Units
from attribution_bench.models import OutputSpec, SequenceModel, Target
from attribution_bench.models.targets import select
from attribution_bench.sequences import Sequences

PREDICTIONS_BYTES = 2**30
"""Predictions that one call may return; more sequences go in several calls, as a user would stream them."""


@dataclass(frozen=True)
class Row:
    """The cells that share a model: they are measured in turns."""

    architecture: str
    length: int
    framework: str
    build: Callable[[], SequenceModel]
    sequences: Sequences
    methods: tuple[str, ...]
    identity: str = ""
    """Digest of the model where its name does not identify it; records of another model of that name are not reused."""
    counted: bool = False
    """Whether the number of sequences tells the row from others of the suite."""


@dataclass(frozen=True)
class Sample:
    """The result of one call, and the last sequence that it scored."""

    result: AttributionResult
    sequence: NDArray[np.floating]
    """(A, L)."""


@dataclass(frozen=True)
class Work:
    """What one cell asks for. Methods that give predictions serve every output at once; others one scalar a call."""

    method: Attribution
    one_hot: NDArray[np.floating]
    """(N, A, L)."""
    target: Target
    scalars: tuple[Any, ...]
    """The target, as one target for each scalar of it."""
    division: Division

    @property
    def asked(self) -> Units:
        """All of the work."""
        return self.division.asked

    def do(self, part: Units, batch_size: int | None, progress: Progress | None = None) -> Sample:
        """Do a part, evenly spread over what was asked for; returns the last call's result. Its scores stay lazy.

        `progress` is told how far each call is; what it raises ends the work.
        """
        sample: Sample | None = None
        for one_hot, target, positions in self._calls(part):
            result = self.method.attribute(
                one_hot, target=target, positions=positions, batch_size=batch_size, progress=progress or False
            )
            sample = Sample(result, one_hot[-1])
        assert sample is not None  # a part holds at least one unit
        return sample

    def _calls(self, part: Units) -> Iterator[tuple[NDArray[np.floating], Any, NDArray[np.int64] | None]]:
        one_hot = self.one_hot[spread(part.sequences, self.asked.sequences)]
        if not self.method.tags.gives_predictions:
            for scalar in spread(part.outputs, self.asked.outputs):
                yield one_hot, self.scalars[scalar], None
            return
        whole = part.positions == self.asked.positions
        positions = None if whole else spread(part.positions, self.asked.positions)
        bytes_each = self.one_hot.shape[1] * part.positions * part.outputs * self.method.model.numpy_dtype.itemsize
        rows = max(1, PREDICTIONS_BYTES // bytes_each)
        for start in range(0, part.sequences, rows):
            yield one_hot[start : start + rows], self.target, positions


def plan_work(method: Attribution, sequences: Sequences, target: Target) -> Work:
    """Resolve the target against the model, and say how the work divides.

    Raises
    ------
    TargetError, ModelError
        The model does not offer the target, or does not take the sequences.
    """
    one_hot = method.model.alphabet.one_hot(sequences.strings)
    count, _, length = one_hot.shape
    scalars = scalar_targets(target, method.model.outputs(length))
    asked = Units(count, length, len(scalars))
    if method.tags.gives_predictions:
        return Work(method, one_hot, target, scalars, Division(asked, "positions", "sequences"))
    return Work(method, one_hot, target, scalars, Division(asked, "sequences", "outputs"))


def scalar_targets(target: Target, outputs: tuple[OutputSpec, ...]) -> tuple[Any, ...]:
    """Return a target as targets of one scalar each: every element of every output for ``"all"``."""
    selections = select(target, outputs)
    if len(selections) == 1 and selections[0].shape == ():
        return (target,)
    return tuple(
        (selection.name, (*(selection.index or ()), *(int(i) for i in index)))
        for selection in selections
        for index in np.ndindex(*selection.shape)
    )
