"""Work on shards: each is read, scored by every method, and written, in whichever process that is."""

import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil

from attribution_bench.errors import JobWarning, SequenceError, SetAsideError
from attribution_bench.foreign_warnings import OWN
from attribution_bench.jobs import layout
from attribution_bench.jobs.blocks import Blocks
from attribution_bench.jobs.contents import Values
from attribution_bench.jobs.events import Caution
from attribution_bench.jobs.failed_shards import ERROR
from attribution_bench.jobs.job import Job
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.scoring import Block, MethodScorer, Scored
from attribution_bench.jobs.shards import Shard
from attribution_bench.jobs.survey import digest_of, read_shard
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.sequences.source import Reason
from attribution_bench.storage.record_arrays import SET_ASIDE
from attribution_bench.storage.zarr_store import ZarrStore, is_store
from attribution_bench.timer import CLOCK, Clock

OUT_OF_MEMORY = "memory ran out; going on with smaller blocks, in which predictions may round otherwise"


@dataclass(frozen=True)
class ShardRecord:
    """What is told of a shard that was worked on; its arrays are in the store."""

    shard: int
    seconds: float
    """Reading, scoring and writing."""
    set_aside: Mapping[str, int]
    """Reason -> records."""
    halvings: int = 0
    """How often the process has halved its blocks so far because memory ran out."""
    peak_bytes: int = 0
    """Most memory that the process has held so far; 0 where the system does not tell."""
    starting: bool = False
    """Whether it is the first that its process did: what is done at the first use of a method is in its seconds."""
    cautions: Mapping[str, Caution] = field(default_factory=dict)
    """Kind -> what a reader of the scores should know, where nobody was told of it yet."""


class Watcher(Protocol):
    """Is told of the shard in work."""

    def part(self, share: float) -> None:
        """Take the share of the shard that is done, in [0, 1]."""
        ...

    def caution(self, kind: str, caution: Caution) -> None:
        """Take what is to be told once of its kind."""
        ...


