"""Tasks of a job: each is handed to a worker, and the client takes in what came of it."""

import contextlib
import queue
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from distributed import Future

from attribution_bench.errors import ClusterError
from attribution_bench.jobs.distributed.cluster import Cluster
from attribution_bench.jobs.distributed.deaths import Deaths, death_of
from attribution_bench.jobs.distributed.known_workers import KnownWorkers
from attribution_bench.jobs.distributed.posting import without_worker
from attribution_bench.jobs.distributed.worker_job import Failure, Report

POLL_SECONDS = 0.5
"""Longest wait before the client looks whether it is to stop."""
STRANDED = Failure("its process ended, as did all others: they were killed, crashed or took too much memory", "")
"""How a task failed that Dask gives to nobody any more."""


@dataclass(frozen=True)
class Ended:
    """A task that ended."""

    future: Future
    found: Report | Failure | None
    """Its result, where it has one that could be fetched."""


class Tasks:
    """The tasks of one job.

    Parameters
    ----------
    cluster
        The cluster.
    workers
        Its workers.
    name
        The job's.
    """

    def __init__(self, cluster: Cluster, workers: KnownWorkers, name: str) -> None:
        self._cluster, self._client, self._workers, self.name = cluster, cluster.client, workers, name
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._withdrawn: set[str] = set()
        """Keys of tasks that nobody waits for any more."""
        self._deaths = Deaths()
        self._number = 0

    def submit(self, function: Callable[..., Any], worker: str, *arguments: Any, what: str) -> Future:
        """Hand a task to a worker, or to any where it is none; to another one where it is gone by then.

        Parameters
        ----------
        function
            Given the job's name and the arguments.
        worker
            Address of the worker, or nothing.
        *arguments
            Of the function.
        what
            Words for the task's key, each of which is its own: a try is not an earlier one.
        """
        self._number += 1
        some = [worker] if worker else None
        future = self._client.submit(
            function,
            self.name,
            *arguments,
            pure=False,
            key=f"{what.replace(' ', '-')}-{self.name}-{self._number}",
            workers=some,
            allow_other_workers=some is not None,
        )
        future.add_done_callback(self._fetch)
        return future

    def cancel(self, futures: Iterable[Future]) -> None:
        """Let go of tasks as the job ends; a cluster that is lost, or ends now, has nothing to be told any more."""
        if some := list(futures):
            with contextlib.suppress(Exception):
                self._client.cancel(some, force=True)

    def next_ended(self) -> Ended | None:
        """Return a task that ended; None where none did for a while, and the caller is to look at other things.

        Raises
        ------
        ClusterError
            The cluster is lost.
        """
        try:
            while (ended := self._ended.get(timeout=POLL_SECONDS)).future.key in self._withdrawn:
                continue
        except queue.Empty:
            if self._client.status not in ("running", "connecting"):
                raise self._lost() from None
            return None
        return ended

    def stranded(self, tasks: Mapping[Future, str]) -> list[Future]:
        """Withdraw those of some tasks whose workers were replaced by others, and return them.

        Dask moves a task to another worker where its own ends, but gives it to none of those that come after the last
        one has ended.
        """
        known = self._workers.known()
        gone = {future.key: future for future, worker in tasks.items() if worker and worker not in known}
        if not gone or not known:
            return []
        keys: list[str] = []
        with contextlib.suppress(OSError):  # as in `KnownWorkers.known`
            keys = self._client.run_on_scheduler(without_worker, list(gone))
        self._withdrawn.update(keys)
        found = [gone[key] for key in keys]
        self._client.cancel(found)
        return found

    def only_waited(self, future: Future, others: Iterable[Future]) -> bool:
        """Tell whether a task only waited at a process that died of another one."""
        death = death_of(future)
        if death is None or not self._deaths.spares(death, others):
            return False
        self._workers.look_again()
        return True

    def outcome(self, ended: Ended, started: float = 0.0, limit: float | None = None) -> Report | Failure:
        """Return what a task came to.

        Parameters
        ----------
        ended
            The task.
        started
            When it was handed out.
        limit
            Its time limit in seconds; None where it has none.

        Raises
        ------
        ClusterError
            The cluster is lost.
        """
        if ended.found is not None:
            return ended.found
        future = ended.future
        if future.status in ("cancelled", "lost", "pending"):
            raise self._lost()
        if future.status == "finished":
            found: Report | Failure = future.result()
            return found
        self._workers.look_again()
        death = death_of(future)
        if death is None:
            error = future.exception()
            return Failure(f"{type(error).__name__}: {error}", "")
        overdue = limit is not None and time.monotonic() - started >= limit
        return self._deaths.charged(death, limit if overdue else None)

    def _fetch(self, future: Future) -> None:
        """Have the result of a task that ended fetched, in the client's own thread."""
        self._client.loop.add_callback(self._fetched, future)

    async def _fetched(self, future: Future) -> None:
        """Put a task among those that ended, with its result.

        That is a round trip to the worker that has it. Results of many are fetched at once: one after the other they
        would bound how many pieces a second there can be.
        """
        found = None
        try:
            if future.status == "finished":
                found = await future
        except (Exception, CancelledError):  # its status then says what became of it
            found = None
        self._ended.put(Ended(future, found))

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"the Dask scheduler at {self._cluster.address} is lost; finished work is kept, so that the same command "
            "goes on"
        )
