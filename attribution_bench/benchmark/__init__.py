"""The benchmark: workloads, a runner that measures them, and records that keep what was measured."""

from attribution_bench.benchmark.results import (
    BatchTiming,
    OutputCheck,
    Record,
    SequenceSource,
    Units,
    Workload,
    load_records,
    save_record,
)
from attribution_bench.environment import Commit, Machine

__all__ = [
    "BatchTiming",
    "Commit",
    "Machine",
    "OutputCheck",
    "Record",
    "SequenceSource",
    "Units",
    "Workload",
    "load_records",
    "save_record",
]
