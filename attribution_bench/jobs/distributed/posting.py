"""Posting: a job on every worker of a cluster, those that join later too, for as long as its client needs it."""

import contextlib
import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, wait
from typing import Any

from distributed import Client, Scheduler, Worker, WorkerPlugin
from distributed.metrics import time

from attribution_bench.jobs.interruption import Stop, never

PREFIX = "attribution-bench:"
ANSWER_SECONDS = 10.0
"""Wait for the answers of every worker, after which a silent one is waited for no longer: it may answer hours later."""
SILENT_SECONDS = 7.0
"""Seconds without a heartbeat, of which even a large cluster has one in 5, after which a worker is silent."""


class UnansweredError(Exception):
    """Not every worker has answered in time; those that have are told what they were to be told."""


def asked(call: Callable[[], Any]) -> "Future[Any]":
    """Return what becomes of a call to every worker, which Dask ends once every worker has answered.

    The call goes on in a thread of its own, whoever waits for it.
    """
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # it is raised where it was asked for
            answer.set_exception(error)

    # No thread of a pool, for which the end of this process would wait.
    threading.Thread(target=ask, daemon=True).start()
    return answer


def answered(call: Callable[[], Any], goes_on: Callable[[], bool] = lambda: False) -> Any:
    """Return what a call to every worker returns, or raise what it raises.

    Parameters
    ----------
    call
        As for `asked`.
    goes_on
        Asked each `ANSWER_SECONDS` without every answer whether to wait on.

    Raises
    ------
    UnansweredError
        A worker has not answered by then.
    """
    answer = asked(call)
    while not wait((answer,), ANSWER_SECONDS).done:
        if not goes_on():
            raise UnansweredError
    return answer.result()


def new_name(client: Client) -> str:
    """Return a name for a job; it ends with the client's, so that a job whose client is gone can be told."""
    return f"{PREFIX}{uuid.uuid4().hex[:12]}:{client.id}"


def post(client: Client, job: WorkerPlugin, name: str, stop: Stop = never) -> Mapping[str, Exception]:
    """Post a job to every worker; a large model takes as long as the network needs to bring it to all.

    Jobs that killed clients left behind are withdrawn before, and those meanwhile that came to a worker after they had
    been withdrawn, as from a client that was interrupted: their models would stay in the memory of each worker.

    Parameters
    ----------
    client
        The client.
    job
        The job.
    name
        From `new_name`.
    stop
        Asked whether to wait no longer.

    Returns
    -------
    Mapping[str, Exception]
        Address of a worker that cannot take the job -> why.

    Raises
    ------
    UnansweredError
        A worker is silent; the others have the job.
    KeyboardInterrupt
        A signal came meanwhile.
    """

    def goes_on() -> bool:
        if stop() is not None:
            raise KeyboardInterrupt
        return not client.run_on_scheduler(silent)

    for left in client.run_on_scheduler(left_behind):
        withdraw(client, left)
    # Nobody waits for it, as a silent worker may take hours; where it fails, the next job does it.
    asked(lambda: let_strays_go(client))
    try:
        answered(lambda: client.register_plugin(job, name=name), goes_on)
    except UnansweredError:
        raise
    except Exception:  # what a worker raises as it takes the job may be anything
        # It is of one worker, which is not named, or has ended meanwhile: each is asked for its own.
        answers = answered(lambda: client.run(take, name, job, on_error="return"), goes_on)
        # One that does not answer has ended, or ends.
        return {
            worker: answer
            for worker, answer in answers.items()
            if isinstance(answer, Exception) and not isinstance(answer, OSError)
        }
    return {}


def withdraw(client: Client, name: str) -> None:
    """Have every worker let go of a job."""
    # A cluster that is lost, or ends now, has nothing to be told any more; and another client may have been first.
    with contextlib.suppress(Exception):
        if client.status == "running":
            answered(lambda: client.unregister_worker_plugin(name))


def let_strays_go(client: Client) -> None:
    """Have workers let go of jobs that are not posted any more: they were on their way as they were withdrawn."""
    answers = client.run(jobs_here, on_error="ignore")
    # Asked for after the workers' answers: a job that is posted meanwhile is none of theirs, or is among these.
    posted = client.run_on_scheduler(posted_jobs)
    if strays := sorted({name for names in answers.values() for name in names}.difference(posted)):
        client.run(let_go, strays, on_error="ignore")


def silent(dask_scheduler: Scheduler) -> list[str]:
    """Return the workers that send no heartbeats; runs on the scheduler."""
    now = time()
    return [worker.address for worker in dask_scheduler.workers.values() if now - worker.last_seen > SILENT_SECONDS]


def left_behind(dask_scheduler: Scheduler) -> list[str]:
    """Return the jobs whose clients are gone; runs on the scheduler."""
    clients = tuple(dask_scheduler.clients)
    return [name for name in dask_scheduler.worker_plugins if name.startswith(PREFIX) and not name.endswith(clients)]


def posted_jobs(dask_scheduler: Scheduler) -> list[str]:
    """Return the jobs that workers are to have; runs on the scheduler."""
    return [name for name in dask_scheduler.worker_plugins if name.startswith(PREFIX)]


def jobs_here(dask_worker: Worker) -> list[str]:
    """Return the jobs that a worker has; runs there."""
    return [name for name in dask_worker.plugins if name.startswith(PREFIX)]


async def let_go(names: Collection[str], dask_worker: Worker) -> None:
    """Let go of those of some jobs that a worker has; runs there."""
    for name in names:
        if name in dask_worker.plugins:
            await dask_worker.plugin_remove(name=name)


def has_begun(keys: Collection[str], dask_scheduler: Scheduler) -> bool:
    """Tell whether a worker is at one of some tasks, as far as it has said so; runs on the scheduler."""
    return any(task.key in keys for worker in dask_scheduler.workers.values() for task in worker.executing)


async def take(name: str, job: WorkerPlugin, dask_worker: Worker) -> None:
    """Take a job; runs on a worker, and raises what goes wrong there."""
    await dask_worker.plugin_add(plugin=job, name=name, catch_errors=False)
