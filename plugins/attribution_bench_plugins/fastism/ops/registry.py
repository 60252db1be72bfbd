"""The registry of ops: for each op of a graph its rule, the class of its parameters, its traits and its cost.

Whatever depends on what an op is reads it here: capture, rewriting, planning, costs and explanations. An op is added by
a rule in the file of its family and one line in `SPECS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from attribution_bench_plugins.fastism.graph.ir import OPAQUE, Node
from attribution_bench_plugins.fastism.graph.parameters import (
    AveragePoolParameters,
    AxisFunctionParameters,
    AxisReductionParameters,
    BatchNormParameters,
    ChoiceParameters,
    ConcatenationParameters,
    ContractionParameters,
    Convolution2dParameters,
    ConvolutionParameters,
    ElementwiseParameters,
    FlipParameters,
    OpaqueParameters,
    Parameters,
    PermutationParameters,
    PoolParameters,
    ReductionParameters,
    ShiftParameters,
    SumParameters,
    TransposedConvolutionParameters,
    UpsamplingParameters,
    WeightParameters,
)
from attribution_bench_plugins.fastism.ops.base import Rule
from attribution_bench_plugins.fastism.ops.convolution import convolution, convolution_2d, transposed_convolution
from attribution_bench_plugins.fastism.ops.dense import contraction, dense
from attribution_bench_plugins.fastism.ops.elementwise import addition, elementwise, product, rectifier
from attribution_bench_plugins.fastism.ops.full_pass import (
    Shape,
    estimated_products,
    no_products,
    products_per_input,
    products_per_output,
)
from attribution_bench_plugins.fastism.ops.joining import concatenation, stack
from attribution_bench_plugins.fastism.ops.normalisation import batch_norm
from attribution_bench_plugins.fastism.ops.pooling import average_pool, max_pool
from attribution_bench_plugins.fastism.ops.position_wise import channel_reduction, embedding, position_wise
from attribution_bench_plugins.fastism.ops.reductions import maximum, mean, total
from attribution_bench_plugins.fastism.ops.reshaping import choice, flip, permute, shift, upsample, view

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Traits:
    """What other stages may do with an op. No trait has a default: whoever adds an op, or a trait, decides each."""

    linear: bool
    """A foldable op after it can be folded into its weights."""
    foldable: bool
    """It scales and shifts channels, so that a linear op before it does that at no cost."""
    free: bool
    """It computes nothing."""
    elementwise: bool
    """It acts on each element alone, by constant operands at most, where its value has the shape of its one changing
    operand; so it acts on parts of joined features as on the whole."""
    monotone: bool
    """It is a function of single elements that never falls where `Parameters.is_rising`, so that a maximum pool may
    move before it, unless it pools `Parameters.varying_axis`."""
    any_dtype: bool
    """Its rule takes values as they are, whole numbers and truth values included; others need differences, which mean
    something for floating-point numbers alone."""


@dataclass(frozen=True)
class OpSpec(Generic[P]):
    """All there is to know of one op."""

    name: str
    """`Node.op` of its nodes."""
    rule: Rule | None
    """How it runs on windows; None for inputs, constants, and what the engine cannot look into."""
    parameters: type[P]
    """Class of the parameters of its nodes; `Parameters` itself where it needs none."""
    traits: Traits
    cost: Callable[[P, Sequence[Node], Shape], int]
    """Multiply-accumulates of a full pass of one sequence, from parameters, operands and the shape of the output."""

    def multiply_accumulates(self, node: Node, operands: Sequence[Node]) -> int:
        """Return those of a full pass of one sequence through a node."""
        return self.cost(node.parameters_as(self.parameters), operands, node.shape or ())


NO_TRAITS = Traits(linear=False, foldable=False, free=False, elementwise=False, monotone=False, any_dtype=False)
SOURCE = Traits(linear=False, foldable=False, free=True, elementwise=False, monotone=False, any_dtype=True)
LINEAR = Traits(linear=True, foldable=False, free=False, elementwise=False, monotone=False, any_dtype=False)
NORM = Traits(linear=False, foldable=True, free=False, elementwise=False, monotone=True, any_dtype=False)
RELU = Traits(linear=False, foldable=False, free=False, elementwise=True, monotone=True, any_dtype=False)
ARITHMETIC = Traits(linear=False, foldable=False, free=False, elementwise=True, monotone=False, any_dtype=False)
FUNCTION = Traits(linear=False, foldable=False, free=False, elementwise=True, monotone=False, any_dtype=True)
OF_VALUES = Traits(linear=False, foldable=False, free=False, elementwise=False, monotone=False, any_dtype=True)
VIEW = Traits(linear=False, foldable=False, free=True, elementwise=True, monotone=False, any_dtype=True)
PERMUTATION = Traits(linear=False, foldable=False, free=True, elementwise=False, monotone=False, any_dtype=True)

_SPECS = (
    OpSpec("add", addition, SumParameters, ARITHMETIC, no_products),
    OpSpec("average_pool", average_pool, AveragePoolParameters, NO_TRAITS, no_products),
    OpSpec("batch_norm", batch_norm, BatchNormParameters, NORM, no_products),
    OpSpec("batch_size", None, Parameters, SOURCE, no_products),
    OpSpec("choose", choice, ChoiceParameters, NO_TRAITS, no_products),
    OpSpec("concatenate", concatenation, ConcatenationParameters, NO_TRAITS, no_products),
    OpSpec("constant", None, Parameters, SOURCE, no_products),
    OpSpec("contract", contraction, ContractionParameters, LINEAR, products_per_output),
    OpSpec("conv", convolution, ConvolutionParameters, LINEAR, products_per_output),
    OpSpec("conv2d", convolution_2d, Convolution2dParameters, LINEAR, products_per_output),
    OpSpec("conv_transpose", transposed_convolution, TransposedConvolutionParameters, LINEAR, products_per_input),
    OpSpec("divide", product, Parameters, ARITHMETIC, no_products),
    OpSpec("elementwise", elementwise, ElementwiseParameters, FUNCTION, no_products),
    OpSpec("embedding", embedding, WeightParameters, OF_VALUES, no_products),
    OpSpec("extra", None, Parameters, SOURCE, no_products),
    OpSpec("flip", flip, FlipParameters, NO_TRAITS, no_products),
    OpSpec("input", None, Parameters, SOURCE, no_products),
    OpSpec("linear", dense, WeightParameters, LINEAR, products_per_output),
    OpSpec("max", maximum, ReductionParameters, NO_TRAITS, no_products),
    OpSpec("max_pool", max_pool, PoolParameters, NO_TRAITS, no_products),
    OpSpec("mean", mean, ReductionParameters, NO_TRAITS, no_products),
    OpSpec("multiply", product, Parameters, ARITHMETIC, no_products),
    OpSpec(OPAQUE, None, OpaqueParameters, NO_TRAITS, estimated_products),
    OpSpec("permute", permute, PermutationParameters, PERMUTATION, no_products),
    OpSpec("position_wise", position_wise, AxisFunctionParameters, NO_TRAITS, no_products),
    OpSpec("reduce_channels", channel_reduction, AxisReductionParameters, OF_VALUES, no_products),
    OpSpec("relu", rectifier, ElementwiseParameters, RELU, no_products),
    OpSpec("shift", shift, ShiftParameters, NO_TRAITS, no_products),
    OpSpec("stack", stack, ConcatenationParameters, NO_TRAITS, no_products),
    OpSpec("sum", total, ReductionParameters, NO_TRAITS, no_products),
    OpSpec("upsample", upsample, UpsamplingParameters, NO_TRAITS, no_products),
    OpSpec("view", view, Parameters, VIEW, no_products),
)

SPECS: Mapping[str, OpSpec[Any]] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Op -> its spec, for every op that a graph may hold."""
