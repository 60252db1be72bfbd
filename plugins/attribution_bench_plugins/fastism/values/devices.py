"""The one place that tells a CPU from an accelerator: what runs otherwise there asks here.

A CPU has compiled kernels, small caches, and blocks that run side by side. An accelerator waits for every operation to
be started, so that it is given few and large ones, one block after the other.
"""

import torch
from torch import Tensor


def kind(device: torch.device) -> str:
    """Return ``cpu``, or the kind of an accelerator."""
    return device.type


def on_cpu(tensor: Tensor) -> bool:
    """Whether a tensor is a CPU's."""
    return kind(tensor.device) == "cpu"
