"""DeepLIFT on PyTorch: Captum on the prepared graph."""

import warnings
from typing import Any, cast

import numpy as np
import torch
from captum.attr import DeepLift
from numpy.typing import NDArray
from torch import Tensor, nn

from attribution_bench.attribution import Request
from attribution_bench.models import SequenceModel
from attribution_bench.models.targets import Selection
from attribution_bench.models.torch_model import TorchSequenceModel
from attribution_bench_plugins.deepshap.torch_graph import prepare_graph
from attribution_bench_plugins.gradients.base import not_differentiable


class TorchExplainer:
    """DeepLIFT multipliers of a PyTorch model. The user's model is captured once and gets no hook."""

    def __init__(self, model: SequenceModel, request: Request) -> None:
        self._model = cast(TorchSequenceModel, model)
        example = tuple(model.to_tensor(array[:1]) for array in (request.one_hot, *request.extras))
        with torch.enable_grad():
            self._graph = prepare_graph(_Head(self._model, request.selections), example[0], example[1:])
            # Rules take sequences and references as one batch.
            x, *extras = (torch.cat([tensor, tensor]) for tensor in example)
            outputs = self._graph.module(x.requires_grad_(), *extras)
        if not outputs.requires_grad:
            raise not_differentiable()

    def multipliers(
        self, x: NDArray[Any], references: NDArray[Any], extras: tuple[NDArray[Any], ...], target: int
    ) -> NDArray[np.floating]:
        model = self._model
        explainer = DeepLift(self._graph.module, multiply_by_inputs=False)
        further = tuple(model.to_tensor(extra) for extra in extras)
        with warnings.catch_warnings():
            # It announces its hooks, which sit on our graph alone.
            warnings.filterwarnings("ignore", "Setting forward, backward hooks", UserWarning)
            multipliers: Tensor = explainer.attribute(
                model.to_tensor(x).requires_grad_(),
                model.to_tensor(references),
                target=target,
                additional_forward_args=further or None,
            )
        return model.to_numpy(multipliers)

    def unruled(self) -> tuple[str, ...]:
        return self._graph.unruled


class _Head(nn.Module):
    """The model with the selected scalars of its outputs side by side: (batch, targets)."""

    def __init__(self, model: TorchSequenceModel, selections: tuple[Selection, ...]) -> None:
        super().__init__()
        self.network = model.model
        self._sequence_model = model
        self._selections = selections

    def forward(self, x: Tensor, *extras: Tensor) -> Tensor:
        outputs = self._sequence_model.forward(x, extras)
        selected = [self._sequence_model.select(outputs, selection) for selection in self._selections]
        return torch.cat([value.reshape(x.shape[0], -1) for value in selected], dim=1)
