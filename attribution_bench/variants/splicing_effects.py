"""Effects on outputs with a probability per letter, as splice sites: the largest gain and loss, and where they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, TargetError, VariantWarning
from attribution_bench.models import Target
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.variants import SetAside, Variant, VariantReason, trimmed
from attribution_bench.variants.effects import (
    Averaged,
    Column,
    ModelOutputs,
    StrandName,
    Values,
    check_unique,
    column_name,
    output_named,
)
from attribution_bench.variants.positions import PositionAxis, position_axis
from attribution_bench.variants.windows import Alleles, Placing, place

SHOWN = 12
"""Letters of an allele that cautions show."""


@dataclass(frozen=True)
class SplicingEffects:
    """Largest gain and largest loss of each class over the positions about a variant, with their offsets from it.

    An offset is a position minus that which the variant is written with (POS of a VCF file), on the strand ``+``.
    Alternative predictions are laid beside those of the reference as SpliceAI does (Jaganathan et al., Cell 2019): a
    deleted letter has none, that is 0; of inserted letters, and the one before them, the largest counts. Which letters
    these are is as the variant is written, too, not as it is left-aligned. Positions beyond the contig do not count.

    Parameters
    ----------
    classes
        Name -> index of a class, such as ``{"acceptor": 1, "donor": 2}`` for SpliceAI.
    output
        Name of the output; by default the only one.
    distance
        Letters before and after the variant that are looked at; by default all that the output has. As SpliceAI does,
        variants with a longer reference allele than twice that are set aside.
    axis
        Axis of positions within one sequence's output; the other one is that of classes. By default by the model's
        layout: the first in ``NLA``, the last in ``NAL``.
    masked
        Set to 0 a gain at the boundary of an exon, where a splice site is known, and a loss anywhere else, as
        SpliceAI's ``-M 1`` does: the boundary is the first or last letter of an exon of the gene that is nearest to the
        variant. Needs genes; those without exons do not count, and a variant in none but these is set aside.

    Raises
    ------
    InvalidInputError
        There are no classes, or the distance is negative.
    """

    classes: Mapping[str, int]
    output: str | None = None
    distance: int | None = None
    axis: int | None = None
    masked: bool = False

    def __post_init__(self) -> None:
        if not self.classes:
            raise InvalidInputError("there are no classes; name at least one, such as donor=2")
        if self.distance is not None and self.distance < 0:
            raise InvalidInputError(f"the distance must be 0 or more, not {self.distance}")

    def bind(self, outputs: ModelOutputs) -> "BoundSplicingEffects":
        """Return the effects for a model.

        Raises
        ------
        TargetError
            Its output is not positions by classes, or has fewer positions than the distance.
        """
        spec = output_named(outputs.specs, self.output)
        if len(spec.shape) != 2:
            raise TargetError(f"output {spec.name!r} has shape {spec.shape}; splicing needs (positions, classes)")
        axis = self.axis if self.axis is not None else 0 if outputs.layout == "NLA" else 1
        positions = position_axis(spec, outputs, axis)
        count = spec.shape[1 - positions.axis]
        for name, index in self.classes.items():
            if not 0 <= index < count:
                raise TargetError(f"class {name!r} is {index}, but output {spec.name!r} has {count}, counted from 0")
        distance, reach = self.distance or 0, positions.reach
        if reach < distance:
            seen = f"{reach} on either side of the middle one" if reach >= 0 else "none for the middle one"
            raise TargetError(
                f"output {spec.name!r} has {positions.size} positions of {positions.length} letters, {seen}, but the "
                f"distance is {distance}; {_length(positions, distance)} has as many, if the model takes it"
            )
        bound = BoundSplicingEffects(positions, dict(self.classes), self.distance, self.masked)
        check_unique(bound.columns)
        return bound


@dataclass(frozen=True)
class BoundSplicingEffects:
    """Gains and losses, for one model; see `SplicingEffects`."""

    axis: PositionAxis
    classes: Mapping[str, int]
    distance: int | None
    masked: bool

    @property
    def target(self) -> Target:
        """The output."""
        return self.axis.output

    @property
    def columns(self) -> tuple[Column, ...]:
        """The numbers of each variant."""
        masked = {
            "gain": ", masked: 0 at the nearest boundary of an exon",
            "loss": ", masked: 0 but at the nearest boundary of an exon",
        }
        return tuple(
            column
            for name in self.classes
            for change in ("gain", "loss")
            for column in (
                Column(f"{column_name(name)}_{change}", f"Largest {change} of {name}{masked[change] * self.masked}"),
                Column(f"{column_name(name)}_{change}_offset", "Where it is, from POS on the strand +", "Integer"),
            )
        )

    @property
    def reach(self) -> int:
        """Letters before and after a variant in the middle of its window that are looked at."""
        return self.axis.reach if self.distance is None else self.distance

    @property
    def room(self) -> int:
        """Largest distance of a variant from the middle of its window at which as many letters are looked at."""
        return self.axis.reach - self.reach

    @property
    def sized_by(self) -> tuple[str, ...]:
        """The gains and losses, but not their offsets."""
        return tuple(column.name for column in self.columns if column.kind == "Float")

    @property
    def averaged(self) -> Averaged:
        """Predictions, as SpliceAI does of its five models."""
        return "predictions"

    def strand_assumptions(self, strands: Sequence[StrandName]) -> tuple[str, ...]:
        """Return nothing; raises TargetError where positions of the strand ``-`` are not those of ``+``."""
        self.axis.check_strands(strands)
        return ()

    def check_shared(self, share_within: int) -> None:
        """Check that variants which share windows are looked at as if each had its own; raises InvalidInputError."""
        if share_within <= self.room:
            return
        if self.distance is None:
            way = "without a distance all of them are; give one (--distance)"
        else:
            needed = _length(self.axis, self.reach + share_within)
            way = f"a distance of {self.distance} leaves {self.room}; {needed} does"
        raise InvalidInputError(
            f"variants that share a window are up to {share_within} letters from its middle, which needs as many "
            f"positions beyond those that are looked at: {way}"
        )

    def placed(self, variant: Variant, genome: Genome, placing: Placing) -> Alleles | SetAside:
        """Return both alleles of a variant in its window, where it is written to be, or why there is none.

        Raises
        ------
        SequenceError
            The genome cannot be read.
        """
        own = trimmed(variant)
        letters = _letters_removed(variant, own)
        if letters > max(1, 2 * self.reach):
            advice = self._advice(letters - 1, placing)
            return SetAside(
                VariantReason.BEYOND_DISTANCE,
                f"{letters} letters, for {2 * self.reach}; {advice} sees all that it removes",
            )
        return place(own, genome, placing, about=variant.position)

    def cautions(self, variant: Variant, alleles: Alleles, placing: Placing) -> Iterator[VariantWarning]:
        """Yield what should be known of the effects of a variant as it is placed: splice sites that are not seen."""
        letters, reach = _letters_removed(variant, trimmed(variant)), self.reach
        if letters > reach + 1:
            yield VariantWarning(
                f"some alleles are longer than the distance of {reach} letters, and splice sites beyond it are not "
                "seen",
                f"the first is {_short(variant)} with {letters} letters, all of which are seen with "
                f"{self._advice(letters - 1, placing)}",
            )
        # Without a distance all that the output still has is looked at, which is to be more than what is inserted.
        last = self.axis.first + self.axis.size - 1 - (self.distance or 0)
        more = alleles.inserted - alleles.deleted
        beyond = alleles.offset + alleles.written + more - last
        if beyond > 0:
            room = last - placing.length // 2 - placing.share_within
            # Where windows are shared as far as there is room, a longer one has no more of it.
            alone = " without --share-windows" * bool(placing.share_within)
            longer = placing.length + 2 * max(0, placing.length // 2 + more - last)
            way = f"a window of its own{alone} has room for them"
            if longer > placing.length:
                way = f"--length {longer}{alone} has room for them, where {placing.length} letters have not"
            yield VariantWarning(
                f"after some insertions of more than {room} letters the last letters that the distance has are not "
                "seen, since inserted letters take their place in the window",
                f"the first is {_short(variant)}, which inserts {more} letters: {way}",
            )

    def _advice(self, distance: int, placing: Placing) -> str:
        """Return the options with which as many letters are looked at."""
        options = [] if self.distance is None else [f"--distance {distance}"]
        if distance > self.axis.reach and not (options and placing.follows_distance):
            options.append(f"--length {self.axis.length_for(distance)}")
        return " and ".join(options)

    def quantities(self, predictions: Values, strand: StrandName) -> Values:
        """Return ``classes``, (V, classes, positions)."""
        values = self.axis.last(predictions[self.axis.output], strand)
        return {"classes": values[:, list(self.classes.values())]}

    def masked_scores(self, numbers: Mapping[str, float], boundary: int) -> int:
        """Return how many gains and losses of a variant in a gene are 0 by the mask.

        `boundary` is where the nearest boundary of an exon is, from where the variant is written to be.
        """
        is_known = {
            change: [numbers[f"{column_name(name)}_{change}_offset"] == boundary for name in self.classes]
            for change in ("gain", "loss")
        }
        return sum(is_known["gain"]) + len(self.classes) - sum(is_known["loss"])

    def numbers(self, reference: Values, alternative: Values, alleles: Sequence[Alleles]) -> NDArray[np.float64]:
        """Return (V, columns)."""
        rows = zip(reference["classes"], alternative["classes"], alleles, strict=True)
        return np.stack([self._row(before, after, allele) for before, after, allele in rows])

    def _row(self, before: NDArray[np.float64], after: NDArray[np.float64], allele: Alleles) -> NDArray[np.float64]:
        """Return (columns,) of one variant's predictions (classes, positions)."""
        start = allele.offset - self.axis.first
        places = np.arange(self.axis.size)
        offsets = places - (start + allele.written)
        change = _beside_reference(after, start, allele) - before
        seen = ~np.isnan(change[0])
        if self.distance is not None:
            seen &= np.abs(offsets) <= self.distance
        if allele.on_contig is not None:
            first, end = (place - self.axis.first for place in allele.on_contig)
            seen &= (first <= places) & (places < end)
        if not seen.any():
            return np.full(len(self.columns), np.nan)
        numbers = []
        for values in change[:, seen]:
            for signed, is_gain in ((values, True), (-values, False)):
                place = int(signed.argmax())
                offset = offsets[seen][place]
                is_known = offset == allele.boundary
                numbers += [0.0 if self.masked and is_known == is_gain else signed[place], offset]
        return np.array(numbers, np.float64)


