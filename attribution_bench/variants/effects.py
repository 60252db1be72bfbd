"""Effects of variants: what is made of the predictions for both alleles; those of single numbers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import TargetError
from attribution_bench.models import Layout, OutputSpec, Selection, Target
from attribution_bench.models.strand_targets import same_on_both_strands
from attribution_bench.models.targets import select
from attribution_bench.variants.windows import Alleles

Values = Mapping[str, NDArray[np.float64]]
"""Output's name -> (V, ...) for V alleles."""
StrandName = Literal["+", "-"]
Averaged = Literal["effects", "predictions"]
"""What of several models is averaged: the effects of each, or predictions, before effects are taken."""
MOST_COLUMNS = 4000


@dataclass(frozen=True)
class Column:
    """One number of each variant, or its gene, as tables and VCF files name it."""

    name: str
    """Letters, digits, dots and underscores."""
    description: str
    kind: Literal["Float", "Integer", "String"] = "Float"


@dataclass(frozen=True)
class ModelOutputs:
    """What effects need to know of a model."""

    specs: tuple[OutputSpec, ...]
    """Its outputs at the length of the windows."""
    length: int
    """Letters of a window."""
    layout: Layout
    """The model's own order of axes: ``NAL`` has positions last, ``NLA`` first."""


class BoundEffects(Protocol):
    """Effects of one model's outputs."""

    @property
    def target(self) -> Target:
        """What of the model's outputs they are made of."""
        ...

    @property
    def columns(self) -> Sequence[Column]:
        """The numbers of each variant."""
        ...

    @property
    def sized_by(self) -> Sequence[str]:
        """The columns whose largest magnitude says how large an effect is, by which genes are compared."""
        ...

    @property
    def averaged(self) -> Averaged:
        """What of several models is averaged."""
        ...

    def strand_assumptions(self, strands: Sequence[StrandName]) -> tuple[str, ...]:
        """Check that predictions for some strands can be had and averaged; returns what has to be taken for granted.

        Raises
        ------
        TargetError, UnsupportedError
            They cannot.
        """
        ...

    def quantities(self, predictions: Values, strand: StrandName) -> Values:
        """Return what strands are averaged by, of predictions for one strand.

        Positions come in the order of the strand ``+``, as sequences of the strand ``-`` are reverse complements.
        """
        ...

    def numbers(self, reference: Values, alternative: Values, alleles: Sequence[Alleles]) -> NDArray[np.float64]:
        """Return the numbers of V variants by their quantities, (V, columns); NaN where one does not exist."""
        ...


class Effects(Protocol):
    """A choice of effects, which is bound to a model's outputs."""

    def bind(self, outputs: ModelOutputs) -> BoundEffects:
        """Return the effects for a model.

        Raises
        ------
        TargetError
            The model's outputs do not suit them.
        """
        ...


@dataclass(frozen=True)
class ScalarEffects:
    """Reference, alternative, their difference, and log2 of their ratio where both are positive, for each number.

    Both strands give the mean of their predictions: a target must not be a position of a profile then. Several models
    give the mean of their effects.

    Parameters
    ----------
    target
        What of the outputs, as for `attribute`; several numbers give columns for each.
    """

    target: Target = None

    def bind(self, outputs: ModelOutputs) -> "BoundScalarEffects":
        """Return the effects for a model; raises TargetError as `select` does, and where there are too many columns."""
        selections = select(self.target, outputs.specs)
        names = [name for selection in selections for name in _names(selection, alone=len(selections) == 1)]
        if 4 * len(names) > MOST_COLUMNS:
            raise TargetError(
                f"target {self.target!r} stands for {len(names)} numbers, of which every variant would have four; "
                "choose some of them, or effects of profiles"
            )
        columns = tuple(
            Column(f"{name}{'_' * bool(name)}{kind}", f"{text}{' of ' * bool(name)}{name}")
            for name in names
            for kind, text in (
                ("reference_prediction", "Prediction for the reference allele"),
                ("alternative_prediction", "Prediction for the alternative allele"),
                ("delta", "Alternative minus reference prediction"),
                ("log2_fold_change", "Log2 of alternative over reference prediction, where both are positive"),
            )
        )
        check_unique(columns)
        return BoundScalarEffects(self.target, columns, tuple(selection.name for selection in selections), outputs)


@dataclass(frozen=True)
class BoundScalarEffects:
    """Effects of single numbers, for one model; see `ScalarEffects`."""

    target: Target
    columns: tuple[Column, ...]
    outputs: tuple[str, ...]
    """Names of the outputs, in the order of the columns."""
    model: ModelOutputs

    @property
    def sized_by(self) -> tuple[str, ...]:
        """The differences."""
        return tuple(column.name for column in self.columns if column.name.endswith("delta"))

    @property
    def averaged(self) -> Averaged:
        """The effects."""
        return "effects"

    def strand_assumptions(self, strands: Sequence[StrandName]) -> tuple[str, ...]:
        """Return what has to be taken for granted of the target; raises UnsupportedError for places of a profile."""
        return same_on_both_strands(self.target, self.model.specs) if len(strands) > 1 else ()

    def quantities(self, predictions: Values, strand: StrandName) -> Values:
        """Return the predictions as they are."""
        return predictions

    def numbers(self, reference: Values, alternative: Values, alleles: Sequence[Alleles]) -> NDArray[np.float64]:
        """Return (V, columns)."""
        before, after = (
            np.concatenate([values[name].reshape(len(alleles), -1) for name in self.outputs], axis=1)
            for values in (reference, alternative)
        )
        positive = (before > 0) & (after > 0)
        fold = np.full(before.shape, np.nan)
        fold[positive] = np.log2(after[positive]) - np.log2(before[positive])
        return np.stack([before, after, after - before, fold], axis=2).reshape(len(alleles), -1)


def output_named(specs: Sequence[OutputSpec], name: str | None) -> OutputSpec:
    """Return an output by its name, or the only one.

    Raises
    ------
    TargetError
        There is no such output, or none is named and there are several.
    """
    found = [spec for spec in specs if name is None or spec.name == name]
    if len(found) != 1:
        known = ", ".join(f"{spec.name!r} {spec.shape}" for spec in specs)
        missing = "which output is meant is open" if name is None else f"the model has no output {name!r}"
        raise TargetError(f"{missing}; name one of {known}")
    return found[0]


def column_name(text: str) -> str:
    """Return a text with what tables and VCF files do not take in names replaced by underscores."""
    return re.sub("[^0-9A-Za-z_.]", "_", text)


def check_unique(columns: Iterable[Column]) -> None:
    """Check that columns can be told apart; raises TargetError."""
    names = [column.name for column in columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TargetError(f"two outputs of the model give the column {twice!r}; choose one of them, or rename one")


def _names(selection: Selection, *, alone: bool) -> list[str]:
    """Return what the scalars of a selection are called; nothing where there is just one."""
    if alone and selection.size == 1:
        return [""]
    name = column_name(selection.name)
    return [
        "_".join([name, *map(str, index)]) if selection.size > 1 else name for index in np.ndindex(*selection.shape)
    ]
