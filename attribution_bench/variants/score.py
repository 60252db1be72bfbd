"""Scoring of variants: from records of any number to their effects, a block at a time."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.described import described
from attribution_bench.errors import InvalidInputError, JobWarning, OptionError
from attribution_bench.models import SequenceModel, as_sequence_model
from attribution_bench.mutagenesis import InSilicoMutagenesis
from attribution_bench.own_code import is_installed
from attribution_bench.registry import working_methods
from attribution_bench.sequences.genes import Gene
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
from attribution_bench.variants.cautions import of_strand
from attribution_bench.variants.effects import BoundEffects, Column, ModelOutputs, ScalarEffects, StrandName, Values
from attribution_bench.variants.ensemble import EnsembleEffects, check_ensemble
from attribution_bench.variants.further_inputs import FurtherInputs, ModelExtras, further_inputs, model_extras
from attribution_bench.variants.options import ScoringOptions
from attribution_bench.variants.splicing_effects import BoundSplicingEffects
from attribution_bench.variants.windows import Alleles, place

BLOCK = 128
"""Variants that are predicted together."""
GENE_COLUMNS = (Column("gene", "Gene whose strand is scored", "String"), Column("strand", "Strand of it", "String"))
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
    labels: Mapping[str, str] = field(default_factory=dict)
    """Column -> name: of the gene and of its strand, where variants are scored in genes."""


@dataclass(frozen=True)
class Numbered:
    """An allele, with the number of the record that it comes from."""

    variant: Variant
    record: int
    """0-based; what tells the row of further inputs."""


@dataclass(frozen=True)
class _Placed:
    """A variant in its window, as the model is given it."""

    alleles: Alleles
    strands: tuple[StrandName, ...]
    gene: Gene | None = None


@dataclass(frozen=True)
class Checked:
    """An allele before it is predicted."""

    allele: Numbered
    form: Variant | None
    """Trimmed and left-aligned; None where it could not be."""
    placed: tuple[_Placed, ...] | SetAside
    """The variant in its window, once for each of its genes, or why it is in none."""


@dataclass(frozen=True)
class Member:
    """One of the models whose effects are averaged."""

    effects: BoundEffects
    predictor: AllelePredictor
    extras: ModelExtras
    machine_options: frozenset[str] = frozenset()
    """Names of the method's options that nobody gave, and that follow the machine."""

    @property
    def method(self) -> dict[str, Any]:
        """The method with its other options, JSON-able, and its code where no installed package defines it."""
        method = self.predictor.method
        given = {name: value for name, value in method.options.items() if name not in self.machine_options}
        own = {} if is_installed(type(method)) else {"own code": described(type(method))}
        return {"name": method.name, "options": described(given), **own}


