"""Runners: what computes the shards of a job, this process or others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from attribution_bench.environment import current_threads, thread_count
from attribution_bench.jobs.events import Caution, Event, Working
from attribution_bench.jobs.job import Job
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
    tell: Callable[[Event], None]
    caution: Callable[[str, Caution], None]
    """Takes what is to be told once of its kind."""


@dataclass(frozen=True)
class Taken:
    """What the processes that compute have of their machine; numbers may depend on it, so that the manifest has it."""

    threads: int
    options: MachineOptions
    device: str


@dataclass(frozen=True)
class ShardError:
    """A shard of which every try failed."""

    shard: int
    error: str


class Runner(Protocol):
    """Computes the shards of one job."""

    def begin(self, begun: Begun) -> Taken:
        """Get ready; raises whatever shows that the job cannot be done."""
        ...

    def run(
        self, todo: Sequence[Shard], manifest: Manifest, stopped: Callable[[], bool]
    ) -> Iterator[ShardRecord | ShardError]:
        """Compute shards, and yield each as it is written, in any order.

        Parameters
        ----------
        todo
            Shards that are not finished; where there is no store yet, the first one lays it out.
        manifest
            Of the job.
        stopped
            Asked before each shard whether to leave the rest.
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
        self._shard: Shard | None = None
        self._work = ShardWork(job, begun.path, begun.stored_options, self, strict=begun.strict, clock=self._clock)
        model = job.models[0].model
        threads = job.threads or begun.stored_threads or current_threads(model.framework)
        self._taken = Taken(threads, self._work.machine_options, model.device)
        return self._taken

    def run(
        self, todo: Sequence[Shard], manifest: Manifest, stopped: Callable[[], bool]
    ) -> Iterator[ShardRecord | ShardError]:
        """Compute shards; see `Runner`."""
        job = self._begun.job
        left = sum(map(len, todo))
        self._done = len(job.source) - left
        with thread_count(job.models[0].model.framework, self._taken.threads):
            for shard in todo:
                if stopped():
                    return
                self._shard = shard
                yield self._work.do(shard, manifest.shards[shard.index], manifest)
                self._done += len(shard)

    def part(self, share: float) -> None:
        """Tell how far the shard in work is."""
        self._begun.tell(Working(self._done + share * len(self._shard or ())))

    def caution(self, kind: str, caution: Caution) -> None:
        """Pass a caution on."""
        self._begun.caution(kind, caution)
