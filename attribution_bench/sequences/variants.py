"""Variants of a genome: alleles checked against it, trimmed and left-aligned, so that each has one name."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from attribution_bench.sequences.genome import Genome

LETTERS = re.compile("[ACGT]+")
STRETCH = 512
"""Letters of the genome that are read at a time while an allele moves to the left."""


class VariantReason(StrEnum):
    """Reasons for which an allele is set aside; the members' names are what VCF files say."""

    NO_ALTERNATIVE = "no alternative allele"
    OVERLAPPING_DELETION = "allele * of an overlapping deletion"
    SYMBOLIC = "symbolic allele"
    BREAKEND = "breakend"
    OTHER_LETTERS = "alleles with other letters than A, C, G and T"
    NO_CHANGE = "alternative is the reference"
    NO_CONTIG = "contig is not in the genome"
    OFF_CONTIG = "reaches beyond its contig"
    REF_MISMATCH = "reference is not what the genome has"
    TOO_LONG = "alleles too long for the model's window"
    BEYOND_DISTANCE = "reference allele longer than twice the distance (--distance)"
    WINDOW_OFF_CONTIG = "window reaches beyond its contig"
    MOSTLY_UNKNOWN = "more unknown letters than allowed"
    NOT_FINITE = "predictions are not finite"
    NO_GENE = "in no gene"
    NO_EXONS = "in no gene with exons"
    NOT_COMPUTED = "every try to compute it failed"


@dataclass(frozen=True)
class SetAside:
    """Why a variant has no effects."""

    reason: VariantReason
    detail: str = ""
    """What was wrong with this one in particular; empty where the reason says it."""


@dataclass(frozen=True)
class Variant:
    """One alternative allele of a genome."""

    contig: str
    position: int
    """0-based position of the first letter of the reference allele; VCF files count from 1."""
    reference: str
    """Letters that the genome has there."""
    alternative: str
    """Letters in their place, or what else a VCF file has as an allele."""
    name: str = ""
    """Identifier, such as ``rs123``; empty where there is none."""

    def __str__(self) -> str:
        return f"{self.contig}:{self.position + 1}:{self.reference}:{self.alternative}"

    @property
    def is_substitution(self) -> bool:
        """Whether as many letters come as go, so that nothing moves."""
        return len(self.reference) == len(self.alternative)


class VariantRecord(Protocol):
    """A line of a VCF file, as ``pysam.VariantRecord`` has it."""

    @property
    def contig(self) -> str:
        """Name of the contig."""
        ...

    @property
    def pos(self) -> int:
        """1-based position of the first letter of the reference allele."""
        ...

    @property
    def id(self) -> str | None:
        """Identifiers."""
        ...

    @property
    def ref(self) -> str | None:
        """Reference allele."""
        ...

    @property
    def alts(self) -> Sequence[str] | None:
        """Alternative alleles."""
        ...


def variants_of(record: VariantRecord) -> Iterator[Variant]:
    """Yield the alleles of a record of a VCF file, in its order; one without alternative alleles gives one, ``.``."""
    for alternative in record.alts or (".",):
        yield Variant(record.contig, record.pos - 1, record.ref or ".", alternative, record.id or "")


def normalised(variant: Variant, genome: Genome) -> Variant | SetAside:
    """Return a variant with its alleles in upper case, trimmed and left-aligned against the genome.

    This is the form of Tan, Abecasis and Kang (Bioinformatics 2015) and of ``bcftools norm``: an insertion or deletion
    starts with the letter before it, or at the start of a contig ends with the letter after it. Two variants that give
    the same sequence have the same form.

    Returns
    -------
    The variant; or why there is none: alleles that are no letters, that do not differ, that lie beyond the genome, or a
    reference allele that the genome does not have.

    Raises
    ------
    SequenceError
        The genome cannot be read.
    """
    reference, alternative = variant.reference.upper(), variant.alternative.upper()
    wrong = _no_letters(reference, alternative)
    if wrong is not None:
        return wrong
    if variant.contig not in genome.contigs:
        return SetAside(VariantReason.NO_CONTIG, genome.without(variant.contig))
    length, end = genome.length(variant.contig), variant.position + len(reference)
    if not 0 <= variant.position < end <= length:
        return SetAside(VariantReason.OFF_CONTIG, f"{variant.contig} has {length} letters")
    found = genome.fetch(variant.contig, variant.position, end)
    if found != reference:
        return SetAside(VariantReason.REF_MISMATCH, f"the genome has {found}")
    if reference == alternative:
        return SetAside(VariantReason.NO_CHANGE)
    return _aligned(variant, reference, alternative, genome)


def trimmed(variant: Variant) -> Variant:
    """Return a variant without letters that both its alleles end or begin with; at least one of each is left.

    It is not moved along the genome: an allele of a single letter stays as it is written, but in upper case.
    """
    reference, alternative = variant.reference.upper(), variant.alternative.upper()
    most = min(len(reference), len(alternative)) - 1
    after = min(_common(reference[::-1], alternative[::-1]), most)
    before = min(_common(reference, alternative), most - after)
    kept, put = (allele[before : len(allele) - after] for allele in (reference, alternative))
    return Variant(variant.contig, variant.position + before, kept, put, variant.name)


def _no_letters(reference: str, alternative: str) -> SetAside | None:
    """Tell which alleles are none that a sequence can have."""
    if alternative == ".":
        return SetAside(VariantReason.NO_ALTERNATIVE)
    if alternative == "*":
        return SetAside(VariantReason.OVERLAPPING_DELETION)
    if alternative.startswith("<"):
        return SetAside(VariantReason.SYMBOLIC, alternative)
    if set("[].") & set(alternative):
        return SetAside(VariantReason.BREAKEND, alternative)
    if not LETTERS.fullmatch(reference) or not LETTERS.fullmatch(alternative):
        return SetAside(VariantReason.OTHER_LETTERS)
    return None


def _aligned(variant: Variant, reference: str, alternative: str, genome: Genome) -> Variant:
    """Return a variant whose alleles differ, trimmed and left-aligned."""
    contig, position = variant.contig, variant.position
    after = _common(reference[::-1], alternative[::-1])
    kept, put = reference[: len(reference) - after], alternative[: len(alternative) - after]
    before = _common(kept, put)
    position, kept, put = position + before, kept[before:], put[before:]
    if not kept or not put:
        moved, indel = _moved_left(kept or put, contig, position, genome)
        position -= moved
        # The letter that tells where the others go: the one before them, which a contig's first letter has not.
        anchor = genome.fetch(contig, position - 1, position) if position else ""
        follows = "" if position else genome.fetch(contig, len(kept), len(kept) + 1)
        position -= len(anchor)
        kept, put = (anchor + (indel if allele else "") + follows for allele in (kept, put))
    return Variant(contig, position, kept, put, variant.name)


def _common(one: str, other: str) -> int:
    """Return how many letters two texts begin with in common."""
    for count, (letter, its) in enumerate(zip(one, other, strict=False)):
        if letter != its:
            return count
    return min(len(one), len(other))


def _moved_left(indel: str, contig: str, position: int, genome: Genome) -> tuple[int, str]:
    """Return how far letters inserted or deleted at a position can move to the left, and what they are then."""
    letters, moved, stretch, start = deque(indel), 0, "", position
    while True:
        if not stretch:
            start, end = max(0, start - STRETCH), start
            stretch = genome.fetch(contig, start, end)
        if not stretch or stretch[-1] != letters[-1]:
            return moved, "".join(letters)
        letters.rotate(1)
        stretch, moved = stretch[:-1], moved + 1
