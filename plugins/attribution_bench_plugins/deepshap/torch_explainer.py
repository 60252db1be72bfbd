"""DeepLIFT on PyTorch: the captured graph, run on sequences and references, and walked back by the rules."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attribution_bench.attribution import Request
from attribution_bench.models import SequenceModel
from attribution_bench.models.targets import Selection
from attribution_bench.models.torch_model import TorchSequenceModel
from attribution_bench_plugins.deepshap.backward import backward
from attribution_bench_plugins.deepshap.planning import plan
from attribution_bench_plugins.deepshap.rules import Rule
from attribution_bench_plugins.deepshap.torch_forward import TorchForward
from attribution_bench_plugins.deepshap.torch_graph import capture


class TorchExplainer:
    """DeepLIFT multipliers of a PyTorch model. The user's model is captured once and gets no hook."""

    def __init__(self, model: SequenceModel, request: Request, rules: Mapping[str, Rule]) -> None:
        self._model = cast(TorchSequenceModel, model)
        example = tuple(self._model.to_tensor(array[:1]) for array in (request.one_hot, *request.extras))
        with torch.enable_grad():
            self._graph = capture(_Head(self._model, request.selections), example[0], example[1:], tuple(rules))
        self._plans = [plan(output, rules) for output in self._graph.outputs]
        self._sizes = [selection.size for selection in request.selections]
        self._lost: dict[str, float] = {}

    def multipliers(
        self, x: NDArray[Any], references: NDArray[Any], extras: tuple[NDArray[Any], ...]
    ) -> Iterator[NDArray[np.floating]]:
        model = self._model
        forward = TorchForward(self._graph, [step for steps in self._plans for step in steps])
        given = model.to_tensor(x)
        forward.run(given, model.to_tensor(references), [model.to_tensor(extra) for extra in extras])
        for steps, output, size in zip(self._plans, self._graph.outputs, self._sizes, strict=True):
            for index in range(size):
                upstream = torch.zeros((len(x), size), dtype=given.dtype, device=given.device)
                upstream[:, index] = 1
                found, lost = backward(steps, forward, output, upstream, self._graph.sequence)
                for name, amount in lost.items():
                    self._lost[name] = float(np.maximum(self._lost.get(name, 0.0), float(amount)))
                yield model.to_numpy(torch.zeros_like(given) if found is None else found)

    def lost(self) -> Mapping[str, float]:
        found, self._lost = self._lost, {}
        return found


class _Head(nn.Module):
    """The model with what is selected of its outputs: (batch, size) each."""

    def __init__(self, model: TorchSequenceModel, selections: tuple[Selection, ...]) -> None:
        super().__init__()
        self.network = model.model
        self._sequence_model = model
        self._selections = selections

    def forward(self, x: Tensor, *extras: Tensor) -> tuple[Tensor, ...]:
        outputs = self._sequence_model.forward(x, extras)
        selected = [self._sequence_model.select(outputs, selection) for selection in self._selections]
        return tuple(value.reshape(x.shape[0], -1) for value in selected)
