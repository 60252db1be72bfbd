"""Windows of variants: both alleles as sequences of the model's length, with the genome's own letters about them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args

from attribution_bench.errors import InvalidInputError
from attribution_bench.sequences.genome import UNKNOWN, Genome
from attribution_bench.sequences.regions import COMPLEMENTS, Overhang
from attribution_bench.sequences.variants import SetAside, Variant, VariantReason


@dataclass(frozen=True)
class Placing:
    """How variants are placed in windows.

    Raises
    ------
    InvalidInputError
        A number or choice that cannot be.
    """

    length: int
    """Letters of a window, those that the model takes."""
    share_within: int = 0
    """Largest distance of a variant from the middle of its window. With 0 every window is centred on its variant;
    else windows stand ``2 * share_within + 1`` letters apart, and variants near the same middle share one, whatever
    other variants there are."""
    overhang: Overhang = "pad"
    """What happens where a window reaches beyond its contig: N there, or the variant is set aside."""
    largest_unknown_share: float = 0.5
    """Share of N, among the letters that the genome has, beyond which a variant is set aside."""
    follows_distance: bool = False
    """Whether a larger distance comes with longer windows by itself, so that no advice on it names a length."""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise InvalidInputError(f"the length of windows must be at least 1, not {self.length}")
        if not 0 <= self.share_within < max(1, self.length // 2):
            raise InvalidInputError(
                f"share_within must be 0 or more and less than half the window ({self.length // 2}), not "
                f"{self.share_within}"
            )
        if self.overhang not in get_args(Overhang):
            raise InvalidInputError(f"overhang must be one of {', '.join(get_args(Overhang))}, not {self.overhang!r}")
        if not 0 <= self.largest_unknown_share <= 1:
            raise InvalidInputError(
                f"the largest share of unknown letters must lie in [0, 1], not {self.largest_unknown_share}"
            )


@dataclass(frozen=True)
class Alleles:
    """Both alleles of a variant in one window of the genome, on one strand."""

    window: tuple[str, int]
    """Contig, and position on it where the window starts; negative before the contig."""
    offset: int
    """Place of the reference allele's first letter within the window."""
    deleted: int
    """Letters of the reference allele."""
    inserted: int
    """Letters of the alternative allele."""
    reference: str
    """(length) letters of the window with the reference allele."""
    alternative: str
    """(length) letters with the alternative allele. The window starts at the same position; after the allele come as
    many letters of the genome as there is room for."""
    on_contig: tuple[int, int] | None = None
    """Places within the window where the contig starts and ends, half-open; None where all of it is on the contig."""
    written: int = 0
    """Where the variant is written to be, from the reference allele's first letter: 0, or less where alleles were
    trimmed."""
    boundary: int | None = None
    """Where the nearest first or last letter of an exon of the gene is, from where the variant is written to be, on the
    strand ``+``; None in no gene, and in one without exons."""

    @property
    def is_substitution(self) -> bool:
        """Whether nothing moves."""
        return self.deleted == self.inserted

    @property
    def replacement(self) -> str:
        """Letters of the alternative allele."""
        return self.alternative[self.offset : self.offset + self.inserted]

    @cached_property
    def reverse_complement(self) -> "Alleles":
        """The same on the other strand; only for substitutions the offset is that of the allele in both sequences."""
        offset = len(self.reference) - self.offset - self.deleted
        reference, alternative = (text.translate(COMPLEMENTS)[::-1] for text in (self.reference, self.alternative))
        return replace(self, offset=offset, reference=reference, alternative=alternative)

    def masked(self, start: int, end: int) -> "Alleles":
        """Return the same with N in the place of the letters beyond a range of the contig.

        The alternative allele stays, and so do as many letters of the reference allele as it has: letters that are
        only deleted are N beyond the range, as SpliceAI has it.
        """
        window_start, length = self.window[1], len(self.reference)
        before = min(max(0, start - window_start), self.offset)
        texts = []
        for text, letters, moved in (
            (self.reference, min(self.deleted, self.inserted), 0),
            (self.alternative, self.inserted, self.deleted - self.inserted),
        ):
            after = min(max(0, window_start + length + moved - end), length - self.offset - letters)
            texts.append(UNKNOWN * before + text[before : length - after] + UNKNOWN * after)
        return replace(self, reference=texts[0], alternative=texts[1])


def place(variant: Variant, genome: Genome, placing: Placing, about: int | None = None) -> Alleles | SetAside:
    """Return both alleles of a variant in its window, or why there is none.

    The letter at the position `about`, by default the variant's, has ``length // 2`` letters before it where windows
    are centred.

    Raises
    ------
    SequenceError
        The genome cannot be read.
    """
    length, step = placing.length, 2 * placing.share_within + 1
    written = variant.position if about is None else about
    middle = written - written % step + placing.share_within
    start = middle - length // 2
    offset, deleted, inserted = variant.position - start, len(variant.reference), len(variant.alternative)
    if offset + max(deleted, inserted) > length:
        return SetAside(
            VariantReason.TOO_LONG, f"{max(deleted, inserted)} letters, for {length - offset} of the window"
        )
    end, contig_length = start + length, genome.length(variant.contig)
    # An indel takes more or fewer letters of the genome than the reference does.
    last = max(end, end + deleted - inserted)
    if placing.overhang == "drop" and not 0 <= start < last <= contig_length:
        detail = f"{start} to {last}, where {variant.contig} has {contig_length} letters"
        return SetAside(VariantReason.WINDOW_OFF_CONTIG, detail)
    letters = genome.fetch_padded(variant.contig, start, last)
    reference = letters[:length]
    alternative = (letters[:offset] + variant.alternative + letters[offset + deleted :])[:length]
    within = min(end, contig_length) - max(start, 0)
    unknown = reference.count(UNKNOWN) - (length - within)
    if unknown > placing.largest_unknown_share * within:
        return SetAside(VariantReason.MOSTLY_UNKNOWN, f"{unknown} of {within} letters")
    on_contig = max(0, -start), min(length, contig_length - start)
    return Alleles(
        (variant.contig, start),
        offset,
        deleted,
        inserted,
        reference,
        alternative,
        on_contig=None if on_contig == (0, length) else on_contig,
        written=written - variant.position,
    )
