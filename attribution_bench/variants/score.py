"""Scoring of variants: from records of any number to their effects, a block at a time."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from attribution_bench.errors import InvalidInputError
from attribution_bench.models import SequenceModel, Target, as_sequence_model
from attribution_bench.mutagenesis import InSilicoMutagenesis
from attribution_bench.registry import working_methods
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import (
    SetAside,
    Variant,
    VariantReason,
    VariantRecord,
    normalised,
    variants_of,
)
from attribution_bench.variants.allele_predictions import AllelePredictor, Arrays, check_nucleotides
from attribution_bench.variants.effects import BoundEffects, Column, Effects, ModelOutputs, ScalarEffects, StrandName
from attribution_bench.variants.windows import Alleles, Placing, place

Strands = Literal["+", "-", "both"]
STRANDS: Mapping[Strands, tuple[StrandName, ...]] = {"+": ("+",), "-": ("-",), "both": ("+", "-")}
BLOCK = 128
"""Variants that are predicted together."""
MOST_WAITING = 4096
"""Variants that are held at most, those set aside included."""


def ends_block(predicted: int, alleles: int) -> bool:
    """Tell whether a block is full, by its alleles and how many of them the model predicts."""
    return predicted == BLOCK or alleles == MOST_WAITING


@dataclass(frozen=True)
class VariantScore:
    """What a model says of one allele, or why it says nothing."""

    variant: Variant
    """The allele as it was given."""
    normalised: Variant | None
    """The same trimmed and left-aligned, by which it is known; None where it could not be."""
    effects: Mapping[str, float]
    """Column -> number, NaN where it does not exist; empty where the variant is set aside."""
    set_aside: SetAside | None = None
    """Why there are no effects."""


@dataclass(frozen=True)
class VariantScorer:
    """Scores variants on one model; see `score_variants`, which takes the same arguments."""

    genome: Genome
    placing: Placing
    strands: tuple[StrandName, ...]
    effects: BoundEffects
    predictor: AllelePredictor

    @property
    def columns(self) -> Sequence[Column]:
        """The numbers of each variant."""
        return self.effects.columns

    def score(self, records: "Iterable[Variant | VariantRecord]") -> Iterator[VariantScore]:
        """Yield the score of every allele, in the order of the records; raises as `score_variants`."""
        return itertools.chain.from_iterable(self.blocks(records))

    def blocks(self, records: "Iterable[Variant | VariantRecord]") -> Iterator[list[VariantScore]]:
        """Yield the scores of alleles that were predicted together; where a block ends depends on the alleles alone."""
        waiting: list[_Checked] = []
        placed = 0
        for record in records:
            for variant in (record,) if isinstance(record, Variant) else variants_of(record):
                checked = self._checked(variant)
                waiting.append(checked)
                placed += isinstance(checked.placed, Alleles)
                if ends_block(placed, len(waiting)):
                    yield list(self._scores(waiting))
                    waiting, placed = [], 0
        if waiting:
            yield list(self._scores(waiting))

    def _checked(self, variant: Variant) -> "_Checked":
        form = normalised(variant, self.genome)
        if isinstance(form, SetAside):
            return _Checked(variant, None, form)
        return _Checked(variant, form, place(form, self.genome, self.placing))

    def _scores(self, waiting: "Sequence[_Checked]") -> Iterator[VariantScore]:
        rows = iter(self._numbers([checked.placed for checked in waiting if isinstance(checked.placed, Alleles)]))
        for checked in waiting:
            placed = next(rows) if isinstance(checked.placed, Alleles) else checked.placed
            if isinstance(placed, SetAside):
                yield VariantScore(checked.variant, checked.form, {}, placed)
            else:
                yield VariantScore(checked.variant, checked.form, placed)

    def _numbers(self, alleles: Sequence[Alleles]) -> "list[dict[str, float] | SetAside]":
        """Return the effects of variants, or why one has none."""
        if not alleles:
            return []
        on_strands = [self._predicted(alleles, strand) for strand in self.strands]
        references, alternatives = ([strand[allele] for strand in on_strands] for allele in (0, 1))
        finite = np.ones(len(alleles), bool)
        for values in (*references, *alternatives):
            for array in values.values():
                finite &= np.isfinite(array.reshape(len(alleles), -1)).all(axis=1)
        before, after = self._averaged(references), self._averaged(alternatives)
        with np.errstate(all="ignore"):  # what is not finite is set aside below, or does not exist
            numbers = self.effects.numbers(before, after, alleles)
        names = [column.name for column in self.effects.columns]
        return [
            dict(zip(names, row, strict=True)) if good else SetAside(VariantReason.NOT_FINITE)
            for row, good in zip(numbers.tolist(), finite.tolist(), strict=True)
        ]

    def _averaged(self, on_strands: Sequence[Arrays]) -> Arrays:
        """Return the mean over the strands of what the effects average."""
        given = zip(on_strands, self.strands, strict=True)
        with np.errstate(all="ignore"):
            quantities = [self.effects.quantities(values, strand) for values, strand in given]
        return {name: np.mean([values[name] for values in quantities], axis=0) for name in quantities[0]}

    def _predicted(self, alleles: Sequence[Alleles], strand: StrandName) -> tuple[Arrays, Arrays]:
        if strand == "-":
            alleles = [allele.reverse_complement for allele in alleles]
        return self.predictor.predict(alleles)


@dataclass(frozen=True)
class _Checked:
    """A variant before it is predicted."""

    variant: Variant
    form: Variant | None
    placed: Alleles | SetAside


def variant_scorer(
    model: Any,
    genome: Genome,
    *,
    length: int,
    effects: Effects | None = None,
    target: Target = None,
    strand: Strands = "+",
    share_within: int = 0,
    overhang: Literal["drop", "pad"] = "pad",
    largest_unknown_share: float = 0.5,
    batch_size: int | None = None,
) -> VariantScorer:
    """Return what scores variants on a model; parameters and errors are those of `score_variants`."""
    if strand not in STRANDS:
        raise InvalidInputError(f"strand must be one of {', '.join(STRANDS)}, not {strand!r}")
    if effects is not None and target is not None:
        raise InvalidInputError("target is that of single numbers; give it, or effects, not both")
    if batch_size is not None and batch_size < 1:
        raise InvalidInputError(f"batch_size must be at least 1, not {batch_size}")
    placing = Placing(length, share_within, overhang, largest_unknown_share)
    method = model if isinstance(model, InSilicoMutagenesis) else partial_passes(as_sequence_model(model))
    check_nucleotides(method.model.alphabet)
    outputs = method.model.outputs(length)
    bound = (effects or ScalarEffects(target)).bind(ModelOutputs(outputs, length, method.model.layout))
    predictor = AllelePredictor(method, outputs, bound.target, batch_size)
    return VariantScorer(genome, placing, STRANDS[strand], bound, predictor)


def score_variants(
    model: Any,
    variants: "Iterable[Variant | VariantRecord]",
    genome: Genome,
    *,
    length: int,
    effects: Effects | None = None,
    target: Target = None,
    strand: Strands = "+",
    share_within: int = 0,
    overhang: Literal["drop", "pad"] = "pad",
    largest_unknown_share: float = 0.5,
    batch_size: int | None = None,
) -> Iterator[VariantScore]:
    """Score variants on a model, as they come: memory does not grow with their number.

    Each variant is trimmed and left-aligned, and stands in the middle of a window of the genome. The alternative
    sequence starts at the same position as the reference and has the same length: a deletion takes more of the genome
    after it, an insertion less. Effects are those of predicting both sequences.

    Parameters
    ----------
    model
        A torch.nn.Module, a keras.Model, a SequenceModel, or a method of mutagenesis bound to one; by default the
        method that computes of a substitution what it affects.
    variants
        Variants, or records of a VCF file as pysam gives them, whose alternative alleles are scored one by one.
    genome
        Where the letters about them come from.
    length
        Letters of a window, those that the model takes.
    effects
        `ScalarEffects` (by default, of the target), `ProfileEffects` or `SplicingEffects`, or one's own.
    target
        What of the model's outputs, as for `attribute`, for effects on single numbers.
    strand
        ``+``, ``-`` (windows are reverse complements) or ``both``, whose predictions are averaged.
    share_within
        Largest distance of a variant from the middle of a window that nearby variants share; 0 for windows of their
        own. See `Placing`.
    overhang
        What happens where a window reaches beyond its contig: ``pad`` puts N there, ``drop`` sets the variant aside.
    largest_unknown_share
        Share of N in a window beyond which a variant is set aside.
    batch_size
        Sequences in one call of the model.

    Yields
    ------
    A score for each allele, in order. What cannot be scored has the reason in its place.

    Raises
    ------
    InvalidInputError
        An option that cannot be, outputs that do not suit the effects (TargetError), or a model that does not take the
        length (ModelError); these are raised at once.
    SequenceError
        The genome cannot be read.
    """
    scorer = variant_scorer(
        model,
        genome,
        length=length,
        effects=effects,
        target=target,
        strand=strand,
        share_within=share_within,
        overhang=overhang,
        largest_unknown_share=largest_unknown_share,
        batch_size=batch_size,
    )
    return scorer.score(variants)


def partial_passes(model: SequenceModel) -> InSilicoMutagenesis:
    """Return the installed method that computes of a mutation what it affects, bound to a model.

    Raises
    ------
    InvalidInputError
        None is installed.
    """
    for method in working_methods().values():
        if method.tags.partial_passes and issubclass(method, InSilicoMutagenesis):
            return method(model)
    raise InvalidInputError("no installed method computes of a mutation what it affects; bind a method to the model")
