"""Dispatch: pieces of work over the workers of a cluster, each tried again elsewhere a bounded number of times."""

import contextlib
import queue
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import cloudpickle
from distributed import Future

from attribution_bench.errors import AttributionBenchError, ClusterError
from attribution_bench.jobs.distributed import worker_job
from attribution_bench.jobs.distributed.cluster import Cluster
from attribution_bench.jobs.distributed.deaths import Deaths, death_of, machine_of
from attribution_bench.jobs.distributed.pace import Pace
from attribution_bench.jobs.distributed.posting import (
    UnansweredError,
    answered,
    has_begun,
    new_name,
    post,
    silent,
    withdraw,
    without_worker,
)
from attribution_bench.jobs.distributed.worker_job import Failure, Parcel, Report, WorkerJob
from attribution_bench.jobs.events import Caution, Event, Retry
from attribution_bench.jobs.interruption import Stop, never

POLL_SECONDS = 0.5
"""Longest wait before the client looks whether it is to stop."""
WORKERS_SECONDS = 2.0
"""Seconds between two looks at which workers there are."""
RESTART_SECONDS = 180.0
"""Seconds without any process of this machine, after which the job ends. On a cluster workers may come hours later."""
BUSY_SECONDS = 10.0
"""Seconds without a worker that has begun, after which it is said that they are busy with other work."""
PATIENCE_SECONDS = 30.0
"""Seconds without a worker that is not excluded, after which the job ends: workers that were ended come again."""
TELL_SECONDS = 1.0
"""Longest wait until every worker knows the limit of pieces; one that is silent is told as it answers again."""
NEED = "need this version of attribution-bench and its libraries"
MOST_IN_A_ROW = 3
"""Pieces that may fail on a worker one after the other before it is given no more, and that may be given up before any
is done."""
MOST_ON_THE_LAST = 10
"""Pieces that may fail so on the only worker that is left: it is more likely that it is the pieces that are bad."""
STRANDED = Failure("its process ended, as did all others: they were killed, crashed or took too much memory", "")
"""How a piece failed that Dask gives to nobody any more."""


@dataclass(frozen=True)
class Piece:
    """A piece of work."""

    name: str
    """Such as ``shard 17``."""
    order: Any
    """What `Opened.do` is given; a few hundred bytes."""


class NotReady:
    """Stands among pieces for one that depends on a piece which is being done."""


@dataclass(frozen=True)
class GivenUp:
    """A piece that was given up: every try failed."""

    piece: Piece
    error: str
    of_output: bool = False
    """Whether the last try failed as its results could not be written or read."""


@dataclass(frozen=True)
class Done:
    """A piece that is done."""

    piece: Piece
    record: Any
    """What `Opened.do` returned."""
    seconds: float
    """Since it was handed out."""


@dataclass(frozen=True)
class _Ended:
    """A future that ended."""

    future: Future
    found: Report | Failure | None
    """Its result, where it has one that could be fetched."""


