"""Dispatch: pieces of work over the workers of a cluster, each tried again elsewhere a bounded number of times."""

import contextlib
import queue
import time
import uuid
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import cloudpickle
from distributed import Future, KilledWorker

from attribution_bench.errors import AttributionBenchError, ClusterError
from attribution_bench.jobs.distributed import worker_job
from attribution_bench.jobs.distributed.cluster import Cluster
from attribution_bench.jobs.distributed.pace import Pace
from attribution_bench.jobs.distributed.worker_job import Failure, Parcel, Report, WorkerJob
from attribution_bench.jobs.events import Caution, Event, Retry
from attribution_bench.jobs.interruption import Stop, never

POLL_SECONDS = 0.5
"""Longest wait before the client looks whether it is to stop."""
WORKERS_SECONDS = 2.0
"""Seconds between two looks at which workers there are."""
RESTART_SECONDS = 180.0
"""Seconds without any process of this machine, after which the job ends. On a cluster workers may come hours later."""
PATIENCE_SECONDS = 30.0
"""Seconds without a worker that is not excluded, after which the job ends: workers that were ended come again."""
MOST_IN_A_ROW = 3
"""Pieces that may fail on a worker one after the other before it is given no more, and that may be given up before any
is done."""
MOST_ON_THE_LAST = 10
"""Pieces that may fail so on the only worker that is left: it is more likely that it is the pieces that are bad."""


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
    """Workers on which it failed."""
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
        Asked whether to stop while there are no workers yet.
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
        self._name = f"attribution-bench-{uuid.uuid4().hex[:12]}"
        self._job = WorkerJob(_pickled(parcel), environment, cluster.is_local)
        self._pace = Pace(cluster.time_limit, alike)
        self._broadcast = cluster.time_limit is not None or not alike
        self._ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._in_a_row: dict[str, set[str]] = {}
        self._excluded: set[str] = set()
        self._last_error = ""
        self._workers: frozenset[str] = frozenset()
        self._looked = -inf
        self._useless_since: float | None = None
        self._opening: set[Future] = set()
        self._number = 0
        self._done = self._given_up = 0

    def __enter__(self) -> "Dispatch":
        try:
            self._client.register_plugin(self._job, name=self._name)
        except Exception as error:  # what a worker raises as it takes the job may be anything
            raise ClusterError(
                f"the workers cannot take the job ({type(error).__name__}: {error}); they need this version of "
                "attribution-bench and its libraries"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        # A cluster that is lost, or ends now, has nothing to be told any more.
        with contextlib.suppress(Exception):
            if self._client.status == "running":
                self._client.unregister_worker_plugin(self._name)

    @property
    def workers(self) -> int:
        """Workers that there are."""
        return len(self._known())

    def facts(self) -> Any:
        """Open the job on every worker that there is, and return what the first of them says of itself.

        Raises
        ------
        KeyboardInterrupt
            A signal came while there was no worker.
        ClusterError
            No worker can open the job, or the cluster is lost.
        """
        workers = self._awaited()
        self._opening = {
            self._submit(
                worker_job.facts, self._name, key=self._key("opening"), workers=[worker], allow_other_workers=True
            )
            for worker in workers
        }
        for future in self._opening:
            future.add_done_callback(self._fetch)
        failure = Failure("there is none", "")
        unable: list[Failure] = []
        while self._opening:
            found = self._opened(self._next_ended(never_stopped))
            if isinstance(found, Report):
                for one in unable:
                    self._tell(_no_more(one))
                return found.record
            failure = found
            if failure.worker:
                self._excluded.add(failure.worker)
                unable.append(failure)
        # What no worker can do is one error, and no matter of each.
        raise failure.fatal or ClusterError(f"no worker can do the job: {failure.error}")

    def run(
        self, pieces: Iterable[Piece | NotReady | None], stopped: Callable[[], bool]
    ) -> Iterator[Done | GivenUp | None]:
        """Do pieces, and yield each as it is done or given up; they are taken as there are workers for them.

        Parameters
        ----------
        pieces
            The pieces, which may be endless; a None among them is yielded at once, and after a `NotReady` the next is
            asked for once another piece has ended.
        stopped
            Asked whether to hand out no more; those that are being done are waited for.

        Raises
        ------
        AttributionBenchError
            The job ends as it would in one process; or every piece fails.
        ClusterError
            The cluster is lost, or every worker fails.
        """
        fresh, again = iter(pieces), deque[_Flight]()
        flying: dict[Future, _Flight] = {}
        more = True
        try:
            while True:
                leave = stopped()
                while not leave and (more or again) and len(flying) < self._room():
                    if again:
                        self._hand_out(again.popleft(), flying)
                        continue
                    try:
                        piece = next(fresh)
                    except StopIteration:
                        more = False
                        continue
                    if isinstance(piece, NotReady):
                        break
                    if piece is None:
                        yield None
                    else:
                        self._hand_out(_Flight(piece), flying)
                if not flying and (leave or not (more or again)):
                    return
                ended = self._next_ended(lambda: True)
                if ended is None:
                    continue
                if ended.future not in flying:
                    opened = self._opened(ended)
                    if isinstance(opened, Failure):
                        self._exclude(opened)
                    continue
                flight = flying.pop(ended.future)
                found = self._outcome(ended, flight.started, flight.limit or self._pace.limit)
                if isinstance(found, Failure):
                    self._failed(flight, found)
                    if flight.failed < self._cluster.tries:
                        again.append(flight)
                    else:
                        self._count_given_up(found)
                        yield GivenUp(flight.piece, found.error, found.of_output)
                else:
                    yield self._finished(flight, found)
        finally:
            if flying:
                with contextlib.suppress(Exception):
                    self._client.cancel(list(flying), force=True)

    def _room(self) -> int:
        """Return how many pieces may be handed out at once: one for each worker that is not excluded.

        Raises
        ------
        ClusterError
            For some time there has been none but excluded workers, or no process of this machine.
        """
        usable = len(self._known() - self._excluded)
        if usable:
            self._useless_since = None
            return usable
        self._useless_since = self._useless_since or time.monotonic()
        seconds = time.monotonic() - self._useless_since
        kept = "finished work is kept, so that the same command goes on"
        if self._known() and seconds > PATIENCE_SECONDS:
            raise ClusterError(f"every worker fails, at last with: {self._last_error}; {kept}")
        if self._cluster.is_local and seconds > RESTART_SECONDS:
            raise ClusterError(f"the processes have ended and do not come again; {kept}")
        return 0

    def _hand_out(self, flight: _Flight, flying: dict[Future, _Flight]) -> None:
        """Hand a piece to whichever worker is free; not to one where it failed, while there are others."""
        flight.started, flight.limit = time.monotonic(), self._pace.limit
        known = self._known() - self._excluded
        elsewhere = known - flight.tried or known
        some = elsewhere != self._known()
        future = self._submit(
            worker_job.do,
            self._name,
            flight.piece.order,
            flight.limit,
            key=self._key(flight.piece.name),
            workers=sorted(elsewhere) if some else None,
            # Workers come and go under other addresses.
            allow_other_workers=some,
        )
        flying[future] = flight
        future.add_done_callback(self._fetch)

    def _finished(self, flight: _Flight, report: Report) -> Done:
        seconds = time.monotonic() - flight.started
        self._done += 1
        self._in_a_row.pop(report.worker, None)
        self._pace.note(seconds)
        if not self._broadcast:
            # Pieces that were handed out before any was done have no limit yet.
            self._broadcast = True
            self._client.run(worker_job.set_limit, self._name, self._pace.limit, wait=False, on_error="ignore")
        return Done(flight.piece, report.record, seconds)

    def _opened(self, ended: "_Ended | None") -> Report | Failure:
        """Return what came of opening the job on a worker."""
        found = self._outcome(ended, 0.0, None)
        # A result that is held is computed again where its worker dies.
        if ended is not None:
            self._opening.discard(ended.future)
        return found

    def _failed(self, flight: _Flight, failure: Failure) -> None:
        """Take in that a try failed; raises where the whole job is to end."""
        if failure.fatal is not None and not failure.unable:
            raise failure.fatal
        flight.tried.add(failure.worker)
        # A worker that could do no piece says nothing of this one.
        flight.failed += not failure.unable
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

    def _outcome(self, ended: "_Ended | None", started: float, limit: float | None) -> Report | Failure:
        """Return what a piece came to; raises ClusterError where the cluster is lost."""
        if ended is not None and ended.found is not None:
            return ended.found
        future = None if ended is None else ended.future
        if future is None or future.status in ("cancelled", "lost", "pending"):
            raise ClusterError(
                f"the Dask scheduler at {self._cluster.address} is lost; finished work is kept, so that the same "
                "command goes on"
            )
        if future.status == "finished":
            found: Report | Failure = future.result()
            return found
        error = future.exception()
        # A worker is gone; what it had is handed out only as others come.
        self._looked = -inf
        if not isinstance(error, KilledWorker):
            return Failure(f"{type(error).__name__}: {error}", "")
        seconds = time.monotonic() - started
        if limit is not None and started and seconds >= limit:
            return Failure(f"it was not done after {limit:.0f} s, and its process was ended", "")
        return Failure("its process died: it was killed, crashed or took too much memory", "")

    def _next_ended(self, going_on: Callable[[], bool]) -> "_Ended | None":
        """Return a future that ended; None where none did for a while, and the caller is to look at other things."""
        while True:
            try:
                return self._ended.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self._client.status not in ("running", "connecting"):
                    self._outcome(None, 0.0, None)
                if going_on():
                    return None

    def _known(self) -> frozenset[str]:
        """Return the addresses of the workers, as they were a little while ago."""
        if time.monotonic() - self._looked >= WORKERS_SECONDS and self._client.status == "running":
            self._workers, self._looked = frozenset(self._client.nthreads()), time.monotonic()
        return self._workers

    def _awaited(self) -> list[str]:
        """Return the workers, once there is one."""
        told = False
        while not self._known():
            if not told:
                self._tell(Caution(f"there are no workers at {self._cluster.address} yet; waiting for the first"))
            told = True
            if self._stop() is not None:
                raise KeyboardInterrupt
            time.sleep(POLL_SECONDS)
        return sorted(self._known())

    def _key(self, name: str) -> str:
        """Return a key of a task, each its own: a try is not an earlier one."""
        self._number += 1
        return f"{name.replace(' ', '-')}-{self._name}-{self._number}"

    def _submit(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Future:
        return self._client.submit(function, *arguments, pure=False, **named)


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
