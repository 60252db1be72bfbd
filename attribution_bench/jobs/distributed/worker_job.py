"""What a worker has of a job: its models and inputs, opened once, and one piece of work at a time."""

import contextlib
import errno
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol, runtime_checkable

from distributed import Worker, WorkerPlugin, get_worker
from distributed.comm import resolve_address

from attribution_bench.environment import MEMORY_LIMIT, TENSORFLOW_THREADS, tell_tensorflow
from attribution_bench.errors import (
    AttributionBenchError,
    InvalidInputError,
    OutputError,
    SetAsideError,
    text_with_notes,
)
from attribution_bench.jobs.distributed.process import DEADLINES, VARIABLES, outlast_sigterm, this_process
from attribution_bench.jobs.distributed.versions import check_versions, versions_here

TAKING_SECONDS = 120.0
"""Longest wait of a task for the job that it is of."""
OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of disks that are full or cannot be written."""
MOVED_SECONDS = 6.0
"""Wait of a task that Dask moved here, in which its client sees that the other worker is gone."""


class Opened(Protocol):
    """A job as it is open on a worker."""

    def facts(self) -> Any:
        """Return what numbers depend on of this process."""
        ...

    def do(self, order: Any) -> Any:
        """Do a piece of work; returns a few words on it, as what it makes goes into files."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A job that opens something for some pieces of work, such as a model of many."""

    def prepare(self, order: Any) -> None:
        """Open what a piece of work needs. Where that fails the worker is unable; it takes as long as it takes."""
        ...


class Parcel(Protocol):
    """A job as it travels to a worker."""

    def open(self) -> Opened:
        """Open models and files."""
        ...


@dataclass(frozen=True)
class Report:
    """What came of a piece of work that was done."""

    record: Any
    worker: str


@dataclass(frozen=True)
class Failure:
    """Why a piece of work was not done."""

    error: str
    worker: str
    unable: bool = False
    """Whether the worker could not even open the job, or what the piece needs, so that no other piece needs to be tried
    there."""
    of_output: bool = False
    """Whether results could not be written or read, which says nothing of what makes them."""
    of_machine: bool = False
    """Whether it is the fault of where it was tried, such as of a full disk, also if others have the same."""
    fatal: AttributionBenchError | None = None
    """The error with which the whole job ends, as it would in one process; of a worker that is unable, where every
    worker is."""
    machine: str = ""
    """Where its process died, as `distributed.deaths.machine_of`; empty where none did."""
    tries: int = 1
    """How many tries it counts as: none where its worker left as planned, and several where Dask itself handed it out
    again, as far as its scheduler allows it."""


class WorkerJob(WorkerPlugin):  # type: ignore[misc]
    """A job on every worker of a cluster, those that join later too; it is made where the job is started.

    Parameters
    ----------
    parcel
        The pickled `Parcel`; it is opened at the first piece of work, in that one's thread.
    environment
        Variables that libraries read as they start; they are as before once the last job of a process has gone.
    shielded
        Whether Ctrl-C and SIGTERM are for the client alone: workers that share its terminal, or its step of Slurm's,
        get them as well, and would lose the work that the client lets them finish.
    """

    def __init__(self, parcel: bytes, environment: Mapping[str, str], shielded: bool) -> None:
        self._parcel, self._environment, self._shielded = parcel, dict(environment), shielded
        self._versions = versions_here()
        self._client = this_process()
        self._began: float | None = None
        self._limit: float | None = None
        self._opened: Opened | None = None

    def setup(self, worker: Worker) -> None:
        """Take the settings; called as the job or the worker comes."""
        # TensorFlow's variable says what it started with, and so is set as the job is opened.
        texts = {name: text for name, text in self._environment.items() if name != TENSORFLOW_THREADS}
        texts[MEMORY_LIMIT] = str(worker.memory_manager.memory_limit or "")
        VARIABLES.hold(self, {*self._environment, MEMORY_LIMIT}, texts)
        if self._shielded and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            outlast_sigterm()
        # One piece at a time, however many a worker is given at once: frameworks share their threads in a process.
        self._lock = threading.Lock()

    def teardown(self, worker: Worker) -> None:
        """Let go of the models, and of the process's environment."""
        self._opened = None
        VARIABLES.release(self)

    def facts(self) -> Report | Failure:
        """Open the job, and report its facts."""
        address = own_address()
        with self._lock:
            try:
                return Report(self._open().facts(), address)
            except (Exception, SystemExit) as error:  # whatever goes wrong on a worker is told to the client
                return failure_of(error, address, unable=True)

    def do(self, order: Any, limit: float | None) -> Report | Failure:
        """Do a piece of work; beyond its limit in seconds the process ends."""
        address, unable = own_address(), True
        with self._lock:
            try:
                opened = self._open()
                if isinstance(opened, Preparing):
                    opened.prepare(order)
                unable = False
                with self._limited(limit):
                    return Report(opened.do(order), address)
            except (Exception, SystemExit) as error:  # whatever goes wrong on a worker is told to the client
                return failure_of(error, address, unable=unable)

    def limit(self, seconds: float) -> None:
        """Give work that has no limit one, counted from its start: what is being done, and what is begun later."""
        self._limit = seconds
        began = self._began
        if began is not None and self._is_elsewhere():
            DEADLINES.change(self, max(1.0, began + seconds - time.monotonic()))

    def _open(self) -> Opened:
        if self._opened is None:
            # Other versions may not even unpickle the job.
            check_versions(self._versions)
            if TENSORFLOW_THREADS in self._environment:
                tell_tensorflow(int(self._environment[TENSORFLOW_THREADS]))
            self._opened = pickle.loads(self._parcel).open()
        return self._opened

    @contextlib.contextmanager
    def _limited(self, seconds: float | None) -> Iterator[None]:
        self._began = time.monotonic()
        # One that comes with `limit`, which runs beside this, changes what is set here, until it is cleared.
        if self._is_elsewhere():
            DEADLINES.set(self, inf if seconds is None else seconds)
        # After the line before, as `limit` sets the one before it looks at the other.
        if seconds is None and self._limit is not None:
            self.limit(self._limit)
        try:
            yield
        finally:
            self._began = None
            DEADLINES.clear(self)

    def _is_elsewhere(self) -> bool:
        """Tell whether this is not the client's own process, which is never ended."""
        return self._client != this_process()


