"""Posting: a job on every worker of a cluster, those that join later too, for as long as its client needs it."""

import contextlib
import uuid
from collections.abc import Collection, Mapping

from distributed import Client, Scheduler, Worker, WorkerPlugin

PREFIX = "attribution-bench:"


def new_name(client: Client) -> str:
    """Return a name for a job; it ends with the client's, so that a job whose client is gone can be told."""
    return f"{PREFIX}{uuid.uuid4().hex[:12]}:{client.id}"


def post(client: Client, job: WorkerPlugin, name: str) -> Mapping[str, Exception]:
    """Post a job to every worker.

    Jobs that killed clients left behind are withdrawn before: their models would stay in the memory of each worker.

    Returns
    -------
    Mapping[str, Exception]
        Address of a worker that cannot take the job -> why.
    """
    for left in client.run_on_scheduler(left_behind):
        withdraw(client, left)
    try:
        client.register_plugin(job, name=name)
    except Exception:  # what a worker raises as it takes the job may be anything
        # It is of one worker, which is not named, or has ended meanwhile: each is asked for its own.
        answers = client.run(take, name, job, on_error="return")
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
            client.unregister_worker_plugin(name)


def left_behind(dask_scheduler: Scheduler) -> list[str]:
    """Return the jobs whose clients are gone; runs on the scheduler."""
    clients = tuple(dask_scheduler.clients)
    return [name for name in dask_scheduler.worker_plugins if name.startswith(PREFIX) and not name.endswith(clients)]


def has_begun(keys: Collection[str], dask_scheduler: Scheduler) -> bool:
    """Tell whether a worker is at one of some tasks, as far as it has said so; runs on the scheduler."""
    return any(task.key in keys for worker in dask_scheduler.workers.values() for task in worker.executing)


def without_worker(keys: Collection[str], dask_scheduler: Scheduler) -> list[str]:
    """Return those of some tasks that are given to no worker at present; runs on the scheduler."""
    return [key for key in keys if key in dask_scheduler.tasks and dask_scheduler.tasks[key].state == "no-worker"]


async def take(name: str, job: WorkerPlugin, dask_worker: Worker) -> None:
    """Take a job; runs on a worker, and raises what goes wrong there."""
    await dask_worker.plugin_add(plugin=job, name=name, catch_errors=False)
