"""Clusters of Dask that jobs run on: processes of this machine, one for each of its GPUs, or any that runs already."""

import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import psutil

from attribution_bench.environment import available_cores
from attribution_bench.errors import (
    AttributionBenchError,
    ClusterError,
    DeviceError,
    InvalidInputError,
    MissingDependencyError,
)

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 30
QUIET = logging.CRITICAL
"""What goes wrong on workers comes as events of the job, and not as lines of the scheduler's log as well."""
LOGGERS = ("distributed", "distributed.client")
"""Those of Dask that have a level of their own."""
LOOPBACK = "127.0.0.1"
SETTINGS: Mapping[str, Any] = {
    # Each death of a process is counted here, so that a try is a try.
    "distributed.scheduler.allowed-failures": 0,
    # Dask spills and pauses by the memory that its own data take, of which there is none; beyond the limit it ends the
    # process all the same.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # A process that was ended comes again, on a busy machine after some time, and is not to be given up meanwhile.
    "distributed.deploy.lost-worker-timeout": "1 hour",
    # By default workers give freed memory back at once, to get it anew, page by page, for the next tensor: scoring then
    # takes a quarter more time.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    # What a model prints is told although its process be killed.
    "distributed.nanny.pre-spawn-environ.PYTHONUNBUFFERED": 1,
    # Its profile of every thread costs more than what it hands out.
    "distributed.worker.profile.enabled": False,
}


@dataclass(frozen=True)
class Workers:
    """Which processes do a job: exactly one of the first three says so.

    Raises
    ------
    InvalidInputError
        None or several do, or a number cannot be.
    """

    number: int | None = None
    """Processes of this machine, which share its cores."""
    address: str | None = None
    """Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``, with any workers."""
    gpus: str | int | None = None
    """Processes of this machine with a GPU each: ``all``, or how many."""
    tries: int = 3
    """How often a piece of work is tried, on other processes where there are any, before it is set aside."""
    time_limit: float | None = None
    """Seconds after which a piece of work is taken for hung and its process ended; by default 10 times what a
    full piece takes by those that were computed so far, and no less than a minute."""

    def __post_init__(self) -> None:
        given = [one for one in (self.number, self.address, self.gpus) if one is not None]
        if len(given) != 1:
            raise InvalidInputError(
                "give one of the three: a number of processes, the address of a Dask scheduler, or GPUs"
            )
        if self.number is not None and self.number < 1:
            raise InvalidInputError(f"a job needs at least 1 process, not {self.number}")
        if self.gpus is not None and self.gpus != "all" and not (isinstance(self.gpus, int) and self.gpus >= 1):
            raise InvalidInputError(f"gpus must be 'all' or a number from 1 on, not {self.gpus!r}")
        if self.tries < 1:
            raise InvalidInputError(f"work is tried at least once, not {self.tries} times")
        if self.time_limit is not None and not self.time_limit > 0:
            raise InvalidInputError(f"the time limit must be more than 0 seconds, not {self.time_limit}")


@dataclass(frozen=True)
class Cluster:
    """A cluster that is connected."""

    client: "Client"
    address: str
    own_threads: int | None
    """Threads of each process that is started for the job; None where they were started by others."""
    is_local: bool
    """Whether its processes are children of this one."""
    tries: int
    time_limit: float | None
    asked: int | None = None
    """Processes that were asked for, where fewer were started."""

    @property
    def threads(self) -> int:
        """Threads that each process is to use where nothing else is asked for, the fewest of those that there are now.

        A cluster that runs already may have no worker yet; see `await_worker`.
        """
        return self.own_threads or min(self.client.nthreads().values(), default=1)

    def kill(self, worker: str) -> None:
        """Kill the child of this process that is a worker; another one is started. Nothing is done to other workers."""
        for nanny in getattr(self.client.cluster, "workers", {}).values():
            if getattr(nanny, "worker_address", None) == worker and nanny.pid is not None:
                with contextlib.suppress(psutil.Error):
                    psutil.Process(nanny.pid).kill()

    @property
    def dashboard(self) -> str | None:
        """Address of Dask's page on the cluster; None where it serves none, or does not answer."""
        with contextlib.suppress(OSError):
            if self.client.run_on_scheduler(serves_pages):
                link: str | None = self.client.dashboard_link
                return link
        return None


@dataclass(frozen=True)
class Starting:
    """Processes that start while this one does something else; see `starting`."""

    cluster: Future[Cluster]


