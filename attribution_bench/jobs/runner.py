"""Runners: what computes the shards of a job, this process or others."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from attribution_bench.environment import current_threads, thread_count
from attribution_bench.errors import AttributionBenchError
from attribution_bench.jobs.events import Caution, Event, Working
from attribution_bench.jobs.grid import Grid, Task
from attribution_bench.jobs.job import Job, ModelFacts
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.shard_work import ShardRecord, ShardWork
from attribution_bench.jobs.shards import Shard
from attribution_bench.timer import Clock

MachineOptions = Mapping[str, Mapping[str, Any]]
"""Method -> options that follow the machine."""


@dataclass(frozen=True)
class Begun:
    """What a runner is told of a job before it starts."""

    job: Job
    path: Path
    """Folder of the store."""
    strict: bool
    stored_threads: int | None
    """Threads on which the store was begun; None where it is new."""
    stored_options: MachineOptions
    """Options that the store's first run took from its machine."""
    models: Sequence[ModelFacts]
    """What is known of the models."""
    tell: Callable[[Event], None]
    caution: Callable[[str, Caution], None]
    """Takes what is to be told once of its kind."""
    check_lock: Callable[[], None]
    """Raises OutputError where the lock on the store was lost."""


@dataclass(frozen=True)
class Taken:
    """What the processes that compute have of their machine; numbers may depend on it, so that the manifest has it."""

    threads: int
    options: MachineOptions
    device: str
    precision: Mapping[str, Any]
    """How precisely the framework computes there; see `SequenceModel.precision_state`."""


@dataclass(frozen=True)
class ShardError:
    """A shard of which every try of a task failed."""

    shard: int
    error: str


@dataclass(frozen=True)
class Todo:
    """What is to be done of a job."""

    shards: Sequence[Shard]
    """Those that are not finished, in the order in which they are begun."""
    begun: Mapping[int, int]
    """Shard -> models that an earlier run added to it, where any."""
    model_groups: Sequence[range]
    """The models, divided into those that a process opens together."""
    identity: str
    """SHA-256 of the manifest that the store has, or will have."""
    failed: Collection[int] = ()
    """Shards that an earlier run gave up."""
    rows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further input -> SHA-256 of each shard's rows, see `rows_digest`."""
    blank: Collection[int] = ()
    """Those without a sequence to score, by which no store is laid out."""

    def grid(self, processes: int) -> Grid:
        """Return the tasks for a number of processes."""
        return Grid(self.shards, self.begun, self.model_groups, processes)

    def rows_of(self, task: Task) -> dict[str, str]:
        """Return the SHA-256 of the rows of each further input for the shard of a task."""
        return {name: digests[task.shard.index] for name, digests in self.rows.items()}

    def added(self) -> float:
        """Return what earlier runs did of shards that are not finished, as a number of records with every model."""
        models = self.model_groups[-1].stop
        return sum(len(shard) * self.begun.get(shard.index, 0) / models for shard in self.shards)


class Runner(Protocol):
    """Computes the shards of one job."""

    def begin(self, begun: Begun) -> Taken:
        """Get ready; raises whatever shows that the job cannot be done."""
        ...

    def run(
        self, todo: Todo, manifest: Manifest, stopped: Callable[[], bool]
    ) -> Iterator[tuple[Task, ShardRecord | ShardError]]:
        """Do the tasks of shards, and yield each as it is done; those of a shard come in their order.

        Parameters
        ----------
        todo
            What is to be done; where there is no store yet, the first task lays it out.
        manifest
            Of the job.
        stopped
            Asked before each task whether to leave the rest.
        """
        ...


class InProcess:
    """Computes shards one after the other in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def begin(self, begun: Begun) -> Taken:
        """Bind the methods to the models; see `Runner`."""
        job, self._begun = begun.job, begun
        self._done = 0.0
        self._task: Task | None = None
        self._work = ShardWork(
            job,
            begun.path,
            begun.stored_options,
            self,
            strict=begun.strict,
            clock=self._clock,
            check_lock=begun.check_lock,
        )
        members = self._work.members
        threads = job.threads or begun.stored_threads or current_threads(members.framework)
        self._taken = Taken(threads, members.machine_options, members.device, members.precision)
        return self._taken

    def run(
        self, todo: Todo, manifest: Manifest, stopped: Callable[[], bool]
    ) -> Iterator[tuple[Task, ShardRecord | ShardError]]:
        """Do tasks; see `Runner`."""
        self._done = len(self._begun.job.source) - sum(map(len, todo.shards)) + todo.added()
        grid = todo.grid(1)
        self._work.bind(todo.identity)
        with thread_count(self._work.members.framework, self._taken.threads):
            for task in grid.tasks():
                if task is None or stopped():
                    return
                self._task = task
                try:
                    record = self._work.do(task, manifest.shards[task.shard.index], manifest, todo.rows_of(task))
                except AttributionBenchError:
                    raise
                except Exception as error:  # the model's code, or that of a method or a target, raises anything
                    error.add_note(
                        f"while shard {task.shard.index} was computed, records {task.shard.start + 1} to "
                        f"{task.shard.stop}; what was written before is kept. A process of its own (--workers 1) "
                        "sets a shard aside that fails, and goes on"
                    )
                    raise
                grid.done(task, record.is_written)
                yield task, record
                self._done += task.records()

    def part(self, share: float) -> None:
        """Tell how far the task in work is."""
        if self._task is not None:
            self._begun.tell(Working(self._done + share * self._task.records()))

    def caution(self, kind: str, caution: Caution) -> None:
        """Pass a caution on."""
        self._begun.caution(kind, caution)