@dataclass(frozen=True)
class VariantScorer:
    """Scores variants on one model or several; made by `variant_scorer`.

    Raises
    ------
    InvalidInputError
        Windows are shared by variants that the effects would not see whole then.
    """

    genome: Genome
    options: ScoringOptions
    members: tuple[Member, ...]
    effects: EnsembleEffects
    inputs: FurtherInputs
    cautions: tuple[str, ...] = ()
    """What a reader of the numbers should know."""

    def __post_init__(self) -> None:
        if isinstance(effects := self.members[0].effects, BoundSplicingEffects):
            effects.check_shared(self.options.share_within)

    @property
    def columns(self) -> Sequence[Column]:
        """The numbers of each variant, after its gene."""
        return [*(GENE_COLUMNS if self.options.genes is not None else ()), *self.effects.columns]

    def sharing(self, most: int) -> "VariantScorer":
        """Return the same with windows shared by variants up to `most` letters from the middle.

        They are as far from it as effects on splice sites leave room for, where that is less; raises InvalidInputError
        where that is none.
        """
        if isinstance(effects := self.members[0].effects, BoundSplicingEffects):
            most = min(most, max(1, effects.room))
        return replace(self, options=replace(self.options, share_within=most))

    def score(self, records: "Iterable[Variant | VariantRecord]") -> Iterator[VariantScore]:
        """Yield the score of every allele, in the order of the records; raises as `score_variants`."""
        for block in self.blocks(self.numbered(records)):
            yield from block

    def numbered(self, records: "Iterable[Variant | VariantRecord]") -> Iterator[Numbered]:
        """Yield the alleles of records, in order; a variant is a record of its own.

        Raises
        ------
        InvalidInputError
            A further input has not one row for each record.
        """
        number = -1
        for number, record in enumerate(records):
            self.inputs.check_record(number)
            for variant in (record,) if isinstance(record, Variant) else variants_of(record):
                yield Numbered(variant, number)
        self.inputs.check_end(number + 1)

    def blocks(self, alleles: "Iterable[Numbered | VariantScore]") -> "Iterator[list[VariantScore]]":
        """Yield the scores of alleles that were predicted together; where a block ends depends on the alleles alone.

        A score among the alleles is that of one that is known already, and keeps its place.
        """
        for block in self.gathered(alleles):
            yield self.scored(block)

    def gathered(self, alleles: "Iterable[Numbered | VariantScore]") -> "Iterator[list[Checked | VariantScore]]":
        """Yield the alleles of each block, placed in their windows; no model is asked.

        Of the cautions of single variants, the first of each kind is warned of.
        """
        waiting: list[Checked | VariantScore] = []
        told: set[str] = set()
        placed = 0
        for allele in alleles:
            if isinstance(allele, VariantScore):
                waiting.append(allele)
            else:
                checked = self._checked(allele, told)
                waiting.append(checked)
                placed += isinstance(checked.placed, tuple)
            if ends_block(placed, len(waiting)):
                yield waiting
                waiting, placed = [], 0
        if waiting:
            yield waiting

    def scored(self, block: "Sequence[Checked | VariantScore]") -> list[VariantScore]:
        """Return the scores of a block's alleles, which are predicted together."""
        return list(self._scores(block))

    def _checked(self, allele: Numbered, told: set[str]) -> Checked:
        form = normalised(allele.variant, self.genome)
        if isinstance(form, SetAside):
            return Checked(allele, None, form)
        return Checked(allele, form, self._placed(allele.variant, form, told))

    def masked_scores(self, score: VariantScore) -> int:
        """Return how many gains and losses of an allele are 0 by the mask of exons' boundaries."""
        effects, genes = self.members[0].effects, self.options.genes
        if not isinstance(effects, BoundSplicingEffects) or genes is None or not score.effects:
            return 0
        at = score.variant.position
        boundaries = (
            gene.nearest_exon_boundary(at)
            for gene in genes.at(score.variant.contig, at)
            if (gene.name, gene.strand) == (score.labels["gene"], score.labels["strand"])
        )
        boundary = next((place for place in boundaries if place is not None), None)
        return 0 if boundary is None else effects.masked_scores(score.effects, boundary - at)

    def _placed(self, variant: Variant, form: Variant, told: set[str]) -> "tuple[_Placed, ...] | SetAside":
        """Return a variant in its window, once for each of its genes; `told` are kinds of cautions, to be added to."""
        genes = None if self.options.genes is None else self.options.genes.at(variant.contig, variant.position)
        if genes == []:
            return SetAside(VariantReason.NO_GENE)
        if genes is not None and self.options.needs_exons:
            names = ", ".join(gene.name for gene in genes)
            genes = [gene for gene in genes if gene.exons]
            if not genes:
                return SetAside(VariantReason.NO_EXONS, names)
        effects, placing = self.members[0].effects, self.options.placing
        if isinstance(effects, BoundSplicingEffects):
            alleles = effects.placed(variant, self.genome, placing)
            found = () if isinstance(alleles, SetAside) else effects.cautions(variant, alleles, placing)
            for caution in (one for one in found if one.kind not in told):
                told.add(caution.kind)
                warnings.warn(caution, stacklevel=2)
        else:
            alleles = place(form, self.genome, placing)
        if isinstance(alleles, SetAside):
            return alleles
        if genes is None:
            return (_Placed(alleles, self.options.strands),)
        return tuple(_in_gene(alleles, variant.position, gene) for gene in genes)

    def _scores(self, waiting: "Sequence[Checked | VariantScore]") -> Iterator[VariantScore]:
        new = [
            (one.allele.record, placed)
            for one in waiting
            if isinstance(one, Checked) and isinstance(one.placed, tuple)
            for placed in one.placed
        ]
        rows = iter(self._rows(new))
        for one in waiting:
            if isinstance(one, VariantScore):
                yield one
            elif isinstance(one.placed, SetAside):
                yield VariantScore(one.allele.variant, one.form, {}, one.placed)
            else:
                yield self._score(one, [(placed, next(rows)) for placed in one.placed])

    def _score(self, one: "Checked", rows: "Sequence[tuple[_Placed, NDArray[np.float64] | None]]") -> VariantScore:
        """Return a variant's score, of several genes that with the largest effect."""
        variant, form = one.allele.variant, one.form
        good = [(placed, row) for placed, row in rows if row is not None]
        if len(good) < len(rows):
            return VariantScore(variant, form, {}, SetAside(VariantReason.NOT_FINITE))
        placed, row = max(good, key=lambda pair: self.effects.size(pair[1]))
        names = [column.name for column in self.effects.columns]
        labels = {} if placed.gene is None else {"gene": placed.gene.name, "strand": placed.gene.strand}
        return VariantScore(variant, form, dict(zip(names, row.tolist(), strict=True)), labels=labels)

    def _rows(self, new: "Sequence[tuple[int, _Placed]]") -> "list[NDArray[np.float64] | None]":
        """Return the numbers of variants (columns,); None for one whose predictions are not finite."""
        found: list[NDArray[np.float64] | None] = [None] * len(new)
        for strands in dict.fromkeys(placed.strands for _, placed in new):
            of_strands = [number for number, (_, placed) in enumerate(new) if placed.strands == strands]
            records, alleles = [new[n][0] for n in of_strands], [new[n][1].alleles for n in of_strands]
            finite = np.ones(len(alleles), bool)
            quantities = [self._quantities(member, records, alleles, strands, finite) for member in self.members]
            with np.errstate(all="ignore"):  # what is not finite is set aside, or does not exist
                numbers = self.effects.numbers(quantities, alleles)
            for number, row, good in zip(of_strands, numbers, finite, strict=True):
                found[number] = row if good else None
        return found

    def _quantities(
        self,
        member: Member,
        records: Sequence[int],
        alleles: Sequence[Alleles],
        strands: Sequence[StrandName],
        finite: NDArray[np.bool_],
    ) -> tuple[Values, Values]:
        """Return one model's quantities of both alleles, and say in `finite` (V,) which of its predictions are not."""
        on_strands = [self._predicted(member, records, alleles, strand) for strand in strands]
        references, alternatives = ([strand[allele] for strand in on_strands] for allele in (0, 1))
        for values in (*references, *alternatives):
            for array in values.values():
                finite &= np.isfinite(array.reshape(len(alleles), -1)).all(axis=1)
        before, after = (_averaged(member.effects, values, strands) for values in (references, alternatives))
        return before, after

    def _predicted(
        self, member: Member, records: Sequence[int], alleles: Sequence[Alleles], strand: StrandName
    ) -> tuple[Arrays, Arrays]:
        extras = member.extras.of(records, alleles, turned=strand == "-")
        # Where inputs go with the records, a window is one record's.
        of_records = records if self.inputs.by_record else [0] * len(records)
        # In a gene, a window's reference may differ between variants: letters of an allele stay where the gene ends.
        keys = [(allele.window, allele.reference, record) for allele, record in zip(alleles, of_records, strict=True)]
        if strand == "-":
            alleles = [allele.reverse_complement for allele in alleles]
        return member.predictor.predict(alleles, keys, extras)