@contextlib.contextmanager
def starting(workers: Workers, prepare: Callable[[], None], most: int | None = None) -> Iterator[Starting]:
    """Start processes, or connect to those that run, while the block goes on; they are ended, or left, after it.

    Parameters
    ----------
    workers
        The processes.
    prepare
        Called in each that is started, before there is a job. What goes wrong then is told when the job is opened.
    most
        Pieces of work that there can be at a time, as `connected` takes it.

    Raises
    ------
    MissingDependencyError
        Dask is not installed.
    """
    # Not in the thread, beside which this one imports other libraries.
    import_distributed()
    # The pool, which is left first, waits for its thread.
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        yield Starting(pool.submit(_prepared, stack, workers, prepare, most))


def _prepared(stack: contextlib.ExitStack, workers: Workers, prepare: Callable[[], None], most: int | None) -> Cluster:
    cluster = stack.enter_context(connected(workers, most))
    if cluster.is_local:
        distributed = import_distributed()
        for worker in cluster.client.nthreads():
            distributed.fire_and_forget(cluster.client.submit(prepare, workers=[worker], pure=False))
    return cluster


@contextlib.contextmanager
def connected(workers: "Workers | Client | Starting", most: int | None = None) -> Iterator[Cluster]:
    """Start the processes, or connect to those that run; they are ended, or left, afterwards.

    Parameters
    ----------
    workers
        Which processes.
    most
        Pieces of work that there can be at a time, where that is known: no more processes are started for them.

    Raises
    ------
    MissingDependencyError
        Dask is not installed.
    InvalidInputError
        A client is closed or asynchronous, or this process may start no others.
    ClusterError
        Nothing answers at the address.
    DeviceError
        The machine has not as many GPUs.
    """
    if isinstance(workers, Starting):
        yield workers.cluster.result()
        return
    distributed = import_distributed()
    if isinstance(workers, distributed.Client):
        if workers.asynchronous:
            raise InvalidInputError("the Dask client is asynchronous; give one made without asynchronous=True")
        if workers.status not in ("running", "connecting"):
            raise InvalidInputError(f"the Dask client is {workers.status}; give one that is connected")
        yield Cluster(workers, workers.scheduler.address, None, False, Workers(1).tries, None)
        return
    threads = asked = None
    with contextlib.ExitStack() as stack:
        if workers.address is not None:
            stack.enter_context(_quiet())
            try:
                client = distributed.Client(workers.address, timeout=CONNECT_SECONDS, set_as_default=False)
            except (OSError, ValueError) as error:
                raise ClusterError(
                    f"no Dask scheduler answers at {workers.address} ({error}); start one with `dask scheduler`"
                ) from error
            stack.enter_context(client)
        else:
            import dask

            if multiprocessing.current_process().daemon:
                raise InvalidInputError(
                    "this process, such as that of a Dask worker, may start no others; give a client or the address "
                    "of a Dask scheduler"
                )
            # Before the processes start, which take these settings with them.
            scratch = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="attribution-bench-", ignore_cleanup_errors=True)
            )
            stack.enter_context(dask.config.set({**SETTINGS, "temporary-directory": scratch}))
            devices = [] if workers.gpus is None else visible_gpus(workers.gpus)
            wanted = workers.number or len(devices)
            count = wanted if most is None else min(wanted, max(1, most))
            asked = None if count == wanted else wanted
            # On their number the rounding depends, which is not to follow from how much work there happens to be.
            threads = max(1, available_cores() // wanted)
            with _ctrl_c_blocked():
                cluster = stack.enter_context(
                    _gpu_cluster(devices[:count]) if devices else _local_cluster([{}] * count)
                )
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        is_local, address = workers.address is None, client.scheduler.address
        try:
            yield Cluster(client, address, threads, is_local, workers.tries, workers.time_limit, asked)
        except OSError as error:
            # Whatever is asked of a scheduler that is lost ends so.
            if client.status == "running" or isinstance(error, AttributionBenchError):
                raise
            raise lost_scheduler(address) from error


def lost_scheduler(address: str) -> ClusterError:
    """Return the error of a scheduler that does not answer any more."""
    return ClusterError(
        f"the Dask scheduler at {address} is lost; finished work is kept, so that the same command goes on"
    )


def cancelled_tasks(cluster: Cluster) -> ClusterError:
    """Return the error of tasks that were cancelled and not by their job: the scheduler is lost, or others did it."""
    if cluster.client.status != "running":
        return lost_scheduler(cluster.address)
    return ClusterError(
        f"the job's tasks at {cluster.address} were cancelled, such as by a restart of the cluster; finished work is "
        "kept, so that the same command goes on"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave unsaid, with its traceback, what the client of Dask meets: the job ends with an error of its own."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(QUIET)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def serves_pages(dask_scheduler: Any) -> bool:
    """Tell whether a scheduler serves pages, and not only a note that it does not; runs on the scheduler."""
    return bool(dask_scheduler.http_application.applications)


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Start threads and processes that Ctrl-C does not reach, however early it comes: this process tells them to end.

    They inherit what this thread blocks meanwhile. What multiprocessing starts before its first process unblocks Ctrl-C
    again, and so is started first.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def fewer_started(work: str, cluster: Cluster) -> str:
    """Return what is said where fewer processes were started than were asked for, else nothing.

    Parameters
    ----------
    work
        How much work there is, such as ``there is only 1 shard``.
    cluster
        The processes.
    """
    if cluster.asked is None:
        return ""
    started = len(cluster.client.nthreads())
    return f"{work} for {cluster.asked:,} processes, so that {started:,} {'is' if started == 1 else 'are'} started"


def more_threads(threads: int, cluster: Cluster) -> str:
    """Return what is said where processes use more threads than a worker of a cluster states, else nothing.

    One thread of a worker says only that it does one piece of work at a time, as on Slurm, and not on how many cores.
    """
    stated = cluster.threads
    if cluster.own_threads is not None or not 1 < stated < threads:
        return ""
    return (
        f"{threads} threads are used on a worker that states {stated} (--nthreads): where it has fewer than {threads} "
        f"cores for them, it is slower than with --threads {stated} (threads)"
    )


def import_distributed() -> Any:
    """Return Dask's package `distributed`; raises MissingDependencyError where it is not installed."""
    try:
        import distributed
    except ImportError as error:
        raise MissingDependencyError.of("distributed", "dask", "a job over several processes") from error
    return distributed


def visible_gpus(asked: str | int) -> list[str]:
    """Return the names of GPUs as CUDA_VISIBLE_DEVICES takes them.

    Raises
    ------
    DeviceError
        There are none, or not as many as asked for.
    """
    allowed, count = os.environ.get("CUDA_VISIBLE_DEVICES"), _gpu_count()
    found, named = [str(number) for number in range(count)], ""
    if allowed is not None:
        # CUDA leaves out the first name that is none of a GPU, and all that follow, such as of -1.
        names = [name.strip() for name in allowed.split(",")]
        found = list(itertools.takewhile(lambda name: _is_gpu(name, count), names))
        named = f" that CUDA_VISIBLE_DEVICES={allowed} names"
    if not found:
        raise DeviceError(f"--gpus {asked}: this machine has no GPU{named}; give --workers for processes on its cores")
    if asked == "all":
        return found
    if len(found) < int(asked):
        raise DeviceError(f"--gpus {asked}: this machine has {len(found)}{named}")
    return found[: int(asked)]


def _is_gpu(name: str, count: int) -> bool:
    """Tell whether a name is that of one of the GPUs, by its number, or by its identity as a whole or a part of one."""
    return bool(count) and (int(name) < count if name.isdecimal() else name.startswith(("GPU-", "MIG-")))


def _gpu_count() -> int:
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())


def _gpu_cluster(devices: list[str]) -> Any:
    if find_spec("dask_cuda") is None:
        return _local_cluster([{"CUDA_VISIBLE_DEVICES": device} for device in devices])
    # It binds each process to the cores and the network card that are nearest to its GPU.
    from dask_cuda import LocalCUDACluster

    return LocalCUDACluster(
        CUDA_VISIBLE_DEVICES=devices,
        threads_per_worker=1,
        dashboard_address=f"{LOOPBACK}:0",
        silence_logs=QUIET,
    )


def _local_cluster(environments: list[dict[str, str]]) -> Any:
    """Return processes of this machine with environments of their own; each does one piece of work at a time."""
    from distributed import Nanny, Scheduler, SpecCluster
    from distributed.system import MEMORY_LIMIT

    share = int(MEMORY_LIMIT // len(environments))
    options = {"host": LOOPBACK, "nthreads": 1, "memory_limit": share, "silence_logs": QUIET}
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": {"host": LOOPBACK, "dashboard_address": f"{LOOPBACK}:0"}},
        workers={
            name: {"cls": Nanny, "options": {**options, "env": environment}}
            for name, environment in enumerate(environments)
        },
        silence_logs=QUIET,
    )
