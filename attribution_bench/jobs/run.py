"""Running a job: shard after shard from a source into a store, from wherever an earlier run stopped."""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from attribution_bench.errors import AttributionBenchError, InvalidInputError, OutputError, SetAsideError
from attribution_bench.jobs import failed_shards
from attribution_bench.jobs.events import (
    Caution,
    Event,
    ModelsAdded,
    Observer,
    Retry,
    ShardDone,
    ShardFailed,
    Started,
    Summary,
    warn_of_cautions,
)
from attribution_bench.jobs.further_inputs import read_through
from attribution_bench.jobs.grid import Task
from attribution_bench.jobs.interruption import Stop, never
from attribution_bench.jobs.job import Job, ModelFacts, assumptions, checked_models, checked_shards, manifest_of
from attribution_bench.jobs.lock import LOCK, locked
from attribution_bench.jobs.manifest import FILE, Manifest, check_same
from attribution_bench.jobs.open_models import OpenModels, model_groups
from attribution_bench.jobs.runner import Begun, InProcess, Runner, ShardError, Todo
from attribution_bench.jobs.shard_work import ShardRecord
from attribution_bench.jobs.shards import Shard
from attribution_bench.jobs.stored_sums import StoredSums
from attribution_bench.jobs.survey import Survey, survey
from attribution_bench.storage.durable import is_partial, writing
from attribution_bench.storage.identity import manifest_digest
from attribution_bench.storage.places import is_remote, remove_tree
from attribution_bench.storage.zarr_store import GROUP, ZarrStore, is_store, remove_partial_layout
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
    job = replace(job, models=OpenModels.of(job.models))
    models = checked_models(job)
    found = survey(job.source, shards)
    if strict and found.set_aside:
        raise SetAsideError(
            f"{_counted(found.set_aside, found.examples)} cannot be scored; nothing was done, as --strict asks"
        )
    kept = _keep_aside(path) if restart and path.exists() else None
    new = not path.exists()
    _check_folder(path)
    is_own = False
    try:
        with locked(path) as check_lock:
            try:
                how = runner or InProcess(clock)
                started = _Run(job, models, path, shards, found, strict, tell, stop, clock, how, check_lock)
                return started.run()
            finally:
                # Another run that has just begun there has written no more than a lock yet.
                with contextlib.suppress(OutputError):
                    check_lock()
                    is_own = new
                if is_own and os.name != "nt":
                    _undo(path, kept)
    finally:
        if is_own and os.name == "nt":  # where a file that is open, as a lock is, cannot be removed
            _undo(path, kept)


