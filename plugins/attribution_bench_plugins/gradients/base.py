"""What a framework offers to the gradient methods."""

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.errors import UnsupportedError
from attribution_bench.models import Selection, SequenceModel, predict

Advance = Callable[[int], None]
"""Called with the number of gradients done since the last call: one scalar at one point for one sequence is one."""
Extras = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Scalar:
    """One scalar to differentiate: an entry of a flattened selection, which is a whole output or a reduction."""

    selection: Selection
    index: int


class Gradients(abc.ABC):
    """Gradients of scalars with respect to x (n, A, L), for one model."""

    def __init__(self, model: SequenceModel) -> None:
        self.model = model

    def for_request(self, request: Request) -> "Gradients":
        """Return what gives the gradients of one request; nothing is kept that was made of a caller's code.

        The same code may compute something else in the next request, where it reads what has changed since.
        """
        return self

    @abc.abstractmethod
    def at(
        self, x: NDArray[np.floating], extras: Extras, scalars: Sequence[Scalar], advance: Advance
    ) -> NDArray[np.floating]:
        """Return the gradients at x, (n, A, L, scalars), with all of x in one call of the model."""

    @abc.abstractmethod
    def path_mean(
        self,
        x: NDArray[np.floating],
        baseline: NDArray[np.floating],
        extras: Extras,
        scalars: Sequence[Scalar],
        advance: Advance,
        *,
        steps: int,
        batch_size: int,
    ) -> NDArray[np.floating]:
        """Return the mean gradients on the straight path from baseline to x, (n, A, L, scalars).

        The mean is a Gauss-Legendre quadrature of `steps` nodes; a call of the model holds at most `batch_size` points,
        which is at least n.
        """

    def values(self, x: NDArray[np.floating], extras: Extras, scalars: Sequence[Scalar]) -> NDArray[np.float64]:
        """Return the scalars themselves, (n, scalars), with all of x in one call of the model."""
        selections = tuple({scalar.selection.name: scalar.selection for scalar in scalars}.values())
        selected = predict(self.model, x, selections, extras=extras, batch_size=len(x))
        columns = [selected[scalar.selection.name].reshape(len(x), -1)[:, scalar.index] for scalar in scalars]
        return np.stack(columns, axis=1).astype(np.float64)


def scalars_of(request: Request) -> tuple[Scalar, ...]:
    """Return the scalars of a request, in the order of its flattened and concatenated selections."""
    scalars: list[Scalar] = []
    for selection in request.selections:
        if selection.reducer is not None:
            scalars.append(Scalar(selection, 0))
            continue
        output = request.outputs[selection.position]
        chosen = np.arange(output.size).reshape(output.shape)[selection.index or ()]
        whole = Selection(output.name, selection.position, output.shape)
        scalars += [Scalar(whole, int(index)) for index in np.ravel(chosen)]
    return tuple(scalars)


def not_differentiable() -> UnsupportedError:
    """Return the error for a target through which no gradient flows back to the sequence."""
    return UnsupportedError(
        "the target does not depend on the sequence through differentiable operations (an argmax, a rounding or a "
        "detached tensor stands between); use an ISM method, which needs no gradient"
    )


def zero_at_unknown(scores: NDArray[np.floating], one_hot: NDArray[np.floating]) -> NDArray[np.floating]:
    """Set scores (n, A, L, T) to 0 where the letter (n, A, L) is unknown."""
    known = np.asarray(one_hot.any(axis=1))[:, None, :, None]
    return np.where(known, scores, np.zeros((), scores.dtype))


def shaped(values: NDArray[np.floating], request: Request) -> NDArray[np.floating]:
    """Give the last axis (T) the axes of the target: its own for one selection, flat for several."""
    if len(request.selections) > 1:
        return values
    return values.reshape(*values.shape[:-1], *request.selections[0].shape)
