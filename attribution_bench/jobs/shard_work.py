"""Work on shards: each is read, scored on its models, and written, in whichever process that is."""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from attribution_bench.errors import AttributionBenchError, OutputError, SequenceError, SetAsideError
from attribution_bench.jobs import layout
from attribution_bench.jobs.contents import narrowed
from attribution_bench.jobs.elsewhere import here
from attribution_bench.jobs.events import Caution
from attribution_bench.jobs.failed_shards import computed
from attribution_bench.jobs.file_rows import FileRows
from attribution_bench.jobs.further_inputs import rows_digest
from attribution_bench.jobs.grid import Task
from attribution_bench.jobs.job import Job
from attribution_bench.jobs.manifest import Manifest, check_same
from attribution_bench.jobs.member import Members, MemberScores, Watcher
from attribution_bench.jobs.scoring import Block
from attribution_bench.jobs.shards import Shard
from attribution_bench.jobs.stored_sums import StoredSums
from attribution_bench.jobs.sums import Sums
from attribution_bench.jobs.survey import digest_of, read_shard
from attribution_bench.jobs.track_rows import TrackRows
from attribution_bench.sequences.source import Reason, SourceRecord
from attribution_bench.storage.record_arrays import SET_ASIDE
from attribution_bench.storage.zarr_store import ZarrStore, is_store
from attribution_bench.timer import CLOCK, Clock


@dataclass(frozen=True)
class ShardRecord:
    """What is told of a task that was done; its arrays are in the store."""

    shard: int
    seconds: float
    """Reading, scoring and writing."""
    set_aside: Mapping[str, int]
    """Reason -> records; of a shard that is written."""
    halvings: int = 0
    """How often the process has halved its blocks so far because memory ran out."""
    peak_bytes: int = 0
    """Most memory that the process has held so far; 0 where the system does not tell."""
    starting: bool = False
    """Whether it is the first that its process did: what is done at the first use of a method is in its seconds."""
    cautions: Mapping[str, Caution] = field(default_factory=dict)
    """Kind -> what a reader of the scores should know, where nobody was told of it yet."""
    is_written: bool = True
    """Whether the shard is written; otherwise there are sums, to which other models are still to be added."""
    computed: int = 0
    """Sequences that models were asked of: none where all are set aside beforehand, or the task was done already."""


@dataclass(frozen=True)
class Scorable:
    """The records of a shard, and which of them have a sequence to score."""

    shard: Shard
    records: Sequence[SourceRecord]
    rows: Sequence[int]
    """Of those that are scored, among the records."""

    def name(self, row: int) -> str:
        """Return which record a scored one is."""
        return f"sequence {self.shard.start + self.rows[row]} ({self.records[self.rows[row]].name})"