class _Run:
    """One run of a job, which holds the lock on its store."""

    def __init__(
        self,
        job: Job,
        models: Sequence[ModelFacts],
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
        self.models = models
        self.tell, self.stop, self.clock, self.check_lock = tell, stop, clock, check_lock
        self.cautions: set[str] = set()
        self.signal: signal.Signals | None = None
        self.laid_out = False
        self.retries = 0
        self.identity = manifest_digest(path)
        stored = Manifest.read(path)
        machine = stored.machine if stored else {"threads": None, "options": {}}
        begun = Begun(
            job,
            path,
            strict,
            machine["threads"],
            machine["options"],
            models,
            self._passed_on,
            self._caution,
            check_lock,
        )
        self.taken = runner.begin(begun)
        given = {"threads": self.taken.threads, "options": self.taken.options}
        inputs, self.rows = read_through(job.extras, [slice(shard.start, shard.stop) for shard in shards])
        self.manifest = manifest_of(job, models, inputs, found.digests, self.taken.device, self.taken.precision, given)
        if stored is not None:
            check_same(stored, self.manifest, path)
            if machine["threads"] != self.taken.threads:
                raise InvalidInputError(
                    f"{path} was begun on {machine['threads']} threads, on which the rounding of numbers depends, not "
                    f"{self.taken.threads}; leave out the number of threads to go on with them"
                )

    def run(self) -> Summary:
        """Do the shards that are not finished, or were set aside by an earlier run."""
        self.check_lock()
        if manifest_digest(self.path) != self.identity:
            raise OutputError(f"another run has begun to write into {self.path} since this one did; wait for it")
        if not is_store(self.path):
            self.identity = self.manifest.digest()
        store = self._store()
        finished = frozenset[int]() if store is None else store.finished()
        given_up = set[int]()
        if store is None:
            remove_partial_layout(self.path)
        else:
            store.remove_partial()
            marked = sorted(finished)
            given_up = {
                shard for shard, facts in zip(marked, store.facts(marked), strict=True) if failed_shards.ERROR in facts
            }
            finished -= given_up
        before = sum(len(shard) for shard in self.shards if shard.index in finished)
        todo = replace(self._todo(finished, store is None), failed=given_up)
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
                todo.added(),
            )
        )
        for text in assumptions(self.job, self.models):
            self._caution(text, Caution(text))
        began, done, total = self.clock(), before, len(self.job.source)
        # Of shards that are not written, as a number of records with every model.
        added = todo.added()
        records: list[tuple[Task, ShardRecord]] = []
        failed: dict[int, str] = {}
        written = set(finished)
        self.laid_out = store is not None
        for task, record in self._done(todo):
            is_over = isinstance(record, ShardError) or record.is_written
            if isinstance(record, ShardError):
                # A try that was given up may have come to its end all the same.
                facts = failed_shards.computed(self._opened(), record.shard)
                if facts is not None:
                    record = ShardRecord(record.shard, 0.0, facts["set_aside"])
            done += len(task.shard) * is_over
            if is_over:
                written.add(task.shard.index)
            added += -len(task.shard) * task.models.start / task.of if is_over else task.records()
            if isinstance(record, ShardError):
                failed[record.shard] = record.error
                failed_shards.write(self.job, self._opened(), task.shard, record.error)
                first, last = task.shard.start + 1, task.shard.stop
                self.tell(ShardFailed(record.shard, done, total, record.error, first, last))
                continue
            records.append((task, replace(record, cautions={})))
            for kind, caution in record.cautions.items():
                self._caution(kind, caution)
            if len(task.models) < task.of:
                count, seconds = task.models.stop, record.seconds
                self.tell(ModelsAdded(record.shard, count, task.of, done + added, total, seconds))
            if record.is_written:
                self.tell(ShardDone(record.shard, done, total, record.seconds, record.set_aside))
        if written:
            self._check_marked(written)
        if done == total and not failed:
            StoredSums(self.path, self.identity).clear()
        summary = self._summary(before, done, self.clock() - began, records, failed)
        self.tell(summary)
        return summary

    def _done(self, todo: Todo) -> Iterator[tuple[Task, ShardRecord | ShardError]]:
        """Yield what the runner does; raises OutputError where the store was removed meanwhile."""
        try:
            for one in self.runner.run(todo, self.manifest, self._stopped):
                self.laid_out = True
                yield one
        except AttributionBenchError as error:
            if self.laid_out and self._is_gone():
                raise self._removed() from error
            raise

    def _todo(self, finished: Collection[int], is_new: bool) -> Todo:
        """Return what is left to be done."""
        shards = [shard for shard in self.shards if shard.index not in finished]
        if is_new:
            # The store is laid out by the first scores that there are.
            shards.sort(key=lambda shard: (shard.index in self.found.blank, shard.index))
        begun = {} if is_new else StoredSums(self.path, self.identity).begun({shard.index for shard in shards})
        groups = model_groups([facts.weight_bytes for facts in self.models])
        return Todo(shards, begun, groups, self.identity, blank=self.found.blank, rows=self.rows)

    def _store(self) -> ZarrStore | None:
        return ZarrStore.open(self.path, self.identity) if is_store(self.path) else None

    def _opened(self) -> ZarrStore:
        """Return the store, which is laid out; raises OutputError where it was removed since, or begun anew."""
        if self._is_gone():
            raise self._removed()
        self.check_lock()
        return ZarrStore.open(self.path, self.identity)

    def _is_gone(self) -> bool:
        """Tell whether the store, which was laid out, is there no more."""
        # What else goes wrong as it is looked for may be over as the next shard is written.
        with contextlib.suppress(Exception):
            return not all((self.path / name).exists() for name in (FILE, GROUP))
        return False

    def _removed(self) -> OutputError:
        return OutputError(
            f"{self.path}, or {FILE} or {GROUP} in it, is gone: it was removed, or its disk was lost, while this run "
            "wrote; where it comes back, finished shards are kept and the same command goes on; otherwise remove what "
            "may be left of it, and the same command begins again"
        )

    def _check_marked(self, written: Collection[int]) -> None:
        """Raise OutputError where the store lacks a shard that was written into it."""
        store = self._opened()
        unseen = sorted(set(written).difference(store.marked()))
        # Lists of what is in a folder may be older than the files, where several machines share it.
        lost = [shard for shard in unseen if not store.is_finished(shard)]
        if lost:
            raise OutputError(
                f"of the shards that were written into {self.path}, {len(lost)} are gone, the first of them shard "
                f"{lost[0]}: another process changed the store meanwhile; the same command does them again"
            )

    def _stopped(self) -> bool:
        """Ask whether to stop; once the answer is yes it stays so. Raises OutputError where going on is no use."""
        self.check_lock()
        if self.laid_out and not is_remote(self.path) and self._is_gone():
            raise self._removed()
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
        self,
        before: int,
        done: int,
        seconds: float,
        records: Sequence[tuple[Task, ShardRecord]],
        failed: Mapping[int, str],
    ) -> Summary:
        total = len(self.job.source)
        scored, set_aside = 0, Counter[str]()
        store = self._store()
        for facts in store.facts(store.marked()) if store is not None else ():
            scored += facts["scored"]
            set_aside.update(facts["set_aside"])
        starting = [one for one in records if one[1].starting]
        later = [one for one in records if not one[1].starting]
        rated, rated_seconds = _records_of(records), seconds
        # Where several processes start, the others work meanwhile.
        alone = len(starting) == 1 and bool(later)
        if alone:
            rated, rated_seconds = rated - _records_of(starting), seconds - starting[0][1].seconds
        counted = later or records
        computed = _records_of(counted)
        core_seconds = self.taken.threads * sum(record.seconds for _, record in counted)
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
            halvings=max((record.halvings for _, record in records), default=0),
            stopped_by=None if self.signal is None else self.signal.name,
            failed_shards=dict(failed),
            retries=self.retries,
            core_seconds_per_sequence=core_seconds / computed if computed else None,
            seconds_include_starting=bool(starting) and not alone,
            core_seconds_include_starting=bool(starting) and not later,
            peak_bytes=max((record.peak_bytes for _, record in records), default=0),
        )


def _records_of(done: Sequence[tuple[Task, ShardRecord]]) -> float:
    """Return what tasks did, as a number of records with every model."""
    return sum(task.records() for task, _ in done)


def _check_folder(path: Path) -> None:
    """Raise OutputError where a folder holds something else than a job's store."""
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file; give the folder of a store")
    entries = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    left = {name for name in entries if name.startswith(f"{FILE}.") and is_partial(path / name)}
    if Manifest.read(path) is None and entries - {LOCK, *left}:
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


def _undo(path: Path, kept: Path | None) -> None:
    """Leave nothing of what failed before anything was to be kept, and what was there before in its place.

    The lock is still held, so that no other run is about to begin there.
    """
    with writing(path) if is_remote(path) else contextlib.nullcontext():
        is_begun = not path.is_dir() or [entry.name for entry in path.iterdir()] != [LOCK]
        if not is_begun:
            remove_tree(path)
    if not is_begun and kept is not None:
        kept.rename(path)


def _counted(reasons: Mapping[str, int], examples: Mapping[str, str]) -> str:
    return "; ".join(
        f"{count} sequences: {reason}" + (f" ({examples[reason]})" if reason in examples else "")
        for reason, count in reasons.items()
    )
