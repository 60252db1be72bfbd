"""Gradients by Captum, one scalar after the other; for PyTorch models and for Keras models on the PyTorch backend."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.errors import MissingDependencyError, UnsupportedError
from attribution_bench_plugins.gradients.base import Advance, Extras, Gradients, Scalar, not_differentiable

WITHOUT_GRADIENT = ("does not require grad", "not have been used in the graph", "does not have a grad_fn")
"""Parts of PyTorch's messages where nothing that can be differentiated leads from a target to the sequence."""


class TorchGradients(Gradients):
    """Captum's Saliency (signed) and IntegratedGradients (not multiplied by the input)."""

    def at(
        self, x: NDArray[np.floating], extras: Extras, scalars: Sequence[Scalar], advance: Advance
    ) -> NDArray[np.floating]:
        saliency, further = _captum().Saliency, self._further(extras)
        # Captum warns of an input that requires no gradient yet.
        inputs = self.model.to_tensor(x).requires_grad_()
        gradients = np.empty((*x.shape, len(scalars)), dtype=x.dtype)
        for column, scalar in enumerate(scalars):
            with _named_errors():
                gradient = saliency(self._head(scalar)).attribute(
                    inputs, target=scalar.index, abs=False, additional_forward_args=further
                )
            gradients[..., column] = self.model.to_numpy(gradient)
            advance(len(x))
        return gradients

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
        integrated, further = _captum().IntegratedGradients, self._further(extras)
        inputs, start = self.model.to_tensor(x), self.model.to_tensor(baseline)
        means = np.empty((*x.shape, len(scalars)), dtype=x.dtype)
        for column, scalar in enumerate(scalars):
            with _named_errors():
                mean = integrated(self._head(scalar), multiply_by_inputs=False).attribute(
                    inputs,
                    baselines=start,
                    target=scalar.index,
                    additional_forward_args=further,
                    n_steps=steps,
                    method="gausslegendre",
                    internal_batch_size=batch_size,
                )
            means[..., column] = self.model.to_numpy(mean)
            advance(len(x) * steps)
        return means

    def _head(self, scalar: Scalar) -> Callable[..., torch.Tensor]:
        def head(x: torch.Tensor, *extras: torch.Tensor) -> torch.Tensor:
            selected: torch.Tensor = self.model.select(self.model.forward(x, extras), scalar.selection)
            return selected.reshape(len(x), -1)

        return head

    def _further(self, extras: Extras) -> tuple[torch.Tensor, ...] | None:
        return tuple(self.model.to_tensor(extra) for extra in extras) or None


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as error:
        raise MissingDependencyError.of("captum", "torch", "taking gradients of PyTorch models") from error
    return captum.attr


@contextlib.contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if any(part in str(error) for part in WITHOUT_GRADIENT):
            raise not_differentiable() from error
        raise UnsupportedError(
            f"PyTorch cannot take the gradient of this model: {next(iter(str(error).splitlines()), '')}; use an ISM "
            "method, which needs none"
        ) from error
