"""Scores regions on workers that dask-jobqueue asks Slurm for: ``python attribute.py MODEL REGIONS GENOME STORE``.

MODEL is a file or a name of the catalogue. Run it where jobs may be submitted, in a folder that all nodes share. Each
of Slurm's jobs is one worker, which does one shard at a time; the same command goes on with what an earlier one began.
It needs `dask-jobqueue` beside attribution-bench.
"""

import sys

import dask
from dask_jobqueue import SLURMCluster
from distributed import Client

import attribution_bench as ab
from attribution_bench.models.loading import model_source
from attribution_bench.sequences.regions import Windows, read_regions

WORKERS, CORES, MEMORY = 2, 1, "4GB"
SETTINGS = (
    # Dask's workers give freed memory back at once unless told otherwise, and scoring takes a quarter more time so.
    "export MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432",
    # They take no more work while they hold over 80% of their memory, as a model may for the whole job.
    "export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False",
)
"""Lines of the script that starts a worker."""
LENGTH = 256
"""Letters of a window."""


def main(name: str, regions: str, genome: str, store: str) -> None:
    """Score windows about regions into a store."""
    model = model_source(name).open(length=LENGTH, device="cpu")
    # A process that dies is a failed try of its shard, which the job counts itself.
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    # One thread of Dask: a worker does one shard at a time, on all of its cores.
    slurm = SLURMCluster(
        cores=1,
        processes=1,
        job_cpu=CORES,
        memory=MEMORY,
        walltime="24:00:00",
        job_script_prologue=list(SETTINGS),
    )
    with slurm as cluster, Client(cluster) as client, ab.Genome(genome) as reference:
        cluster.scale(jobs=WORKERS)
        windows = read_regions(regions, reference, Windows(length=LENGTH, overhang="drop"))
        ab.attribute_to_store(
            model, windows, store, methods=["fastism"], target=("count", 0), threads=CORES, cluster=client
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
