"""Running a job: shard after shard from a source into a store, from wherever an earlier run stopped."""

import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attribution_bench.environment import current_threads, thread_count
from attribution_bench.errors import InvalidInputError, JobWarning, OutputError, SequenceError, SetAsideError
from attribution_bench.foreign_warnings import OWN
from attribution_bench.jobs import layout
from attribution_bench.jobs.blocks import Blocks
from attribution_bench.jobs.contents import Values
from attribution_bench.jobs.events import Caution, Event, Observer, ShardDone, Started, Summary, Working
from attribution_bench.jobs.interruption import Stop, never
from attribution_bench.jobs.job import Job, assumptions, checked_shards, manifest_of
from attribution_bench.jobs.lock import LOCK, locked
from attribution_bench.jobs.manifest import FILE, Manifest, check_same
from attribution_bench.jobs.scoring import Block, MethodScorer, Scored
from attribution_bench.jobs.shards import Shard
from attribution_bench.jobs.survey import Survey, digest_of, read_shard, survey
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.sequences.source import Reason
from attribution_bench.storage.durable import PARTIAL
from attribution_bench.storage.record_arrays import SET_ASIDE
from attribution_bench.storage.zarr_store import ZarrStore, is_store
from attribution_bench.timer import CLOCK, Clock

OUT_OF_MEMORY = "memory ran out; going on with smaller blocks, in which predictions may round otherwise"


def run(
    job: Job,
    path: Path,
    *,
    strict: bool = False,
    restart: bool = False,
    observer: Observer | None = None,
    stop: Stop = never,
    clock: Clock = CLOCK,
) -> Summary:
    """Do what is left of a job.

    Parameters
    ----------
    job
        The job.
    path
        Folder of its store. One that holds the beginning of the same job is gone on with.
    strict
        Raise instead of setting a sequence aside.
    restart
        Begin anew; a store that is there is kept under another name.
    observer
        Told what happens; without one, cautions are warnings.
    stop
        Asked before each shard.
    clock
        Times the shards.

    Raises
    ------
    InvalidInputError
        What is asked for cannot be done, or the folder holds another job; the difference is shown.
    SetAsideError
        With `strict`, a sequence cannot be scored.
    OutputError
        The folder holds something else, is in use by another run, or cannot be written.
    AttributionBenchError
        Memory is too small for one sequence.
    """
    tell: Observer = observer or _warn_of_cautions
    shards = checked_shards(job)
    found = survey(job.source, shards)
    if strict and found.set_aside:
        raise SetAsideError(
            f"{_counted(found.set_aside, found.examples)} cannot be scored; nothing was done, as --strict asks"
        )
    kept = _keep_aside(path) if restart and path.exists() else None
    new = not path.exists()
    _check_folder(path)
    try:
        with locked(path):
            return _Run(job, path, shards, found, strict, tell, stop, clock).run()
    finally:
        # What failed before anything was to be kept leaves nothing, and what was there before in its place.
        if new and path.is_dir() and [entry.name for entry in path.iterdir()] == [LOCK]:
            shutil.rmtree(path, ignore_errors=True)
            if kept is not None:
                kept.rename(path)


