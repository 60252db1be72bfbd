"""The runner: measures rows of cells in turns, writes a record as each cell ends, and goes on past failures."""

import gc
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from attribution_bench.benchmark.checks import check_sample
from attribution_bench.benchmark.devices import resolve_device
from attribution_bench.benchmark.memory import Peak, watch
from attribution_bench.benchmark.protocol import Plan, Settings, plan_cell
from attribution_bench.benchmark.results import (
    RECORDS,
    OutputCheck,
    Record,
    SequenceSource,
    Status,
    Workload,
    read_record,
    save_record,
)
from attribution_bench.benchmark.workloads import Row, Sample, Work, plan_work
from attribution_bench.description import Description, describe, plain_label
from attribution_bench.environment import (
    Commit,
    Machine,
    describe_machine,
    library_versions,
    source_commit,
    thread_count,
)
from attribution_bench.errors import InvalidInputError, OutputError, SelfCheckError, UnsupportedError
from attribution_bench.models import SequenceModel, Target
from attribution_bench.registry import get_method
from attribution_bench.timer import CLOCK, Clock, timed

FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning)
"""Warnings that say nothing of a measurement."""


class Observer(Protocol):
    """Told how a benchmark goes; draws it, or does nothing."""

    def stage(self, workload: Workload, text: str, behind: float) -> None:
        """Something is measured next; `behind` of the cell, in [0, 1], is done."""

    def finished(self, record: Record, reused: bool) -> None:
        """Tell that a cell ended, or that its record of an earlier run is used."""


class Silence:
    """An observer that does nothing."""

    def stage(self, workload: Workload, text: str, behind: float) -> None:
        """Take no notice of what is measured next."""

    def finished(self, record: Record, reused: bool) -> None:
        """Take no notice of the end of a cell."""


@dataclass(frozen=True)
class Conditions:
    """All that decides a figure besides the workload. Records are used again only where all of it is the same."""

    device: str
    threads: int
    machine: Machine
    versions: dict[str, str]
    commit: Commit | None
    settings: dict[str, Any]

    def made(self, record: Record, sequences: SequenceSource) -> bool:
        """Whether a record was measured under these conditions, on these sequences."""
        mine = (self.device, self.threads, self.machine, self.versions, self.commit, self.settings, sequences)
        theirs = (
            record.device,
            record.threads,
            record.machine,
            record.versions,
            record.commit,
            record.settings,
            record.sequences,
        )
        return mine == theirs


def run_benchmark(
    rows: Iterable[Row],
    folder: str | os.PathLike[str],
    settings: Settings,
    *,
    target: Target = "all",
    device: str | None = None,
    threads: int,
    fresh: bool = False,
    observer: Observer | None = None,
    clock: Clock = CLOCK,
) -> list[Record]:
    """Measure every cell of the rows, and write a record of each to ``folder/records/`` as it ends.

    A cell that fails is recorded with its error. Cells that were measured before under the same conditions are not
    measured again unless `fresh` asks for it. An interruption keeps the records of the cells that have ended.

    Raises
    ------
    OutputError
        The folder cannot be written; nothing has been measured then.
    DeviceError, MissingDependencyError
        A framework or its device is not available.
    InvalidInputError
        Two cells would be stored under one name.
    """
    observer = observer or Silence()
    prepare_folder(folder)
    commit, versions = source_commit(), library_versions()
    described = {**_plain(settings), "target": target if isinstance(target, str | int | None) else repr(target)}
    records: list[Record] = []
    taken: dict[str, Workload] = {}
    for row in rows:
        _check_distinct((_workload(row, method) for method in row.methods), taken)
        where = resolve_device(row.framework, device)
        conditions = Conditions(
            where, threads, describe_machine(where), versions, commit, {**described, "model": row.identity}
        )
        source = SequenceSource(
            row.sequences.source, row.sequences.sha256, len(row.sequences), len(row.sequences.strings[0])
        )
        earlier = {} if fresh else _earlier(row, folder, conditions, source)
        for record in earlier.values():
            observer.finished(record, reused=True)
        records += earlier.values()
        workloads = [_workload(row, method) for method in row.methods if method not in earlier]
        if not workloads:
            continue
        with thread_count(row.framework, threads):
            runner = _RowRunner(row, workloads, settings, target, conditions, source, observer, clock)
            for record in runner.run():
                save_record(record, folder)
                records.append(record)
                observer.finished(record, reused=False)
        gc.collect()
    return records


def _check_distinct(workloads: Iterable[Workload], taken: dict[str, Workload]) -> None:
    """Add cells to those by file name, or raise InvalidInputError; not all file systems tell case apart."""
    for workload in workloads:
        other = taken.setdefault(workload.file_name.casefold(), workload)
        if other != workload:
            raise InvalidInputError(f"{workload} and {other} would be one file; measure them into two folders")


def prepare_folder(folder: str | os.PathLike[str]) -> None:
    """Make the folder and see that it can be written; raises OutputError."""
    try:
        path = Path(folder) / RECORDS
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write to {os.fspath(folder)}: {error.strerror or error}; choose a folder you can write"
        ) from error


