"""Genomic intervals: where on which chromosome a sequence comes from."""

from dataclasses import dataclass
from typing import Literal, get_args

from attribution_bench.errors import SequenceError

Strand = Literal["+", "-", "."]
STRANDS: tuple[Strand, ...] = get_args(Strand)


@dataclass(frozen=True)
class Interval:
    """A stretch of a chromosome, 0-based and half-open as in BED.

    Raises
    ------
    SequenceError
        The start is negative, the end is not after the start, the chromosome has no name, or the strand is none of
        ``+``, ``-`` and ``.``.
    """

    chromosome: str
    start: int
    end: int
    strand: Strand = "."
    """``-`` where the sequence is the reverse complement of the interval, ``.`` where the strand is unknown."""

    def __post_init__(self) -> None:
        if not self.chromosome:
            raise SequenceError("an interval needs the name of its chromosome, such as chr1")
        if not 0 <= self.start < self.end:
            raise SequenceError(
                f"an interval needs 0 <= start < end (0-based, half-open), not {self.start} to {self.end}"
            )
        if self.strand not in STRANDS:
            raise SequenceError(f"the strand of an interval must be one of {', '.join(STRANDS)}, not {self.strand!r}")

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        strand = "" if self.strand == "." else f"({self.strand})"
        return f"{self.chromosome}:{self.start}-{self.end}{strand}"
