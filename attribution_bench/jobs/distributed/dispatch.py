"""Dispatch: pieces of work over the workers of a cluster, each tried again elsewhere a bounded number of times."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cloudpickle
from distributed import Future

from attribution_bench.errors import AttributionBenchError, ClusterError
from attribution_bench.jobs.distributed import worker_job
from attribution_bench.jobs.distributed.cluster import Cluster
from attribution_bench.jobs.distributed.known_workers import KnownWorkers, suited
from attribution_bench.jobs.distributed.limits import ToldLimits
from attribution_bench.jobs.distributed.opening import Openings
from attribution_bench.jobs.distributed.pace import Pace
from attribution_bench.jobs.distributed.pieces import MOST_LEFT, Done, Flight, GivenUp, NotReady, Piece
from attribution_bench.jobs.distributed.posting import UnansweredError, new_name, post, silent, withdraw
from attribution_bench.jobs.distributed.tasks import Tasks
from attribution_bench.jobs.distributed.worker_job import Failure, Parcel, Report, WorkerJob
from attribution_bench.jobs.events import Caution, Event, Retry
from attribution_bench.jobs.interruption import Stop, never

MOST_GIVEN_UP = 3
"""Pieces that may be given up before any is done."""
MOST_GIVEN_UP_LATER = 100
"""Pieces that may be given up one after the other, with none done between, before the job ends: a stretch of the
sequences may be bad, but where everything has begun to fail, going on would be of no use."""
FROZEN_TIMES, FROZEN_SECONDS = 2.0, 60.0
"""A process of this machine that sends no heartbeats is killed once a piece has taken so many times its limit, and so
many seconds more: it should have ended by itself, but one that is stopped cannot."""
NEED = "need this version of attribution-bench and its libraries"


class Dispatch:
    """Hands out the pieces of one job, which is posted to every worker as this is entered.

    Parameters
    ----------
    cluster
        The cluster.
    parcel
        The job; pickled once.
    environment
        Variables of the workers.
    tell
        Told of tries that failed, and of workers that are given no more.
    stop
        Asked whether to stop while no worker has the job, or has begun.
    alike
        Whether pieces take about as long as each other, so that one that takes many times as long is taken for hung.
    share
        Given the order and the record of a piece that is done, returns how much there was to compute, as a share of the
        largest piece; by default it is as much for each.
    """

    def __init__(
        self,
        cluster: Cluster,
        parcel: Parcel,
        environment: Mapping[str, str],
        tell: Callable[[Event], None],
        stop: Stop = never,
        *,
        alike: bool = True,
        share: Callable[[Any, Any], float] = lambda order, record: 1.0,
    ) -> None:
        self._cluster, self._client, self._tell, self._stop = cluster, cluster.client, tell, stop
        self._job = WorkerJob(_pickled(parcel), environment, cluster.is_local)
        self._pace, self._share = Pace(cluster.time_limit, alike), share
        self._workers = KnownWorkers(cluster, tell)
        self._tasks = Tasks(cluster, self._workers, new_name(self._client))
        self._limits = ToldLimits(self._client, self._tasks.name, self._pace)
        self._openings = Openings(cluster, self._workers, self._tasks, tell, stop)
        self._done = self._given_up = self._given_up_in_a_row = 0

    def __enter__(self) -> "Dispatch":
        try:
            refused = self._posted()
        except KeyboardInterrupt:
            withdraw(self._client, self._tasks.name)
            raise
        except Exception as error:  # what is raised on the scheduler may be anything
            withdraw(self._client, self._tasks.name)
            raise ClusterError(
                f"the cluster at {self._cluster.address} cannot take the job ({type(error).__name__}: {error}); its "
                f"scheduler and its workers {NEED}"
            ) from error
        failures = [
            Failure(f"it cannot take the job ({type(error).__name__}: {error}); workers {NEED}", worker)
            for worker, error in refused.items()
        ]
        if failures and set(refused) >= self._workers.known():
            withdraw(self._client, self._tasks.name)
            raise ClusterError(f"no worker can do the job: {failures[0].error}")
        for failure in failures:
            self._workers.exclude(failure)
            self._workers.tell_excluded(failure)
        return self

    def __exit__(self, *error: object) -> None:
        self._tasks.cancel(self._openings.at_work)
        withdraw(self._client, self._tasks.name)

    def _posted(self) -> Mapping[str, Exception]:
        """Post the job; returns why workers cannot take it."""
        try:
            return post(self._client, self._job, self._tasks.name, self._stop)
        except UnansweredError:
            names = ", ".join(self._client.run_on_scheduler(silent))
            self._tell(Caution(f"not every worker answers{names and ': '}{names}; going on with the others"))
            return {}

    @property
    def workers(self) -> int:
        """Workers that there are."""
        return len(self._workers.known())

    def facts(self) -> Any:
        """Open the job on every worker, and return what the first of them says; raises as `Openings.first`."""
        return self._openings.first()

    def run(
        self, pieces: Iterable[Piece | NotReady | None], stopped: Callable[[], bool], done_before: int = 0
    ) -> Iterator[Done | GivenUp | None]:
        """Do pieces, and yield each as it is done or given up; they are taken as there are workers for them.

        Parameters
        ----------
        pieces
            The pieces, which may be endless; a None among them is yielded at once, and after a `NotReady` the next is
            asked for once another piece has ended.
        stopped
            Asked whether to hand out no more; those that workers are at are waited for.
        done_before
            Pieces that earlier runs did. Where there are some, those that are left may all be bad.

        Raises
        ------
        AttributionBenchError
            The job ends as it would in one process; or every piece fails, and none was done before or for long.
        ClusterError
            The cluster is lost, or every worker fails.
        """
        self._done = max(self._done, done_before)
        fresh, again = iter(pieces), deque[Flight]()
        flying: dict[Future, Flight] = {}
        more = True
        try:
            while True:
                leave = stopped()
                self._limits.tell(self._without_limit(flying))
                self._kill_frozen(flying.values())
                self._openings.meet()  # that there are no workers any more is told also where nothing is handed out
                at_work = {future: flight.worker for future, flight in flying.items()}
                for future, how in self._tasks.departed({**self._openings.at_work, **at_work}):
                    if future not in flying:
                        self._openings.take_in_departed(future, how)
                        continue
                    lost = flying.pop(future)
                    failure = self._tasks.charged(how, lost.started, lost.limit or self._pace.limit)
                    if (given_up := self._tried(lost, failure, again)) is not None:
                        yield given_up
                while not leave and (more or again) and (free := self._free(flying)):
                    usable = self._workers.usable(self._openings.workers)
                    choices = ((one, suited(one, free, usable)) for one in again)
                    flight, workers = next((pair for pair in choices if pair[1]), (None, free))
                    if flight is not None:
                        again.remove(flight)
                        self._hand_out(flight, workers, flying)
                        continue
                    try:
                        piece = next(fresh) if more else NotReady()
                    except StopIteration:
                        more = False
                        break
                    if isinstance(piece, NotReady):
                        break
                    if piece is None:
                        yield None
                    else:
                        self._hand_out(Flight(piece), free, flying)
                # Where there are no workers any more, nobody is at what was handed out.
                if (leave and not (flying and self._workers.known())) or not (flying or more or again):
                    return
                ended = self._tasks.next_ended()
                if ended is None:
                    self._openings.tell_how_long()
                    continue
                if ended.future not in flying:
                    self._openings.take_in(ended)
                    continue
                flight = flying.pop(ended.future)
                if self._tasks.only_waited(ended.future, (*flying, *self._openings.at_work)):
                    again.appendleft(flight)
                    continue
                found = self._tasks.outcome(ended, flight.started, flight.limit or self._pace.limit)
                if isinstance(found, Report):
                    yield self._finished(flight, found)
                elif (given_up := self._tried(flight, found, again)) is not None:
                    yield given_up
        finally:
            self._tasks.cancel(flying)

    def _free(self, flying: Mapping[Future, Flight]) -> set[str]:
        """Return the workers that are to be given a piece; raises as `KnownWorkers.free`."""
        self._openings.meet()
        usable = self._workers.usable(self._openings.workers)
        return self._workers.free(usable, [flight.worker for flight in flying.values()])

    def _without_limit(self, flying: Mapping[Future, Flight]) -> frozenset[str]:
        """Return the workers that have a piece without a time limit."""
        return self._workers.known().intersection(flight.worker for flight in flying.values() if flight.limit is None)

    def _kill_frozen(self, flights: Iterable[Flight]) -> None:
        """Kill the processes of this machine that could not end themselves at the limit of their pieces."""
        if not self._cluster.is_local:
            return
        now, overdue = time.monotonic(), set[str]()
        for flight in flights:
            limit = flight.limit or self._pace.limit
            if limit is not None and now - flight.started > FROZEN_TIMES * limit + FROZEN_SECONDS:
                overdue.add(flight.worker)
        if overdue:
            with contextlib.suppress(OSError):  # as in `KnownWorkers.known`
                for worker in overdue.intersection(self._client.run_on_scheduler(silent)):
                    self._cluster.kill(worker)

    def _hand_out(self, flight: Flight, workers: set[str], flying: dict[Future, Flight]) -> None:
        """Hand a piece to one of some free workers."""
        flight.started, flight.limit, flight.worker = time.monotonic(), self._pace.limit, min(workers)
        piece = flight.piece
        order = piece.order, flight.limit, flight.worker
        flying[self._tasks.submit(worker_job.do, flight.worker, *order, what=piece.name)] = flight

    def _finished(self, flight: Flight, report: Report) -> Done:
        seconds = time.monotonic() - flight.started
        self._done += 1
        self._given_up_in_a_row = 0
        self._workers.end_row(report.worker, flight.piece.name)
        self._pace.note(seconds, self._share(flight.piece.order, report.record))
        return Done(flight.piece, report.record, seconds)

    def _tried(self, flight: Flight, failure: Failure, again: deque[Flight]) -> GivenUp | None:
        """Have a piece of which a try failed tried again; return it where it is given up.

        Raises
        ------
        AttributionBenchError
            The whole job is to end.
        """
        if failure.fatal is not None and not failure.unable:
            raise failure.fatal
        piece = flight.piece
        if not failure.tries:
            flight.left += 1
            if flight.left <= MOST_LEFT:
                again.appendleft(flight)
                return None
            failure = replace(failure, error=f"{failure.error}, {flight.left} times", tries=1)
        flight.tried.add(failure.worker or failure.machine)
        # A worker that could do no piece says nothing of this one.
        flight.failed += 0 if failure.unable else failure.tries
        if failure.unable or not piece.failed_before:
            self._workers.take_in(failure, piece.name)
        if flight.failed < self._cluster.tries:
            self._tell(Retry(piece.name, flight.failed, failure.error, failure.worker))
            again.append(flight)
            return None
        self._given_up += 1
        self._workers.take_in_bad(piece.name)
        if not self._done and self._given_up >= MOST_GIVEN_UP:
            raise AttributionBenchError(
                f"none of the first {self._given_up} pieces of work could be done: {failure.error}"
            )
        self._given_up_in_a_row += not piece.failed_before
        if self._given_up_in_a_row >= MOST_GIVEN_UP_LATER:
            raise AttributionBenchError(
                f"none of the last {self._given_up_in_a_row} pieces of work could be done: {failure.error}; finished "
                "work is kept, so that the same command goes on"
            )
        return GivenUp(piece, failure.error, failure.of_output)


def never_stopped() -> bool:
    """Go on waiting."""
    return False


def _pickled(parcel: Parcel) -> bytes:
    try:
        data: bytes = cloudpickle.dumps(parcel)
    except Exception as error:  # an object of the user's or of a framework may fail in any way
        raise AttributionBenchError(
            f"the job cannot be sent to other processes ({type(error).__name__}: {error}); name the model by a file, "
            "package.module:callable or an architecture, so that each process opens it itself"
        ) from error
    return data
