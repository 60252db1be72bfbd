"""A model's scalar prediction of any sequences, in batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import TargetError
from attribution_bench.models import SequenceModel, Target
from attribution_bench.models.targets import Selection, select


@dataclass(frozen=True)
class Predictor:
    """One number that a model predicts of a sequence."""

    model: SequenceModel
    selection: Selection
    batch_size: int

    @classmethod
    def of(cls, model: SequenceModel, target: Target, length: int, batch_size: int) -> "Predictor":
        """Resolve a target.

        Raises
        ------
        TargetError
            The target is no scalar, so that there is no one number to compare methods by.
        """
        selections = select(target, model.outputs(length))
        if len(selections) != 1 or selections[0].size != 1:
            shapes = ", ".join(f"{s.name} {s.shape}" for s in selections)
            raise TargetError(
                f"methods are compared on one number, but the target {target!r} selects {shapes}; "
                "give an index, name:index or a reducer (sum, mean, logsumexp)"
            )
        return cls(model, selections[0], batch_size)

    def __call__(self, one_hot: NDArray[Any]) -> NDArray[np.float64]:
        """Return the prediction (N,) of sequences (N, A, L)."""
        model, parts = self.model, []
        with model.inference(), model.no_gradient():
            for start in range(0, len(one_hot), self.batch_size):
                rows = one_hot[start : start + self.batch_size].astype(model.numpy_dtype, copy=False)
                outputs = model.forward(model.to_tensor(rows))
                parts.append(model.to_numpy(model.select(outputs, self.selection)).reshape(len(rows)))
        return np.concatenate(parts).astype(np.float64)
