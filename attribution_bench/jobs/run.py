"""Running a job: shard after shard from a source into a store, from wherever an earlier run stopped."""

import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from attribution_bench.errors import InvalidInputError, OutputError, SetAsideError
from attribution_bench.jobs import failed_shards
from attribution_bench.jobs.events import (
    Caution,
    Event,
    Observer,
    Retry,
    ShardDone,
    ShardFailed,
    Started,
    Summary,
    warn_of_cautions,
)
from attribution_bench.jobs.interruption import Stop, never
from attribution_bench.jobs.job import Job, assumptions, checked_shards, manifest_of
from attribution_bench.jobs.lock import LOCK, locked
from attribution_bench.jobs.manifest import FILE, Manifest, check_same
from attribution_bench.jobs.runner import Begun, InProcess, Runner, ShardError
from attribution_bench.jobs.shard_work import ShardRecord
from attribution_bench.jobs.shards import Shard
from attribution_bench.jobs.survey import Survey, survey
from attribution_bench.storage.durable import PARTIAL
from attribution_bench.storage.places import is_remote, remove_tree
from attribution_bench.storage.zarr_store import ZarrStore, is_store
from attribution_bench.timer import CLOCK, Clock


def run(
    job: Job,
    path: Path,
    *,
    strict: bool = False,
    restart: bool = False,
    observer: Observer | None = None,
    stop: Stop = never,
    clock: Clock = CLOCK,
    runner: Runner | None = None,
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
        Times the run, and the shards that this process does.
    runner
        What computes the shards; this process by default.

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
    tell: Observer = observer or warn_of_cautions
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
        with locked(path) as check_lock:
            started = _Run(job, path, shards, found, strict, tell, stop, clock, runner or InProcess(clock), check_lock)
            return started.run()
    finally:
        # What failed before anything was to be kept leaves nothing, and what was there before in its place.
        if new and path.is_dir() and [entry.name for entry in path.iterdir()] == [LOCK]:
            remove_tree(path)
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
        runner: Runner,
        check_lock: Callable[[], None],
    ) -> None:
        self.job, self.path, self.shards, self.found, self.runner = job, path, shards, found, runner
        self.tell, self.stop, self.clock, self.check_lock = tell, stop, clock, check_lock
        self.cautions: set[str] = set()
        self.signal: signal.Signals | None = None
        self.retries = 0
        stored = Manifest.read(path)
        machine = stored.machine if stored else {"threads": None, "options": {}}
        begun = Begun(job, path, strict, machine["threads"], machine["options"], self._passed_on, self._caution)
        self.taken = runner.begin(begun)
        given = {"threads": self.taken.threads, "options": self.taken.options}
        self.manifest = manifest_of(job, shards, found.digests, self.taken.device, given)
        if stored is not None:
            check_same(stored, self.manifest, path)
            if machine["threads"] != self.taken.threads:
                raise InvalidInputError(
                    f"{path} was begun on {machine['threads']} threads, on which the rounding of numbers depends, not "
                    f"{self.taken.threads}; leave out the number of threads to go on with them"
                )

    def run(self) -> Summary:
        """Do the shards that are not finished, or were set aside by an earlier run."""
        store = self._store()
        finished = frozenset[int]() if store is None else store.finished()
        if store is not None:
            marked = sorted(finished)
            finished -= {
                shard for shard, facts in zip(marked, store.facts(marked), strict=True) if failed_shards.ERROR in facts
            }
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
            self._caution(text, Caution(text))
        todo = [shard for shard in self.shards if shard.index not in finished]
        if store is None:
            # The store is laid out by the first scores that there are.
            todo.sort(key=lambda shard: (shard.index != self.found.first_scorable, shard.index))
        began, done, total = self.clock(), before, len(self.job.source)
        records: list[ShardRecord] = []
        failed: dict[int, str] = {}
        for record in self.runner.run(todo, self.manifest, self._stopped):
            done += len(self.shards[record.shard])
            if isinstance(record, ShardError):
                failed[record.shard] = record.error
                failed_shards.write(self.job, self._opened(), self.shards[record.shard], record.error)
                self.tell(ShardFailed(record.shard, done, total, record.error))
                continue
            records.append(replace(record, cautions={}))
            for kind, caution in record.cautions.items():
                self._caution(kind, caution)
            self.tell(ShardDone(record.shard, done, total, record.seconds, record.set_aside))
        summary = self._summary(before, done, self.clock() - began, records, failed)
        self.tell(summary)
        return summary

    def _store(self) -> ZarrStore | None:
        return ZarrStore.open(self.path) if is_store(self.path) else None

    def _opened(self) -> ZarrStore:
        return ZarrStore.open(self.path)

    def _stopped(self) -> bool:
        """Ask whether to stop; once the answer is yes it stays so."""
        self.check_lock()
        if self.signal is None:
            self.signal = self.stop()
        return self.signal is not None

    def _passed_on(self, event: Event) -> None:
        self.retries += isinstance(event, Retry)
        self.tell(event)

    def _caution(self, kind: str, caution: Caution) -> None:
        """Tell something once."""
        if kind not in self.cautions:
            self.cautions.add(kind)
            self.tell(caution)

    def _summary(
        self, before: int, done: int, seconds: float, records: Sequence[ShardRecord], failed: Mapping[int, str]
    ) -> Summary:
        total = len(self.job.source)
        scored, set_aside = 0, Counter[str]()
        store = self._store()
        for facts in store.facts(store.marked()) if store is not None else ():
            scored += facts["scored"]
            set_aside.update(facts["set_aside"])
        starting = [record for record in records if record.starting]
        later = [record for record in records if not record.starting]
        rated, rated_seconds = done - before, seconds
        # Where several processes start, the others work meanwhile.
        alone = len(starting) == 1 and bool(later)
        if alone:
            rated, rated_seconds = rated - self._records_of(starting), seconds - starting[0].seconds
        counted = later or records
        computed = self._records_of(counted)
        core_seconds = self.taken.threads * sum(record.seconds for record in counted)
        return Summary(
            self.path,
            total,
            scored,
            dict(set_aside),
            self.found.duplicates,
            resumed_from=before,
            left=total - done,
            seconds=seconds,
            seconds_per_100_sequences=100 * rated_seconds / rated if rated else None,
            halvings=max((record.halvings for record in records), default=0),
            stopped_by=None if self.signal is None else self.signal.name,
            failed_shards=dict(failed),
            retries=self.retries,
            core_seconds_per_sequence=core_seconds / computed if computed else None,
            seconds_include_starting=bool(starting) and not alone,
            core_seconds_include_starting=bool(starting) and not later,
            peak_bytes=max((record.peak_bytes for record in records), default=0),
        )

    def _records_of(self, records: Sequence[ShardRecord]) -> int:
        return sum(len(self.shards[record.shard]) for record in records)


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
    if is_remote(path):
        raise OutputError(f"{path} cannot be kept under another name there; give another --output, or remove it")
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
