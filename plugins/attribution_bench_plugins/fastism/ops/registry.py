"""The registry of ops: the rule of each op of a graph, the class of its parameters, its traits and its cost.

Capture, rewriting, planning, costs and explanations read it. An op is added by a rule in the file of its family and one
line in `_SPECS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from attribution_bench_plugins.fastism.graph import parameters
from attribution_bench_plugins.fastism.graph.ir import OPAQUE, Node
from attribution_bench_plugins.fastism.graph.parameters import Parameters
from attribution_bench_plugins.fastism.ops.base import Rule
from attribution_bench_plugins.fastism.ops.convolution import convolution, convolution_2d, transposed_convolution
from attribution_bench_plugins.fastism.ops.dense import contraction, dense
from attribution_bench_plugins.fastism.ops.elementwise import Addition, Elementwise, Rectifier, product
from attribution_bench_plugins.fastism.ops.full_pass import (
    Shape,
    estimated_macs,
    macs_per_input,
    macs_per_output,
    no_macs,
)
from attribution_bench_plugins.fastism.ops.joining import concatenation, stack
from attribution_bench_plugins.fastism.ops.normalisation import Affine
from attribution_bench_plugins.fastism.ops.pooling import average_pool, max_pool
from attribution_bench_plugins.fastism.ops.position_wise import ChannelReduction, Embedding, PositionWise
from attribution_bench_plugins.fastism.ops.reductions import Maximum, Mean, Minimum, Sum
from attribution_bench_plugins.fastism.ops.reshaping import Reversal, choice, permute, repetition, shift, view

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Traits:
    """Traits of an op that allow transformations. None has a default: whoever adds an op, or a trait, decides each."""

    linear: bool
    """A foldable op after it can be folded into its weights."""
    foldable: bool
    """It scales and shifts channels, which can be folded into the weights of a linear op before it."""
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
    """Spec of one op."""

    name: str
    """`Node.op` of its nodes."""
    rule: Rule | None
    """How it runs on windows; None for inputs, constants and opaque operations."""
    parameters: type[P]
    """Class of the parameters of its nodes; `Parameters` itself where it needs none."""
    traits: Traits
    cost: Callable[[P, Sequence[Node], Shape], int]
    """Multiply-accumulates of a full pass of one sequence, from parameters, operands and the shape of the output."""

    def multiply_accumulates(self, node: Node, operands: Sequence[Node]) -> int:
        """Return the MACs of a full pass of one sequence through a node."""
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
    OpSpec("add", Addition, parameters.SumParameters, ARITHMETIC, no_macs),
    OpSpec("average_pool", average_pool, parameters.AveragePoolParameters, NO_TRAITS, no_macs),
    OpSpec("batch_norm", Affine, parameters.BatchNormParameters, NORM, no_macs),
    OpSpec("batch_size", None, Parameters, SOURCE, no_macs),
    OpSpec("choose", choice, parameters.ChoiceParameters, NO_TRAITS, no_macs),
    OpSpec("concatenate", concatenation, parameters.ConcatenationParameters, NO_TRAITS, no_macs),
    OpSpec("constant", None, Parameters, SOURCE, no_macs),
    OpSpec("contract", contraction, parameters.ContractionParameters, LINEAR, macs_per_output),
    OpSpec("conv", convolution, parameters.ConvolutionParameters, LINEAR, macs_per_output),
    OpSpec("conv2d", convolution_2d, parameters.Convolution2dParameters, LINEAR, macs_per_output),
    OpSpec(
        "conv_transpose", transposed_convolution, parameters.TransposedConvolutionParameters, LINEAR, macs_per_input
    ),
    OpSpec("divide", product, Parameters, ARITHMETIC, no_macs),
    OpSpec("elementwise", Elementwise, parameters.ElementwiseParameters, FUNCTION, no_macs),
    OpSpec("embedding", Embedding, parameters.WeightParameters, OF_VALUES, no_macs),
    OpSpec("extra", None, Parameters, SOURCE, no_macs),
    OpSpec("flip", Reversal, parameters.FlipParameters, NO_TRAITS, no_macs),
    OpSpec("input", None, Parameters, SOURCE, no_macs),
    OpSpec("linear", dense, parameters.WeightParameters, LINEAR, macs_per_output),
    OpSpec("max", Maximum, parameters.ReductionParameters, NO_TRAITS, no_macs),
    OpSpec("max_pool", max_pool, parameters.PoolParameters, NO_TRAITS, no_macs),
    OpSpec("mean", Mean, parameters.ReductionParameters, NO_TRAITS, no_macs),
    OpSpec("min", Minimum, parameters.ReductionParameters, NO_TRAITS, no_macs),
    OpSpec("multiply", product, Parameters, ARITHMETIC, no_macs),
    OpSpec(OPAQUE, None, parameters.OpaqueParameters, NO_TRAITS, estimated_macs),
    OpSpec("permute", permute, parameters.PermutationParameters, PERMUTATION, no_macs),
    OpSpec("position_wise", PositionWise, parameters.AxisFunctionParameters, NO_TRAITS, no_macs),
    OpSpec("reduce_channels", ChannelReduction, parameters.AxisReductionParameters, OF_VALUES, no_macs),
    OpSpec("relu", Rectifier, parameters.ElementwiseParameters, RELU, no_macs),
    OpSpec("shift", shift, parameters.ShiftParameters, NO_TRAITS, no_macs),
    OpSpec("stack", stack, parameters.ConcatenationParameters, NO_TRAITS, no_macs),
    OpSpec("sum", Sum, parameters.ReductionParameters, NO_TRAITS, no_macs),
    OpSpec("upsample", repetition, parameters.UpsamplingParameters, NO_TRAITS, no_macs),
    OpSpec("view", view, Parameters, VIEW, no_macs),
)

SPECS: Mapping[str, OpSpec[Any]] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Op -> its spec, for every op that a graph may hold."""
