"""What a framework has to provide for DeepSHAP: DeepLIFT multipliers of pairs of a sequence and a reference."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.models import SequenceModel
from attribution_bench.models.settings import Settings
from attribution_bench_plugins.deepshap.rules import Rule


class Explainer(Protocol):
    """DeepLIFT on one model, for the selections of one request; T selected scalars in all."""

    def multipliers(
        self, x: NDArray[Any], references: NDArray[Any], extras: tuple[NDArray[Any], ...]
    ) -> Iterator[NDArray[np.floating]]:
        """Multipliers (B, A, L) of each of T scalars in turn, for B pairs of x (B, A, L) and references (B, A, L).

        The multipliers m are exact where ``sum(m * (x - reference)) = f(x) - f(reference)``.
        """
        ...

    def lost(self) -> Mapping[str, float]:
        """Operations without a complete rule, and the largest part of a pair's difference that each lost so far."""
        ...


def explainer_key(model: SequenceModel, request: Request) -> tuple[Any, ...]:
    """Return what an explainer depends on, besides the model's settings.

    An explainer holds the model's own tensors, so that their values may change.
    """
    return (
        request.one_hot.shape[1:],
        request.one_hot.dtype,
        request.selections,
        tuple((extra.shape[1:], extra.dtype) for extra in request.extras),
        model.layout,
        model.device,
        tuple(id(tensor) for tensor in _tensors(model)),
    )


def settings_of(model: SequenceModel) -> Settings | None:
    """Return what the model's objects hold besides weights; None where they do not tell what a Keras model computes."""
    if model.framework == "torch":
        from attribution_bench.models.torch_settings import module_settings

        return module_settings(model.model.modules())
    from attribution_bench.models.keras_settings import held_by

    held = held_by(model.model)
    return held.settings if held.is_complete else None


def prepare(model: SequenceModel, request: Request, rules: Mapping[str, Rule]) -> Explainer:
    """Prepare the model for DeepLIFT.

    Raises
    ------
    UnsupportedError
        The model's graph cannot be captured, or its framework's backend is none that DeepSHAP runs on.
    """
    if model.framework == "torch":
        from attribution_bench_plugins.deepshap.torch_explainer import TorchExplainer

        return TorchExplainer(model, request, rules)
    from attribution_bench_plugins.deepshap.keras_explainer import KerasExplainer

    return KerasExplainer(model, request, rules)


def _tensors(model: SequenceModel) -> list[Any]:
    if model.framework == "torch":
        return [*model.model.parameters(), *model.model.buffers()]
    return list(model.model.variables)
