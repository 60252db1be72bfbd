"""Events: what a running job tells whoever watches it."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from attribution_bench.errors import JobWarning


@dataclass(frozen=True)
class Started:
    """The source is read through and the store is there or about to be."""

    store: Path
    methods: tuple[str, ...]
    sequences: int
    """Records of the source."""
    shards: int
    finished_shards: int
    """Shards that an earlier run finished."""
    finished_sequences: int
    """Records in them."""
    duplicates: int
    set_aside: Mapping[str, int]
    """Reason -> records that have no sequence to score."""
    examples: Mapping[str, str] = field(default_factory=dict)
    """Reason -> what was wrong with the first such record in particular, where that is known."""
    begun_sequences: float = 0.0
    """What earlier runs did of other shards, to which some of several models are added: as a number of records with
    every model."""


@dataclass(frozen=True)
class Working:
    """Something of a shard is done."""

    sequences: float
    """Records done in all, parts of one included."""


@dataclass(frozen=True)
class ShardDone:
    """A shard is written."""

    shard: int
    sequences: int
    """Records done in all."""
    total: int
    seconds: float
    """Of this shard, reading and writing included."""
    set_aside: Mapping[str, int]
    """Of this shard."""


@dataclass(frozen=True)
class ModelsAdded:
    """Some of several models are added to a shard; where they are the last ones, it is written as well."""

    shard: int
    models: int
    """Added so far."""
    of: int
    """Models in all."""
    sequences: float
    """Records done in all, where one with a part of its models counts as that part."""
    total: int
    seconds: float
    """Of adding these."""


@dataclass(frozen=True)
class Caution:
    """Something that a reader of the scores should know; each is told once."""

    text: str
    category: type[Warning] = JobWarning
    """Of the warning that it is where nobody watches."""
    kind: str = ""
    """What it has in common with others of which it is the first; empty where it stands for itself."""


@dataclass(frozen=True)
class Cluster:
    """The processes that are to do the job are there."""

    workers: int
    """Processes now; more may come and some may go."""
    threads: int
    """Threads of each shard."""
    dashboard: str | None = None
    """Address of Dask's page on the cluster, where it serves one."""


@dataclass(frozen=True)
class Retry:
    """Work failed on one process, and is tried again, on another where there is one."""

    work: str
    """Such as ``shard 17``."""
    tries: int
    """That have failed so far."""
    error: str
    worker: str = ""
    """Address of the process; empty where it is not known."""


@dataclass(frozen=True)
class ShardFailed:
    """Every try of a shard failed: its records are set aside with the error, and tried again by the next run."""

    shard: int
    sequences: int
    """Records done in all."""
    total: int
    error: str
    first: int
    """Its first record, counted from 1."""
    last: int
    """Its last record."""


@dataclass(frozen=True)
class Summary:
    """What became of a job; the last event, and what the functions return."""

    store: Path
    sequences: int
    """Records of the source."""
    scored: int
    set_aside: Mapping[str, int] = field(default_factory=dict)
    """Reason -> records, those whose predictions are no numbers included."""
    duplicates: int = 0
    """Sequences equal to an earlier one, scored like any other."""
    resumed_from: int = 0
    """Records that earlier runs had finished."""
    left: int = 0
    """Records that are still to do."""
    seconds: float = 0.0
    """Of this run."""
    seconds_per_100_sequences: float | None = None
    """Of the records that this run did; None where it did none. In one process those after the first shard count,
    in which every method is used for the first time, where there are any."""
    halvings: int = 0
    """How often the block was halved because memory ran out."""
    stopped_by: str | None = None
    """Name of the signal that stopped the job before its end."""
    failed_shards: Mapping[int, str] = field(default_factory=dict)
    """Shard -> error of those of which every try failed; the next run tries them again."""
    retries: int = 0
    """Tries that failed, of whatever shard."""
    core_seconds_per_sequence: float | None = None
    """Seconds of this run's shards times the threads of each, over their records; None where it did none. The first
    shard of each process is left out where there are others."""
    seconds_include_starting: bool = False
    """Whether the first use of every method is in `seconds_per_100_sequences`."""
    core_seconds_include_starting: bool = False
    """Whether the first use of every method is in `core_seconds_per_sequence`."""
    peak_bytes: int = 0
    """Most memory of any process; 0 where that is not known."""

    @property
    def complete(self) -> bool:
        """Whether every record is done."""
        return self.left == 0


Event: TypeAlias = Started | Working | ShardDone | ModelsAdded | Caution | Cluster | Retry | ShardFailed | Summary
Observer: TypeAlias = Callable[[Event], None]


def warn_of_cautions(event: Event) -> None:
    """Warn of what an observer would be told to be careful of."""
    if isinstance(event, Caution):
        warnings.warn(event.text, event.category, stacklevel=2)
