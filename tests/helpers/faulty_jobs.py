"""Jobs whose method fails in the process that computes it, and a client of a cluster that may be killed."""

import errno
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from distributed import Client, Scheduler

from attribution_bench import DNA, RawAttribution, Request, Tags
from attribution_bench.errors import AttributionBenchError
from attribution_bench.jobs.distributed.cluster import Workers, connected
from attribution_bench.jobs.distributed.posting import PREFIX
from attribution_bench.jobs.distributed.worker_job import WorkerJob
from attribution_bench.jobs.run import run
from attribution_bench.variants.effects import BoundEffects, ModelOutputs, ScalarEffects
from attribution_bench.variants.score import BLOCK
from numpy_jobs import Weights, numpy_job


class Faulty(Weights):
    """As `Weights`, but a fault meets every call with a sequence that starts with some letters, while a file is there.

    A file that holds a number is a fault of the process of that number alone; ``claim`` in it stands for the first
    process that comes.
    """

    tags: ClassVar[Tags] = Tags(frozenset({"numpy"}), needs_references=True)

    def __init__(self, model, *, fault, file, at, pause=0.0):
        super().__init__(model, pause=pause)
        self.options |= {"fault": fault, "file": file, "at": at}

    def _attribute(self, request: Request) -> RawAttribution:
        met = any(text.startswith(self.options["at"]) for text in DNA.decode(request.one_hot))
        if met and is_here(Path(self.options["file"])):
            FAULTS[self.options["fault"]]()
        return super()._attribute(request)


def is_here(file: Path) -> bool:
    """Tell whether a fault meets this process, as a file says; see `Faulty`."""
    if not file.exists():
        return False
    text = file.read_text()
    if text == "claim":
        file.write_text(str(os.getpid()))
    return text in ("", "claim", str(os.getpid()))


@dataclass(frozen=True)
class Steps:
    """A job whose pieces last some seconds, and then meet a fault or none."""

    opening: float = 0.0
    """Seconds."""

    def open(self) -> "Steps":
        time.sleep(self.opening)
        return self

    def facts(self) -> int:
        return os.getpid()

    def do(self, order: tuple[float, str]) -> None:
        seconds, fault = order
        time.sleep(seconds)
        if fault:
            FAULTS[fault]()


class Refusing(WorkerJob):
    """A job that some processes do not take, as a file says; see `Faulty`."""

    def __init__(self, parcel, environment, shielded, file):
        super().__init__(parcel, environment, shielded)
        self._file = file

    def setup(self, worker):
        super().setup(worker)
        if is_here(self._file):
            raise ModuleNotFoundError("no module like it")


def killed() -> None:
    """Die as by the kernel's hand."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_later() -> None:
    """Die after heartbeats that say what the process is at."""
    time.sleep(1.3)
    killed()


def hung() -> None:
    """Do nothing for longer than any test."""
    time.sleep(600)


def stopped() -> None:
    """Be stopped from outside, where nothing of the process runs any more."""
    os.kill(os.getpid(), signal.SIGSTOP)


def greedy() -> None:
    """Take more memory than the process is allowed, and hold it."""
    held = np.ones(60_000_000)
    time.sleep(30)
    del held


def full_disk() -> None:
    """Fail as a file system without room does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def broken() -> None:
    """Fail as a method may."""
    raise ZeroDivisionError("the method divided by zero")


def exits() -> None:
    """End as a script does."""
    sys.exit("no licence")


def small() -> None:
    """Fail as where memory is too small."""
    raise AttributionBenchError("memory is too small for one sequence at a time")


FAULTS = {
    "killed": killed,
    "killed later": killed_later,
    "hung": hung,
    "stopped": stopped,
    "greedy": greedy,
    "full disk": full_disk,
    "broken": broken,
    "exits": exits,
    "small": small,
}


@dataclass(frozen=True)
class FaultyEffects(ScalarEffects):
    """As `ScalarEffects`, but they fail for blocks of fewer variants than others have, while a file is there."""

    file: str = ""

    def bind(self, outputs: ModelOutputs) -> "FaultyBound":
        return FaultyBound(super().bind(outputs), Path(self.file))


class FaultyBound:
    """Bound effects, which fail while a file is there."""

    def __init__(self, bound: BoundEffects, file: Path) -> None:
        self._bound, self._file = bound, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bound, name)

    def quantities(self, values, strand):
        if self._file.exists() and len(next(iter(values.values()))) < BLOCK:
            broken()
        return self._bound.quantities(values, strand)


def faulty_job(fasta: Path, fault: str, file: Path, at: str = "", **further):
    """Return a job whose arrays are named as those of `numpy_job`."""
    options = {"fault": fault, "file": str(file), "at": at, "pause": further.pop("pause", 0.0)}
    job = numpy_job(fasta, threads=1, **further)
    job.methods["weights"] = type(job.methods["weights"])(Faulty, options)
    return job


def posted_jobs(client: Client) -> list[str]:
    """Return the jobs that a scheduler has posted to its workers."""
    names = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
    return [name for name in names if name.startswith(PREFIX)]


def await_openings(client: Client) -> None:
    """Wait until every worker has opened the job that is being begun, or has failed to."""

    def opening(dask_scheduler: Scheduler) -> bool:
        return any(
            task.key.startswith("opening") for worker in dask_scheduler.workers.values() for task in worker.processing
        )

    while client.run_on_scheduler(opening):
        time.sleep(0.02)


def main(fasta: str, store: str, address: str, pause: str) -> None:
    """Run a job on a cluster; this process may be killed."""
    from attribution_bench.jobs.distributed.shards import OnCluster

    job = numpy_job(Path(fasta), options={"pause": float(pause)}, threads=1)
    workers = Workers(int(address)) if address.isdecimal() else Workers(address=address)
    with connected(workers) as cluster, OnCluster(cluster) as runner:
        run(job, Path(store), runner=runner)


if __name__ == "__main__":
    main(*sys.argv[1:])
