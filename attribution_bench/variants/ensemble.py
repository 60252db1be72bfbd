"""Effects of several models (folds): their mean, their standard deviation, and each model's own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.models import OutputSpec, SequenceModel
from attribution_bench.variants.effects import BoundEffects, Column, Values
from attribution_bench.variants.windows import Alleles


@dataclass(frozen=True)
class EnsembleEffects:
    """Effects of one or several models, one of them given for each.

    Of one model they are its own. Of several, a column is the mean of the models' effects, or the effect of their mean
    predictions, as the effects say (`BoundEffects.averaged`); ``<column>_sd`` is NumPy's standard deviation of the
    models' own effects, but for columns of whole numbers, such as offsets; and ``<column>_model_0`` is a model's own.
    A number that does not exist for one model has neither mean nor standard deviation.
    """

    members: tuple[BoundEffects, ...]
    each_model: bool = False
    """Whether there are columns for each model's own effects."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The numbers of each variant."""
        own = tuple(self.members[0].columns)
        if len(self.members) == 1:
            return own
        count = len(self.members)
        of_mean = "Of the mean predictions" if self.members[0].averaged == "predictions" else "Mean"
        means = [Column(c.name, f"{of_mean} of {count} models: {c.description}", c.kind) for c in own]
        spreads = [
            Column(f"{c.name}_sd", f"Standard deviation over {count} models: {c.description}")
            for c in own
            if c.kind == "Float"
        ]
        each = [
            Column(f"{c.name}_model_{number}", f"Model {number}: {c.description}", c.kind)
            for number in range(count * self.each_model)
            for c in own
        ]
        return (*means, *spreads, *each)

    def size(self, numbers: NDArray[np.float64]) -> float:
        """Return how large the effect of one variant is by its numbers (columns,), 0 where none exists.

        Of several models it is that of the first columns, which are those of their mean.
        """
        own = [column.name for column in self.members[0].columns]
        sizes = np.abs(numbers[[own.index(name) for name in self.members[0].sized_by]])
        return float(sizes.max(initial=0, where=~np.isnan(sizes)))

    def numbers(self, quantities: Sequence[tuple[Values, Values]], alleles: Sequence[Alleles]) -> NDArray[np.float64]:
        """Return the numbers of V variants, (V, columns), by each model's quantities of both alleles."""
        own = np.stack(
            [
                effects.numbers(reference, alternative, alleles)
                for effects, (reference, alternative) in zip(self.members, quantities, strict=True)
            ]
        )
        if len(self.members) == 1:
            return np.asarray(own[0])
        first = self.members[0]
        if first.averaged == "predictions":
            before, after = (_mean([pair[allele] for pair in quantities]) for allele in (0, 1))
            means = first.numbers(before, after, alleles)
        else:
            means = own.mean(axis=0)
        spreads = own.std(axis=0)[:, [column.kind == "Float" for column in first.columns]]
        each = list(own) if self.each_model else []
        return np.concatenate([means, spreads, *each], axis=1)


def check_ensemble(models: Sequence[SequenceModel], outputs: Sequence[Sequence[OutputSpec]]) -> None:
    """Check that effects of several models, whose outputs are given for each, can be averaged.

    Outputs of models that have just one may be called otherwise in each, as Keras numbers its layers.

    Raises
    ------
    InvalidInputError
        The models differ in framework, device, letters or outputs; the message says in what.
    """
    facts = [
        {
            "framework": model.framework,
            "device": model.device,
            "letters": model.alphabet.letters,
            "outputs": [spec.shape if len(specs) == 1 else (spec.name, spec.shape) for spec in specs],
        }
        for model, specs in zip(models, outputs, strict=True)
    ]
    for number, other in enumerate(facts[1:], 1):
        for name, value in facts[0].items():
            if other[name] != value:
                raise InvalidInputError(
                    f"models whose effects are averaged must have the same {name}, but model {number} has "
                    f"{other[name]} where the first one has {value}"
                )


def _mean(several: Sequence[Values]) -> Values:
    return {name: np.mean([values[name] for values in several], axis=0) for name in several[0]}
