"""Standard in-silico mutagenesis: a full forward pass for every alternative letter at every position."""

from typing import Any, ClassVar

import numpy as np

from attribution_bench.attribution import RawAttribution, Request, Tags
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, InSilicoMutagenesis, predict_rows


class StandardISM(InSilicoMutagenesis):
    """Ask the model for every single-letter mutation by full forward passes: slow, general, the truth for the rest."""

    name: ClassVar[str] = "standard_ism"
    tags: ClassVar[Tags] = Tags(frozenset({"torch", "keras"}), gives_predictions=True, exact=True)

    def __init__(self, model: Any) -> None:
        super().__init__(model)

    def _attribute(self, request: Request) -> RawAttribution:
        model, letters = self.model, request.letters[:, request.positions]
        count, alphabet, places = len(letters), len(model.alphabet), len(request.positions)
        batch_size = request.batch_size or DEFAULT_BATCH_SIZE
        # One row for each mutation that changes something: the letter that is there keeps the reference prediction.
        rows = np.argwhere(letters[:, :, None] != np.arange(alphabet))
        reference: dict[str, Any] = {}
        predictions: dict[str, Any] = {}
        for start in range(0, count, batch_size):
            chunk = slice(start, start + batch_size)
            part = predict_rows(model, request, request.one_hot[chunk], np.arange(count)[chunk])
            for name, values in part.items():
                reference.setdefault(name, np.empty((count, *values.shape[1:]), values.dtype))[chunk] = values
        for name, values in reference.items():
            shape = (count, alphabet, places, *values.shape[1:])
            predictions[name] = np.empty(shape, values.dtype)
            predictions[name][:] = values[:, None, None]
        for start in range(0, len(rows), batch_size):
            sequence, place, letter = rows[start : start + batch_size].T
            mutated = request.one_hot[sequence]
            at = request.positions[place]
            mutated[np.arange(len(at)), :, at] = 0
            mutated[np.arange(len(at)), letter, at] = 1
            for name, values in predict_rows(model, request, mutated, sequence).items():
                predictions[name][sequence, letter, place] = values
            request.progress(min(start + batch_size, len(rows)), len(rows))
        return RawAttribution(predictions=predictions, reference_predictions=reference)
