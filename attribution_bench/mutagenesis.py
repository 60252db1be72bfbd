"""What in-silico mutagenesis methods can do beyond scores: predict any list of mutations."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.archives import opened_archive, under, write_archive
from attribution_bench.attribution import Attribution
from attribution_bench.conventions import as_numbers
from attribution_bench.errors import InvalidInputError, ResultError
from attribution_bench.json_files import json_text, parse_json
from attribution_bench.models import LazyRows, SequenceModel, Target, predict
from attribution_bench.mutations import Edit, Mutation, check_mutations, mutation_columns, mutations_of
from attribution_bench.request import Inputs, Progress, Request
from attribution_bench.result import one_line
from attribution_bench.result_checks import MUTATIONS, check_mutation_predictions, checked_text

DEFAULT_BATCH_SIZE = 128
"""Sequences in one full pass."""


@dataclass(frozen=True)
class RawMutagenesis:
    """What a method computes of a list of M mutations; `InSilicoMutagenesis.predict_mutations` adds the rest."""

    predictions: Mapping[str, NDArray[np.floating]]
    """Selection's name -> (M, *selected)."""
    reference_predictions: Mapping[str, NDArray[np.floating]]
    """Selection's name -> (N, *selected)."""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MutationResult:
    """A model's predictions of M mutations of N sequences; `*output` are the axes of the target."""

    mutations: tuple[Mutation, ...]
    """Mutations as the caller listed them."""
    predictions: Mapping[str, NDArray[np.floating]]
    """Output -> (M, *output), in the order of the mutations."""
    reference_predictions: Mapping[str, NDArray[np.floating]]
    """Output -> (N, *output)."""
    metadata: Mapping[str, Any]
    """method, options, target, dtype, TF32 state, versions; JSON-able."""

    def __len__(self) -> int:
        return len(self.mutations)

    def __repr__(self) -> str:
        sequences = max((len(values) for values in self.reference_predictions.values()), default=0)
        return one_line(self, {"mutations": len(self), "sequences": sequences}, self.metadata)

    def effects(self, output: str | None = None) -> NDArray[np.floating]:
        """Return each mutation's prediction minus that of its own sequence, (M, *output).

        Parameters
        ----------
        output
            Name of an output; not needed where there is one.

        Raises
        ------
        InvalidInputError
            There is no such output, or it is open which one is meant.
        """
        if output is None and len(self.predictions) == 1:
            (output,) = self.predictions
        if output is None or output not in self.predictions:
            raise InvalidInputError(f"output must be one of {', '.join(self.predictions)}, not {output!r}")
        sequences = [mutation.sequence for mutation in self.mutations]
        predictions, references = as_numbers(self.predictions[output]), as_numbers(self.reference_predictions[output])
        effects: NDArray[np.floating] = predictions - references[sequences]
        return effects

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one ``.npz`` file, whole or not at all; returns its path (the suffix is added when missing).

        Raises
        ------
        OutputError
            The file cannot be written, or could not be loaded again: numbers are not real and finite, or the parts do
            not fit together.
        """
        arrays = {f"mutations/{name}": column for name, column in mutation_columns(self.mutations).items()}
        arrays |= {f"predictions/{name}": values for name, values in self.predictions.items()}
        arrays |= {f"reference_predictions/{name}": values for name, values in self.reference_predictions.items()}
        arrays = {name: np.asarray(values) for name, values in arrays.items()}
        try:
            check_mutation_predictions(arrays, parse_json(json_text("its metadata", dict(self.metadata))))
        except ValueError as error:
            raise ResultError(f"the result cannot be saved: {error}") from error
        return write_archive(path, arrays, self.metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "MutationResult":
        """Read what `save` wrote; nothing in the file is executed.

        Raises
        ------
        OutputError
            There is no such file, it is damaged, it is something else, a newer release wrote it, its parts do not fit
            together, or its numbers are not finite.
        """
        with opened_archive(path, "mutation result", MUTATIONS) as (arrays, metadata):
            check_mutation_predictions(arrays, metadata)
            checked_text(arrays["mutations/letters"].tolist())
            mutations = mutations_of(under("mutations/", arrays))
            return cls(mutations, under("predictions/", arrays), under("reference_predictions/", arrays), metadata)


class InSilicoMutagenesis(Attribution):
    """A method that asks the model what it predicts of mutated sequences.

    A subclass implements `_attribute` for every single letter. `_predict_mutations` takes full passes, which is right
    for every model; one that knows a shorter way overrides it.
    """

    def predict_mutations(
        self,
        inputs: Inputs,
        mutations: Sequence[Mutation],
        *,
        target: Target = None,
        additional_forward_args: Any = None,
        batch_size: int | None = None,
        progress: bool | Progress = False,
    ) -> MutationResult:
        """Predict sequences with mutations of any kind, each mutation by itself.

        Parameters
        ----------
        inputs
            As for `attribute`.
        mutations
            Substitutions of any width, insertions, deletions; see `Mutation`. Each alone changes its sequence.
        target, additional_forward_args, batch_size, progress
            As for `attribute`; progress counts mutations.

        Raises
        ------
        InvalidInputError
            As for `attribute`, and for a mutation that cannot be made, which the message names by its index.
        """
        one_hot, mutations = self._sequences(inputs), tuple(mutations)
        edits = check_mutations(mutations, one_hot.shape, self.model.alphabet)
        with self._requested(one_hot, target, additional_forward_args, None, batch_size, progress) as request:
            raw = self._predict_mutations(request, edits)
        metadata = {**self._metadata(request, target), **raw.metadata}
        return MutationResult(mutations, raw.predictions, raw.reference_predictions, metadata)

    def _predict_mutations(self, request: Request, edits: Sequence[Edit]) -> RawMutagenesis:
        """Predict mutated sequences; the model is in inference mode, and restored by the caller afterwards."""
        references = reference_passes(self.model, request, range(len(request.one_hot)))
        return RawMutagenesis(full_passes(self.model, request, edits, request.progress), references)


def full_passes(
    model: SequenceModel, request: Request, edits: Sequence[Edit], progress: Progress
) -> dict[str, NDArray[np.floating]]:
    """Return the predictions of mutated sequences, (len(edits), *selected), by full forward passes in batches."""

    def mutated(rows: slice) -> NDArray[np.floating]:
        return np.stack([edit.apply(request.one_hot[edit.sequence]) for edit in edits[rows]])

    return predict(
        model,
        LazyRows(len(edits), mutated),
        request.selections,
        extras=request.extras,
        sequences=np.array([edit.sequence for edit in edits]),
        batch_size=request.batch_size or DEFAULT_BATCH_SIZE,
        progress=progress,
    )


def reference_passes(
    model: SequenceModel, request: Request, sequences: Sequence[int]
) -> dict[str, NDArray[np.floating]]:
    """Return the predictions of some sequences as they are, (len(sequences), *selected), by full forward passes."""
    nothing = np.zeros((request.one_hot.shape[1], 0))
    unchanged = [Edit(sequence, 0, nothing, 0) for sequence in sequences]
    return full_passes(model, request, unchanged, lambda done, total: None)
