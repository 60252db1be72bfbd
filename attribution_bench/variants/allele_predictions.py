"""Predictions for both alleles of many variants: substitutions by a method of mutagenesis, the rest by full passes."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.models import LazyRows, OutputSpec, SequenceModel, Target, predict
from attribution_bench.models.targets import select
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, InSilicoMutagenesis
from attribution_bench.mutations import Mutation
from attribution_bench.sequences import Alphabet
from attribution_bench.variants.further_inputs import Extras
from attribution_bench.variants.windows import Alleles

Arrays = dict[str, NDArray[np.float64]]


def check_nucleotides(alphabet: Alphabet) -> None:
    """Check that a model's sequences can be those of a genome; raises InvalidInputError."""
    if alphabet.letters not in ("ACGT", "ACGU"):
        raise InvalidInputError(f"variants of a genome need a model of DNA or RNA, not of {alphabet.name}")


class AllelePredictor:
    """Predicts both alleles of variants on one model.

    Variants of one window share its reference prediction. Substitutions go through `predict_mutations` of the method,
    which computes of them what they affect; the alternative sequences of insertions and deletions take full passes.

    Parameters
    ----------
    method
        A method of mutagenesis, bound to its model.
    outputs
        The model's outputs at the length of the windows.
    target
        What of them to predict.
    batch_size
        Sequences in one call of the model; the method's default when None.

    Raises
    ------
    TargetError
        The target is none of the outputs.
    """

    def __init__(
        self,
        method: InSilicoMutagenesis,
        outputs: Sequence[OutputSpec],
        target: Target,
        batch_size: int | None,
    ) -> None:
        self._method, self._target, self._batch_size = method, target, batch_size
        self._selections = select(target, outputs)
        self._letters = str.maketrans("T", "U") if "U" in method.model.alphabet.letters else {}

    @property
    def method(self) -> InSilicoMutagenesis:
        """The method, bound to the model."""
        return self._method

    @property
    def model(self) -> SequenceModel:
        """The model."""
        return self._method.model

    def predict(self, alleles: Sequence[Alleles], keys: Sequence[Hashable], extras: Extras) -> tuple[Arrays, Arrays]:
        """Predict V variants.

        Parameters
        ----------
        alleles
            Both alleles of each.
        keys
            What tells the reference sequences apart: variants of one key have one window and the same further inputs.
        extras
            The model's further inputs, V rows each.

        Returns
        -------
        Output -> (V, *selected) for the reference alleles, and for the alternative ones.
        """
        numbers: dict[Hashable, int] = {}
        windows = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
        # Of the variants of a window, the first one's stand for all.
        firsts = np.unique(windows, return_index=True)[1]
        substitutions = [number for number, allele in enumerate(alleles) if allele.is_substitution]
        indels = [number for number, allele in enumerate(alleles) if not allele.is_substitution]
        references, alternatives = _Filled(len(numbers)), _Filled(len(alleles))
        mutated = sorted({int(windows[number]) for number in substitutions})
        if substitutions:
            result = self._method.predict_mutations(
                self._one_hot([alleles[firsts[window]].reference for window in mutated]),
                [
                    Mutation(
                        mutated.index(windows[number]),
                        alleles[number].offset,
                        alleles[number].replacement.translate(self._letters),
                    )
                    for number in substitutions
                ],
                target=self._target,
                additional_forward_args=tuple(extra[firsts[mutated]] for extra in extras) or None,
                batch_size=self._batch_size,
            )
            references.put(mutated, result.reference_predictions)
            alternatives.put(substitutions, result.predictions)
        others = sorted(set(range(len(numbers))) - set(mutated))
        if others or indels:
            passes = self._full_passes(
                [alleles[firsts[window]].reference for window in others]
                + [alleles[number].alternative for number in indels],
                tuple(extra[[*firsts[others], *indels]] for extra in extras),
            )
            references.put(others, {name: values[: len(others)] for name, values in passes.items()})
            alternatives.put(indels, {name: values[len(others) :] for name, values in passes.items()})
        return {name: values[windows] for name, values in references.arrays.items()}, alternatives.arrays

    def _full_passes(self, sequences: Sequence[str], extras: Extras) -> dict[str, NDArray[np.floating]]:
        """Predict sequences as they are, (len(sequences), *selected)."""
        model, size = self._method.model, self._batch_size or DEFAULT_BATCH_SIZE
        rows = LazyRows(len(sequences), lambda rows: self._one_hot(sequences[rows]).astype(model.numpy_dtype))
        with model.inference():
            return predict(model, rows, self._selections, extras=extras, batch_size=size)

    def _one_hot(self, sequences: Sequence[str]) -> NDArray[np.float32]:
        return self._method.model.alphabet.one_hot([sequence.translate(self._letters) for sequence in sequences])


class _Filled:
    """Arrays (count, ...) by name, filled a part at a time, in double precision."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.arrays: Arrays = {}

    def put(self, rows: Sequence[int], values: Mapping[str, NDArray[np.floating]]) -> None:
        for name, part in values.items():
            if name not in self.arrays:
                self.arrays[name] = np.full((self._count, *part.shape[1:]), np.nan)
            self.arrays[name][rows] = part
