"""Telling workers the time limit of pieces: those that were handed out before any was done have none yet."""

from collections.abc import Collection
from concurrent.futures import Future, wait
from typing import Any

from distributed import Client

from attribution_bench.jobs.distributed.pace import Pace
from attribution_bench.jobs.distributed.posting import asked
from attribution_bench.jobs.distributed.worker_job import set_limit

TELL_SECONDS = 1.0
"""Longest wait until workers know the limit; one that is silent is told as it answers again."""


class ToldLimits:
    """What the workers know of the time limit of one job.

    Parameters
    ----------
    client
        The client.
    name
        The job's.
    pace
        Of its pieces; where their limit is fixed each is handed out with it.
    """

    def __init__(self, client: Client, name: str, pace: Pace) -> None:
        self._client, self._name, self._pace = client, name, pace
        self._answer: Future[Any] | None = None
        self._everybody_asked = False
        self._told: set[str] = set()

    def tell(self, without: Collection[str]) -> None:
        """Tell the limit, once it is known, to every worker, and again to those that have not taken it.

        Parameters
        ----------
        without
            The workers that have a piece without a limit.
        """
        if self._pace.fixed is not None or self._pace.limit is None:
            return
        # A call that is not answered yet goes on.
        if self._answer is not None and not self._took_in(self._answer):
            return
        missing = sorted({*without} - self._told)
        if self._everybody_asked and not missing:
            return
        some = missing if self._everybody_asked else None
        self._answer = asked(
            lambda: self._client.run(set_limit, self._name, self._pace.limit, workers=some, on_error="ignore")
        )
        wait((self._answer,), TELL_SECONDS)
        self._took_in(self._answer)

    def _took_in(self, answer: "Future[Any]") -> bool:
        """Take in who knows the limit; returns whether there is an answer."""
        if not answer.done():
            return False
        self._answer = None
        # A scheduler that does not answer is asked again, and of workers the ones that have not answered, or have not
        # got the job yet.
        if answer.exception() is None:
            self._everybody_asked = True
            self._told.update(worker for worker, took in (answer.result() or {}).items() if took)
        elif not isinstance(answer.exception(), OSError):
            answer.result()
        return True
