"""Tasks of a job: each is handed to a worker, and the client takes in what came of it."""

import contextlib
import queue
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from distributed import Future

from attribution_bench.jobs.distributed.cluster import Cluster, cancelled_tasks, lost_scheduler
from attribution_bench.jobs.distributed.deaths import Deaths, death_of, machine_of
from attribution_bench.jobs.distributed.departures import Departures, departures
from attribution_bench.jobs.distributed.known_workers import KnownWorkers
from attribution_bench.jobs.distributed.worker_job import Failure, Report

POLL_SECONDS = 0.5
"""Longest wait before the client looks whether it is to stop."""
LEFT = Failure("its worker left the cluster before it was done", "", tries=0)
"""How a task ended whose workers all left as planned, which is none of its tries."""


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
        self._number, self._asked = 0, -inf

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
                raise lost_scheduler(self._cluster.address) from None
            return None
        return ended

    def departed(self, tasks: Mapping[Future, str]) -> list[tuple[Future, Departures]]:
        """Withdraw those of some tasks that have not ended while their worker has; they are to be handed out anew.

        Parameters
        ----------
        tasks
            Task -> the worker that it was handed to.
        """
        known = self._workers.known()
        gone = {future.key: future for future, worker in tasks.items() if worker and worker not in known}
        if not gone or not known or time.monotonic() - self._asked < POLL_SECONDS:
            return []
        self._asked = time.monotonic()
        found = [(gone[one.key], one) for one in self._departures(list(gone)) if one.is_open]
        self._withdrawn.update(one.key for _, one in found)
        self.cancel(future for future, _ in found)
        return found

    def only_waited(self, future: Future, others: Iterable[Future]) -> bool:
        """Tell whether a task only waited at a process that died of another one."""
        death = death_of(future)
        if death is None or not self._deaths.spares(death, others):
            return False
        self._workers.look_again()
        return True

    def charged(self, how: Departures, started: float = 0.0, limit: float | None = None) -> Failure:
        """Return how a task failed whose worker is gone; see `outcome`."""
        self._workers.look_again()
        if not how.died:
            return LEFT
        return self._deaths.charged(how.key, how.died, how.machine, _overdue(started, limit))

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
            The cluster is lost, or others cancelled the task.
        """
        if ended.found is not None:
            return ended.found
        future = ended.future
        if future.status in ("cancelled", "lost", "pending"):
            raise cancelled_tasks(self._cluster)
        if future.status == "finished":
            found: Report | Failure = future.result()
            return found
        death = death_of(future)
        if death is None:
            self._workers.look_again()
            error = future.exception()
            return Failure(f"{type(error).__name__}: {error}", "")
        how = next(iter(self._departures([future.key])), None)
        if how is None or not how.died + how.left:  # the scheduler has it from its own count alone
            machine = machine_of(death.last_worker.address)
            how = Departures(future.key, "erred", death.allowed_failures + 1, 0, machine)
        return self.charged(how, started, limit)

    def _departures(self, keys: list[str]) -> list[Departures]:
        with contextlib.suppress(OSError):  # as in `KnownWorkers.known`
            found: list[Departures] = self._client.run_on_scheduler(departures, keys)
            return found
        return []

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


def _overdue(started: float, limit: float | None) -> float | None:
    """Return a time limit that is over; None where it is not."""
    return limit if limit is not None and time.monotonic() - started >= limit else None
