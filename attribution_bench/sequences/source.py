"""Sources of sequences: what a job reads shard after shard, from a FASTA file or from regions of a genome."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from attribution_bench.sequences.alphabet import Alphabet
from attribution_bench.sequences.interval import Interval, Strand


class Reason(StrEnum):
    """Reasons for which a sequence is set aside; a job counts them by these words and stores them."""

    EMPTY = "no letters"
    OTHER_LENGTH = "another length than those that are scored"
    OTHER_LETTERS = "letters outside the alphabet"
    ONLY_UNKNOWN = "unknown letters only"
    MOSTLY_UNKNOWN = "more unknown letters than allowed"
    NO_CONTIG = "contig is not in the genome"
    OFF_CONTIG = "reaches beyond its contig"
    BAD_INTERVAL = "interval without a length, or reversed"
    NOT_FINITE = "scores or predictions are not finite"
    NOT_COMPUTED = "every try to compute it failed"


@dataclass(frozen=True)
class SourceRecord:
    """One entry of a source, in the order of its file: a sequence, or the reason why there is none."""

    name: str
    """Name of the sequence; names may repeat."""
    sequence: str | None
    """Upper-case letters of the source's alphabet, `SequenceSource.length` of them; None where it is set aside."""
    chromosome: str = ""
    """Contig that the sequence comes from; empty where that is unknown."""
    start: int = 0
    """0-based start on the contig; negative where the sequence is padded before it, or the record set aside."""
    end: int = 0
    """End on the contig, half-open."""
    strand: Strand = "."
    reason: Reason | None = None
    """Why the record is set aside; None where it has a sequence."""
    detail: str = ""
    """What was wrong with this record in particular, such as the names that the genome has for a contig."""
    contig_length: int = 0
    """Letters of the contig; 0 where that is unknown. A sequence that is padded behind it ends beyond them."""

    @property
    def interval(self) -> Interval | None:
        """Genomic interval of the sequence, where it is known and does not start before the contig."""
        if not self.chromosome or self.sequence is None or self.start < 0:
            return None
        return Interval(self.chromosome, self.start, self.end, self.strand)


class SequenceSource(Protocol):
    """Sequences of one length that are read a stretch at a time: memory never holds all of them.

    Opening a source looks through its files once, so that what cannot be read at all raises a SequenceError there.
    What is wrong with one record sets that record aside and keeps its place: index i means the i-th record of the file
    throughout. Reading the same stretch twice gives the same records.
    """

    @property
    def alphabet(self) -> Alphabet:
        """Alphabet of the sequences."""
        ...

    @property
    def length(self) -> int:
        """Letters of every sequence that is not set aside."""
        ...

    @property
    def description(self) -> Mapping[str, Any]:
        """What decides the records, JSON-able: kind, digests of files, options; no times and no absolute paths.

        A job stores it and compares it when it is resumed, entry by entry, so the keys are words for people.
        """
        ...

    @property
    def label(self) -> str:
        """Origin of the sequences, in words for a report."""
        ...

    def __len__(self) -> int:
        """Return the number of records, those set aside included."""
        ...

    def read(self, start: int, stop: int) -> list[SourceRecord]:
        """Return the records [start, stop), 0 <= start <= stop <= len; fewer than these are an error of the source.

        Stretches are mostly read in ascending order, but need not be.

        Raises
        ------
        SequenceError
            A file cannot be read, or has changed since the source was opened.
        """
        ...


@runtime_checkable
class Assuming(Protocol):
    """A source that took something for granted, which a job tells whoever runs it."""

    assumptions: tuple[str, ...]
    """What it took for granted, in words."""
