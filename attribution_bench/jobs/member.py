"""Members of an ensemble, or the one model of a job: opened as they are needed, and scored by every method."""

import contextlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from attribution_bench.errors import JobWarning
from attribution_bench.foreign_warnings import OWN
from attribution_bench.jobs.blocks import Blocks
from attribution_bench.jobs.contents import Values
from attribution_bench.jobs.events import Caution
from attribution_bench.jobs.job import Job
from attribution_bench.jobs.open_models import OpenModels
from attribution_bench.jobs.scoring import Block, MethodScorer, Scored

NUMBER = re.compile(r"(?<![\w.])[-+]?(\d[\d.,]*(e[-+]?\d+)?|inf|nan)\b")
"""Numbers of a warning, which may be others for every shard where all else is the same."""
OUT_OF_MEMORY = "memory ran out; going on with smaller blocks, in which predictions may round otherwise"


@dataclass(frozen=True)
class MemberScores:
    """What the methods found of a shard's scorable records on one model."""

    arrays: Mapping[str, Values]
    """Name in the store -> values."""
    methods: Mapping[str, Mapping[str, Any]]
    """Method -> metadata of its results."""
    words: Mapping[str, Mapping[str, Any]]
    """Name in the store -> what the array says of itself."""
    halvings: int
    """How often blocks were halved because memory ran out, at most."""


class Watcher(Protocol):
    """Is told of the task in work."""

    def part(self, share: float) -> None:
        """Take the share of the task that is done, in [0, 1]."""
        ...

    def caution(self, kind: str, caution: Caution) -> None:
        """Take what is to be told once of its kind."""
        ...


class Members:
    """The models of a job with its methods bound to those that are open.

    Parameters
    ----------
    job
        The job.
    machine_options
        Method -> options that an earlier run of the job took from its machine; what is missing is taken from this one.
    watcher
        Told of the task in work.

    Raises
    ------
    InvalidInputError
        A method cannot take its options.
    """

    def __init__(self, job: Job, machine_options: Mapping[str, Mapping[str, Any]], watcher: Watcher) -> None:
        self._job, self._watcher = job, watcher
        self._models = OpenModels.of(job.models)
        self._scorers: dict[int, list[MethodScorer]] = {}
        self._blocks = Blocks(job.shard_size, job.batch_size, self._shrunk)
        self._warned: set[str] = set()
        self.machine_options: Mapping[str, Mapping[str, Any]] = machine_options
        """Options of each method that follow the machine, as every process of the job is to have them."""
        self.open(range(1))
        self.machine_options = {scorer.name: scorer.machine_options for scorer in self._scorers[0]}
        (first,) = self._models.open(range(1))
        self.framework, self.device = first.framework, first.device
        self.precision: Mapping[str, Any] = {"level": first.precision, **first.precision_state()}
        """How precisely this process computes, by the first model."""

    def __len__(self) -> int:
        return len(self._models)

    @property
    def halvings(self) -> int:
        """How often this process has halved its blocks so far."""
        return self._blocks.halvings

    def label(self, place: int) -> str:
        """Return which of several models one is, in words; nothing of the only one."""
        return f"model {place} ({self._models[place].label})" if len(self) > 1 else ""

    def open(self, places: range) -> None:
        """Open models and bind the methods to them, having let go of others where there is no room.

        Raises
        ------
        AttributionBenchError
            A model cannot be opened; the message is that of `ModelSource.open`.
        """
        if all(place in self._scorers for place in places):
            return
        # Those that are bound may have to go before others come.
        self._scorers.clear()
        for place, model in zip(places, self._models.open(places), strict=True):
            self._scorers[place] = [
                MethodScorer(name, choice, model, self.machine_options.get(name), self._job.asked)
                for name, choice in self._job.methods.items()
            ]

    @contextlib.contextmanager
    def named(self, place: int) -> Iterator[None]:
        """Note at an error which of several models it is of."""
        try:
            yield
        except Exception as error:
            if label := self.label(place):
                error.add_note(label)
            raise

    def score(self, place: int, block: Block, before: int, models: int) -> MemberScores:
        """Score a shard's scorable records by every method on one model; raises as `Attribution.attribute` does.

        Parameters
        ----------
        place
            The model, which is open.
        block
            The records.
        before, models
            Models of the task that are done, and how many it has.
        """
        arrays: dict[str, Values] = {}
        methods: dict[str, Mapping[str, Any]] = {}
        words: dict[str, Mapping[str, Any]] = {}
        halvings, scorers = 0, self._scorers[place]
        for index, scorer in enumerate(scorers):
            scored = self._score(scorer, place, block, before * len(scorers) + index, models * len(scorers))
            arrays |= scored.arrays
            words |= {name: scorer.words(one, scored) for name, one in scored.arrays.items()}
            methods[scorer.name] = scored.metadata
            halvings = max(halvings, scored.halvings)
        return MemberScores(arrays, methods, words, self._blocks.halvings + halvings)

    def _score(self, scorer: MethodScorer, place: int, block: Block, before: int, passes: int) -> Scored:
        """Score by one method on one model, which is one of several passes, and pass on its warnings once."""

        def progress(part: int, of: int) -> None:
            self._watcher.part((before + part / max(1, of)) / passes)

        caught: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True) as caught:
                # Every shard may repeat them; the first of each is told.
                for category in (*OWN, JobWarning):
                    warnings.simplefilter("always", category)
                scored = self._blocks.score(scorer, block, progress)
        finally:
            self._pass_on(caught, scorer, place)
        if scored.halvings:
            self._watcher.caution("memory", Caution(OUT_OF_MEMORY))
        return scored

    def _pass_on(self, caught: Sequence[warnings.WarningMessage], scorer: MethodScorer, place: int) -> None:
        """Tell warnings of a method with the first model that gives them, and warn of others, each once."""
        name = f"{scorer.name} on {label}" if (label := self.label(place)) else scorer.name
        for warning in caught:
            if issubclass(warning.category, OWN):
                words = NUMBER.sub("#", str(warning.message))
                kind = f"{scorer.name} {warning.category.__name__} {words}"
                self._watcher.caution(kind, Caution(f"{name}: {warning.message}", warning.category))
            elif str(warning.message) not in self._warned:
                self._warned.add(str(warning.message))
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def _shrunk(self, sequences: int) -> None:
        self._watcher.caution("memory", Caution(f"{OUT_OF_MEMORY} ({sequences} sequences at a time now)"))