def _in_gene(alleles: Alleles, position: int, gene: Gene) -> _Placed:
    """Return a variant that is written to be at a position as it is scored in a gene."""
    boundary = gene.nearest_exon_boundary(position)
    within = replace(alleles.masked(gene.start, gene.end), boundary=None if boundary is None else boundary - position)
    return _Placed(within, (gene.strand,), gene)


def _averaged(effects: BoundEffects, on_strands: Sequence[Arrays], strands: Sequence[StrandName]) -> Values:
    """Return the mean over the strands of what the effects average."""
    with np.errstate(all="ignore"):
        quantities = [effects.quantities(values, strand) for values, strand in zip(on_strands, strands, strict=True)]
    return {name: np.mean([values[name] for values in quantities], axis=0) for name in quantities[0]}


def variant_scorer(
    model: Any, genome: Genome, options: ScoringOptions, machine_options: Mapping[str, Any] | None = None
) -> VariantScorer:
    """Return what scores variants on a model, or on several; errors are those of `score_variants`.

    `machine_options` are those of the method that another process took from its machine; this one's by default.
    """
    several = list(model) if isinstance(model, list | tuple) else [model]
    if not several:
        raise InvalidInputError("there is no model; give at least one")
    if options.each_model and len(several) < 2:
        raise InvalidInputError("each model's own effects are given of several models; there is one")
    methods = [
        one if isinstance(one, InSilicoMutagenesis) else partial_passes(as_sequence_model(one), machine_options)
        for one in several
    ]
    inputs = further_inputs(options.additional_forward_args)
    members, every_output, cautions = [], [], [*inputs.cautions, *of_strand(options)]
    for one, method in zip(several, methods, strict=True):
        sequence_model = method.model
        check_nucleotides(sequence_model.alphabet)
        extras, outputs = model_extras(inputs, sequence_model, options.length)
        every_output.append(outputs)
        choice = options.effects or ScalarEffects(options.target)
        effects = choice.bind(ModelOutputs(outputs, options.length, sequence_model.layout))
        cautions += effects.strand_assumptions(options.strands if options.genes is None else ("-",))
        predictor = AllelePredictor(method, outputs, effects.target, options.batch_size)
        as_it_comes = method if method is one else type(method)(sequence_model)
        members.append(Member(effects, predictor, extras, frozenset(as_it_comes.machine_options())))
    check_ensemble([method.model for method in methods], every_output)
    if len(options.strands) > 1:
        inputs.check_both_strands()
    return VariantScorer(
        genome,
        options,
        tuple(members),
        EnsembleEffects(tuple(member.effects for member in members), options.each_model),
        inputs,
        tuple(dict.fromkeys(cautions)),
    )


