"""Options that say which processes do a job."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from attribution_bench.cli.options import Bounds
from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench.jobs.distributed.cluster import Starting, Workers
    from attribution_bench.models.loading import ModelSource

PROCESSES = Bounds(1, 4096, what="number of processes")
TRIES = Bounds(1, 100, what="number of tries")
LIMITS = Bounds(1e-3, 10_000_000, "seconds")

Processes = Annotated[
    int | None,
    PROCESSES.option("Processes of this machine that do the work, and share its cores", "--workers", metavar="NUMBER"),
]
Scheduler = Annotated[
    str | None,
    typer.Option("--dask", help="Address of a Dask scheduler whose workers do the work.", metavar="ADDRESS"),
]
Gpus = Annotated[
    str | None, typer.Option(help="GPUs of this machine with a process each: all, or how many.", metavar="NUMBER")
]
DEFAULT_TRIES = 3
Tries = Annotated[
    int | None,
    TRIES.option(
        f"Of work that fails on a process, before it is set aside with its error; {DEFAULT_TRIES} by default",
        metavar="NUMBER",
    ),
]
TimeLimit = Annotated[
    float | None,
    LIMITS.option(
        "Of one shard on a process, which is ended beyond it; by default 10 times what shards take, and no less "
        "than a minute",
        metavar="SECONDS",
    ),
]


def workers(
    number: int | None, address: str | None, gpus: str | None, tries: int | None, time_limit: float | None
) -> "Workers | None":
    """Return the processes that options ask for; None for this one.

    Raises
    ------
    InvalidInputError
        Several options ask for processes, a number of GPUs is none, or an option of processes is given without any.
    MissingDependencyError
        Dask is not installed.
    """
    from attribution_bench.jobs.distributed.cluster import Workers, import_distributed

    given = [
        option for option, value in (("--workers", number), ("--dask", address), ("--gpus", gpus)) if value is not None
    ]
    if not given:
        if tries is not None or time_limit is not None:
            option = "--time-limit" if tries is None else "--tries"
            raise InvalidInputError(f"{option} is of work on other processes; give it with --workers, --dask or --gpus")
        return None
    if len(given) > 1:
        raise InvalidInputError(f"{' and '.join(given)} were given, which say where a job runs; give only one")
    if gpus is not None and gpus != "all" and not (gpus.isdecimal() and int(gpus)):
        raise InvalidInputError(f"--gpus takes 'all' or a number from 1 on, not {gpus!r}")
    import_distributed()
    # What Dask leaves of connections as it ends, each with a traceback; what matters comes as an error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    devices = int(gpus) if gpus is not None and gpus.isdecimal() else gpus
    return Workers(number, address, devices, tries or DEFAULT_TRIES, time_limit)


@contextlib.contextmanager
def started(
    processes: "Workers | None", source: "ModelSource", framework: str, most: int | None
) -> "Iterator[Starting | None]":
    """Start processes, which import what a model takes, while this one opens it; they are ended after the block.

    At most `most` of them are started, the pieces of work that there can be at a time.
    """
    if processes is None:
        yield None
        return
    from attribution_bench.jobs.distributed.cluster import starting
    from attribution_bench.jobs.recipes import Recipe

    with starting(processes, Recipe(source, {"framework": framework}, os.getcwd()).prepare, most) as found:
        yield found
