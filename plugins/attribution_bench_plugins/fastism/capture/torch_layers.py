"""Layers of PyTorch, and products with constant weights, as ops of the graph."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from attribution_bench_plugins.fastism.capture.einstein_sums import contraction, product_equation
from attribution_bench_plugins.fastism.capture.errors import require
from attribution_bench_plugins.fastism.capture.operator_calls import OperatorCall, Translation, Translator
from attribution_bench_plugins.fastism.graph.parameters import (
    AveragePoolParameters,
    BatchNormParameters,
    ContractionParameters,
    Convolution2dParameters,
    ConvolutionParameters,
    PoolParameters,
    ReductionParameters,
    TransposedConvolutionParameters,
    WeightParameters,
)


def _per_axis(value: Sequence[int] | int, axes: int) -> list[int]:
    """Return a setting of each spatial axis, which may be given once for all."""
    values = [value] if isinstance(value, int) else list(value)
    values = values * axes if len(values) == 1 else values
    require(len(values) == axes and all(isinstance(number, int) for number in values))
    return values


def _one(value: Sequence[int] | int) -> int:
    """Return a setting of the one spatial axis."""
    return _per_axis(value, 1)[0]


def _two(value: Sequence[int] | int) -> tuple[int, int]:
    """Return a setting of two spatial axes."""
    first, second = _per_axis(value, 2)
    return first, second


def _paddings(call: OperatorCall, weight: Tensor) -> list[tuple[int, int]]:
    """Return the padding of a convolution before and after, along each spatial axis."""
    sizes = weight.shape[2:]
    if call["padding"] not in ("same", "valid"):
        return [(both, both) for both in _per_axis(call["padding"], len(sizes))]
    dilations = _per_axis(call["dilation"], len(sizes))
    totals = [(k - 1) * rate * (call["padding"] == "same") for k, rate in zip(sizes, dilations, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def _conv1d(call: OperatorCall) -> Translation:
    weight = call.constant("weight")
    require(weight.dim() == 3)
    stride, dilation, (padding,) = _one(call["stride"]), _one(call["dilation"]), _paddings(call, weight)
    parameters = ConvolutionParameters(
        weight, stride, dilation, padding, groups=call["groups"], position_axis=2, channel_axis=1
    )
    return call.to("conv", parameters)


def _conv2d(call: OperatorCall) -> Translation:
    weight = call.constant("weight")
    require(weight.dim() == 4)
    stride, dilation, (first, second) = _two(call["stride"]), _two(call["dilation"]), _paddings(call, weight)
    parameters = Convolution2dParameters(
        weight, stride, dilation, (first, second), groups=call["groups"], spatial_axes=(2, 3), channel_axis=1
    )
    return call.to("conv2d", parameters)


def _conv_transpose1d(call: OperatorCall) -> Translation:
    weight = call.constant("weight")
    require(weight.dim() == 3)
    stride, dilation, padding = (_one(call[name]) for name in ("stride", "dilation", "padding"))
    parameters = TransposedConvolutionParameters(
        weight, stride, dilation, padding, groups=call["groups"], position_axis=2, channel_axis=1
    )
    return call.to("conv_transpose", parameters)


def _addmm(call: OperatorCall) -> Translation:
    weight = call.constant("mat2")
    call.constant("self")  # a bias that changes has no rule
    return Translation("linear", (call["mat1"].name,), WeightParameters(weight.t() * call["alpha"]))


def _matmul(call: OperatorCall) -> Translation:
    second = "mat2" if "mat2" in call.arguments else "other"
    vector = call.constants.get(call[second].name)
    if vector is not None and vector.dim() == 1:
        letters = ascii_lowercase[: len(call.sizes)]
        return _contraction(call, f"{letters},{letters[-1]}->{letters[:-1]}", call["self"], call[second])
    left, weight = call.matrix("self"), call.matrix(second)
    if left is not None and call[second].meta["val"].dim() == 3:
        pointwise = ConvolutionParameters(
            left[:, :, None], stride=1, dilation=1, padding=(0, 0), groups=1, position_axis=2, channel_axis=1
        )
        return Translation("conv", (call[second].name,), pointwise)
    if weight is None:
        return _several_matrices(call, call["self"], call[second])
    require(call[second].meta["val"].dim() <= len(call.sizes))
    return call.to("linear", WeightParameters(weight.t()))


def _several_matrices(call: OperatorCall, first: fx.Node, second: fx.Node) -> Translation:
    """Translate a product with one constant matrix for each place of an axis."""
    weight_first = first.name in call.constants
    weight, x = (first, second) if weight_first else (second, first)
    require(weight.name in call.constants)
    equation = product_equation(x.meta["val"].dim(), call.constants[weight.name], weight_first=weight_first)
    return _contraction(call, equation, first, second)


def _einsum(call: OperatorCall) -> Translation:
    require(len(call["tensors"]) == 2)
    found = _contraction(call, call["equation"], *call["tensors"])
    parameters = found.parameters
    # With weights of each place and no new axis it is taken apart, as the places may be positions.
    require(
        not isinstance(parameters, ContractionParameters) or parameters.group_axis is None or bool(parameters.sizes)
    )
    return found


def _tensordot(call: OperatorCall) -> Translation:
    first, second = call["self"], call["other"]
    letters = iter(ascii_lowercase)
    summed = {axis % first.meta["val"].dim(): next(letters) for axis in call["dims_self"]}
    left = [summed.get(axis) or next(letters) for axis in range(first.meta["val"].dim())]
    axes = [axis % second.meta["val"].dim() for axis in call["dims_other"]]
    shared = dict(zip(axes, summed.values(), strict=True))
    right = [shared.get(axis) or next(letters) for axis in range(second.meta["val"].dim())]
    out = [label for label in (*left, *right) if label not in summed.values()]
    return _contraction(call, f"{''.join(left)},{''.join(right)}->{''.join(out)}", first, second)


def _contraction(call: OperatorCall, equation: str, first: fx.Node, second: fx.Node) -> Translation:
    """Translate an Einstein sum of a tensor and a constant weight."""
    constant = [node.name in call.constants for node in (first, second)]
    require(constant[0] != constant[1])
    weight, x = (first, second) if constant[0] else (second, first)
    rank, value = x.meta["val"].dim(), call.constants[weight.name]
    return Translation("contract", (x.name,), contraction(equation, rank, value, weight_first=constant[0]))


def _batch_norm(call: OperatorCall) -> Translation:
    require(call.arguments.get("training") is not True and call.part == 0)
    dtype = call.operand.meta["val"].dtype  # in mixed precision the statistics have more digits

    def cast(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.to(dtype)

    parameters = BatchNormParameters(
        weight=cast(call.optional_constant("weight")),
        bias=cast(call.optional_constant("bias")),
        mean=call.constant("running_mean").to(dtype),
        variance=call.constant("running_var").to(dtype),
        epsilon=float(call["eps"]),
        axis=1,
    )
    return call.to("batch_norm", parameters)


def _pool(op: str, axes: int) -> Translator:
    """Return the translator of a pool, which may have a kernel above one along one of its spatial axes."""

    def translate_pool(call: OperatorCall) -> Translation:
        given = (call["kernel_size"], call["stride"] or call["kernel_size"], call["padding"])
        settings = [_per_axis(setting, axes) for setting in (*given, call.arguments.get("dilation", 1))]
        kernels, strides, paddings, _ = settings
        sizes = call.sizes[-axes:]
        idle = [kernels[i] == 1 and paddings[i] == 0 and 1 in (strides[i], sizes[i]) for i in range(axes)]
        pooled = [i for i in range(axes) if not idle[i]]
        require(len(pooled) <= 1 and call.arguments.get("divisor_override") is None)
        at = pooled[0] if pooled else axes - 1
        kernel, stride, padding, dilation = (setting[at] for setting in settings)
        return _to_pool(call, op, kernel, stride, padding, dilation, len(call.sizes) - axes + at)

    return translate_pool


def _first_part(translator: Translator) -> Translator:
    """Return the translator of the first of several tensors."""

    def translate_first(call: OperatorCall) -> Translation:
        require(call.part == 0)
        return translator(call)

    return translate_first


def _adaptive_pool(pool: str, reduction: str) -> Translator:
    def translate_adaptive(call: OperatorCall) -> Translation:
        require(call.part == 0)
        axis, outputs = len(call.sizes) - 1, _one(call["output_size"])
        if outputs == 1:
            return call.to(reduction, ReductionParameters((axis,), keep=True))
        require(call.sizes[-1] % outputs == 0)
        kernel = call.sizes[-1] // outputs
        return _to_pool(call, pool, kernel, stride=kernel, padding=0, dilation=1, position_axis=axis)

    return translate_adaptive


def _to_pool(
    call: OperatorCall, op: str, kernel: int, stride: int, padding: int, dilation: int, position_axis: int
) -> Translation:
    if op == "max_pool":
        return call.to(op, PoolParameters(kernel, stride, padding, dilation, position_axis))
    count_padding = bool(call.arguments.get("count_include_pad", True))
    return call.to(op, AveragePoolParameters(kernel, stride, padding, dilation, position_axis, count_padding))


def _layer_norm(call: OperatorCall) -> Translation:
    size, epsilon = list(call["normalized_shape"]), call["eps"]
    weight, bias = call.optional_constant("weight"), call.optional_constant("bias")
    require(len(size) == 1)
    return call.to_axis_function(-1, lambda x: F.layer_norm(x, size, weight, bias, epsilon))


def _rms_norm(call: OperatorCall) -> Translation:
    size, epsilon, weight = list(call["normalized_shape"]), call["eps"], call.optional_constant("weight")
    require(len(size) == 1)
    return call.to_axis_function(-1, lambda x: F.rms_norm(x, size, weight, epsilon))


def _parametric_rectifier(call: OperatorCall) -> Translation:
    weight = call.constant("weight")
    return call.to_axis_function(1, lambda x: torch.where(x >= 0, x, x * weight))


LAYERS: Mapping[str, Translator] = MappingProxyType(
    {
        "_native_batch_norm_legit_no_training": _batch_norm,
        "adaptive_avg_pool1d": _adaptive_pool("average_pool", "mean"),
        "addmm": _addmm,
        "avg_pool1d": _pool("average_pool", 1),
        "avg_pool2d": _pool("average_pool", 2),
        "batch_norm": _batch_norm,
        "bmm": _matmul,
        "conv1d": _conv1d,
        "conv2d": _conv2d,
        "conv_transpose1d": _conv_transpose1d,
        "einsum": _einsum,
        "embedding": lambda call: Translation(
            "embedding", (call["indices"].name,), WeightParameters(call.constant("weight"))
        ),
        "layer_norm": _layer_norm,
        "linear": lambda call: call.to("linear", WeightParameters(call.constant("weight"))),
        "matmul": _matmul,
        "max_pool1d": _pool("max_pool", 1),
        "max_pool2d": _pool("max_pool", 2),
        "mm": _matmul,
        "prelu": _parametric_rectifier,
        "rms_norm": _rms_norm,
        "tensordot": _tensordot,
    }
)
"""Name of an operator, without its library and overload -> translator."""
PARTS_OF_LAYERS: Mapping[str, Translator] = MappingProxyType(
    {
        "_native_batch_norm_legit_no_training": _batch_norm,
        "adaptive_max_pool1d": _adaptive_pool("max_pool", "max"),
        "max_pool1d_with_indices": _first_part(_pool("max_pool", 1)),
        "max_pool2d_with_indices": _first_part(_pool("max_pool", 2)),
    }
)
"""The same for the tensors of operators that return several."""
