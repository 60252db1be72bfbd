"""PyTorch's operators in the engine's words: which family each belongs to, and what its rule needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx

from attribution_bench_plugins.fastism.capture.einstein_sums import contraction
from attribution_bench_plugins.fastism.graph.parameters import (
    NO_PARAMETERS,
    AveragePoolParameters,
    AxisFunctionParameters,
    AxisReductionParameters,
    BatchNormParameters,
    ChoiceParameters,
    ConcatenationParameters,
    Convolution2dParameters,
    ConvolutionParameters,
    ElementwiseParameters,
    FlipParameters,
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
from attribution_bench_plugins.fastism.ops.registry import SPECS

Arguments = Mapping[str, Any]
Constants = Mapping[str, Tensor]
Shape = tuple[int | None, ...] | None


@dataclass(frozen=True)
class Translation:
    """A family, the nodes that it computes from (in the order in which its rule reads them), and its parameters."""

    op: str
    inputs: tuple[str, ...]
    parameters: Parameters


Translator = Callable[[Arguments, Constants, Shape], Translation | None]


def translate(target: Any, arguments: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    """Return the translation of an operator's call; None for one that the engine has no words for."""
    name = target.name().removeprefix("aten::").partition(".")[0]
    translator = TRANSLATORS.get(name)
    translation = translator(arguments, constants, shape) if translator is not None else None
    if translation is not None and (SPECS[translation.op].traits.any_dtype or _floating(arguments, constants)):
        return translation
    if torch.Tag.pointwise in target.tags and target.name().startswith("aten::"):
        return _pointwise(target, arguments)
    return None


def translate_part(
    target: Any, part: int, arguments: Arguments, constants: Constants, shape: Shape
) -> Translation | None:
    """Return the translation of one of the tensors that an operator returns."""
    name = target.name().removeprefix("aten::")
    translator = PART_TRANSLATORS.get(name) or PART_TRANSLATORS.get(name.partition(".")[0])
    if translator is None or not _floating(arguments, constants):
        return None
    return translator(part, arguments, constants, shape)


def _floating(arguments: Arguments, constants: Constants) -> bool:
    """Whether every tensor that may change holds floating-point numbers, so that differences mean something."""
    values = [value for value in arguments.values() if isinstance(value, fx.Node)]
    values += [node for value in arguments.values() if isinstance(value, list | tuple) for node in value]
    nodes = [node for node in values if isinstance(node, fx.Node) and node.name not in constants]
    tensors = [node.meta.get("val") for node in nodes]
    return all(tensor.is_floating_point() for tensor in tensors if isinstance(tensor, Tensor))


def _pointwise(target: Any, a: Arguments) -> Translation | None:
    tensors = [
        value for value in a.values() if isinstance(value, fx.Node) and isinstance(value.meta.get("val"), Tensor)
    ]
    others = [value for value in a.values() if isinstance(value, fx.Node) and value not in tensors]
    if others or not tensors or any(isinstance(value, list | tuple) for value in a.values()):
        return None
    inputs = tuple(dict.fromkeys(node.name for node in tensors))
    op = "relu" if target is torch.ops.aten.relu.default else "elementwise"
    in_place = _in_place(target, a) if len(tensors) == 1 else None
    return Translation(op, inputs, ElementwiseParameters(in_place))


def _in_place(target: Any, a: Arguments) -> Callable[[Tensor], Tensor] | None:
    """Return the operator's own in-place form, where it has one that takes the same arguments."""
    packet = getattr(torch.ops.aten, target.name().removeprefix("aten::").partition(".")[0] + "_", None)
    overload = getattr(packet, target._overloadname, None) if packet is not None else None
    if overload is None or [x.name for x in overload._schema.arguments] != [x.name for x in target._schema.arguments]:
        return None
    first, *rest = a.values()
    if not isinstance(first, fx.Node):
        return None
    empty = torch.empty(0, dtype=first.meta["val"].dtype)
    if target(empty, *rest).dtype != empty.dtype:
        return None

    def call(x: Tensor) -> Tensor:
        result: Tensor = overload(x, *rest)
        return result

    return call


