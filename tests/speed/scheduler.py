"""What handing out shards costs: ``make scheduler``.

Tasks that sleep go through the dispatch of jobs to 8, 64 and 512 workers of a Dask cluster. The overhead is the wall
time over the sum of the tasks' durations divided by the workers, minus 1; it is to be under 5%. Exits with 1 where it
is not.

On 512 workers the tasks sleep as long as a shard of Basset takes, 128 sequences of 1,000 letters on two cores. On fewer
workers they are shorter, so that a run ends in minutes. A hand-over takes as long whatever the task, so that a shorter
task makes its share larger: these figures are upper bounds for shards as long as real ones. The scheduler has a process
of its own, as on a cluster; the workers are many to a process, where they do nothing but sleep and talk.

``--output reports/scale`` keeps a record for each number of workers, of which docs/scale.md is made. To see in a minute
that it works: ``ARGS="--tasks 256 --workers 8"``.
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import dask
import psutil
from distributed import Client, Scheduler, Worker

from attribution_bench.environment import describe_machine
from attribution_bench.jobs.distributed.cluster import LOOPBACK, SETTINGS, Cluster
from attribution_bench.jobs.distributed.dispatch import Dispatch, never_stopped
from attribution_bench.jobs.distributed.pieces import Done, Piece

MOST_OVERHEAD = 0.05
TASKS = 10_240
"""Divides by each number of workers: of equal tasks no worker then waits for the last ones of others."""
SECONDS = {8: 0.5, 64: 2.0, 512: 14.7}
"""Workers -> seconds of a task."""
SPREAD = 0.02
"""Durations are drawn from as much below and above, as those of one cell of the benchmark lie apart."""
LONGEST = 1e5
"""Seconds; a limit ends a process, which many workers share here."""
WORKERS_A_PROCESS = 64
START_SECONDS = 300
ONE_PROCESS = {
    # Each worker looks at memory and network of its process twice a second, which of many in one process would be most
    # of what it does.
    "distributed.admin.system-monitor.interval": "1h",
}


@dataclass(frozen=True)
class SleepParcel:
    """A job whose pieces sleep."""

    def open(self) -> "Sleeper":
        """Open the job, of which there is nothing."""
        return Sleeper()


class Sleeper:
    """A job as it is open on a worker."""

    def facts(self) -> None:
        """Return nothing: no number depends on a process."""

    def do(self, order: float) -> float:
        """Sleep; returns the seconds that it took."""
        start = time.monotonic()
        time.sleep(order)
        return time.monotonic() - start


@dataclass(frozen=True)
class Simulation:
    """What a run came to."""

    workers: int
    tasks: int
    task_seconds: float
    """Mean of the tasks as asked for."""
    wall_seconds: float
    ideal_seconds: float
    """The tasks' durations over the workers."""
    overhead: float
    scheduler_seconds_per_task: float
    """Of the processor, in the scheduler's process."""
    client_seconds_per_task: float
    """Of the processor, in the process that hands out."""
    hand_over_seconds: float
    """Median from a task's being handed out to its being known to be done, beyond what it slept."""


def serve_scheduler(pipe: Connection) -> None:
    """Run a scheduler until it is closed; its address goes through the pipe."""

    async def serve() -> None:
        async with Scheduler(host=LOOPBACK, dashboard=False) as scheduler:
            pipe.send(scheduler.address)
            await scheduler.finished()

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set({**SETTINGS, **ONE_PROCESS}):
        asyncio.run(serve())


def serve_workers(address: str, count: int) -> None:
    """Run workers until they are closed."""

    async def serve() -> None:
        options = {"host": LOOPBACK, "nthreads": 1, "memory_limit": 0, "dashboard": False}
        workers = [await Worker(address, **options) for _ in range(count)]
        await asyncio.gather(*(worker.finished() for worker in workers))

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set({**SETTINGS, **ONE_PROCESS}):
        asyncio.run(serve())


@contextmanager
def sleepers(workers: int) -> Iterator[tuple[Cluster, psutil.Process]]:
    """Start a scheduler and workers that talk over sockets, as those of other machines do; yields its process too."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    processes = [spawn.Process(target=serve_scheduler, args=(sender,), daemon=True)]
    processes[0].start()
    try:
        address = receiver.recv()
        for start in range(0, workers, WORKERS_A_PROCESS):
            count = min(WORKERS_A_PROCESS, workers - start)
            processes.append(spawn.Process(target=serve_workers, args=(address, count), daemon=True))
            processes[-1].start()
        with dask.config.set(SETTINGS), Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=START_SECONDS)
            yield Cluster(client, address, 1, False, 1, LONGEST), psutil.Process(processes[0].pid)
    finally:
        for process in processes:
            process.kill()
            process.join()


def processor_seconds(process: psutil.Process) -> float:
    """Return the processor's seconds that a process has had."""
    times = process.cpu_times()
    return float(times.user + times.system)


def simulate(workers: int, tasks: int, seconds: float) -> Simulation:
    """Hand out sleeping tasks to workers, and measure."""
    draw = random.Random(workers)
    durations = [seconds * draw.uniform(1 - SPREAD, 1 + SPREAD) for _ in range(tasks)]
    pieces = (Piece(f"shard {index}", duration) for index, duration in enumerate(durations))
    with sleepers(workers) as (cluster, scheduler), Dispatch(cluster, SleepParcel(), {}, print) as dispatch:
        dispatch.facts()
        start = time.monotonic(), processor_seconds(scheduler), time.process_time()
        found = [done for done in dispatch.run(pieces, never_stopped) if isinstance(done, Done)]
        end = time.monotonic(), processor_seconds(scheduler), time.process_time()
    assert len(found) == tasks
    wall, of_scheduler, of_client = (after - before for before, after in zip(start, end, strict=True))
    ideal = sum(durations) / workers
    return Simulation(
        workers=workers,
        tasks=tasks,
        task_seconds=statistics.fmean(durations),
        wall_seconds=wall,
        ideal_seconds=ideal,
        overhead=wall / ideal - 1,
        scheduler_seconds_per_task=of_scheduler / tasks,
        client_seconds_per_task=of_client / tasks,
        hand_over_seconds=statistics.median(done.seconds - done.record for done in found),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print, record and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--workers", type=int, nargs="+", default=list(SECONDS), choices=list(SECONDS))
    parser.add_argument("--output", type=Path, help="folder of the records, where they are to be kept")
    given = parser.parse_args(arguments)
    found = []
    for workers in given.workers:
        one = simulate(workers, given.tasks, SECONDS[workers])
        found.append(one)
        print(
            f"{workers} workers, {one.tasks:,} tasks of {one.task_seconds:.3g} s: {one.wall_seconds:.1f} s, of which "
            f"{one.ideal_seconds:.1f} s are work: overhead {100 * one.overhead:.2g}%. A task takes "
            f"{1000 * one.scheduler_seconds_per_task:.2g} ms of the scheduler's processor, "
            f"{1000 * one.client_seconds_per_task:.2g} ms of the client's, and {1000 * one.hand_over_seconds:.2g} ms "
            "to be handed over",
            flush=True,
        )
        if given.output is not None:
            given.output.mkdir(parents=True, exist_ok=True)
            record = {"machine": asdict(describe_machine("cpu")), "simulation": asdict(one)}
            text = json.dumps(record, indent=1) + "\n"
            (given.output / f"scheduler-{workers}.json").write_text(text, encoding="utf-8")
    return int(any(one.overhead >= MOST_OVERHEAD for one in found))


if __name__ == "__main__":
    sys.exit(main())
