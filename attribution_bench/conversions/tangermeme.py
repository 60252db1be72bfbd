"""A result as tangermeme's functions take it: one-hot letters and attributions, two tensors (N, A, L)."""

from typing import TYPE_CHECKING

from attribution_bench.conversions.one_value import check_without_gaps, hypothetical_scores, observed_scores
from attribution_bench.errors import MissingDependencyError
from attribution_bench.models.targets import Target

if TYPE_CHECKING:
    import torch

    from attribution_bench.result import AttributionResult


def to_tangermeme(
    result: "AttributionResult", target: Target, hypothetical: bool
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return letters and attributions as `AttributionResult.to_tangermeme` states."""
    check_without_gaps(result, "tangermeme")
    scores = (hypothetical_scores if hypothetical else observed_scores)(result, target, "tangermeme")
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError.of("torch", "torch", "tangermeme's tensors") from error
    return torch.tensor(result.one_hot, dtype=torch.float32), torch.tensor(scores, dtype=torch.float32)