def _letters_removed(variant: Variant, own: Variant) -> int:
    """Return the letters from where a variant is written to be to the last that it removes; `own` is trimmed."""
    return own.position - variant.position + len(own.reference)


def _short(variant: Variant) -> str:
    """Return a variant's name with long alleles cut."""
    cut = (text if len(text) <= SHOWN else f"{text[:SHOWN]}..." for text in (variant.reference, variant.alternative))
    return f"{variant.contig}:{variant.position + 1}:{':'.join(cut)}"


def _length(axis: PositionAxis, reach: int) -> str:
    """Return words for the window whose output reaches some letters to either side."""
    return f"a window of {axis.length_for(reach)} letters (--length)"


def _beside_reference(values: NDArray[np.float64], start: int, allele: Alleles) -> NDArray[np.float64]:
    """Return the alternative's predictions (classes, positions) at the reference's positions; NaN where there is none.

    `start` is the index of the allele's first letter.
    """
    size, (deleted, inserted) = values.shape[1], (allele.deleted, allele.inserted)
    reference = np.arange(size)
    source = reference + np.where(reference < start + deleted, 0, inserted - deleted)
    beside = np.full_like(values, np.nan)
    inside = (source >= 0) & (source < size)
    beside[:, inside] = values[:, source[inside]]
    common = start + min(deleted, inserted)
    lost = (reference >= common) & (reference < start + deleted)
    beside[:, lost] = 0
    last = common - 1
    if inserted > deleted and 0 <= last < size:
        beside[:, last] = values[:, last : last + 1 + inserted - deleted].max(axis=1)
    return beside