class _Run:
    """One run of a job, which holds the lock on its store."""

    def __init__(
        self,
        job: Job,
        path: Path,
        shards: Sequence[Shard],
        found: Survey,
        strict: bool,
        tell: Callable[[Event], None],
        stop: Stop,
        clock: Clock,
    ) -> None:
        self.job, self.path, self.shards, self.found = job, path, shards, found
        self.strict, self.tell, self.stop, self.clock = strict, tell, stop, clock
        self.models = [named.model for named in job.models]
        stored = Manifest.read(path)
        machine = stored.machine if stored else {"threads": None, "options": {}}
        self.scorers = [
            MethodScorer(name, choice, self.models, machine["options"].get(name), job.asked)
            for name, choice in job.methods.items()
        ]
        self.threads = job.threads or machine["threads"] or current_threads(self.models[0].framework)
        taken = {"threads": self.threads, "options": {s.name: s.machine_options for s in self.scorers}}
        self.manifest = manifest_of(job, shards, found.digests, taken)
        if stored is not None:
            check_same(stored, self.manifest, path)
            if machine["threads"] != self.threads:
                raise InvalidInputError(
                    f"{path} was begun on {machine['threads']} threads, on which the rounding of numbers depends, not "
                    f"{self.threads}; leave out the number of threads to go on with them"
                )
        self.store = ZarrStore.open(path) if is_store(path) else None
        self.blocks = Blocks(job.shard_size, job.batch_size, self._shrunk)
        self.cautions: set[str] = set()

    def run(self) -> Summary:
        """Do the shards that are not finished."""
        finished = self.store.finished() if self.store is not None else frozenset()
        before = sum(len(shard) for shard in self.shards if shard.index in finished)
        self.tell(
            Started(
                self.path,
                tuple(self.job.methods),
                len(self.job.source),
                len(self.shards),
                len(finished),
                before,
                self.found.duplicates,
                dict(self.found.set_aside),
                dict(self.found.examples),
            )
        )
        for text in assumptions(self.job):
            self._caution(text, text)
        todo = [shard for shard in self.shards if shard.index not in finished]
        if self.store is None:
            # The store is laid out by the first scores that there are.
            todo.sort(key=lambda shard: (shard.index != self.found.first_scorable, shard.index))
        began, done, signal = self.clock(), before, None
        with thread_count(self.models[0].framework, self.threads):
            for shard in todo:
                signal = self.stop()
                if signal is not None:
                    break
                start = self.clock()
                set_aside = self._do(shard, done)
                done += len(shard)
                self.tell(ShardDone(shard.index, done, len(self.job.source), self.clock() - start, set_aside))
        summary = self._summary(before, done, self.clock() - began, signal.name if signal is not None else None)
        self.tell(summary)
        return summary

    def _do(self, shard: Shard, done: int) -> Mapping[str, int]:
        """Read, score and write one shard; returns what was set aside of it."""
        job, source = self.job, self.job.source
        records = read_shard(source, shard)
        if digest_of(records) != self.manifest.shards[shard.index]:
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
                result = self._score(scorer, block, index, done, len(shard))
                scored |= result.arrays
                words |= {name: scorer.words(one, result) for name, one in result.arrays.items()}
                methods[scorer.name] = result.metadata
                halvings = max(halvings, result.halvings)
        if self.store is None:
            self.store = self._create(scored, methods, words)
        bad = layout.not_finite(scored, len(rows))
        if bad and self.strict:
            row, names = next(iter(bad.items()))
            raise SetAsideError(
                f"sequence {shard.start + rows[row]} ({records[rows[row]].name}): {Reason.NOT_FINITE} ({names}); "
                "stopped, as --strict asks. Finished shards are kept"
            )
        for one in scored.values():
            one.array[list(bad)] = np.nan
        failed = {rows[row]: names for row, names in bad.items()}
        arrays = layout.record_arrays(records, source.alphabet, source.length, failed)
        set_aside = Counter(word for word in arrays[SET_ASIDE] if word)
        arrays |= layout.score_arrays(scored, rows, len(records), self.store.specs())
        facts: dict[str, Any] = {"scored": len(rows) - len(bad), "set_aside": dict(set_aside)}
        if self.blocks.halvings or halvings:
            facts["halvings of the block"] = self.blocks.halvings + halvings
        self.store.write(shard.index, arrays, facts)
        return dict(set_aside)

    def _score(self, scorer: MethodScorer, block: Block, index: int, done: int, size: int) -> Scored:
        """Score a shard by one method, and pass on its warnings once."""
        share = size / len(self.scorers)

        def progress(part: int, of: int) -> None:
            self.tell(Working(done + share * (index + part / max(1, of))))

        caught: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True) as caught:
                # Every shard may repeat them; the first of each is told.
                for category in (*OWN, JobWarning):
                    warnings.simplefilter("always", category)
                scored = self.blocks.score(scorer, block, progress)
        finally:
            self._pass_on(caught, scorer)
        if scored.halvings:
            self._caution("memory", OUT_OF_MEMORY)
        return scored

    def _pass_on(self, caught: Sequence[warnings.WarningMessage], scorer: MethodScorer) -> None:
        """Tell warnings of a method, and warn of others, each once."""
        for warning in caught:
            if issubclass(warning.category, OWN):
                kind, text = f"{scorer.name} {warning.category.__name__}", f"{scorer.name}: {warning.message}"
                self._caution(kind, text, warning.category)
            elif str(warning.message) not in self.cautions:
                self.cautions.add(str(warning.message))
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)

    def _shrunk(self, sequences: int) -> None:
        self._caution("memory", f"{OUT_OF_MEMORY} ({sequences} sequences at a time now)")

    def _caution(self, kind: str, text: str, category: type[Warning] = JobWarning) -> None:
        """Tell something once."""
        if kind not in self.cautions:
            self.cautions.add(kind)
            self.tell(Caution(text, category))

    def _create(
        self,
        scored: Mapping[str, Values],
        methods: Mapping[str, Mapping[str, Any]],
        words: Mapping[str, Mapping[str, Any]],
    ) -> ZarrStore:
        """Write the manifest and lay out the store for arrays as they were scored first."""
        job, source, asked = self.job, self.job.source, self.job.asked
        facts = {
            "alphabet": source.alphabet.letters,
            "length": source.length,
            "source": source.label,
            "contents": list(asked.contents),
            "both_strands": asked.both_strands,
            "models": [named.label for named in job.models],
        }
        self.manifest.write(self.path)
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

    def _summary(self, before: int, done: int, seconds: float, signal: str | None) -> Summary:
        total = len(self.job.source)
        scored, set_aside = 0, Counter[str]()
        for facts in self.store.facts(self.store.marked()) if self.store is not None else ():
            scored += facts["scored"]
            set_aside.update(facts["set_aside"])
        return Summary(
            self.path,
            total,
            scored,
            dict(set_aside),
            self.found.duplicates,
            resumed_from=before,
            left=total - done,
            seconds=seconds,
            seconds_per_100_sequences=100 * seconds / (done - before) if done > before else None,
            halvings=self.blocks.halvings,
            stopped_by=signal,
        )


def _warn_of_cautions(event: Event) -> None:
    """Warn of what an observer would be told to be careful of."""
    if isinstance(event, Caution):
        warnings.warn(event.text, event.category, stacklevel=2)


def _check_folder(path: Path) -> None:
    """Raise OutputError where a folder holds something else than a job's store."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; give the folder of a store")
    entries = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if Manifest.read(path) is None and entries - {LOCK, FILE + PARTIAL}:
        raise OutputError(f"{path} holds other files, and no job; give a new folder")


def _keep_aside(path: Path) -> Path:
    """Rename a store that is not to be gone on with; returns its new name."""
    _check_folder(path)
    number = 1
    while (kept := path.with_name(f"{path.name}.old-{number}")).exists():
        number += 1
    with locked(path):
        try:
            path.rename(kept)
        except OSError as error:
            raise OutputError(f"cannot rename {path} to {kept}: {error.strerror or error}") from error
    return kept


def _counted(reasons: Mapping[str, int], examples: Mapping[str, str]) -> str:
    return "; ".join(
        f"{count} sequences: {reason}" + (f" ({examples[reason]})" if reason in examples else "")
        for reason, count in reasons.items()
    )
