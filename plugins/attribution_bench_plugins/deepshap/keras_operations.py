"""What kind of operation each TensorFlow operation is for DeepLIFT, as it is used in a traced graph."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from attribution_bench_plugins.deepshap.graph import Classified, Kind, power_of


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONSTANT = _names("Shape ShapeN Size Rank ZerosLike OnesLike TensorListReserve EmptyTensorList")
"""Depend on the shape of their tensor, not on its values."""
SAME = _names("Identity IdentityN EnsureShape StopGradient PreventGradient CheckNumerics Snapshot")
"""Hand their inputs on. What is withheld from the gradient belongs to the difference all the same."""
LOOPS = _names("While StatelessWhile If StatelessIf Case StatelessCase")
"""Control flow, which has no multipliers."""

CALLS = _names("PartitionedCall StatefulPartitionedCall")
"""Calls of traced functions, which are followed operation by operation."""

REARRANGING = _names("Reshape Squeeze ExpandDims BroadcastTo")
LINEAR = _names(
    """
    BiasAdd AddN ConcatV2 Concat Pack Unpack Split SplitV StridedSlice Slice Transpose ConjugateTranspose Pad PadV2
    MirrorPad ReverseV2 Roll Tile Gather GatherV2 GatherNd ResourceGather Mean Cumsum AvgPool AvgPool3D SpaceToBatchND
    BatchToSpaceND DepthToSpace SpaceToDepth ResizeNearestNeighbor ResizeBilinear MatrixBandPart MatrixDiagV3
    MatrixDiagPartV3 ScatterNd TensorScatterUpdate TensorScatterAdd SegmentSum UnsortedSegmentSum DynamicStitch
    """
)
"""Linear in all their floating-point tensors at once."""
BILINEAR = _names(
    """
    MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3 Einsum Conv2D Conv3D Conv Conv2DBackpropInput Conv3DBackpropInputV2
    DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput
    """
)
"""Linear in either of two tensors."""
ELEMENTWISE = _names(
    """
    Relu6 LeakyRelu Elu Selu Softplus Softsign Sigmoid Tanh Abs Sign Erf Erfc Erfinv Ndtri Expm1 Log1p Sin
    Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Atan2 Pow Digamma Lgamma Polygamma Zeta Igamma Igammac Ceil Floor
    Round Rint Mod FloorMod TruncateMod FloorDiv TruncateDiv ClipByValue Xlogy Xdivy Xlog1py NextAfter BesselI0 BesselI1
    BesselI0e BesselI1e IsFinite IsInf IsNan LogicalAnd LogicalOr LogicalNot BitwiseAnd BitwiseOr BitwiseXor MulNoNan
    DivNoNan ApproximateEqual Cast
    """
)
"""Functions of the elements of their tensors at one place."""
NAMED = {
    "Relu": Kind.RECTIFIER,
    "Exp": Kind.EXP,
    "Log": Kind.LOG,
    "Maximum": Kind.MAXIMUM,
    "Minimum": Kind.MINIMUM,
    "SquaredDifference": Kind.SQUARED_DIFFERENCE,
    "Max": Kind.LARGEST,
    "MaxPool": Kind.LARGEST,
    "MaxPoolV2": Kind.LARGEST,
    "MaxPool3D": Kind.LARGEST,
    "Min": Kind.SMALLEST,
    **dict.fromkeys(("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"), Kind.COMPARE),
}

EXPONENTS = {"Reciprocal": -1.0, "Inv": -1.0, "Sqrt": 0.5, "Rsqrt": -0.5, "Square": 2.0}


def classify(operation: Any, positions: Sequence[int]) -> Classified:
    """Return the kind of an operation of which the inputs at some positions depend on the sequence."""
    name, varies = operation.type, tuple(positions)
    if name in ("Add", "AddV2", "Sub", "Neg"):
        return _sum_of_terms(operation, varies)
    if name == "Mul":
        return Classified(Kind.SCALE if len(varies) == 1 else Kind.MULTIPLY)
    if name in ("RealDiv", "Div", "Pow", *EXPONENTS):
        return _power(operation, varies)
    if name == "Cast":
        return _cast(operation)
    if name in ("SelectV2", "Select"):
        return Classified(Kind.SELECT if 0 in varies else Kind.LINEAR)
    if name == "Sum":
        axes = _axes(operation)
        return Classified(Kind.LINEAR) if axes is None else Classified(Kind.SUM, axes)
    if name in ("Softmax", "LogSoftmax"):
        return Classified(Kind.SOFTMAX if name == "Softmax" else Kind.LOG_SOFTMAX, (-1,))
    if name == "TopKV2":
        return Classified(Kind.ORDERED, (-1,))
    if name in ("FusedBatchNormV3", "FusedBatchNormV2"):
        fixed = not operation.get_attr("is_training") and varies == (0,)
        return Classified(Kind.LINEAR if fixed else Kind.UNKNOWN)
    if name in BILINEAR:
        return Classified({1: Kind.LINEAR, 2: Kind.BILINEAR}.get(len(varies), Kind.UNKNOWN))
    if name in NAMED:
        return Classified(NAMED[name])
    if name in REARRANGING or (name == "StridedSlice" and _keeps_elements(operation)):
        return Classified(Kind.REARRANGE)
    if name in LINEAR:
        return Classified(Kind.LINEAR)
    return Classified(Kind.ELEMENTWISE if name in ELEMENTWISE else Kind.UNKNOWN)


def _sum_of_terms(operation: Any, varies: tuple[int, ...]) -> Classified:
    signs = {"Sub": (1, -1), "Neg": (-1,)}.get(operation.type, (1, 1))
    offset = 0.0
    for place in set(range(len(signs))) - set(varies):
        number = _number(operation.inputs[place])
        if number is None:
            return Classified(Kind.SCALE)
        offset = number * signs[place]
    return Classified(Kind.ADD, signs=tuple(signs[place] for place in varies), offset=offset)


def _power(operation: Any, varies: tuple[int, ...]) -> Classified:
    if operation.type in EXPONENTS:
        return power_of(EXPONENTS[operation.type])
    if operation.type == "Pow":
        exponent = _number(operation.inputs[1]) if varies == (0,) else None
        return Classified(Kind.ELEMENTWISE) if exponent is None else power_of(exponent)
    if varies == (0,):
        return Classified(Kind.SCALE)
    if varies == (1,):
        number = _number(operation.inputs[0])
        return Classified(Kind.RECIPROCAL, offset=float("nan") if number is None else number, exponent=-1)
    return Classified(Kind.DIVIDE)


def _cast(operation: Any) -> Classified:
    if not operation.outputs[0].dtype.is_floating:
        return Classified(Kind.ELEMENTWISE)
    return Classified(Kind.SCALE if operation.inputs[0].dtype.is_floating else Kind.CAST)


def _keeps_elements(operation: Any) -> bool:
    """Whether a slice takes everything in the order in which it is, as one that inserts axes does."""
    before, after = operation.inputs[0].shape, operation.outputs[0].shape
    strides = tf.get_static_value(operation.inputs[3])
    known = before.num_elements() is not None and before.num_elements() == after.num_elements()
    return bool(known and strides is not None and (strides > 0).all())


def _axes(operation: Any) -> tuple[int, ...] | None:
    axes = tf.get_static_value(operation.inputs[1])
    rank = operation.inputs[0].shape.rank
    if axes is None or rank is None:
        return None
    return tuple(int(axis) if axis < 0 else int(axis) - rank for axis in axes.reshape(-1))


def _number(tensor: Any) -> float | None:
    """Return the value of a constant of one element; None of others."""
    value = tf.get_static_value(tensor)
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None
