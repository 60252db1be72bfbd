"""Options of scoring variants, checked as they are made."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from attribution_bench.errors import InvalidInputError
from attribution_bench.models import Target
from attribution_bench.sequences.genes import Genes
from attribution_bench.variants.effects import Effects, StrandName
from attribution_bench.variants.splicing_effects import SplicingEffects
from attribution_bench.variants.windows import Placing

Strands = Literal["+", "-", "both"]


@dataclass(frozen=True)
class ScoringOptions:
    """How variants are scored.

    Raises
    ------
    InvalidInputError
        A number or choice that cannot be.
    """

    length: int
    """Letters of a window, those that the model takes."""
    effects: Effects | None = None
    """`ScalarEffects` (by default, of the target), `ProfileEffects` or `SplicingEffects`, or one's own."""
    target: Target = None
    """What of the model's outputs, as for `attribute`, for effects on single numbers."""
    strand: Strands | None = None
    """``+``, ``-`` (windows are reverse complements) or ``both``, whose predictions are averaged. By default that of
    the gene where there are genes, else ``+``; of splice sites, which are on a gene's strand, a caution tells so."""
    share_within: int = 0
    """Largest distance of a variant from the middle of a window that nearby variants share; 0 for windows of their own.
    See `Placing`."""
    overhang: Literal["drop", "pad"] = "pad"
    """What happens where a window reaches beyond its contig: ``pad`` puts N there, ``drop`` sets the variant aside."""
    largest_unknown_share: float = 0.5
    """Share of N in a window beyond which a variant is set aside."""
    batch_size: int | None = None
    """Sequences in one call of the model; the method's default when None."""
    additional_forward_args: Any = None
    """The model's further inputs, in its order, which both alleles are given: an ``.npz`` or ``.npy`` file, an array,
    `Tracks`, a tuple or a mapping of these. Arrays have one row for every record; `Tracks` give the values of the
    window."""
    genes: Genes | None = None
    """Genes, as SpliceAI takes them: a variant is scored on its gene's strand, with N beyond the gene, and set aside
    where there is none. Of several genes the one with the largest effect counts (`BoundEffects.sized_by`). As SpliceAI
    does, genes are looked up at the position that the variant is written with, and not at that of its normalised form:
    at either end of a gene, another way to write an insertion or deletion may lie in another gene, or in none."""
    each_model: bool = False
    """Of several models, give each one's effects beside their mean and standard deviation."""
    length_follows_distance: bool = False
    """Whether whoever chooses the options makes windows longer for a larger distance of splice sites: what is said of a
    distance that is too small names no length then."""

    def __post_init__(self) -> None:
        if self.strand is not None and self.strand not in get_args(Strands):
            raise InvalidInputError(f"strand must be one of {', '.join(get_args(Strands))}, not {self.strand!r}")
        if self.genes is not None and self.strand not in (None, "+"):
            raise InvalidInputError(f"the strand is that of the genes; leave strand={self.strand!r} out, or the genes")
        if self.needs_exons and self.genes is None:
            raise InvalidInputError("masked scores are by the exons of genes, and there are none; give genes")
        if self.effects is not None and self.target is not None:
            raise InvalidInputError("target is that of single numbers; give it, or effects, not both")
        if self.batch_size is not None and self.batch_size < 1:
            raise InvalidInputError(f"batch_size must be at least 1, not {self.batch_size}")
        _ = self.placing

    @property
    def needs_exons(self) -> bool:
        """Whether effects are by the exons of the gene, so that one without exons has none."""
        return isinstance(self.effects, SplicingEffects) and self.effects.masked

    @property
    def as_written(self) -> bool:
        """Whether alleles are compared where variants are written to be, as SpliceAI does, and not left-aligned."""
        return isinstance(self.effects, SplicingEffects)

    @cached_property
    def strands(self) -> tuple[StrandName, ...]:
        """The strands that the model is given."""
        return ("+", "-") if self.strand == "both" else (self.strand or "+",)

    @cached_property
    def placing(self) -> Placing:
        """How variants are placed in windows."""
        return Placing(
            self.length,
            self.share_within,
            self.overhang,
            self.largest_unknown_share,
            self.length_follows_distance,
        )
