"""Pieces of work: what is handed out, what is known of each meanwhile, and what becomes of it."""

from dataclasses import dataclass, field
from typing import Any

MOST_LEFT = 10
"""Workers that may leave as planned while they are at a piece, or open the job, before that counts as a try: what lasts
longer than workers do is never done."""


@dataclass(frozen=True)
class Piece:
    """A piece of work."""

    name: str
    """Such as ``shard 17``."""
    order: Any
    """What `Opened.do` is given; a few hundred bytes."""
    failed_before: bool = False
    """Whether an earlier run gave it up: that it fails again says nothing of the worker."""


class NotReady:
    """Stands among pieces for one that depends on a piece which is being done."""


@dataclass(frozen=True)
class GivenUp:
    """A piece that was given up: every try failed."""

    piece: Piece
    error: str
    of_output: bool = False
    """Whether the last try failed as its results could not be written or read."""


@dataclass(frozen=True)
class Done:
    """A piece that is done."""

    piece: Piece
    record: Any
    """What `Opened.do` returned."""
    seconds: float
    """Since it was handed out."""


@dataclass
class Flight:
    """A piece that is handed out, or waits for its next try."""

    piece: Piece
    failed: int = 0
    """Tries that failed."""
    left: int = 0
    """Workers that had it and left the cluster as planned."""
    tried: set[str] = field(default_factory=set)
    """Workers on which it failed, and machines where its process died."""
    worker: str = ""
    """The worker that it was handed to, from which Dask may move it; empty where there was none."""
    started: float = 0.0
    limit: float | None = None