@dataclass
class _Flight:
    """A piece that is handed out, or waits for its next try."""

    piece: Piece
    failed: int = 0
    tried: set[str] = field(default_factory=set)
    """Workers on which it failed, and machines where its process died."""
    worker: str = ""
    """The worker that it was handed to, from which Dask may move it; empty where there was none."""
    started: float = 0.0
    limit: float | None = None


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
        Asked whether to stop while no worker has begun.
    alike
        Whether pieces take about as long as each other, so that one that takes many times as long is taken for hung.
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
    ) -> None:
        self._cluster, self._client, self._tell, self._stop = cluster, cluster.client, tell, stop
        self._name = new_name(self._client)
        self._job = WorkerJob(_pickled(parcel), environment, cluster.is_local)
        self._pace = Pace(cluster.time_limit, alike)
        self._broadcast = cluster.time_limit is not None or not alike
        self._ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._in_a_row: dict[str, set[str]] = {}
        self._abandoned: set[str] = set()
        """Keys of tasks that were withdrawn."""
        self._excluded: set[str] = set()
        self._last_error = ""
        self._workers: frozenset[str] = frozenset()
        self._looked = -inf
        self._useless_since: float | None = None
        self._opening: dict[Future, str] = {}
        self._met: set[str] = set()
        self._died_opening = 0
        self._deaths = Deaths()
        self._number = 0
        self._done = self._given_up = 0

    def __enter__(self) -> "Dispatch":
        try:
            refused = self._posted()
        except Exception as error:  # what is raised on the scheduler may be anything
            withdraw(self._client, self._name)
            raise ClusterError(
                f"the cluster at {self._cluster.address} cannot take the job ({type(error).__name__}: {error}); its "
                f"scheduler and its workers {NEED}"
            ) from error
        failures = [
            Failure(f"it cannot take the job ({type(error).__name__}: {error}); workers {NEED}", worker)
            for worker, error in refused.items()
        ]
        if failures and set(refused) >= self._known():
            withdraw(self._client, self._name)
            raise ClusterError(f"no worker can do the job: {failures[0].error}")
        for failure in failures:
            self._excluded.add(failure.worker)
            self._tell(_no_more(failure))
        return self

    def __exit__(self, *error: object) -> None:
        # A cluster that is lost, or ends now, has nothing to be told any more.
        with contextlib.suppress(Exception):
            if self._opening:
                self._client.cancel(list(self._opening), force=True)
        withdraw(self._client, self._name)

    def _posted(self) -> Mapping[str, Exception]:
        """Post the job; returns why workers cannot take it."""
        try:
            return post(self._client, self._job, self._name)
        except UnansweredError:
            names = ", ".join(self._client.run_on_scheduler(silent))
            self._tell(Caution(f"not every worker answers{names and ': '}{names}; going on with the others"))
            return {}

    @property
    def workers(self) -> int:
        """Workers that there are."""
        return len(self._known())

    def facts(self) -> Any:
        """Open the job on every worker that there is, and return what the first of them says of itself.

        Raises
        ------
        KeyboardInterrupt
            A signal came before any worker began.
        ClusterError
            No worker can open the job, or the cluster is lost.
        """
        known = self._known()
        if not known:
            self._tell(Caution(f"there are no workers at {self._cluster.address} yet; waiting for the first"))
        # Without a worker Dask is given the task all the same: a cluster that grows with its work starts one for it.
        self._open_on(known - self._excluded or {""})
        failure = Failure("there is none", "")
        unable: list[Failure] = []
        since, told, died = time.monotonic(), not known, 0
        while self._opening:
            ended = self._next_ended()
            if ended is None:
                stranded = self._stranded(self._opening)
                if not stranded:
                    told = self._told_that_none_began(since, told)
                    continue
                for future in stranded:
                    del self._opening[future]
                failure, died = STRANDED, max(died, STRANDED.tries)
            elif ended.future.key in self._abandoned:
                continue
            else:
                found = self._opened(ended)
                if isinstance(found, Report):
                    for one in unable:
                        self._tell(_no_more(one))
                    self._met.add(found.worker)
                    return found.record
                failure = found
                died = max(died, failure.tries if failure.machine else 0)
                if failure.worker:
                    self._excluded.add(failure.worker)
                    unable.append(failure)
            # Where processes died the others are unable: those that are there now, or come again, are tried.
            if not self._opening and died and self._died_opening + died < self._cluster.tries:
                self._died_opening, died = self._died_opening + died, 0
                self._tell(Retry("opening the job", self._died_opening, failure.error))
                known = self._known()
                self._open_on(known - self._excluded if known else {""})
        # What no worker can do is one error, and no matter of each.
        raise failure.fatal or ClusterError(f"no worker can do the job: {failure.error}")

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
            The job ends as it would in one process; or every piece fails, and none was done before.
        ClusterError
            The cluster is lost, or every worker fails.
        """
        self._done = max(self._done, done_before)
        fresh, again = iter(pieces), deque[_Flight]()
        flying: dict[Future, _Flight] = {}
        more = True
        try:
            while True:
                leave = stopped()
                self._meet()  # that there are no workers any more is told also where there is nothing to hand out
                while not leave and (more or again) and (free := self._free(flying)):
                    suited = ((one, self._suited(one, free)) for one in again)
                    flight, workers = next((pair for pair in suited if pair[1]), (None, free))
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
                        self._hand_out(_Flight(piece), free, flying)
                # Where there are no workers any more, nobody is at what was handed out.
                if (leave and not (flying and self._known())) or not (flying or more or again):
                    return
                ended = self._next_ended()
                if ended is None:
                    for future in self._stranded({future: flight.worker for future, flight in flying.items()}):
                        if (given_up := self._tried(flying.pop(future), STRANDED, again)) is not None:
                            yield given_up
                    continue
                if ended.future.key in self._abandoned:
                    continue
                if ended.future not in flying:
                    opened = self._opened(ended)
                    if isinstance(opened, Failure):
                        self._died_opening += opened.tries if opened.machine else 0
                        self._exclude(opened)
                    continue
                flight = flying.pop(ended.future)
                if self._only_waited(ended.future, flying):
                    again.appendleft(flight)
                    continue
                found = self._outcome(ended, flight.started, flight.limit or self._pace.limit)
                if isinstance(found, Report):
                    yield self._finished(flight, found)
                elif (given_up := self._tried(flight, found, again)) is not None:
                    yield given_up
        finally:
            if flying:
                with contextlib.suppress(Exception):
                    self._client.cancel(list(flying), force=True)

    def _open_on(self, workers: Iterable[str]) -> None:
        """Have workers open the job, those of any name where it is empty."""
        for worker in sorted(workers):
            self._met.add(worker)
            future = self._submit(worker_job.facts, worker, self._name, key=self._key("opening"))
            self._opening[future] = worker
            future.add_done_callback(self._fetch)

    def _meet(self) -> frozenset[str]:
        """Return the workers, and have those that came meanwhile open the job: one that hangs then has no piece.

        Where too many processes died as they did so, the others open it with a piece, which is charged with their end.
        """
        known = self._known()
        if self._died_opening < self._cluster.tries:
            self._open_on(known - self._met - self._excluded)
        return known

    def _stranded(self, tasks: Mapping[Future, str]) -> list[Future]:
        """Withdraw the tasks whose workers were replaced by others, and return them.

        Dask moves a task to another worker where its own ends, but gives it to none of those that come after the last
        one has ended.
        """
        known = self._known()
        gone = {future.key: future for future, worker in tasks.items() if worker and worker not in known}
        if not gone or not known:
            return []
        keys: list[str] = []
        with contextlib.suppress(OSError):  # as in `_known`
            keys = self._client.run_on_scheduler(without_worker, list(gone))
        self._abandoned.update(keys)
        found = [gone[key] for key in keys]
        self._client.cancel(found)
        return found

    def _tried(self, flight: _Flight, failure: Failure, again: deque[_Flight]) -> GivenUp | None:
        """Have a piece of which a try failed tried again; return it where it is given up."""
        self._failed(flight, failure)
        if flight.failed < self._cluster.tries:
            again.append(flight)
            return None
        self._count_given_up(failure)
        return GivenUp(flight.piece, failure.error, failure.of_output)

    def _usable(self) -> set[str]:
        """Return the workers that pieces are given to: those that are not excluded, and not opening the job yet."""
        return {*self._workers} - self._excluded - {*self._opening.values()}

    def _free(self, flying: Mapping[Future, _Flight]) -> set[str]:
        """Return the workers that are to be given a piece: each has one at a time.

        Where a cluster has no workers, one piece is for whichever comes: a cluster that grows with its work starts one.

        Raises
        ------
        ClusterError
            For some time there has been none but excluded workers, or no process of this machine.
        """
        known = self._meet()
        if known - self._excluded:
            self._useless_since = None
            usable = self._usable()
            return usable - {flight.worker for flight in flying.values()} if len(flying) < len(usable) else set()
        self._useless_since = self._useless_since or time.monotonic()
        seconds = time.monotonic() - self._useless_since
        kept = "finished work is kept, so that the same command goes on"
        if known and seconds > PATIENCE_SECONDS:
            raise ClusterError(f"every worker fails, at last with: {self._last_error}; {kept}")
        if self._cluster.is_local and seconds > RESTART_SECONDS:
            raise ClusterError(f"the processes have ended and do not come again; {kept}")
        return set() if known or flying or self._cluster.is_local else {""}

    def _suited(self, flight: _Flight, free: set[str]) -> set[str]:
        """Return the free workers for a further try: none where the piece failed, while there are others, busy or not.

        It goes to another machine than those where its process died, which may be too small for it.
        """
        usable = self._usable()
        elsewhere = {one for one in usable if flight.tried.isdisjoint((one, machine_of(one)))}
        return free & (elsewhere or usable - flight.tried or usable) if usable else free

    def _hand_out(self, flight: _Flight, workers: set[str], flying: dict[Future, _Flight]) -> None:
        """Hand a piece to one of some free workers."""
        flight.started, flight.limit, flight.worker = time.monotonic(), self._pace.limit, min(workers)
        key = self._key(flight.piece.name)
        future = self._submit(worker_job.do, flight.worker, self._name, flight.piece.order, flight.limit, key=key)
        flying[future] = flight
        future.add_done_callback(self._fetch)

    def _only_waited(self, future: Future, flying: Mapping[Future, _Flight]) -> bool:
        """Tell whether a piece only waited at a process that died of another one."""
        death = death_of(future)
        if death is None or not self._deaths.spares(death, (*flying, *self._opening)):
            return False
        self._looked = -inf
        return True

    def _finished(self, flight: _Flight, report: Report) -> Done:
        seconds = time.monotonic() - flight.started
        self._done += 1
        self._in_a_row.pop(report.worker, None)
        self._pace.note(seconds)
        if not self._broadcast:
            # Pieces that were handed out before any was done have no limit yet. A scheduler that does not answer is
            # asked again with the next piece.
            with contextlib.suppress(OSError):
                with contextlib.suppress(UnansweredError):
                    answered(self._tell_limit, TELL_SECONDS)
                self._broadcast = True
        return Done(flight.piece, report.record, seconds)

    def _tell_limit(self) -> None:
        """Tell every worker how long a piece may take."""
        self._client.run(worker_job.set_limit, self._name, self._pace.limit, on_error="ignore")

    def _opened(self, ended: _Ended) -> Report | Failure:
        """Return what came of opening the job on a worker."""
        found = self._outcome(ended, 0.0, None)
        # A result that is held is computed again where its worker dies.
        self._opening.pop(ended.future, None)
        return found

    def _failed(self, flight: _Flight, failure: Failure) -> None:
        """Take in that a try failed; raises where the whole job is to end."""
        if failure.fatal is not None and not failure.unable:
            raise failure.fatal
        flight.tried.add(failure.worker or failure.machine)
        # A worker that could do no piece says nothing of this one.
        flight.failed += 0 if failure.unable else failure.tries
        self._exclude(failure, flight.piece.name)
        if flight.failed < self._cluster.tries:
            self._tell(Retry(flight.piece.name, flight.failed, failure.error, failure.worker))

    def _exclude(self, failure: Failure, piece: str = "") -> None:
        """Give a worker no more where it can do nothing, or too many pieces failed on it in a row."""
        worker = failure.worker
        in_a_row = self._in_a_row.setdefault(worker, set())
        in_a_row.add(piece)
        most = MOST_IN_A_ROW if self._known() - self._excluded - {worker} else MOST_ON_THE_LAST
        if not worker or worker in self._excluded or not (failure.unable or len(in_a_row) >= most):
            return
        self._excluded.add(worker)
        self._last_error = failure.error
        self._tell(_no_more(failure))

    def _count_given_up(self, failure: Failure) -> None:
        self._given_up += 1
        if not self._done and self._given_up >= MOST_IN_A_ROW:
            raise AttributionBenchError(
                f"none of the first {self._given_up} pieces of work could be done: {failure.error}"
            )

    def _fetch(self, future: Future) -> None:
        """Have the result of a future that ended fetched, in the client's own thread."""
        self._client.loop.add_callback(self._fetched, future)

    async def _fetched(self, future: Future) -> None:
        """Put a future among those that ended, with its result.

        That is a round trip to the worker that has it. Results of many are fetched at once: one after the other they
        would bound how many pieces a second there can be.
        """
        found = None
        try:
            if future.status == "finished":
                found = await future
        except (Exception, CancelledError):  # its status then says what became of it
            found = None
        self._ended.put(_Ended(future, found))

    def _outcome(self, ended: _Ended, started: float, limit: float | None) -> Report | Failure:
        """Return what a piece came to; raises ClusterError where the cluster is lost."""
        if ended.found is not None:
            return ended.found
        future = ended.future
        if future.status in ("cancelled", "lost", "pending"):
            raise self._lost()
        if future.status == "finished":
            found: Report | Failure = future.result()
            return found
        # A worker is gone; what it had is handed out only as others come.
        self._looked = -inf
        death = death_of(future)
        if death is None:
            error = future.exception()
            return Failure(f"{type(error).__name__}: {error}", "")
        overdue = started and limit is not None and time.monotonic() - started >= limit
        return self._deaths.charged(death, limit if overdue else None)

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"the Dask scheduler at {self._cluster.address} is lost; finished work is kept, so that the same command "
            "goes on"
        )

    def _next_ended(self) -> _Ended | None:
        """Return a future that ended; None where none did for a while, and the caller is to look at other things."""
        try:
            return self._ended.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if self._client.status not in ("running", "connecting"):
                raise self._lost() from None
            return None

    def _known(self) -> frozenset[str]:
        """Return the addresses of the workers, as they were a little while ago."""
        if time.monotonic() - self._looked < WORKERS_SECONDS or self._client.status != "running":
            return self._workers
        before = self._workers
        # A scheduler that does not answer now may do so later; that it is lost is told by its connection.
        with contextlib.suppress(OSError):
            self._workers = frozenset(self._client.nthreads())
        self._looked = time.monotonic()
        if before and not self._workers and not self._cluster.is_local:
            self._tell(Caution(f"there are no workers at {self._cluster.address} any more; waiting for others"))
        return self._workers

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
        with contextlib.suppress(OSError):  # as in `_known`
            if self._client.run_on_scheduler(has_begun, [future.key for future in self._opening]):
                return told
        if asked:
            raise KeyboardInterrupt
        self._tell(
            Caution(
                "no worker has begun yet: they may be busy with other work, such as what a killed run left; waiting"
            )
        )
        return True

    def _key(self, name: str) -> str:
        """Return a key of a task, each its own: a try is not an earlier one."""
        self._number += 1
        return f"{name.replace(' ', '-')}-{self._name}-{self._number}"

    def _submit(self, function: Callable[..., Any], worker: str, *arguments: Any, key: str) -> Future:
        """Hand a task to a worker, or to any where it is none; to another one where it is gone by then."""
        some = [worker] if worker else None
        return self._client.submit(
            function, *arguments, pure=False, key=key, workers=some, allow_other_workers=some is not None
        )


def _no_more(failure: Failure) -> Caution:
    return Caution(f"worker {failure.worker} gets no more work: {failure.error}")


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
