"""Prediction of rows in batches: the one place that runs a model without gradients and picks out what is asked for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.models.targets import Selection


class PredictableModel(Protocol):
    """What a prediction asks of a model, as `SequenceModel` has it."""

    def no_gradient(self) -> AbstractContextManager[Any]:
        """Context in which nothing is recorded for differentiation."""
        ...

    def to_tensor(self, array: NDArray[Any]) -> Any:
        """Return an array as a tensor on the model's device."""
        ...

    def to_numpy(self, tensor: Any) -> NDArray[Any]:
        """Return a tensor as an array on the host."""
        ...

    def forward_only(self, x: Any, extras: tuple[Any, ...] = ()) -> dict[str, Any]:
        """Run the model on (N, A, L) without recording anything; returns output -> tensor (N, *output)."""
        ...

    def select(self, outputs: dict[str, Any], selection: Selection) -> Any:
        """Return the selected part of the outputs, (N, *selected)."""
        ...


class Rows(Protocol):
    """One-hot sequences to predict: an array (rows, A, L), or anything that gives one when it is sliced."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        """Return some of the rows, (rows, A, L)."""
        ...


@dataclass(frozen=True)
class LazyRows:
    """Rows that are made a batch at a time, so that memory never holds all of them."""

    count: int
    make: Callable[[slice], NDArray[Any]]
    """Called with a slice of range(count); returns those rows, (rows, A, L)."""

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        return self.make(rows)


def batches(count: int, batch_size: int) -> Iterator[slice]:
    """Yield slices that divide range(count) into batches, the last of which may be smaller.

    Raises
    ------
    InvalidInputError
        The batch size is less than 1.
    """
    if batch_size < 1:
        raise InvalidInputError(f"batch_size must be at least 1, not {batch_size}")
    for start in range(0, count, batch_size):
        yield slice(start, min(start + batch_size, count))


def predict_batches(
    model: PredictableModel,
    rows: Rows,
    selections: Sequence[Selection] | None = None,
    *,
    extras: Sequence[NDArray[Any]] = (),
    sequences: NDArray[np.int64] | None = None,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[slice, dict[str, NDArray[Any]]]]:
    """Predict rows and yield each batch as it is done: which rows it holds, and output -> (rows, *selected).

    Call it within ``model.inference()``.

    Parameters
    ----------
    model
        The model; nothing is recorded for differentiation.
    rows
        R one-hot sequences (R, A, L) in the canonical layout; `LazyRows` makes them a batch at a time.
    selections
        Parts of the outputs, at most one of each output; by default every output, whole.
    extras
        The model's further inputs, each with one row a sequence.
    sequences
        (R,) numbers of the sequences that the rows come from, which tell the row of the extras that each takes. By
        default row r comes from sequence r.
    batch_size
        Rows in one call of the model.
    progress
        Called with the rows done and R after each batch, once the caller has dealt with it.

    Raises
    ------
    InvalidInputError
        The batch size is less than 1.
    """
    count = len(rows)
    for batch in batches(count, batch_size):
        with model.no_gradient():
            further = tuple(
                model.to_tensor(extra[batch if sequences is None else sequences[batch]]) for extra in extras
            )
            outputs = model.forward_only(model.to_tensor(rows[batch]), further)
            if selections is not None:
                outputs = {selection.name: model.select(outputs, selection) for selection in selections}
            values = {name: model.to_numpy(value) for name, value in outputs.items()}
        yield batch, values
        if progress is not None:
            progress(batch.stop, count)


def predict(
    model: PredictableModel,
    rows: Rows,
    selections: Sequence[Selection] | None = None,
    *,
    extras: Sequence[NDArray[Any]] = (),
    sequences: NDArray[np.int64] | None = None,
    batch_size: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, NDArray[Any]]:
    """Predict rows and return output -> (R, *selected); parameters are those of `predict_batches`.

    Raises
    ------
    InvalidInputError
        There are no rows, or the batch size is less than 1.
    """
    if not len(rows):
        raise InvalidInputError("there are no rows to predict; give at least one")
    predictions: dict[str, NDArray[Any]] = {}
    done = predict_batches(
        model, rows, selections, extras=extras, sequences=sequences, batch_size=batch_size, progress=progress
    )
    for batch, values in done:
        for name, part in values.items():
            if name not in predictions:
                predictions[name] = np.empty((len(rows), *part.shape[1:]), part.dtype)
            predictions[name][batch] = part
    return predictions


def side_by_side(predictions: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return the predictions of one output as they are, (rows, *selected); several flat in a row, (rows, scalars)."""
    if len(predictions) == 1:
        return next(iter(predictions.values()))
    return np.concatenate([values.reshape(len(values), -1) for values in predictions.values()], axis=1)
