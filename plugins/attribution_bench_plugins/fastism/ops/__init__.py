"""The rules: for each family of operations, how it runs on the windows that mutations reach."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.ops.base import NoRuleError, Operand, Operation
from attribution_bench_plugins.fastism.ops.convolution import convolution, transposed_convolution
from attribution_bench_plugins.fastism.ops.dense import dense
from attribution_bench_plugins.fastism.ops.elementwise import addition, elementwise, product, rectifier
from attribution_bench_plugins.fastism.ops.joining import concatenation
from attribution_bench_plugins.fastism.ops.normalisation import batch_norm, position_wise
from attribution_bench_plugins.fastism.ops.pooling import average_pool, max_pool
from attribution_bench_plugins.fastism.ops.reductions import position_sum
from attribution_bench_plugins.fastism.ops.reshaping import permute, shift, view

Rule = Callable[[Node, Sequence[Operand]], Operation]
"""Returns a node's operation, or raises NoRuleError saying why the node must run whole."""

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "add": addition,
        "average_pool": average_pool,
        "batch_norm": batch_norm,
        "concatenate": concatenation,
        "conv": convolution,
        "conv_transpose": transposed_convolution,
        "divide": product,
        "elementwise": elementwise,
        "linear": dense,
        "max_pool": max_pool,
        "mean": position_sum,
        "multiply": product,
        "permute": permute,
        "position_wise": position_wise,
        "relu": rectifier,
        "shift": shift,
        "sum": position_sum,
        "view": view,
    }
)

__all__ = ["RULES", "NoRuleError", "Operand", "Operation", "Rule"]
