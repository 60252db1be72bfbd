"""Keras' functions of single elements as PyTorch computes them; names and defaults are Keras' own."""

import inspect
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Function = Callable[..., Tensor]


def relu(x: Tensor, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """Return max(x, 0), or one of its variants."""
    if not negative_slope and not threshold and max_value is None:
        return torch.relu(x)
    above = x.clamp(min=0, max=max_value)
    return torch.where(x > threshold, above, negative_slope * (x - threshold).clamp(max=0))


def is_plain_relu(name: str, options: Mapping[str, Any]) -> bool:
    """Whether a function is max(x, 0) and nothing else."""
    slope, threshold = options.get("negative_slope"), options.get("threshold")
    return key(name) == "relu" and not slope and not threshold and options.get("max_value") is None


POWERS = ("exp", "expm1", "log", "log10", "log1p", "log2", "reciprocal", "rsqrt", "sqrt", "square")
TRIGONOMETRIC = ("arcsinh", "arctan", "cos", "cosh", "sin", "sinh", "tan", "tanh")
ACTIVATIONS = ("hardsigmoid", "hardtanh", "logsigmoid", "mish", "relu6", "selu", "silu", "softsign", "tanhshrink")
FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        **{name: getattr(torch, name) for name in (*POWERS, *TRIGONOMETRIC)},
        **{name: getattr(F, name) for name in ACTIVATIONS},
        "abs": torch.abs,
        "absolute": torch.abs,
        "celu": lambda x, alpha=1.0: F.celu(x, alpha),
        "clip": lambda x, x_min=None, x_max=None: x.clamp(x_min, x_max),
        "elu": lambda x, alpha=1.0: torch.where(x > 0, x, alpha * torch.expm1(x)),
        "erf": torch.erf,
        "exponential": torch.exp,
        "gelu": lambda x, approximate=False: F.gelu(x, approximate="tanh" if approximate else "none"),
        "hardshrink": lambda x, threshold=0.5: F.hardshrink(x, threshold),
        "hardsilu": F.hardswish,
        "leakyrelu": lambda x, negative_slope=0.2: F.leaky_relu(x, negative_slope),
        "relu": relu,
        "sigmoid": torch.sigmoid,
        "sign": torch.sign,
        "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
        "softshrink": lambda x, threshold=0.5: F.softshrink(x, threshold),
        "sparseplus": lambda x: torch.where(x <= -1, 0.0, torch.where(x < 1, (x + 1) ** 2 / 4, x)),
        "sparsesigmoid": lambda x: ((x + 1) / 2).clamp(0, 1),
        "squareplus": lambda x, b=4: (x + torch.sqrt(x * x + b)) / 2,
        "swish": F.silu,
        "threshold": lambda x, threshold, default_value: torch.where(x > threshold, x, default_value),
    }
)


def key(name: str) -> str:
    """Return the key of FUNCTIONS for a function's or a class' name: ``hard_sigmoid`` and ``HardSigmoid`` are one."""
    return name.replace("_", "").lower()


def options_of(thing: Any, function: Function) -> dict[str, Any]:
    """Return the function's options that a layer or an operation holds as attributes."""
    try:
        names = list(inspect.signature(function).parameters)[1:]
    except ValueError:  # one of PyTorch's own, without options
        return {}
    found = {name: getattr(thing, name) for name in names if hasattr(thing, name)}
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    value = float(value)
    return None if math.isnan(value) else value
