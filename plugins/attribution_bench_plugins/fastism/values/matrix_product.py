"""Matrix products by the faster of PyTorch's libraries, and of deltas without the channels that do not change."""

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.values import devices

LEAST_MACS = 2**24
"""Multiply-accumulates from which on oneDNN is asked: it compiles code for every new size, for about a millisecond."""
LEAST_LEFT_OUT = 1 / 8
"""Part of the channels, zero in all rows, from which on a product leaves them out: to find them, and to put the others
side by side, takes a twentieth of the time of a product of a thousand channels; measured."""
PROBED_ROWS = 16
"""Rows that are looked at first: where they have few channels of zeros, all rows have no more."""
ONE_DNN = "_linear_pointwise"
"""Name of oneDNN's dense layer with weights (C_out, C_in) among PyTorch's operators, as compiled models call it."""


def matrix_product(x: Tensor, matrix: Tensor) -> Tensor:
    """Return the product of x (..., rows, C_in) and a contiguous matrix (C_in, C_out)."""
    large = x.numel() * matrix.shape[1] >= LEAST_MACS
    if large and x.dtype == matrix.dtype == torch.float32 and devices.on_cpu(x) and _one_dnn_is_faster():
        product: Tensor = getattr(torch.ops.mkldnn, ONE_DNN)(x, matrix.t(), None, "none", [], "")
        return product
    return x @ matrix


def product_of_deltas(x: Tensor, matrix: Tensor) -> Tensor:
    """Return the product of deltas x (..., rows, C_in) and a contiguous matrix (C_in, C_out).

    On a CPU channels that are zero in all rows are not multiplied where they are many: those that no mutation changes,
    as units of a ReLU that stay at zero.
    """
    if not devices.on_cpu(x) or x.numel() * matrix.shape[1] < LEAST_MACS:
        return matrix_product(x, matrix)
    rows = x.flatten(0, -2)
    most = int(rows.shape[1] * (1 - LEAST_LEFT_OUT))
    if len(_channels(rows[:PROBED_ROWS])) > most or len(kept := _channels(rows)) > most:
        return matrix_product(x, matrix)
    product = matrix_product(rows.index_select(1, kept), matrix.index_select(0, kept))
    return product.view(*x.shape[:-1], matrix.shape[1])


def _channels(rows: Tensor) -> Tensor:
    """Return the channels of rows (n, C) that are not zero in all of them: ascending indices. NaN is not zero."""
    return rows.abs().amax(0).nonzero().flatten()


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
