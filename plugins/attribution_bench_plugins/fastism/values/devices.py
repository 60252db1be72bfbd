"""Devices: the only test for a CPU or an accelerator.

A CPU has compiled kernels, small caches, and blocks that run in parallel. An accelerator idles until each operation is
launched, so it gets few and large ones, one block after another.
"""

import torch
from torch import Tensor


def kind(device: torch.device) -> str:
    """Return ``cpu``, or the kind of an accelerator."""
    return device.type


def on_cpu(tensor: Tensor) -> bool:
    """Whether a tensor is on a CPU."""
    return kind(tensor.device) == "cpu"
