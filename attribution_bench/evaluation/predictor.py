"""A model's scalar prediction of any sequences, in batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import TargetError
from attribution_bench.models import LazyRows, SequenceModel, Target, predict
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
            The target is no scalar, which a comparison of methods needs.
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
        rows = LazyRows(len(one_hot), lambda batch: one_hot[batch].astype(self.model.numpy_dtype, copy=False))
        with self.model.inference():
            predicted = predict(self.model, rows, (self.selection,), batch_size=self.batch_size)
        return predicted[self.selection.name].reshape(len(one_hot)).astype(np.float64)


def target_text(target: Target, selection: Selection) -> str:
    """Return a target as people read it: the output's name, with the index or reducer where one was asked for."""
    reducer = selection.reducer
    if reducer is not None:
        return f"{selection.name}:{reducer if isinstance(reducer, str) else getattr(reducer, '__name__', 'function')}"
    index = ",".join(str(i) for i in selection.index or ())
    return f"{selection.name}:{index}" if index and target is not None else selection.name
