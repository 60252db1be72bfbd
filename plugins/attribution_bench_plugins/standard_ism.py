"""Standard in-silico mutagenesis: a full forward pass for every alternative letter at every position."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import RawAttribution, Request, Tags
from attribution_bench.models import LazyRows, predict, predict_batches
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, InSilicoMutagenesis


class StandardISM(InSilicoMutagenesis):
    """Ask the model for every single-letter mutation by full forward passes: slow, general, the truth for the rest."""

    name: ClassVar[str] = "standard_ism"
    label: ClassVar[str] = "Standard ISM"
    tags: ClassVar[Tags] = Tags(frozenset({"torch", "keras"}), gives_predictions=True, exact=True, full_passes=True)

    def __init__(self, model: Any) -> None:
        super().__init__(model)

    def _attribute(self, request: Request) -> RawAttribution:
        model, letters = self.model, request.letters[:, request.positions]
        count, alphabet, places = len(letters), len(model.alphabet), len(request.positions)
        batch_size, extras = request.batch_size or DEFAULT_BATCH_SIZE, request.extras
        reference = predict(model, request.one_hot, request.selections, extras=extras, batch_size=batch_size)
        predictions: dict[str, NDArray[np.floating]] = {}
        for name, values in reference.items():
            predictions[name] = np.empty((count, alphabet, places, *values.shape[1:]), values.dtype)
            predictions[name][:] = values[:, None, None]
        # One row for each mutation that changes something: the reference letter keeps the reference prediction.
        sequence, place, letter = np.nonzero(letters[:, :, None] != np.arange(alphabet))

        def mutated(rows: slice) -> NDArray[np.floating]:
            one_hot, at = request.one_hot[sequence[rows]], request.positions[place[rows]]
            one_hot[np.arange(len(at)), :, at] = 0
            one_hot[np.arange(len(at)), letter[rows], at] = 1
            return one_hot

        for rows, part in predict_batches(
            model,
            LazyRows(len(sequence), mutated),
            request.selections,
            extras=extras,
            sequences=sequence,
            batch_size=batch_size,
            progress=request.progress,
        ):
            for name, values in part.items():
                predictions[name][sequence[rows], letter[rows], place[rows]] = values
        return RawAttribution(predictions=predictions, reference_predictions=reference)
