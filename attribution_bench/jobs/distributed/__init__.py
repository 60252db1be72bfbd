"""Jobs over processes of one machine or many: Dask hands the work out, and each process writes its own part."""

from attribution_bench.jobs.distributed.cluster import Workers

__all__ = ["Workers"]
