"""Deaths of processes: which of the tasks that a process had are charged with it."""

from collections.abc import Iterable

from distributed import Future, KilledWorker

from attribution_bench.jobs.distributed.worker_job import Failure


def death_of(future: Future) -> KilledWorker | None:
    """Return the death of a process that ended a task; None where none did."""
    error = future.exception() if future.status == "error" else None
    return error if isinstance(error, KilledWorker) else None


def machine_of(address: str) -> str:
    """Return the part of a worker's address that it shares with the others of its machine."""
    return address.rpartition(":")[0]


class Deaths:
    """The deaths of a job's processes.

    Dask charges a death to every task that the process had, those that waited there too.
    """

    def __init__(self) -> None:
        self._charged: set[str] = set()

    def spares(self, death: KilledWorker, others: Iterable[Future]) -> bool:
        """Tell whether a task had only waited at the process that died.

        It had where it did not run at the process's last heartbeat, and another task of the job did that ended by a
        death too: with one thread that one ran until the end. So every task that is spared goes with one that is
        charged, and a piece that kills its process is not tried without end.

        Parameters
        ----------
        death
            What ended the task.
        others
            The tasks of the job that are handed out.
        """
        running = set(death.last_worker.executing)
        died = {one.key for one in others if death_of(one) is not None}
        return death.task not in running and not running.isdisjoint(self._charged | died)

    def charged(self, task: str, deaths: int, machine: str, overdue: float | None) -> Failure:
        """Charge a task with deaths; returns how it failed.

        Parameters
        ----------
        task
            Its key.
        deaths
            How many processes died of it: Dask itself hands a task out again as often as its scheduler allows.
        machine
            Where the last of them did, as `machine_of`.
        overdue
            The time limit in seconds, where the task was given longer than that.
        """
        self._charged.add(task)
        times = "" if deaths == 1 else f" {deaths} times"
        if overdue is None:
            error = f"its process died{times}: it was killed, crashed or took too much memory"
        else:
            error = f"it was not done after {overdue:.0f} s, and its process was ended{times}"
        return Failure(error, "", machine=machine, tries=deaths)
