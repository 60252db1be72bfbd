"""Effects on profiles and counts, by the names that variant-scorer made usual: jsd and logfc."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, TargetError
from attribution_bench.models import OutputSpec, Target
from attribution_bench.variants.effects import Averaged, Column, ModelOutputs, StrandName, Values, output_named
from attribution_bench.variants.positions import PositionAxis, position_axis, shared_positions
from attribution_bench.variants.windows import Alleles

ProfileScale = Literal["logits", "probabilities"]
CountScale = Literal["log", "linear"]


@dataclass(frozen=True)
class ProfileEffects:
    """Jensen-Shannon distance of the alleles' profiles, and log2 fold change of their counts.

    ``jsd`` has base 2 and lies in [0, 1]. The letters of an insertion or deletion, which one allele lacks, are left out
    of both profiles before it is taken; ``jsd_unaligned`` compares them place by place. ``logfc`` is log2 of
    alternative over reference counts. Both strands give the mean of their profiles, as the model states them, and of
    their counts. A profile of several channels is one distribution over all of them; a count head of several numbers
    counts their sum.

    Parameters
    ----------
    profile, counts
        Names of the outputs. By default the only output is the profile, or of two outputs the one of a single number
        is the counts and the other one the profile.
    profile_scale
        Whether the profile holds logits, or numbers in proportion to probabilities.
    count_scale
        Whether counts are given as their natural logarithm.
    axis
        Axis of the profile's positions within one sequence's output. By default the only one of more than one number,
        or else by the model's layout.
    """

    profile: str | None = None
    counts: str | None = None
    profile_scale: ProfileScale = "logits"
    count_scale: CountScale = "log"
    axis: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("profile_scale", self.profile_scale, ProfileScale),
            ("count_scale", self.count_scale, CountScale),
        ):
            if value not in get_args(known):
                raise InvalidInputError(f"{name} must be one of {', '.join(get_args(known))}, not {value!r}")

    def bind(self, outputs: ModelOutputs) -> "BoundProfileEffects":
        """Return the effects for a model; raises TargetError where its outputs are not a profile and counts."""
        profile, counts = self._outputs(outputs.specs)
        axis = position_axis(profile, outputs, self.axis)
        return BoundProfileEffects(self, axis, None if counts is None else counts.name)

    def _outputs(self, specs: Sequence[OutputSpec]) -> tuple[OutputSpec, OutputSpec | None]:
        counted = None if self.counts is None else output_named(specs, self.counts)
        if self.profile is not None:
            return output_named(specs, self.profile), counted
        profiles = [spec for spec in specs if spec.size > 1 and spec != counted]
        counts = [spec for spec in specs if spec.size == 1] if counted is None else [counted]
        if len(profiles) != 1 or len(counts) > 1:
            shapes = ", ".join(f"{spec.name!r} {spec.shape}" for spec in specs)
            raise TargetError(f"which outputs are the profile and the counts is open; name them among {shapes}")
        return profiles[0], counts[0] if counts else None


@dataclass(frozen=True)
class BoundProfileEffects:
    """Effects on profiles and counts, for one model; see `ProfileEffects`."""

    choice: ProfileEffects
    axis: PositionAxis
    counts: str | None

    @property
    def target(self) -> Target:
        """Every output, or the profile alone."""
        return self.axis.output if self.counts is None else "all"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The numbers of each variant."""
        of_profile = (
            Column("jsd", "Jensen-Shannon distance (base 2) of the profiles, aligned about insertions and deletions"),
            Column("jsd_unaligned", "Jensen-Shannon distance (base 2) of the profiles, place by place"),
        )
        if self.counts is None:
            return of_profile
        return (
            Column("reference_counts", "Predicted counts for the reference allele"),
            Column("alternative_counts", "Predicted counts for the alternative allele"),
            Column("logfc", "Log2 of alternative over reference counts"),
            *of_profile,
        )

    @property
    def sized_by(self) -> tuple[str, ...]:
        """The fold change of the counts; the distance of the profiles where there are no counts."""
        return ("jsd",) if self.counts is None else ("logfc",)

    @property
    def averaged(self) -> Averaged:
        """The effects, as variant-scorer does."""
        return "effects"

    def strand_assumptions(self, strands: Sequence[StrandName]) -> tuple[str, ...]:
        """Return nothing; raises TargetError where positions of the strand ``-`` are not those of ``+``."""
        self.axis.check_strands(strands)
        return ()

    def quantities(self, predictions: Values, strand: StrandName) -> Values:
        """Return ``profile`` (V, channels, positions) and ``counts`` (V,), which are no logarithms."""
        profile = self.axis.last(predictions[self.axis.output], strand)
        if strand == "-" and profile.shape[1] == 2:
            profile = profile[:, ::-1]
        if self.counts is None:
            return {"profile": profile}
        counts = predictions[self.counts].reshape(len(profile), -1)
        if self.choice.count_scale == "log":
            counts = np.exp(counts)
        return {"profile": profile, "counts": counts.sum(axis=1)}

    def numbers(self, reference: Values, alternative: Values, alleles: Sequence[Alleles]) -> NDArray[np.float64]:
        """Return (V, columns)."""
        profiles = reference["profile"], alternative["profile"]
        unaligned = jensen_shannon(*(self._probabilities(profile) for profile in profiles))
        aligned = unaligned.copy()
        for number, allele in enumerate(alleles):
            if not allele.is_substitution:
                of_each = zip(profiles, shared_positions(allele, self.axis), strict=True)
                parts = [self._probabilities(profile[number : number + 1, :, places]) for profile, places in of_each]
                aligned[number] = jensen_shannon(*parts)[0]
        if self.counts is None:
            return np.stack([aligned, unaligned], axis=1)
        before, after = reference["counts"], alternative["counts"]
        positive = (before > 0) & (after > 0)
        fold = np.full(len(before), np.nan)
        fold[positive] = np.log2(after[positive]) - np.log2(before[positive])
        return np.stack([before, after, fold, aligned, unaligned], axis=1)

    def _probabilities(self, profile: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return profiles (V, channels, positions) as distributions (V, channels * positions)."""
        flat = profile.reshape(len(profile), -1)
        if self.choice.profile_scale == "logits":
            from scipy.special import softmax  # takes longer to import than the package

            return np.asarray(softmax(flat, axis=1))
        total = flat.sum(axis=1, keepdims=True)
        # Numbers below zero, or none above it, are no distribution, and have no distance.
        total[(flat < 0).any(axis=1) | (total[:, 0] <= 0)] = np.nan
        return np.asarray(flat / total)


def jensen_shannon(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Jensen-Shannon distance (base 2) of distributions (V, places) by rows, (V,), in [0, 1].

    With the mean m and the relative difference d of two probabilities m(1 - d) and m(1 + d), their part of the
    divergence is m((1 - d) log(1 - d) + (1 + d) log(1 + d)) / 2. Written so, the distance of nearly equal distributions
    is not lost in rounding, of which the square root would make 1e-8.
    """
    from scipy.special import xlog1py  # takes longer to import than the package

    if one.shape[1] == 0:
        return np.full(len(one), np.nan)
    total = one + other
    ratio = np.divide(other - one, total, out=np.zeros_like(total), where=total != 0)
    parts = total / 4 * (xlog1py(1 - ratio, -ratio) + xlog1py(1 + ratio, ratio))
    return np.asarray(np.sqrt(np.maximum(parts.sum(axis=1), 0) / np.log(2)))
