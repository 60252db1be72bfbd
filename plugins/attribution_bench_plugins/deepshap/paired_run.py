"""One run over all pairs of a sequence and a reference: multipliers batch by batch, and what they add up to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.models import SequenceModel, batches, predict, side_by_side
from attribution_bench_plugins.deepshap.convergence import (
    cancellation,
    warn_if_not_converged,
    warn_if_references_equal,
    warn_if_scores_cancel,
)
from attribution_bench_plugins.deepshap.explainer import Explainer

DEFAULT_BATCH_SIZE = 64


@dataclass(frozen=True)
class Pairs:
    """Multipliers of one scalar for some pairs."""

    sequence: NDArray[np.int64]
    """(B,) index of the sequence of each pair."""
    reference: NDArray[np.int64]
    """(B,) index of the reference among those of its sequence."""
    target: int
    multipliers: NDArray[np.floating]
    """(B, A, L)."""


class PairedRun:
    """All pairs of a request's sequences (N, A, L) and their references (N, R, A, L)."""

    def __init__(
        self,
        model: SequenceModel,
        request: Request,
        references: NDArray[Any],
        explainer: Callable[[SequenceModel, Request], Explainer],
    ) -> None:
        self._model = model
        self._request = request
        self.references = references
        self._explainer = explainer(model, request)
        self.targets = sum(selection.size for selection in request.selections)
        shape = (*references.shape[:2], self.targets)
        self._explained = np.zeros(shape, model.numpy_dtype)
        self._absolute = np.zeros(shape, model.numpy_dtype)

    def pairs(self) -> Iterator[Pairs]:
        """Yield the multipliers of every pair and scalar."""
        request = self._request
        count, each = self.references.shape[:2]
        # A pair takes two rows of the model's batch: the sequence and its reference.
        size = max(1, (request.batch_size or DEFAULT_BATCH_SIZE) // 2)
        for rows in batches(count * each, size):
            sequence, reference = np.divmod(np.arange(rows.start, rows.stop), each)
            x, baseline = request.one_hot[sequence], self.references[sequence, reference]
            extras = tuple(extra[sequence] for extra in request.extras)
            for target, multipliers in enumerate(self._explainer.multipliers(x, baseline, extras)):
                contributions = np.einsum("bal,bal->bl", multipliers, x - baseline)
                self._explained[sequence, reference, target] = contributions.sum(axis=1)
                self._absolute[sequence, reference, target] = np.abs(contributions).sum(axis=1)
                yield Pairs(sequence, reference, target, multipliers)
                done = rows.start * self.targets + (target + 1) * len(sequence)
                request.progress(done, count * each * self.targets)

    def checked(self) -> tuple[NDArray[np.floating], dict[str, Any]]:
        """Return the convergence delta (N, R, T) and what metadata say, once every pair is done; warn where due."""
        request, references = self._request, self.references
        count, each = references.shape[:2]
        outputs = self._predict(request.one_hot, np.arange(count))
        flat = references.reshape(count * each, *references.shape[2:])
        reference_outputs = self._predict(flat, np.arange(count).repeat(each)).reshape(count, each, self.targets)
        delta = self._explained - (outputs[:, None] - reference_outputs)
        warn_if_not_converged(delta, outputs, reference_outputs, self._absolute, self._explainer.lost())
        ratio = cancellation(outputs, reference_outputs, self._absolute)
        warn_if_scores_cancel(ratio)
        equal = warn_if_references_equal(request.one_hot, references)
        return delta, {"equal_references": equal, "absolute_over_difference": ratio if np.isfinite(ratio) else None}

    def _predict(self, one_hot: NDArray[Any], sequences: NDArray[np.int64]) -> NDArray[Any]:
        """Return the selected outputs (rows, targets) of the model itself, not of its graph."""
        request = self._request
        predictions = predict(
            self._model,
            one_hot,
            request.selections,
            extras=request.extras,
            sequences=sequences,
            batch_size=request.batch_size or DEFAULT_BATCH_SIZE,
        )
        return side_by_side(predictions).reshape(len(one_hot), -1)