def score_variants(
    model: Any, variants: "Iterable[Variant | VariantRecord]", genome: Genome, **options: Any
) -> Iterator[VariantScore]:
    """Score variants on a model, as they come: memory does not grow with their number.

    Each variant is trimmed and left-aligned, and stands in the middle of a window of the genome. The alternative
    sequence starts at the same position as the reference and has the same length: a deletion takes more of the genome
    after it, an insertion less. Effects are those of predicting both sequences. For `SplicingEffects` a variant stands
    where it is written to be, and is not left-aligned.

    Parameters
    ----------
    model
        A torch.nn.Module, a keras.Model, a SequenceModel, or a method of mutagenesis bound to one; by default the
        method that computes of a substitution what it affects. A list of them (folds) gives mean and standard
        deviation of their effects, see `EnsembleEffects`; the genome is read once.
    variants
        Variants, or records of a VCF file as pysam gives them, whose alternative alleles are scored one by one.
    genome
        Where the letters about them come from.
    **options
        Those of `ScoringOptions`: ``length`` (which has no default), ``effects``, ``target``, ``strand``,
        ``share_within``, ``overhang``, ``largest_unknown_share``, ``batch_size``, ``additional_forward_args``,
        ``each_model``, ``genes``.

    Yields
    ------
    A score for each allele, in order. What cannot be scored has the reason in its place.

    Warns
    -----
    JobWarning
        Something is taken for granted, such as that a target is the same on both strands.

    Raises
    ------
    InvalidInputError
        An option that cannot be, outputs that do not suit the effects (TargetError), or a model that does not take the
        length (ModelError); these are raised at once. Further inputs that have not one row for each record.
    UnsupportedError
        Both strands cannot be averaged of such a target or further input.
    SequenceError
        The genome or a track cannot be read.
    """
    known = [field.name for field in fields(ScoringOptions)]
    unknown = [name for name in options if name not in known]
    if unknown or "length" not in options:
        wrong = f"unknown option {unknown[0]!r}" if unknown else "the length of windows is missing"
        raise OptionError(f"{wrong}; score_variants takes {', '.join(known)}")
    scorer = variant_scorer(model, genome, ScoringOptions(**options))
    for text in scorer.cautions:
        warnings.warn(text, JobWarning, stacklevel=2)
    return scorer.score(variants)


def partial_passes(model: SequenceModel, machine_options: Mapping[str, Any] | None = None) -> InSilicoMutagenesis:
    """Return the installed method that computes of a mutation what it affects, bound to a model.

    What would follow the moment, such as measured times, is settled, so that the same variants give the same bytes: by
    the options given, or by those that the machine suggests now.

    Raises
    ------
    InvalidInputError
        None is installed.
    """
    for method in working_methods().values():
        if method.tags.partial_passes and issubclass(method, InSilicoMutagenesis):
            settled = method(model).machine_options() if machine_options is None else machine_options
            return method(model, **settled)
    raise InvalidInputError("no installed method computes of a mutation what it affects; bind a method to the model")


def machine_options_of(scorer: VariantScorer) -> dict[str, Any]:
    """Return the options that a scorer's method took from its machine, for another process."""
    member = scorer.members[0]
    options = member.predictor.method.options
    return {name: value for name, value in options.items() if name in member.machine_options}
