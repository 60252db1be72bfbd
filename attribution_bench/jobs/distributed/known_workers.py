"""Workers of a cluster as its client knows them: those that there are, and which of them a piece of work suits."""

import contextlib
import time
from collections.abc import Callable, Collection
from math import inf

from attribution_bench.errors import ClusterError
from attribution_bench.jobs.distributed.cluster import Cluster
from attribution_bench.jobs.distributed.deaths import machine_of
from attribution_bench.jobs.distributed.pieces import Flight
from attribution_bench.jobs.distributed.worker_job import Failure
from attribution_bench.jobs.events import Caution, Event

WORKERS_SECONDS = 2.0
"""Seconds between two looks at which workers there are."""
RESTART_SECONDS = 180.0
"""Seconds without any process of this machine, after which the job ends. On a cluster workers may come hours later."""
PATIENCE_SECONDS = 30.0
"""Seconds without a worker that is not excluded, after which the job ends: workers that were ended come again."""
MOST_IN_A_ROW = 3
"""Pieces that may fail on a worker one after the other, and on no other one, before it is given no more."""
MOST_ON_THE_LAST = 10
"""Pieces that may fail so on the only worker that is left: it is more likely that it is the pieces that are bad."""
OF_THE_PIECE = 2
"""Workers on which a piece has to fail before that is taken for its own fault, unless another one does it later."""
KEPT = "finished work is kept, so that the same command goes on"


class KnownWorkers:
    """The workers of one job.

    Parameters
    ----------
    cluster
        The cluster.
    tell
        Told of workers that are given no more, and that there are none any more.
    """

    def __init__(self, cluster: Cluster, tell: Callable[[Event], None]) -> None:
        self._cluster, self._tell = cluster, tell
        self._workers: frozenset[str] = frozenset()
        self._looked = -inf
        self._excluded: set[str] = set()
        self._in_a_row: dict[str, set[str]] = {}
        """Worker -> the pieces that failed there since one was done."""
        self._failed_on: dict[str, set[str]] = {}
        """Piece that is not done -> the workers on which it failed for what may be its own fault."""
        self._last_failures: dict[str, Failure] = {}
        self._excluded_for_pieces: set[str] = set()
        self._last_error = ""
        self._useless_since: float | None = None
        self._none_since: float | None = None

    def known(self) -> frozenset[str]:
        """Return the addresses of the workers, as they were a little while ago.

        Raises
        ------
        ClusterError
            For some time there has been no process of this machine.
        """
        client = self._cluster.client
        if time.monotonic() - self._looked < WORKERS_SECONDS or client.status != "running":
            return self._workers
        before = self._workers
        # A scheduler that does not answer now may do so later; that it is lost is told by its connection.
        with contextlib.suppress(OSError):
            self._workers = frozenset(client.nthreads())
        self._looked = time.monotonic()
        if before and not self._workers and not self._cluster.is_local:
            self._tell(Caution(f"there are no workers at {self._cluster.address} any more; waiting for others"))
        self._none_since = None if self._workers else self._none_since or self._looked
        if self._cluster.is_local and self._none_since and self._looked - self._none_since > RESTART_SECONDS:
            raise ClusterError(f"the processes have ended and do not come again; {KEPT}")
        return self._workers

    def look_again(self) -> None:
        """Have the next question be asked anew: a worker is gone, and what it had is handed out only as others come."""
        self._looked = -inf

    def able(self) -> frozenset[str]:
        """Return the workers that are not excluded."""
        return self.known() - self._excluded

    def usable(self, opening: Collection[str]) -> set[str]:
        """Return the workers that pieces are given to: those that are not excluded, and not opening the job yet."""
        return {*self._workers} - self._excluded - {*opening}

    def free(self, usable: set[str], at_work: Collection[str]) -> set[str]:
        """Return the workers that are to be given a piece: each has one at a time.

        Where a cluster has no workers, one piece is for whichever comes: a cluster that grows with its work starts one.

        Parameters
        ----------
        usable
            As `usable` returns them.
        at_work
            The worker of each piece that is handed out.

        Raises
        ------
        ClusterError
            For some time there has been none but excluded workers.
        """
        known = self._workers
        if able := known - self._excluded:
            self._useless_since = None
            # Which worker has a piece that was handed to none, or was moved, is not known, and it may be none of these.
            return usable.difference(at_work) if len(at_work) < len(able) else set()
        self._useless_since = self._useless_since or time.monotonic()
        seconds = time.monotonic() - self._useless_since
        if known and seconds > PATIENCE_SECONDS:
            raise ClusterError(f"every worker fails, at last with: {self._last_error}; {KEPT}")
        return set() if known or at_work or self._cluster.is_local else {""}

    def take_in(self, failure: Failure, piece: str = "") -> None:
        """Give a worker no more where it can do nothing, or too many pieces failed on it alone in a row."""
        worker = failure.worker
        if not worker:
            return
        if failure.unable:
            if worker not in self._excluded:
                self.exclude(failure)
                self.tell_excluded(failure)
            self._excluded_for_pieces.discard(worker)
            return
        self._in_a_row.setdefault(worker, set()).add(piece)
        self._last_failures[worker] = failure
        if not failure.of_machine:
            self._failed_on.setdefault(piece, set()).add(worker)
        self._judge()

    def exclude(self, failure: Failure) -> None:
        """Give a worker no more."""
        self._excluded.add(failure.worker)
        self._last_error = failure.error

    def tell_excluded(self, failure: Failure) -> None:
        """Say that a worker is given no more."""
        self._tell(Caution(f"worker {failure.worker} gets no more work: {failure.error}"))

    def end_row(self, worker: str, piece: str) -> None:
        """Take in that a piece was done on a worker: where it failed on others, that is their fault."""
        self._in_a_row.pop(worker, None)
        if self._failed_on.pop(piece, None):
            self._judge()

    def take_in_bad(self, piece: str) -> None:
        """Take in that a piece was given up: where it failed on several workers, none is left out for it."""
        if len(self._failed_on.pop(piece, ())) < OF_THE_PIECE:
            return
        for worker, pieces in self._in_a_row.items():
            pieces.discard(piece)
            if len(pieces) < MOST_IN_A_ROW and worker in self._excluded_for_pieces:
                self._excluded_for_pieces.remove(worker)
                self._excluded.remove(worker)
                self._tell(Caution(f"worker {worker} gets work again: what failed there fails on others as well"))

    def _judge(self) -> None:
        """Exclude the workers on which too many pieces failed that did so on no other one, or were done there."""
        for worker, pieces in self._in_a_row.items():
            count = sum(len(self._failed_on.get(piece, ())) < OF_THE_PIECE for piece in pieces)
            most = MOST_IN_A_ROW if self.able() - {worker} else MOST_ON_THE_LAST
            if count >= most and worker not in self._excluded:
                self.exclude(self._last_failures[worker])
                self.tell_excluded(self._last_failures[worker])
                self._excluded_for_pieces.add(worker)


def suited(flight: Flight, free: set[str], usable: set[str]) -> set[str]:
    """Return the free workers for a further try: none where the piece failed, while there are others, busy or not.

    It goes to another machine than those where its process died, which may be too small for it.
    """
    elsewhere = {one for one in usable if flight.tried.isdisjoint((one, machine_of(one)))}
    return free & (elsewhere or usable - flight.tried or usable) if usable else free
