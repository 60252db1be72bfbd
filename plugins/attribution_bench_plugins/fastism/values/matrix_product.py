"""Matrix products by the faster of PyTorch's libraries."""

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.values import devices

LEAST_MACS = 2**24
"""Multiply-accumulates from which on oneDNN is asked: it compiles code for every new size, for about a millisecond."""
ONE_DNN = "_linear_pointwise"
"""Name of oneDNN's dense layer with weights (C_out, C_in) among PyTorch's operators, as compiled models call it."""


def matrix_product(x: Tensor, matrix: Tensor) -> Tensor:
    """Return the product of x (..., rows, C_in) and a contiguous matrix (C_in, C_out)."""
    large = x.numel() * matrix.shape[1] >= LEAST_MACS
    if large and x.dtype == matrix.dtype == torch.float32 and devices.on_cpu(x) and _one_dnn_is_faster():
        product: Tensor = getattr(torch.ops.mkldnn, ONE_DNN)(x, matrix.t(), None, "none", [], "")
        return product
    return x @ matrix


@cache
def _one_dnn_is_faster() -> bool:
    """Whether PyTorch multiplies by MKL, on a processor whose widest vectors MKL leaves unused: one not by Intel."""
    backends: Any = torch.backends  # its submodules are not typed
    if not (backends.mkl.is_available() and backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, ONE_DNN)):
        return False
    return backends.cpu.get_cpu_capability() == "AVX512" and "GenuineIntel" not in _vendor()


def _vendor() -> str:
    """Return a text that names the processor's vendor, as the operating system has it."""
    listed = Path("/proc/cpuinfo")
    return listed.read_text(encoding="utf-8", errors="replace") if listed.exists() else platform.processor()
