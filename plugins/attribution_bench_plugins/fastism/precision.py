"""Precision of products, and tolerances of two computations of the same activations."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from attribution_bench.errors import DeviceError

LOW_TOLERANCE = 3e-2
"""Tolerance of checks for numbers, or products, of few digits, relative to the scale."""
TOLERANCES: Mapping[torch.dtype, float] = MappingProxyType({torch.float64: 1e-9, torch.float32: 1e-4})
"""Tolerances of checks by dtype; wide enough for the rounding of full passes."""


def tolerance(dtypes: Iterable[torch.dtype], matmul_precision: str | None = None) -> float:
    """Return the tolerance of checks against full passes, relative to the scale of the compared values.

    Parameters
    ----------
    dtypes
        In which the model's layers compute; the least precise counts.
    matmul_precision
        In which the products of windows are computed, where it is not that of their operands.
    """
    allowed = max(TOLERANCES.get(dtype, LOW_TOLERANCE) for dtype in dtypes)
    return max(allowed, LOW_TOLERANCE) if matmul_precision else allowed


@dataclass(frozen=True)
class ProductPrecision:
    """PyTorch's precision of products of single-precision numbers on one kind of device, as one of its words."""

    settings: tuple[tuple[Any, str], ...]
    """PyTorch's settings for matrix products and convolutions, each with its value."""

    @classmethod
    def now(cls, device: torch.device) -> "ProductPrecision":
        """Return the precision that is set.

        Raises
        ------
        DeviceError
            This PyTorch has no such settings.
        """
        backends: Any = torch.backends  # its submodules are not typed
        cpu = backends.mkldnn
        try:
            settings = (cpu.matmul, cpu.conv) if device.type == "cpu" else (backends.cuda.matmul, backends.cudnn.conv)
            return cls(tuple((setting, setting.fp32_precision) for setting in settings))
        except (AttributeError, RuntimeError) as error:
            raise _not_available("matmul_precision", device) from error

    def of(self, value: str) -> "ProductPrecision":
        """Return another precision of the same products."""
        return ProductPrecision(tuple((setting, value) for setting, _ in self.settings))

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Compute products so within the block; PyTorch's settings are put back after it.

        RuntimeError where the device does not offer the precision.
        """
        with contextlib.ExitStack() as restored:
            for setting, value in self.settings:
                restored.callback(setattr, setting, "fp32_precision", setting.fp32_precision)
                setting.fp32_precision = value
            yield


@contextlib.contextmanager
def products_in(precision: str | None, device: torch.device) -> Iterator[None]:
    """Compute products in a lower precision within the block; PyTorch's settings are put back after it.

    None leaves them as they are.

    Raises
    ------
    DeviceError
        The device, or this PyTorch, does not offer the precision.
    """
    if precision is None:
        yield
        return
    value = {"tf32": "tf32", "bfloat16": "bf16"}[precision]
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(ProductPrecision.now(device).of(value).in_force())
        except RuntimeError as error:
            raise _not_available(f"matmul_precision={precision!r}", device) from error
        yield


def _not_available(option: str, device: torch.device) -> DeviceError:
    return DeviceError(
        f"{option} is not available on {device} with PyTorch {torch.__version__}: CPUs take 'tf32' and 'bfloat16', "
        "CUDA takes 'tf32', from PyTorch 2.9 on; leave it out for full precision"
    )
