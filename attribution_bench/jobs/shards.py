"""Shards: the stretches of a source that are worked on, written and resumed as one."""

from dataclasses import dataclass

from attribution_bench.errors import InvalidInputError

DEFAULT_SHARD_SIZE = 64
"""Sequences of a shard: what a killed job loses at most."""


@dataclass(frozen=True)
class Shard:
    """The records [start, stop) of a source."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def shards_of(count: int, size: int) -> list[Shard]:
    """Divide `count` records into shards of a size, the last of which may be smaller.

    Raises
    ------
    InvalidInputError
        The size is less than 1.
    """
    if size < 1:
        raise InvalidInputError(f"a shard needs at least 1 sequence, not {size}")
    return [Shard(index, start, min(start + size, count)) for index, start in enumerate(range(0, count, size))]
