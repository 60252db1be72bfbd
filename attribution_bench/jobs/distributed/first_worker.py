"""Waiting for the first worker of a cluster, by which threads and shares of memory are chosen."""

import os
import time
from collections.abc import Callable

from attribution_bench.jobs.distributed.cluster import Cluster, cancelled_tasks
from attribution_bench.jobs.events import Caution, Event
from attribution_bench.jobs.interruption import Stop, never

LOOK_SECONDS = 0.2


def await_worker(cluster: Cluster, tell: Callable[[Event], None], stop: Stop = never) -> None:
    """Wait until a cluster has a worker.

    Parameters
    ----------
    cluster
        The cluster; one that grows with what there is to do is given something.
    tell
        Told that there is none yet.
    stop
        Asked whether to wait no longer.

    Raises
    ------
    KeyboardInterrupt
        A signal came meanwhile.
    ClusterError
        The scheduler is lost, or others cancelled what was asked for.
    """
    if cluster.client.nthreads():
        return
    tell(Caution(f"there are no workers at {cluster.address} yet; waiting for the first"))
    asked = cluster.client.submit(os.getpid, pure=False)
    while not asked.done():
        if stop() is not None:
            raise KeyboardInterrupt
        time.sleep(LOOK_SECONDS)
    if asked.status == "cancelled":
        raise cancelled_tasks(cluster)
