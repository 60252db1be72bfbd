"""Standard in-silico mutagenesis: a full forward pass for every alternative letter at every position."""

from typing import Any, ClassVar

import numpy as np

from attribution_bench.attribution import Attribution, RawAttribution, Request, Tags

DEFAULT_BATCH_SIZE = 128


class StandardISM(Attribution):
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
        with model.no_gradient():
            for start in range(0, count, batch_size):
                chunk = slice(start, start + batch_size)
                part = self._predict(request, request.one_hot[chunk], np.arange(count)[chunk])
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
                for name, values in self._predict(request, mutated, sequence).items():
                    predictions[name][sequence, letter, place] = values
                request.progress(min(start + batch_size, len(rows)), len(rows))
        return RawAttribution(predictions=predictions, reference_predictions=reference)

    def _predict(self, request: Request, one_hot: Any, sequence: Any) -> dict[str, Any]:
        model = self.model
        outputs = model.forward(model.to_tensor(one_hot), tuple(model.to_tensor(e[sequence]) for e in request.extras))
        return {s.name: model.to_numpy(model.select(outputs, s)) for s in request.selections}