def _weight(a: Arguments, key: str, constants: Constants) -> Tensor | None:
    """Return a constant tensor argument; None where it depends on the input."""
    value = a.get(key)
    return constants.get(value.name) if isinstance(value, fx.Node) else None


def _one(value: Any) -> int | None:
    """Return the only element of an int or a list of one; None for anything else."""
    if isinstance(value, int):
        return value
    return int(value[0]) if len(value) == 1 and isinstance(value[0], int) else None


def _two(value: Sequence[int] | int) -> tuple[int, int]:
    """Return a setting of two spatial axes, which may be given once for both."""
    values = [value] if isinstance(value, int) else list(value)
    return values[0], values[-1]


def _conv1d(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    stride, dilation = _one(a["stride"]), _one(a["dilation"])
    if weight is None or weight.dim() != 3 or stride is None or dilation is None:
        return None
    reach = (weight.shape[2] - 1) * dilation
    padding = a["padding"]
    if padding == "same":
        left, right = reach // 2, reach - reach // 2
    elif padding == "valid":
        left = right = 0
    else:
        both = _one(padding)
        if both is None:
            return None
        left = right = both
    parameters = ConvolutionParameters(
        weight,
        stride=stride,
        dilation=dilation,
        padding=(left, right),
        groups=int(a["groups"]),
        position_axis=2,
        channel_axis=1,
    )
    return Translation("conv", (a["input"].name,), parameters)


def _conv2d(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    if weight is None or weight.dim() != 4:
        return None
    stride, dilation = _two(a["stride"]), _two(a["dilation"])
    if a["padding"] in ("same", "valid"):
        reaches = [
            (size - 1) * rate * (a["padding"] == "same") for size, rate in zip(weight.shape[2:], dilation, strict=True)
        ]
        first, second = ((reach // 2, reach - reach // 2) for reach in reaches)
    else:
        first, second = ((both, both) for both in _two(a["padding"]))
    parameters = Convolution2dParameters(
        weight,
        stride=stride,
        dilation=dilation,
        padding=(first, second),
        groups=int(a["groups"]),
        spatial_axes=(2, 3),
        channel_axis=1,
    )
    return Translation("conv2d", (a["input"].name,), parameters)


def _conv_transpose1d(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    stride, padding, dilation = (_one(a[key]) for key in ("stride", "padding", "dilation"))
    if weight is None or weight.dim() != 3 or stride is None or padding is None or dilation is None:
        return None
    parameters = TransposedConvolutionParameters(
        weight,
        stride=stride,
        dilation=dilation,
        padding=padding,
        groups=int(a["groups"]),
        position_axis=2,
        channel_axis=1,
    )
    return Translation("conv_transpose", (a["input"].name,), parameters)


def _linear(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    return None if weight is None else Translation("linear", (a["input"].name,), WeightParameters(weight))


def _addmm(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight, bias = _weight(a, "mat2", constants), _weight(a, "self", constants)
    if weight is None or bias is None or not isinstance(a["mat1"], fx.Node):
        return None
    return Translation("linear", (a["mat1"].name,), WeightParameters(weight.t() * a["alpha"]))


def _matmul(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    second = "mat2" if "mat2" in a else "other"
    weight, left = _weight(a, second, constants), _weight(a, "self", constants)
    if left is not None and left.dim() == 2 and isinstance(a[second], fx.Node) and a[second].meta["val"].dim() == 3:
        pointwise = ConvolutionParameters(
            left[:, :, None], stride=1, dilation=1, padding=(0, 0), groups=1, position_axis=2, channel_axis=1
        )
        return Translation("conv", (a[second].name,), pointwise)
    if weight is None or weight.dim() != 2:
        return None
    return Translation("linear", (a["self"].name,), WeightParameters(weight.t()))


def _einsum(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    nodes = a["tensors"]
    constant = [constants.get(node.name) for node in nodes]
    if len(nodes) != 2 or (constant[0] is None) is (constant[1] is None):
        return None
    first = constant[0] is not None
    x, weight = nodes[1 if first else 0], constant[0] if first else constant[1]
    assert weight is not None
    parameters = contraction(a["equation"], x.meta["val"].dim(), weight, weight_first=first)
    return None if parameters is None else Translation("contract", (x.name,), parameters)


def _batch_norm(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    mean, variance = _weight(a, "running_mean", constants), _weight(a, "running_var", constants)
    if mean is None or variance is None or a.get("training") is True:
        return None
    parameters = BatchNormParameters(
        weight=_weight(a, "weight", constants),
        bias=_weight(a, "bias", constants),
        mean=mean,
        variance=variance,
        epsilon=float(a["eps"]),
        axis=1,
    )
    return Translation("batch_norm", (a["input"].name,), parameters)


def _pool_parameters(
    op: str, *, kernel: int, stride: int, padding: int, dilation: int, position_axis: int, count_padding: bool
) -> PoolParameters:
    if op == "max_pool":
        return PoolParameters(kernel, stride, padding, dilation, position_axis)
    return AveragePoolParameters(kernel, stride, padding, dilation, position_axis, count_padding)


def _pool(op: str) -> Translator:
    def translate_pool(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        shape_in = a["self"].meta["val"].shape
        settings = [_settings(a[key]) for key in ("kernel_size", "stride", "padding")]
        settings.append(_settings(a.get("dilation", 1)))
        kernels, strides, paddings, dilations = settings
        strides = strides or kernels
        # One spatial axis at most may be pooled; the rest have a kernel of one.
        sizes = [_two(values) if len(kernels) == 2 else values for values in (kernels, strides, paddings, dilations)]
        rank = len(shape_in)
        idle = [
            kernel == 1 and sizes[2][i] == 0 and 1 in (sizes[1][i], shape_in[rank - len(kernels) + i])
            for i, kernel in enumerate(kernels)
        ]
        pooled = [i for i in range(len(kernels)) if not idle[i]]
        if len(pooled) > 1 or a.get("divisor_override") is not None:
            return None
        at = pooled[0] if pooled else len(kernels) - 1
        kernel, stride, padding, dilation = (values[at] for values in sizes)
        parameters = _pool_parameters(
            op,
            kernel=kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            position_axis=rank - len(kernels) + at,
            count_padding=bool(a.get("count_include_pad", True)),
        )
        return Translation(op, (a["self"].name,), parameters)

    return translate_pool


def _settings(value: Any) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _adaptive_pool(pool: str, reduction: str) -> Translator:
    def translate_adaptive(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        length, outputs = a["self"].meta["val"].shape[-1], _one(a["output_size"])
        axis = a["self"].meta["val"].dim() - 1
        if outputs == 1:
            return Translation(reduction, (a["self"].name,), ReductionParameters((axis,), keep=True))
        if outputs is None or length % outputs:
            return None
        kernel = length // outputs
        parameters = _pool_parameters(
            pool, kernel=kernel, stride=kernel, padding=0, dilation=1, position_axis=axis, count_padding=True
        )
        return Translation(pool, (a["self"].name,), parameters)

    return translate_adaptive


def _binary(op: str) -> Translator:
    def translate_binary(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        first, second = a["self"], a["other"]
        if a.get("rounding_mode") is not None:
            return None
        inputs = tuple(x.name for x in (first, second) if isinstance(x, fx.Node))
        tensors = [x for x in (first, second) if isinstance(x, fx.Node) and isinstance(x.meta.get("val"), Tensor)]
        if len(tensors) != len(inputs) or not isinstance(first, fx.Node):
            return None
        if len(set(inputs)) < len(inputs) or not _floating(a, constants):
            return Translation("elementwise", tuple(dict.fromkeys(inputs)), ElementwiseParameters())
        return Translation(op, inputs, SumParameters(a.get("alpha", 1)) if op == "add" else NO_PARAMETERS)

    return translate_binary


def _subtract(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    translation = _binary("add")(a, constants, shape)
    if translation is None or not isinstance(translation.parameters, SumParameters):
        return translation
    return Translation("add", translation.inputs, SumParameters(-translation.parameters.alpha))


def _view(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return Translation("view", (a["self"].name,), NO_PARAMETERS)


def _identity(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return Translation("view", ((a.get("self") or a["input"]).name,), NO_PARAMETERS)


def _permute(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return Translation("permute", (a["self"].name,), PermutationParameters(tuple(a["dims"])))


def _transpose(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    rank = a["self"].meta["val"].dim()
    axes = list(range(rank))
    one, other = a.get("dim0", 0) % rank, a.get("dim1", 1) % rank
    axes[one], axes[other] = axes[other], axes[one]
    return Translation("permute", (a["self"].name,), PermutationParameters(tuple(axes)))


def _slice(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    value = a["self"].meta["val"]
    axis, step = a["dim"] % value.dim(), a["step"]
    size = value.shape[axis]
    start = a["start"] or 0
    if not isinstance(size, int) or not isinstance(start, int):
        whole_batch = start == 0 and step == 1 and a["end"] in (None, 2**63 - 1)
        return Translation("view", (a["self"].name,), NO_PARAMETERS) if whole_batch else None
    start = max(0, start + size) if start < 0 else start
    if shape is not None and shape[axis] == size:
        return Translation("view", (a["self"].name,), NO_PARAMETERS)
    return Translation("shift", (a["self"].name,), ShiftParameters(axis, start, step=step))


def _select(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return _selected(a["self"], a["dim"], a["index"])


def _selected(node: fx.Node, axis: int, place: int) -> Translation | None:
    value = node.meta["val"]
    axis = axis % value.dim()
    if not isinstance(place, int) or not isinstance(value.shape[axis], int):
        return None
    return Translation("shift", (node.name,), ShiftParameters(axis, place % value.shape[axis], drop=True))


def _unbound(part: int, a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return _selected(a["self"], a["dim"], part)


def _split(part: int, a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    value = a["self"].meta["val"]
    sizes = a.get("split_sizes", a.get("split_size"))
    low = sum(sizes[:part]) if isinstance(sizes, list | tuple) else part * sizes if isinstance(sizes, int) else None
    if not isinstance(low, int) or not isinstance(value.shape[a["dim"]], int):
        return None
    return Translation("shift", (a["self"].name,), ShiftParameters(a["dim"] % value.dim(), low))


def _largest(part: int, a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    if part != 0:
        return None
    return Translation("max", (a["self"].name,), ReductionParameters((a["dim"],), bool(a["keepdim"])))


def _first_part(translator: Translator) -> "PartTranslator":
    def translate_first(part: int, a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        return translator(a, constants, shape) if part == 0 else None

    return translate_first


def _amax(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    if not a["dim"]:
        return None
    return Translation("max", (a["self"].name,), ReductionParameters(tuple(a["dim"]), bool(a["keepdim"])))


def _flip(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return Translation("flip", (a["self"].name,), FlipParameters(tuple(a["dims"])))


def _chosen(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    """Translate indexing of one axis with a constant list of places."""
    if "dim" in a:
        axis, index = a["dim"], _weight(a, "index", constants)
    else:
        given = [(axis, index) for axis, index in enumerate(a["indices"]) if index is not None]
        if len(given) != 1 or not isinstance(given[0][1], fx.Node):
            return None
        axis, index = given[0][0], constants.get(given[0][1].name)
    if index is None or index.dim() != 1 or index.dtype == torch.bool:
        return None
    return Translation("choose", (a["self"].name,), ChoiceParameters(axis, tuple(index.tolist())))


def _upsample(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    length = a["input"].meta["val"].shape[-1]
    if shape is None or shape[-1] is None or shape[-1] % length:
        return None
    return Translation("upsample", (a["input"].name,), UpsamplingParameters(2, shape[-1] // length))


def _repeat_interleave(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    if a["dim"] is None or not isinstance(a["repeats"], int):
        return None
    axis = a["dim"] % a["self"].meta["val"].dim()
    return Translation("upsample", (a["self"].name,), UpsamplingParameters(axis, a["repeats"]))


def _constant_pad(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    pad, rank = list(a["pad"]), a["self"].meta["val"].dim()
    padded = [i for i in range(len(pad) // 2) if pad[2 * i] or pad[2 * i + 1]]
    if len(padded) != 1 or not all(isinstance(n, int) for n in pad):
        return None
    axis = rank - 1 - padded[0]
    # The padding is constant, so that its delta is zero, whatever its value.
    return Translation("shift", (a["self"].name,), ShiftParameters(axis, -pad[2 * padded[0]]))


def _concatenate(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    nodes = a["tensors"]
    if not all(isinstance(node, fx.Node) for node in nodes) or len({node.name for node in nodes}) < len(nodes):
        return None
    if len({node.meta["val"].dtype for node in nodes}) > 1:
        return None  # each is cast to the widest type
    return Translation("concatenate", tuple(node.name for node in nodes), ConcatenationParameters(a["dim"]))


def _stack(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    joined = _concatenate(a, constants, shape)
    if joined is None or shape is None:
        return None
    return Translation("stack", joined.inputs, ConcatenationParameters(a["dim"] % len(shape)))


def _reduction(op: str) -> Translator:
    def translate_reduction(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        if not a.get("dim") or a.get("dtype") is not None:
            return None
        return Translation(op, (a["self"].name,), ReductionParameters(tuple(a["dim"]), bool(a["keepdim"])))

    return translate_reduction


def _softmax(function: Callable[..., Tensor]) -> Translator:
    def translate_softmax(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        if a.get("dtype") is not None or a.get("half_to_float"):
            return None
        parameters = AxisFunctionParameters(a["dim"], lambda x: function(x, -1))
        return Translation("position_wise", (a["self"].name,), parameters)

    return translate_softmax


def _layer_norm(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    size, epsilon = list(a["normalized_shape"]), a["eps"]
    weight, bias = _weight(a, "weight", constants), _weight(a, "bias", constants)
    if len(size) != 1 or (isinstance(a["weight"], fx.Node) and weight is None):
        return None

    def on_last_axis(x: Tensor) -> Tensor:
        return torch.nn.functional.layer_norm(x, size, weight, bias, epsilon)

    return Translation("position_wise", (a["input"].name,), AxisFunctionParameters(-1, on_last_axis))


def _rms_norm(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    size, epsilon, weight = list(a["normalized_shape"]), a["eps"], _weight(a, "weight", constants)
    if len(size) != 1 or (isinstance(a["weight"], fx.Node) and weight is None):
        return None

    def on_last_axis(x: Tensor) -> Tensor:
        return torch.nn.functional.rms_norm(x, size, weight, epsilon)

    return Translation("position_wise", (a["input"].name,), AxisFunctionParameters(-1, on_last_axis))


def _gated(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    def on_last_axis(x: Tensor) -> Tensor:
        return torch.nn.functional.glu(x, -1)

    return Translation("position_wise", (a["self"].name,), AxisFunctionParameters(a["dim"], on_last_axis))


def _parametric_rectifier(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    if weight is None:
        return None

    def on_last_axis(x: Tensor) -> Tensor:
        return torch.where(x >= 0, x, x * weight)

    return Translation("position_wise", (a["self"].name,), AxisFunctionParameters(1, on_last_axis))


def _channel_reduction(function: Callable[..., Tensor]) -> Translator:
    """Translate a function of one axis, which rules cover where that axis is channels."""

    def translate_channel_reduction(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        axes = [a["dim"]] if isinstance(a["dim"], int) else list(a["dim"] or ())
        if len(axes) != 1 or a.get("dtype") is not None:
            return None
        others = {key: value for key, value in a.items() if key not in ("self", "dim", "keepdim", "dtype")}
        parameters = AxisReductionParameters(axes[0], lambda x: function(x, dim=-1, **others), keep=bool(a["keepdim"]))
        return Translation("reduce_channels", (a["self"].name,), parameters)

    return translate_channel_reduction


def _embedding(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    return None if weight is None else Translation("embedding", (a["indices"].name,), WeightParameters(weight))


TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        "_native_batch_norm_legit_no_training": _batch_norm,
        "_softmax": _softmax(torch.softmax),
        "_unsafe_view": _view,
        "add": _binary("add"),
        "adaptive_avg_pool1d": _adaptive_pool("average_pool", "mean"),
        "addmm": _addmm,
        "alias": _identity,
        "amax": _amax,
        "argmax": _channel_reduction(torch.argmax),
        "avg_pool1d": _pool("average_pool"),
        "avg_pool2d": _pool("average_pool"),
        "batch_norm": _batch_norm,
        "cat": _concatenate,
        "clone": _identity,
        "constant_pad_nd": _constant_pad,
        "contiguous": _identity,
        "conv1d": _conv1d,
        "conv2d": _conv2d,
        "conv_transpose1d": _conv_transpose1d,
        "detach": _identity,
        "div": _binary("divide"),
        "dropout": _identity,
        "einsum": _einsum,
        "embedding": _embedding,
        "flatten": _view,
        "flip": _flip,
        "glu": _gated,
        "index": _chosen,
        "index_select": _chosen,
        "layer_norm": _layer_norm,
        "linalg_vector_norm": _channel_reduction(torch.linalg.vector_norm),
        "linear": _linear,
        "logsumexp": _channel_reduction(torch.logsumexp),
        "log_softmax": _softmax(torch.log_softmax),
        "matmul": _matmul,
        "max_pool1d": _pool("max_pool"),
        "max_pool2d": _pool("max_pool"),
        "mean": _reduction("mean"),
        "mm": _matmul,
        "mul": _binary("multiply"),
        "pad": lambda a, constants, shape: _constant_pad(a, constants, shape) if a["mode"] == "constant" else None,
        "permute": _permute,
        "prelu": _parametric_rectifier,
        "repeat_interleave": _repeat_interleave,
        "reshape": _view,
        "rms_norm": _rms_norm,
        "select": _select,
        "slice": _slice,
        "softmax": _softmax(torch.softmax),
        "squeeze": _view,
        "stack": _stack,
        "std": _channel_reduction(torch.std),
        "sub": _subtract,
        "sum": _reduction("sum"),
        "t": _transpose,
        "transpose": _transpose,
        "unflatten": _view,
        "unsqueeze": _view,
        "upsample_nearest1d": _upsample,
        "var": _channel_reduction(torch.var),
        "view": _view,
    }
)

PartTranslator = Callable[[int, Arguments, Constants, Shape], Translation | None]

PART_TRANSLATORS: Mapping[str, PartTranslator] = MappingProxyType(
    {
        "_native_batch_norm_legit_no_training": _first_part(_batch_norm),
        "adaptive_max_pool1d": _first_part(_adaptive_pool("max_pool", "max")),
        "max.dim": _largest,
        "split": _split,
        "split_with_sizes": _split,
        "unbind": _unbound,
    }
)
"""Translations of one of several tensors that an operator returns."""
