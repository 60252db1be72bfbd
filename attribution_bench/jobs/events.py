"""Events: what a running job tells whoever watches it."""

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
class Caution:
    """Something that a reader of the scores should know; each is told once."""

    text: str
    category: type[Warning] = JobWarning
    """Of the warning that it is where nobody watches."""


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
    """Of the records that this run did; None where it did none."""
    halvings: int = 0
    """How often the block was halved because memory ran out."""
    stopped_by: str | None = None
    """Name of the signal that stopped the job before its end."""

    @property
    def complete(self) -> bool:
        """Whether every record is done."""
        return self.left == 0


Event: TypeAlias = Started | Working | ShardDone | Caution | Summary
Observer: TypeAlias = Callable[[Event], None]
