"""Sinks: where the shards of a job go."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True)
class ArraySpec:
    """One array of a store; its first axis, that of the sequences, goes without saying."""

    name: str
    dimensions: tuple[str, ...]
    """Names of the axes after the first."""
    shape: tuple[int, ...]
    """Sizes of the axes after the first."""
    dtype: str
    """NumPy's name of the type, or ``str``."""
    fill: Any
    """Value of what no shard has written yet."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able words on the array."""
    chunks: tuple[int, ...] | None = None
    """Sizes of a file's part of the axes after the first; the whole of them by default."""


class Sink(Protocol):
    """Takes the shards of a job: in any order, each whole, and each again with the same arrays if it was lost.

    No two shards share a file, so that several writers may fill one sink, each with shards of its own.
    """

    def finished(self) -> frozenset[int]:
        """Return the indices of the shards that are written and intact."""
        ...

    def write(self, shard: int, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
        """Write the arrays of one shard, (sequences of the shard, ...) each, and facts on it, JSON-able.

        When it returns the shard is finished, whatever becomes of the machine.

        Raises
        ------
        OutputError
            They cannot be written; the shard then counts as not finished.
        """
        ...

    def facts(self, shards: Sequence[int]) -> Iterator[Mapping[str, Any]]:
        """Yield the facts on finished shards."""
        ...
