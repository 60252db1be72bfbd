"""How far two computations of the same activations may be apart."""

import torch


def tolerance(dtype: torch.dtype) -> float:
    """Return what checks against full passes allow, relative to the scale; wide enough for a full pass' rounding."""
    return {torch.float64: 1e-9, torch.float32: 1e-4}.get(dtype, 3e-2)
