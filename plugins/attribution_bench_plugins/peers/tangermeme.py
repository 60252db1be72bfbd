"""tangermeme's saturation mutagenesis (Schreiber, 2025), which has a fast path of its own for long jobs."""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from attribution_bench.attribution import RawAttribution, Request, Tags
from attribution_bench.errors import MissingDependencyError
from attribution_bench.models import SequenceModel
from attribution_bench.models.targets import Selection
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, InSilicoMutagenesis

try:
    from tangermeme.saturation_mutagenesis import saturation_mutagenesis
except ImportError as error:
    raise MissingDependencyError.of(error.name or "tangermeme", "peers", "the peer method 'tangermeme'") from error


class Tangermeme(InSilicoMutagenesis):
    """Standard in-silico mutagenesis by tangermeme, with what it does by default.

    It predicts every letter of a span of positions; those within the span that were not asked for are dropped.

    Parameters
    ----------
    model
        A torch.nn.Module.
    """

    name: ClassVar[str] = "tangermeme"
    tags: ClassVar[Tags] = Tags(frozenset({"torch"}), gives_predictions=True, exact=True)

    def __init__(self, model: Any) -> None:
        super().__init__(model)

    def _attribute(self, request: Request) -> RawAttribution:
        model, positions = self.model, request.positions
        first, last = int(positions[0]), int(positions[-1]) + 1
        found = saturation_mutagenesis(
            _Selected(model, request.selections),
            model.to_tensor(request.one_hot),
            args=tuple(model.to_tensor(extra) for extra in request.extras) or None,
            start=first,
            end=last,
            batch_size=request.batch_size or DEFAULT_BATCH_SIZE,
            raw_outputs=True,
            device=model.device,
        )
        several = len(request.selections) > 1
        references, mutated = (list(part) if several else [part] for part in (found[0], found[1]))
        names = [selection.name for selection in request.selections]
        shapes = [selection.shape for selection in request.selections]
        count, letters = len(request.one_hot), len(model.alphabet)
        reference_predictions, predictions = {}, {}
        for name, shape, reference, values in zip(names, shapes, references, mutated, strict=True):
            reference_predictions[name] = model.to_numpy(reference).reshape(count, *shape)
            every = model.to_numpy(values).reshape(count, letters, last - first, *shape)
            # A letter put where it is already is no mutation: it keeps the reference prediction.
            there = np.nonzero(request.one_hot[:, :, first:last])
            every[there] = reference_predictions[name][there[0]]
            predictions[name] = every[:, :, positions - first]
        return RawAttribution(predictions=predictions, reference_predictions=reference_predictions)


class _Selected(nn.Module):
    """A model as one that returns only what is asked for: a tensor, or several as a tuple."""

    def __init__(self, model: SequenceModel, selections: tuple[Selection, ...]) -> None:
        super().__init__()
        self.model, self.selections = model.model, selections
        self._sequence_model = model

    def forward(self, x: Tensor, *extras: Tensor) -> Any:
        outputs = self._sequence_model.forward(x, extras)
        chosen = [self._sequence_model.select(outputs, selection) for selection in self.selections]
        chosen = [value[:, None] if value.ndim == 1 else value for value in chosen]
        return chosen[0] if len(chosen) == 1 else tuple(chosen)


__all__ = ["Tangermeme"]
