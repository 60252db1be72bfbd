"""Inputs of an evaluation, and the model's predictions of them: made once, and used for every method."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution_bench.evaluation.perturbation import random_mutations
from attribution_bench.evaluation.predictor import Predictor
from attribution_bench.evaluation.settings import Settings
from attribution_bench.models import SequenceModel, Target
from attribution_bench.sequences import Sequences, dinucleotide_shuffle
from attribution_bench.sequences.sites import Site, site_effects

PLACES = 8
"""Units in the last place by which predictions of equal inputs may differ: in another batch, or added up otherwise."""


@dataclass(frozen=True)
class SharedInputs:
    """Sequences, shuffles and mutations, and what the model predicts of each."""

    predictor: Predictor
    one_hot: NDArray[np.floating]
    predictions: NDArray[np.float64]
    """(N,) of the sequences as they are."""
    shuffled: tuple[NDArray[np.floating], ...]
    """Each (N, A, L): shuffles of the sequences, from which letters are replaced."""
    emptied: tuple[NDArray[np.float64], ...]
    """(N,) predictions of each of the shuffles."""
    mutated: NDArray[np.floating]
    """(N, M, A, L) random mutations."""
    changes: NDArray[np.float64]
    """(N, M): the prediction of each mutated sequence minus that of the sequence."""
    rounding: NDArray[np.float64]
    """(N,): predictions of a sequence and its mutations that differ by no more may be equal."""
    effects: NDArray[np.int8] | None
    """(N, L): 1 where a known site raises the prediction, -1 where one lowers it, 0 elsewhere; None without sites."""

    @property
    def scale(self) -> float:
        """Median over sequences of how far the prediction is from that of the replaced sequence, beyond rounding."""
        apart = np.abs(self.predictions - np.mean(self.emptied, axis=0))
        return float(np.median(np.where(apart > self.rounding, apart, 0)))


def prepare_inputs(
    model: SequenceModel, sequences: Sequences, target: Target, sites: Sequence[Site], settings: Settings
) -> SharedInputs:
    """Return the inputs of an evaluation; raises TargetError for a target that is no scalar."""
    one_hot = sequences.one_hot()
    count, letters, length = one_hot.shape
    predictor = Predictor.of(model, target, length, settings.batch_size)
    generator = np.random.default_rng(settings.seed)
    predictions = predictor(one_hot)
    shuffles = np.stack([dinucleotide_shuffle(row, settings.shuffles, generator) for row in one_hot])
    shuffled = tuple(shuffles[:, index] for index in range(settings.shuffles))
    changed = settings.letters(settings.mutated, length)
    mutated = random_mutations(one_hot, settings.mutations, changed, generator)
    emptied = tuple(predictor(replaced) for replaced in shuffled)
    of_mutated = predictor(mutated.reshape(-1, letters, length)).reshape(count, -1)
    seen = np.abs(np.column_stack([predictions, *emptied, of_mutated])).max(axis=1)
    rounding = PLACES * float(np.finfo(model.numpy_dtype).eps) * seen
    changes = of_mutated - predictions[:, None]
    changes[np.abs(changes) <= rounding[:, None]] = 0
    return SharedInputs(
        predictor,
        one_hot,
        predictions,
        shuffled,
        emptied,
        mutated,
        changes,
        rounding,
        site_effects(sites, count, length) if sites else None,
    )
