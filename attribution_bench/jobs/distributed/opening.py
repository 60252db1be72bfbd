"""Opening a job on the workers of a cluster: those that there are as it begins, and those that come later."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from distributed import Future

from attribution_bench.errors import ClusterError
from attribution_bench.jobs.distributed import worker_job
from attribution_bench.jobs.distributed.cluster import Cluster
from attribution_bench.jobs.distributed.departures import Departures
from attribution_bench.jobs.distributed.known_workers import KnownWorkers
from attribution_bench.jobs.distributed.pieces import MOST_LEFT
from attribution_bench.jobs.distributed.posting import has_begun
from attribution_bench.jobs.distributed.tasks import Ended, Tasks
from attribution_bench.jobs.distributed.worker_job import Failure, Report
from attribution_bench.jobs.events import Caution, Event, Retry
from attribution_bench.jobs.interruption import Stop

BUSY_SECONDS = 10.0
"""Seconds without a worker that has begun, after which it is said that they are busy with other work."""
LONG_SECONDS = 300.0
"""Seconds in which no worker has opened the job, after which that is said, and again each time that they double."""


class Openings:
    """The tasks by which workers open one job before they have a piece.

    Parameters
    ----------
    cluster
        The cluster.
    workers
        Its workers.
    tasks
        Those of the job.
    tell
        Told of what is waited for, and of workers that cannot open it.
    stop
        Asked whether to stop while no worker has begun.
    """

    def __init__(
        self, cluster: Cluster, workers: KnownWorkers, tasks: Tasks, tell: Callable[[Event], None], stop: Stop
    ) -> None:
        self._cluster, self._workers, self._tasks, self._tell, self._stop = cluster, workers, tasks, tell, stop
        self._opening: dict[Future, str] = {}
        self._met: set[str] = set()
        self._died = self._left = 0
        self._useless_since: float | None = None
        self._said_after = 0.0

    @property
    def at_work(self) -> Mapping[Future, str]:
        """The tasks that have not ended, each with its worker."""
        return self._opening

    @property
    def workers(self) -> Collection[str]:
        """The workers that are at it."""
        return self._opening.values()

    def first(self) -> Any:
        """Open the job on every worker that there is, and return what the first of them says of itself.

        Raises
        ------
        KeyboardInterrupt
            A signal came before any worker began.
        ClusterError
            No worker can open the job, the cluster is lost, or processes of this machine do not come again.
        """
        known = self._workers.known()
        if not known:
            self._tell(Caution(f"there are no workers at {self._cluster.address} yet; waiting for the first"))
        # Without a worker Dask is given the task all the same: a cluster that grows with its work starts one for it.
        self._open_on(self._workers.able() or {""})
        failure = Failure("there is none", "")
        unable: dict[str, Failure] = {}
        since, told, died, left = time.monotonic(), not known, 0, 0
        while self._opening:
            ended = self._tasks.next_ended()
            if ended is None:
                failures = [self._lost(*gone) for gone in self._tasks.departed(self._opening)]
                if not failures:
                    # Those that came may not wait for one that hangs: it has the task that was for whichever comes.
                    if "" in self.workers:
                        self.meet()
                    told = self._told_that_none_began(since, told)
                    self.tell_how_long()
                    continue
            else:
                found = self._taken(ended)
                if isinstance(found, Report):
                    for one in unable.values():
                        self._workers.tell_excluded(one)
                    self._met.add(found.worker)
                    return found.record
                failures = [found]
            for failure in failures:
                died = max(died, failure.tries if failure.machine else 0)
                left = max(left, not failure.tries)
                if failure.worker:
                    self._workers.exclude(failure)
                    unable[failure.worker] = failure
            # Where processes died or left the others are unable: those that are there now, or come again, are tried.
            if self._opening or not died + left:
                continue
            self._died, self._left = self._died + died, self._left + left
            if self._died < self._cluster.tries and self._left <= MOST_LEFT:
                if died:
                    self._tell(Retry("opening the job", self._died, failure.error))
                died = left = 0
                self._open_on(self._workers.able() if self._workers.known() else {""})
        # What no worker can do is one error, and no matter of each.
        raise failure.fatal or ClusterError(f"no worker can do the job: {failure.error}")

    def meet(self) -> None:
        """Have the workers that came meanwhile open the job: one that hangs then has no piece.

        Where too many processes died as they did so, the others open it with a piece, which is charged with their end.
        """
        able = self._workers.able()
        if self._died < self._cluster.tries:
            self._open_on(able - self._met)

    def tell_how_long(self) -> None:
        """Say how long every worker has been opening the job, where that is long.

        There is no limit to it: a model may take hours to come over a network. Workers on which another job's tasks are
        before this one's have not begun, which is said otherwise.
        """
        now = time.monotonic()
        if not self._opening or self._workers.usable(self.workers) or not self._workers.able():
            self._useless_since, self._said_after = None, 0.0
            return
        self._useless_since = self._useless_since or now
        seconds = now - self._useless_since
        if seconds < max(LONG_SECONDS, 2 * self._said_after):
            return
        self._said_after = seconds
        with contextlib.suppress(OSError):  # as in `KnownWorkers.known`
            if not self._cluster.client.run_on_scheduler(has_begun, [future.key for future in self._opening]):
                return
            count = len({*self.workers} & self._workers.known())
            which = "the only worker" if count == 1 else f"all {count:,} workers"
            self._tell(
                Caution(
                    f"{which} began to open the job, and none has done so in {_words(seconds)}; waiting on, since a "
                    "large model may take as long to come over a network. Otherwise look at the workers' logs and "
                    "folders, and stop this run: the same command goes on"
                )
            )

    def take_in(self, ended: Ended) -> None:
        """Take in what came of opening the job on a worker that came later."""
        found = self._taken(ended)
        if isinstance(found, Failure):
            self._failed(found)

    def take_in_departed(self, future: Future, how: Departures) -> None:
        """Take in that a worker is gone that was at it; see `Tasks.departed`."""
        self._failed(self._lost(future, how))

    def _failed(self, failure: Failure) -> None:
        self._died += failure.tries if failure.machine else 0
        self._workers.take_in(failure)

    def _lost(self, future: Future, how: Departures) -> Failure:
        del self._opening[future]
        return self._tasks.charged(how)

    def _open_on(self, workers: Iterable[str]) -> None:
        """Have workers open the job, those of any name where it is empty."""
        for worker in sorted(workers):
            self._met.add(worker)
            future = self._tasks.submit(worker_job.facts, worker, what="opening")
            self._opening[future] = worker

    def _taken(self, ended: Ended) -> Report | Failure:
        found = self._tasks.outcome(ended)
        # A result that is held is computed again where its worker dies.
        self._opening.pop(ended.future, None)
        return found

    def _told_that_none_began(self, since: float, told: bool) -> bool:
        """Say after some time that no worker has begun to open the job; returns whether that, or the like, is said.

        Raises
        ------
        KeyboardInterrupt
            A signal came, and none has.
        """
        asked = self._stop() is not None
        if not asked and (told or time.monotonic() - since < BUSY_SECONDS):
            return told
        with contextlib.suppress(OSError):  # as in `KnownWorkers.known`
            if self._cluster.client.run_on_scheduler(has_begun, [future.key for future in self._opening]):
                return told
        if asked:
            raise KeyboardInterrupt
        self._tell(
            Caution(
                "no worker has begun yet: they may be busy with other work, such as what a killed run left; waiting"
            )
        )
        return True


def _words(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