@dataclass
class _Cell:
    """A cell while it is measured."""

    workload: Workload
    description: Description
    peak: Peak = field(default_factory=Peak)
    warnings: dict[str, None] = field(default_factory=dict)
    work: Work | None = None
    plan: Plan | None = None
    durations: list[float] = field(default_factory=list)
    sample: Sample | None = None
    check: OutputCheck | None = None
    status: Status = "ok"
    error: str | None = None

    def attempt(self, action: Callable[[], None], device: str) -> None:
        """Do something; an error becomes the cell's status, warnings are kept."""
        if self.status != "ok":
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with watch(self.peak, device):
                    action()
            except Exception as error:  # a method may fail in any way; the failure is the cell's result
                self.fail(error)
        kept = (w for w in caught if not issubclass(w.category, FOR_DEVELOPERS))
        self.warnings |= {f"{w.category.__name__}: {w.message}": None for w in kept}

    def fail(self, error: Exception) -> None:
        """Keep the error's type and message."""
        self.status = "unsupported" if isinstance(error, UnsupportedError) else "failed"
        self.error = f"{type(error).__name__}: {error}"
        self.sample = None


@dataclass
class _RowRunner:
    row: Row
    workloads: Sequence[Workload]
    settings: Settings
    target: Target
    conditions: Conditions
    source: SequenceSource
    observer: Observer
    clock: Clock

    def run(self) -> Iterator[Record]:
        """Prepare every cell, then measure a round of each in turns; yields each record as soon as its cell ends."""
        cells = [_Cell(w, Description(plain_label(w.method), None)) for w in self.workloads]
        try:
            model = self.row.build()
        except Exception as error:  # a model may fail in any way; every cell of the row needs it
            for cell in cells:
                cell.fail(error)
                yield self._record(cell)
            return
        going = []
        for cell in cells:
            cell.attempt(lambda cell=cell: self._prepare(cell, model), self.conditions.device)  # type: ignore[misc]
            if cell.status == "ok":
                going.append(cell)
            else:
                yield self._record(cell)
        while going:
            for cell in tuple(going):
                cell.attempt(lambda cell=cell: self._round(cell), self.conditions.device)  # type: ignore[misc]
                if cell.status != "ok" or (cell.plan and cell.plan.ended(cell.durations)):
                    cell.attempt(lambda cell=cell: self._check(cell), self.conditions.device)  # type: ignore[misc]
                    going.remove(cell)
                    yield self._record(cell)

    def _prepare(self, cell: _Cell, model: SequenceModel) -> None:
        self.observer.stage(cell.workload, "loading", 0.0)
        method = get_method(cell.workload.method)
        cell.description = describe(cell.workload.method, method)
        cell.work = plan_work(method(model), self.row.sequences, self.target)
        cell.plan = plan_cell(
            cell.work,
            self.settings,
            self.clock,
            lambda text, behind: self.observer.stage(cell.workload, text, behind),
        )

    def _round(self, cell: _Cell) -> None:
        work, plan = cell.work, cell.plan
        assert work is not None  # cells that are not prepared have failed
        assert plan is not None
        number = len(cell.durations)
        self.observer.stage(cell.workload, f"round {number + 1}", 0.4 + 0.6 * number / max(plan.rounds, number + 1))
        cell.sample = None  # so that the predictions of two rounds are never held at once
        done = timed(self.clock, lambda: work.do(plan.part, plan.batch_size))
        cell.durations.append(done.seconds)
        cell.sample = done.value

    def _check(self, cell: _Cell) -> None:
        assert cell.work is not None  # only cells that were measured are checked
        assert cell.sample is not None
        cell.check = check_sample(cell.work, cell.sample)
        cell.sample = None
        if not cell.check.passed:
            raise SelfCheckError(
                f"the output check failed: {cell.check.compared}"
                + (f"; the difference is {cell.check.largest_difference:g}" if cell.check.largest_difference else "")
            )

    def _record(self, cell: _Cell) -> Record:
        ok = cell.status == "ok"
        return Record(
            workload=cell.workload,
            status=cell.status,
            error=cell.error,
            durations=tuple(cell.durations) if ok else (),
            done=cell.plan.part if cell.plan and ok else None,
            asked=cell.work.asked if cell.work else None,
            batch_sizes=cell.plan.sweep if cell.plan else (),
            batch_size=cell.plan.batch_size if cell.plan else None,
            device=self.conditions.device,
            threads=self.conditions.threads,
            peak_memory_bytes=cell.peak.bytes or None,
            memory_kind=cell.peak.kind if cell.peak.bytes else None,
            check=cell.check,
            machine=self.conditions.machine,
            versions=self.conditions.versions,
            commit=self.conditions.commit,
            sequences=self.source,
            settings=self.conditions.settings,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            warnings=tuple(cell.warnings),
            label=cell.description.label,
            tags=cell.description.tags,
        )


def _workload(row: Row, method: str) -> Workload:
    return Workload(row.architecture, row.length, row.framework, method, len(row.sequences) if row.counted else None)


def _plain(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON gives them back, so that stored ones compare equal."""
    return {**asdict(settings), "batch_sizes": list(settings.batch_sizes)}


def _earlier(
    row: Row, folder: str | os.PathLike[str], conditions: Conditions, source: SequenceSource
) -> dict[str, Record]:
    """Find the row's records that were measured, and under the same conditions."""
    found = {}
    for method in row.methods:
        path = Path(folder) / RECORDS / _workload(row, method).file_name
        try:
            record = read_record(path)
        except InvalidInputError:
            continue  # missing, or of another schema: it is measured again
        if record.status == "ok" and record.workload == _workload(row, method) and conditions.made(record, source):
            found[method] = record
    return found