def own_address() -> str:
    """Return the address by which the scheduler, and so the client, knows this worker: never one with a host's name."""
    advertised: str = get_worker().address
    try:
        resolved: str = resolve_address(advertised)
    except OSError:  # a name that is known where the scheduler is, and not here
        return advertised
    return resolved


def facts(name: str) -> Any:
    """Return the facts of a job, as a task."""
    job = _taken(name)
    return job if isinstance(job, Failure) else job.facts()


def do(name: str, order: Any, limit: float | None, handed_to: str = "") -> Any:
    """Do a piece of a job, as a task; one that was handed to another worker is left to its client for a while."""
    job = _taken(name)
    if isinstance(job, Failure):
        return job
    if handed_to not in ("", own_address()) and _withdrawn(MOVED_SECONDS):
        return Failure("its client withdrew it", "")
    return job.do(order, limit)


def _taken(name: str) -> "WorkerJob | Failure":
    """Return a job of this worker, or that it has none of the name.

    Tasks and jobs come by different ways: of a large model the first task may be here before. A task whose job has been
    withdrawn is cancelled as well, and leaves the worker to other jobs.
    """
    worker, since = get_worker(), time.monotonic()
    while name not in worker.plugins:
        if _withdrawn(0.05) or time.monotonic() - since > TAKING_SECONDS:
            return Failure("the job did not reach it", own_address(), unable=True)
    job: WorkerJob = worker.plugins[name]
    return job


def _withdrawn(seconds: float) -> bool:
    """Wait for some time, and tell whether the task that calls this was cancelled meanwhile."""
    worker, until = get_worker(), time.monotonic() + seconds
    task = worker.state.tasks[worker.get_current_task()]
    while task.state == "executing" and time.monotonic() < until:
        time.sleep(0.05)
    return bool(task.state != "executing")


async def set_limit(name: str, seconds: float, dask_worker: Worker) -> bool:
    """Limit what a worker is doing of a job; runs beside its tasks. Returns whether it has the job."""
    plugin = dask_worker.plugins.get(name)
    if plugin is not None:
        plugin.limit(seconds)
    return plugin is not None


def failure_of(error: Exception | SystemExit, worker: str, *, unable: bool) -> Failure:
    """Return what the client is told of an error.

    Errors of what was asked for end the job, as they would in one process. A full disk, too little memory and whatever
    else a method raises may be a matter of this worker or of this piece; so may a call of `sys.exit`, which would end
    the worker as if that were planned.
    """
    if isinstance(error, SystemExit):
        error = RuntimeError(f"it called sys.exit({'' if error.code is None else repr(error.code)})")
    told = text_with_notes(error)
    text = told if isinstance(error, AttributionBenchError) else f"{type(error).__name__}: {told}"
    of_the_job = isinstance(error, SetAsideError | InvalidInputError) and not isinstance(error, OutputError)
    fatal = _picklable(error) if of_the_job else None
    of_output = isinstance(error, OutputError)
    of_machine = of_output or (isinstance(error, OSError) and error.errno in OF_DISKS)
    return Failure(text, worker, unable, of_output, of_machine, fatal)


def _picklable(error: Exception) -> AttributionBenchError:
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:  # an error with arguments of its own
        return AttributionBenchError(str(error))
    return copy if isinstance(copy, AttributionBenchError) else AttributionBenchError(str(error))
