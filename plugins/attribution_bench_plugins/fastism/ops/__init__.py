"""The rules: for each family of operations, how it runs on the windows that mutations reach."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attribution_bench.deprecation import warn_renamed
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.ops.base import NoRuleError, Operand, Operation
from attribution_bench_plugins.fastism.ops.convolution import convolution, convolution_2d, transposed_convolution
from attribution_bench_plugins.fastism.ops.dense import contraction, dense
from attribution_bench_plugins.fastism.ops.elementwise import addition, elementwise, product, rectifier
from attribution_bench_plugins.fastism.ops.joining import concatenation, stack
from attribution_bench_plugins.fastism.ops.local import CallableLocal
from attribution_bench_plugins.fastism.ops.normalisation import batch_norm
from attribution_bench_plugins.fastism.ops.pooling import average_pool, max_pool
from attribution_bench_plugins.fastism.ops.position_wise import channel_reduction, embedding, position_wise
from attribution_bench_plugins.fastism.ops.reductions import linear_reduction, maximum
from attribution_bench_plugins.fastism.ops.reshaping import choice, flip, permute, shift, upsample, view

Rule = Callable[[Node, Sequence[Operand]], Operation]
"""Returns a node's operation, or raises NoRuleError saying why the node must run whole."""

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "add": addition,
        "average_pool": average_pool,
        "batch_norm": batch_norm,
        "choose": choice,
        "concatenate": concatenation,
        "contract": contraction,
        "conv": convolution,
        "conv2d": convolution_2d,
        "conv_transpose": transposed_convolution,
        "divide": product,
        "elementwise": elementwise,
        "embedding": embedding,
        "flip": flip,
        "linear": dense,
        "max": maximum,
        "max_pool": max_pool,
        "mean": linear_reduction,
        "multiply": product,
        "permute": permute,
        "position_wise": position_wise,
        "reduce_channels": channel_reduction,
        "relu": rectifier,
        "shift": shift,
        "stack": stack,
        "sum": linear_reduction,
        "upsample": upsample,
        "view": view,
    }
)


def __getattr__(name: str) -> Any:
    if name != "Local":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed(f"{__name__}.Local", "attribution_bench.fastism.Local, which rules return", stacklevel=2)
    return CallableLocal


__all__ = ["RULES", "NoRuleError", "Operand", "Operation", "Rule", "elementwise"]