class ShardWork:
    """Methods bound to the models of a job, and the store that their scores go to.

    Parameters
    ----------
    job
        The job.
    path
        Folder of its store.
    machine_options
        Method -> options that an earlier run of the job took from its machine; what is missing is taken from this one.
    watcher
        Told of the shard in work.
    strict
        Raise instead of setting a sequence aside.
    clock
        Times the shards.

    Raises
    ------
    InvalidInputError
        A method cannot take its options.
    """

    def __init__(
        self,
        job: Job,
        path: Path,
        machine_options: Mapping[str, Mapping[str, Any]],
        watcher: Watcher,
        *,
        strict: bool = False,
        clock: Clock = CLOCK,
    ) -> None:
        self.job, self.path, self._watcher, self._strict, self._clock = job, path, watcher, strict, clock
        models = [named.model for named in job.models]
        self.scorers = [
            MethodScorer(name, choice, models, machine_options.get(name), job.asked)
            for name, choice in job.methods.items()
        ]
        self.store = ZarrStore.open(path) if is_store(path) else None
        self._blocks = Blocks(job.shard_size, job.batch_size, self._shrunk)
        self._warned: set[str] = set()
        self._started = False

    @property
    def machine_options(self) -> dict[str, dict[str, Any]]:
        """Options of each method that follow the machine, as every process of the job is to have them."""
        return {scorer.name: scorer.machine_options for scorer in self.scorers}

    def finished(self, shard: Shard) -> ShardRecord | None:
        """Return the record of a shard that is in the store already, and was computed; None of any other."""
        if self.store is None or not self.store.is_finished(shard.index):
            return None
        (facts,) = self.store.facts([shard.index])
        return None if ERROR in facts else ShardRecord(shard.index, 0.0, facts["set_aside"])

    def do(self, shard: Shard, digest: str, manifest: Manifest | None) -> ShardRecord:
        """Read, score and write one shard.

        Parameters
        ----------
        shard
            The shard.
        digest
            SHA-256 of its records as the manifest has it.
        manifest
            Written, and the store laid out for the shard's arrays, where there is no store yet.

        Raises
        ------
        SequenceError
            The source has changed.
        SetAsideError
            A sequence cannot be scored, and the work is strict.
        OutputError
            The store cannot be written.
        AttributionBenchError
            Memory is too small for one sequence, or whatever a method raises.
        """
        start = self._clock()
        job, source = self.job, self.job.source
        records = read_shard(source, shard)
        if digest_of(records) != digest:
            raise SequenceError(f"{source.label} has changed while the job ran; give the file as it was, or begin anew")
        rows = [index for index, record in enumerate(records) if record.sequence is not None]
        scored: dict[str, Values] = {}
        methods: dict[str, Mapping[str, Any]] = {}
        words: dict[str, Mapping[str, Any]] = {}
        halvings = 0
        if rows:
            strings = [record.sequence for record in records if record.sequence is not None]
            extras = tuple(np.asarray(array[shard.start : shard.stop])[rows] for array in job.extras.values())
            turned = tuple(
                array.other_strand(extra) if isinstance(array, TrackRows) else extra
                for array, extra in zip(job.extras.values(), extras, strict=True)
            )
            block = Block(source.alphabet.one_hot(strings), extras, turned)
            for index, scorer in enumerate(self.scorers):
                result = self._score(scorer, block, index)
                scored |= result.arrays
                words |= {name: scorer.words(one, result) for name, one in result.arrays.items()}
                methods[scorer.name] = result.metadata
                halvings = max(halvings, result.halvings)
        if self.store is None:
            self.store = self._create(scored, methods, words, manifest)
        bad = layout.not_finite(scored, len(rows))
        if bad and self._strict:
            row, names = next(iter(bad.items()))
            raise SetAsideError(
                f"sequence {shard.start + rows[row]} ({records[rows[row]].name}): {Reason.NOT_FINITE} ({names}); "
                "stopped, as --strict asks. Finished shards are kept"
            )
        for one in scored.values():
            one.array[list(bad)] = np.nan
        failed = {rows[row]: (Reason.NOT_FINITE, names) for row, names in bad.items()}
        arrays = layout.record_arrays(records, source.alphabet, source.length, failed)
        set_aside = Counter(word for word in arrays[SET_ASIDE] if word)
        arrays |= layout.score_arrays(scored, rows, len(records), self.store.specs())
        facts: dict[str, Any] = {"scored": len(rows) - len(bad), "set_aside": dict(set_aside)}
        if self._blocks.halvings or halvings:
            facts["halvings of the block"] = self._blocks.halvings + halvings
        self.store.write(shard.index, arrays, facts)
        # A shard without anything to score uses no method.
        starting = bool(rows) and not self._started
        self._started |= starting
        seconds, halved = self._clock() - start, self._blocks.halvings
        return ShardRecord(shard.index, seconds, dict(set_aside), halved, peak_memory_bytes(), starting)

    def _score(self, scorer: MethodScorer, block: Block, index: int) -> Scored:
        """Score a shard by one method, and pass on its warnings once."""

        def progress(part: int, of: int) -> None:
            self._watcher.part((index + part / max(1, of)) / len(self.scorers))

        caught: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True) as caught:
                # Every shard may repeat them; the first of each is told.
                for category in (*OWN, JobWarning):
                    warnings.simplefilter("always", category)
                scored = self._blocks.score(scorer, block, progress)
        finally:
            self._pass_on(caught, scorer)
        if scored.halvings:
            self._watcher.caution("memory", Caution(OUT_OF_MEMORY))
        return scored

    def _pass_on(self, caught: Sequence[warnings.WarningMessage], scorer: MethodScorer) -> None:
        """Tell warnings of a method, and warn of others, each once."""
        for warning in caught:
            if issubclass(warning.category, OWN):
                kind, text = f"{scorer.name} {warning.category.__name__}", f"{scorer.name}: {warning.message}"
                self._watcher.caution(kind, Caution(text, warning.category))
            elif str(warning.message) not in self._warned:
                self._warned.add(str(warning.message))
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def _shrunk(self, sequences: int) -> None:
        self._watcher.caution("memory", Caution(f"{OUT_OF_MEMORY} ({sequences} sequences at a time now)"))

    def _create(
        self,
        scored: Mapping[str, Values],
        methods: Mapping[str, Mapping[str, Any]],
        words: Mapping[str, Mapping[str, Any]],
        manifest: Manifest | None,
    ) -> ZarrStore:
        """Write the manifest and lay out the store for arrays as they were scored first."""
        # Another process may have laid it out since this one looked.
        if manifest is None or is_store(self.path):
            return ZarrStore.open(self.path)
        job, source, asked = self.job, self.job.source, self.job.asked
        facts = {
            "alphabet": source.alphabet.letters,
            "length": source.length,
            "source": source.label,
            "contents": list(asked.contents),
            "both_strands": asked.both_strands,
            "models": [named.label for named in job.models],
        }
        manifest.write(self.path)
        return ZarrStore.create(
            self.path,
            [*layout.record_specs(source.length), *layout.score_specs(scored, asked.dtype, words)],
            sequences=len(source),
            shard_size=job.shard_size,
            coordinates={
                "letter": ("letter", np.array(list(source.alphabet.letters), dtype=str)),
                "position": ("position", np.arange(source.length)),
            },
            attributes=layout.store_attributes(methods, facts),
        )


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows has a count of its own
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