class ShardWork:
    """The work of a process on a job: its models and methods, and the store that their scores go to.

    Parameters
    ----------
    job
        The job.
    path
        Folder of its store.
    machine_options
        Method -> options that an earlier run of the job took from its machine; what is missing is taken from this one.
    watcher
        Told of the task in work.
    strict
        Raise instead of setting a sequence aside.
    clock
        Times the tasks.
    check_lock
        Called before something is written; raises OutputError where the lock on the store was lost. A process that has
        none, as its client holds it, has only what `bind` gives it.

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
        check_lock: Callable[[], None] = lambda: None,
    ) -> None:
        self.job, self.path, self._strict, self._clock = job, path, strict, clock
        self._check_lock = check_lock
        self.members = Members(job, machine_options, watcher)
        self.store = ZarrStore.open(path) if is_store(path) else None
        self._sums = StoredSums(path)
        self._identity: str | None = None
        self._started = False

    def bind(self, identity: str) -> None:
        """Read and write only the store of one job, given by the SHA-256 of its manifest.

        Another run may begin another job's at the same path while this process computes: where its client was killed,
        nothing else tells it so.
        """
        if identity != self._identity:
            self._identity, self.store = identity, None
            self._sums = StoredSums(self.path, identity)

    def finished(self, task: Task) -> ShardRecord | None:
        """Return the record of a task whose work is in the store already, and was computed; None of any other."""
        # Another process may have laid it out since this one looked.
        if self.store is None and is_store(self.path):
            self.store = ZarrStore.open(self.path, self._identity)
        if self.store is None:
            return None
        shard = task.shard.index
        facts = computed(self.store, shard)
        if facts is not None:
            return ShardRecord(shard, 0.0, facts["set_aside"])
        if not task.is_last and any(count >= task.models.stop for count in self._sums.counts(shard)):
            return ShardRecord(shard, 0.0, {}, is_written=False)
        return None

    def do(
        self, task: Task, digest: str, manifest: Manifest | None, rows: Mapping[str, str] = MappingProxyType({})
    ) -> ShardRecord:
        """Read the records of a shard, score them on some models, and write what these and those before them make.

        Parameters
        ----------
        task
            The shard and its models. After the last one the shard is written, before that sums over the models.
        digest
            SHA-256 of its records as the manifest has it.
        manifest
            Written, and the store laid out for the shard's arrays, where there is no store yet.
        rows
            Further input -> SHA-256 of its rows for the shard, where it is known.

        Raises
        ------
        SequenceError
            The source has changed.
        SetAsideError
            A sequence cannot be scored, and the work is strict.
        InvalidInputError
            Models give different arrays.
        OutputError
            The store cannot be written, or the sums over the models before are not there.
        AttributionBenchError
            A further input has changed, or is another one in this process; memory is too small for one sequence, or
            whatever a method raises.
        """
        try:
            return self._done(task, digest, manifest, rows)
        except OutputError:
            # What another run has done is none of this one's.
            self._check_lock()
            # Another process may have done it meanwhile and removed what this one needed: the client of a killed run is
            # gone, and its workers are not.
            there = self.finished(task)
            if there is None:
                raise
            return there

    def _done(self, task: Task, digest: str, manifest: Manifest | None, rows: Mapping[str, str]) -> ShardRecord:
        start = self._clock()
        source = self.job.source
        records = read_shard(source, task.shard)
        if digest_of(records) != digest:
            raise SequenceError(f"{source.label} has changed while the job ran; give the file as it was, or begin anew")
        found = Scorable(task.shard, records, [row for row, one in enumerate(records) if one.sequence is not None])
        # A shard without anything to score needs no model.
        sums, member = Sums(), None
        if found.rows:
            sums, member = self._added(task, found, manifest, rows)
        starting = bool(found.rows) and not self._started
        self._started |= starting
        is_written = task.is_last or not found.rows
        set_aside: Mapping[str, int] = {}
        if is_written:
            set_aside = self._write(found, sums, member, manifest)
            if task.models.start:
                self._sums.remove(task.shard.index)
        else:
            self._laid_out(member, manifest).check_there()
            self._sums.write(task.shard.index, sums)
        seconds, halved = self._clock() - start, self.members.halvings
        record = ShardRecord(task.shard.index, seconds, set_aside, halved, peak_memory_bytes(), starting)
        return replace(record, is_written=is_written, computed=len(found.rows))

    def _added(
        self, task: Task, found: Scorable, manifest: Manifest | None, rows: Mapping[str, str]
    ) -> tuple[Sums, MemberScores]:
        """Return the sums with the models of a task, and what the last of them found."""
        sums = self._sums.read(task.shard.index, task.models.start)
        self.members.open(task.models)
        block = self._block(found, rows)
        for before, place in enumerate(task.models):
            with self.members.named(place):
                member = self.members.score(place, block, before, len(task.models))
                bad = layout.not_finite({name: one.array for name, one in member.arrays.items()}, len(found.rows))
                label = self.members.label(place)
                self._set_aside(
                    sums, found, {row: f"{names} of {label}" if label else names for row, names in bad.items()}
                )
                sums.add(member.arrays)
                sums.halvings = max(sums.halvings, member.halvings)
                if self.job.asked.members:
                    self._write_member(place, found, member, manifest)
        return sums, member

    def _block(self, found: Scorable, digests: Mapping[str, str]) -> Block:
        job, stretch = self.job, slice(found.shard.start, found.shard.stop)
        strings = [record.sequence for record in found.records if record.sequence is not None]
        read = {name: np.asarray(array[stretch]) for name, array in job.extras.items()}
        for name, rows in read.items():
            if name in digests and rows_digest(rows) != digests[name]:
                # No error of what was asked for, which would end the job: it may be a matter of this worker alone.
                raise AttributionBenchError(
                    f"the further input {name!r}{_file_of(job.extras[name])} has other values {here()} than where the "
                    "job was started, or has changed while it ran; give the same file everywhere, as it was, or begin "
                    "anew"
                )
        extras = tuple(rows[list(found.rows)] for rows in read.values())
        turned = tuple(
            array.other_strand(extra) if isinstance(array, TrackRows) else extra
            for array, extra in zip(job.extras.values(), extras, strict=True)
        )
        return Block(job.source.alphabet.one_hot(strings), extras, turned)

    def _set_aside(self, sums: Sums, found: Scorable, bad: Mapping[int, str]) -> None:
        """Set records aside whose numbers are not finite, given with where; raises SetAsideError where strict."""
        for row, words in bad.items():
            if self._strict:
                raise SetAsideError(
                    f"{found.name(row)}: {Reason.NOT_FINITE} ({words}); stopped, as --strict asks. "
                    "Finished shards are kept"
                )
            sums.bad.setdefault(row, words)

    def _write_member(self, place: int, found: Scorable, member: MemberScores, manifest: Manifest | None) -> None:
        """Write a model's own values."""
        dtype, shard = self.job.asked.dtype, found.shard
        stored = {name: narrowed(name, one.array, dtype) for name, one in member.arrays.items()}
        store = self._laid_out(member, manifest)
        for name, values in stored.items():
            part = np.full((len(shard), *values.shape[1:]), np.nan, dtype=dtype)
            part[list(found.rows)] = values
            store.write_part(f"{name}{layout.MEMBERS}", slice(shard.start, shard.stop), place, part)

    def _write(
        self, found: Scorable, sums: Sums, member: MemberScores | None, manifest: Manifest | None
    ) -> Mapping[str, int]:
        """Write a shard to which every model is added; returns why records are set aside, each with their number."""
        shard, rows, source = found.shard, found.rows, self.job.source
        results = sums.results()
        self._set_aside(
            sums, found, layout.not_finite({name: one.array for name, one in results.items()}, len(found.rows))
        )
        bad = sorted(sums.bad)
        scored = {name: narrowed(name, _without(one.array, bad), self.job.asked.dtype) for name, one in results.items()}
        store = self._laid_out(member, manifest)
        specs = store.specs()
        arrays = layout.record_arrays(
            found.records,
            source.alphabet,
            source.length,
            {rows[row]: (Reason.NOT_FINITE, words) for row, words in sums.bad.items()},
        )
        set_aside = Counter(word for word in arrays[SET_ASIDE] if word)
        arrays |= layout.score_arrays(scored, rows, len(shard), specs)
        blank = [slice(shard.start + rows[row], shard.start + rows[row] + 1) for row in bad]
        if not rows:
            blank = [slice(shard.start, shard.stop)]
        layout.blank_members(store, blank)
        facts: dict[str, Any] = {"scored": len(rows) - len(bad), "set_aside": dict(set_aside)}
        if sums.halvings:
            facts["halvings of the block"] = sums.halvings
        store.write(shard.index, arrays, facts)
        return dict(set_aside)

    def _laid_out(self, member: MemberScores | None, manifest: Manifest | None) -> ZarrStore:
        """Return the store, laid out for the arrays of a model as they were scored first where there is none yet.

        Whatever is written goes there.
        """
        self._check_lock()
        if self.store is None:
            # Another process may have laid it out since this one looked.
            if manifest is None or is_store(self.path):
                self.store = ZarrStore.open(self.path, self._identity)
            else:
                self.store = self._create(member, manifest)
        return self.store

    def _create(self, member: MemberScores | None, manifest: Manifest) -> ZarrStore:
        """Write the manifest and lay out the store."""
        job, source, asked = self.job, self.job.source, self.job.asked
        facts = {
            "alphabet": source.alphabet.letters,
            "length": source.length,
            "source": source.label,
            "contents": list(asked.contents),
            "both_strands": asked.both_strands,
            "models": [named.label for named in job.models],
        }
        arrays, words, methods = (member.arrays, member.words, member.methods) if member is not None else ({}, {}, {})
        stored = Manifest.read(self.path)
        if stored is not None:
            # Another run may have begun another job there.
            check_same(stored, manifest, self.path)
        manifest.write(self.path)
        return ZarrStore.create(
            self.path,
            [
                *layout.record_specs(source.length),
                *layout.score_specs(arrays, asked.dtype, words, len(job.models), asked.members),
            ],
            sequences=len(source),
            shard_size=job.shard_size,
            coordinates={
                "letter": ("letter", np.array(list(source.alphabet.letters), dtype=str)),
                "position": ("position", np.arange(source.length)),
            },
            attributes=layout.store_attributes(methods, facts),
            identity=self._identity,
        )


def _file_of(rows: "NDArray[Any] | TrackRows") -> str:
    """Return the files that rows are read from, for a message; nothing where they are in memory."""
    if isinstance(rows, TrackRows):
        return f" ({', '.join(map(str, rows.tracks.paths))})"
    return f" ({rows.file})" if isinstance(rows, FileRows) and rows.file else ""


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows has a count of its own
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _without(array: NDArray[Any], rows: Sequence[int]) -> NDArray[Any]:
    """Return an array without the numbers of some rows."""
    if not rows:
        return array
    found = array.copy()
    found[list(rows)] = np.nan
    return found
