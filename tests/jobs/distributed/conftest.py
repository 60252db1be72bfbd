"""Clusters that the tests of a session share."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

from attribution_bench.jobs.distributed.cluster import Cluster, Workers, connected, starting
from attribution_bench.jobs.recipes import Recipe
from attribution_bench.models.loading import model_source

SET_BY_WORKERS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "ATTRIBUTION_BENCH_SHARED_BY",
)
"""Environment variables of a worker's process."""


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two processes, which were started while this one might have done something else."""
    recipe = Recipe(model_source("numpy_jobs:NumpyModel"), {"framework": "numpy"}, os.getcwd())
    with starting(Workers(2), recipe.prepare) as begun, connected(begun) as connection:
        connection.client.wait_for_workers(2, timeout=60)  # a job begins with those that are there
        for worker in connection.client.nthreads():
            # It comes after what the process was to prepare.
            assert connection.client.submit(is_imported, "numpy_jobs", workers=[worker], pure=False).result()
        yield connection


def is_imported(module: str) -> bool:
    return module in sys.modules


@pytest.fixture
def clean_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Take back what workers in this process set, and keep their files in the test's folder."""
    for name in SET_BY_WORKERS:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("ATTRIBUTION_BENCH_MEMORY_LIMIT", "")
    with dask.config.set({"temporary-directory": str(tmp_path / "scratch")}):
        yield


@pytest.fixture
def threaded_cluster(clean_variables: None) -> Iterator[LocalCluster]:
    """A scheduler with one worker, both in this process, where PyTorch is imported already."""
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster
