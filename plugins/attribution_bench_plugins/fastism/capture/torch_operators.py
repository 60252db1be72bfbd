"""PyTorch's operators as ops of the graph, with the parameters that their rules need."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from attribution_bench_plugins.fastism.capture.einstein_sums import contraction
from attribution_bench_plugins.fastism.capture.errors import TranslationError, require
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


@dataclass(frozen=True)
class Translation:
    """Op of a call, the nodes that it computes from in the order in which its rule reads them, and its parameters."""

    op: str
    inputs: tuple[str, ...]
    parameters: Parameters


@dataclass(frozen=True)
class OperatorCall:
    """Call of an operator in an exported program."""

    arguments: Mapping[str, Any]
    """Every argument by its name in the operator's schema; a tensor is the node that computes it."""
    constants: Mapping[str, Tensor]
    """Node -> its value, for the nodes that depend on no input."""
    shape: tuple[int | None, ...] | None
    """Shape of the value, BATCH in place of the batch axis; None where the batch is part of another size."""
    part: int = 0
    """Place of the value among those that the operator returns, for `translate_part`."""

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def operand(self) -> fx.Node:
        """The node of the tensor that most operators take first."""
        node: fx.Node = self.arguments["input" if "input" in self.arguments else "self"]
        return node

    @property
    def sizes(self) -> tuple[Any, ...]:
        """Shape of the operand; the size of the batch is no int."""
        return tuple(self.operand.meta["val"].shape)

    @property
    def is_floating(self) -> bool:
        """Whether every tensor that may change holds floating-point numbers, so that differences mean something."""
        values = list(self.arguments.values())
        values += [part for value in values if isinstance(value, list | tuple) for part in value]
        nodes = (value for value in values if isinstance(value, fx.Node) and value.name not in self.constants)
        tensors = (node.meta.get("val") for node in nodes)
        return all(tensor.is_floating_point() for tensor in tensors if isinstance(tensor, Tensor))

    def constant(self, name: str) -> Tensor:
        """Return the value of a tensor argument that depends on no input."""
        value = self.arguments.get(name)
        if not isinstance(value, fx.Node) or value.name not in self.constants:
            raise TranslationError
        return self.constants[value.name]

    def optional_constant(self, name: str) -> Tensor | None:
        """Return the same; None for an argument that is not given."""
        return None if self.arguments.get(name) is None else self.constant(name)

    def to(self, op: str, parameters: Parameters = NO_PARAMETERS) -> Translation:
        """Return the translation to an op that computes from the operand alone."""
        return Translation(op, (self.operand.name,), parameters)

    def to_axis_function(self, axis: int, on_last_axis: Callable[[Tensor], Tensor]) -> Translation:
        """Return the translation to a function of the values along one axis of the operand."""
        return self.to("position_wise", AxisFunctionParameters(axis, on_last_axis))


Translator = Callable[[OperatorCall], Translation]
"""Returns the translation of a call; raises TranslationError for one that no rule covers."""


def translate(target: Any, call: OperatorCall) -> Translation | None:
    """Return the translation of an operator's call; None for one that no rule covers."""
    translation = _translated(TRANSLATORS, target, call)
    if translation is None and torch.Tag.pointwise in target.tags and target.name().startswith("aten::"):
        return _pointwise(target, call)
    return translation


def translate_part(target: Any, call: OperatorCall) -> Translation | None:
    """Return the translation of one of the tensors that an operator returns."""
    return _translated(PART_TRANSLATORS, target, call)


def _translated(translators: Mapping[str, Translator], target: Any, call: OperatorCall) -> Translation | None:
    translator = translators.get(target.name().removeprefix("aten::").partition(".")[0])
    try:
        translation = translator(call) if translator is not None else None
    except TranslationError:
        return None
    if translation is None or SPECS[translation.op].traits.any_dtype or call.is_floating:
        return translation
    return None


def _pointwise(target: Any, call: OperatorCall) -> Translation | None:
    values = call.arguments.values()
    nodes = [value for value in values if isinstance(value, fx.Node)]
    are_tensors = all(isinstance(node.meta.get("val"), Tensor) for node in nodes)
    if not nodes or not are_tensors or any(isinstance(value, list | tuple) for value in values):
        return None
    in_place = _in_place(target, call.arguments) if len(nodes) == 1 else None
    op = "relu" if target is torch.ops.aten.relu.default else "elementwise"
    return Translation(op, tuple(dict.fromkeys(node.name for node in nodes)), ElementwiseParameters(in_place))


def _in_place(target: Any, arguments: Mapping[str, Any]) -> Callable[[Tensor], Tensor] | None:
    """Return the operator's own in-place variant, where it has one that takes the same arguments."""
    packet = getattr(torch.ops.aten, target.name().removeprefix("aten::").partition(".")[0] + "_", None)
    overload = getattr(packet, target._overloadname, None) if packet is not None else None
    if overload is None or [x.name for x in overload._schema.arguments] != [x.name for x in target._schema.arguments]:
        return None
    schema = target._schema.arguments
    by_name = {argument.name: arguments[argument.name] for argument in schema if argument.kwarg_only}
    first, *rest = (arguments[argument.name] for argument in schema if not argument.kwarg_only)
    if not isinstance(first, fx.Node):
        return None
    empty = torch.empty(0, dtype=first.meta["val"].dtype)
    if target(empty, *rest, **by_name).dtype != empty.dtype:
        return None

    def call(x: Tensor) -> Tensor:
        result: Tensor = overload(x, *rest, **by_name)
        return result

    return call


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
    left = call.constants.get(call["self"].name)
    if left is not None and left.dim() == 2 and call[second].meta["val"].dim() == 3:
        pointwise = ConvolutionParameters(
            left[:, :, None], stride=1, dilation=1, padding=(0, 0), groups=1, position_axis=2, channel_axis=1
        )
        return Translation("conv", (call[second].name,), pointwise)
    weight = call.constant(second)
    require(weight.dim() == 2)
    return call.to("linear", WeightParameters(weight.t()))


def _einsum(call: OperatorCall) -> Translation:
    nodes = call["tensors"]
    constant = [node.name in call.constants for node in nodes]
    require(len(nodes) == 2 and constant[0] != constant[1])
    weight, x = nodes if constant[0] else reversed(nodes)
    rank, value = x.meta["val"].dim(), call.constants[weight.name]
    return Translation("contract", (x.name,), contraction(call["equation"], rank, value, weight_first=constant[0]))


def _batch_norm(call: OperatorCall) -> Translation:
    require(call.arguments.get("training") is not True and call.part == 0)
    parameters = BatchNormParameters(
        weight=call.optional_constant("weight"),
        bias=call.optional_constant("bias"),
        mean=call.constant("running_mean"),
        variance=call.constant("running_var"),
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


def _binary(op: str, sign: int = 1) -> Translator:
    def translate_binary(call: OperatorCall) -> Translation:
        require(isinstance(call["self"], fx.Node) and call.arguments.get("rounding_mode") is None)
        nodes = [value for value in (call["self"], call["other"]) if isinstance(value, fx.Node)]
        require(all(isinstance(node.meta.get("val"), Tensor) for node in nodes))
        inputs = tuple(dict.fromkeys(node.name for node in nodes))
        if len(inputs) < len(nodes) or not call.is_floating:
            return Translation("elementwise", inputs, ElementwiseParameters())
        alpha = sign * call.arguments.get("alpha", 1)
        return Translation(op, inputs, SumParameters(alpha) if op == "add" else NO_PARAMETERS)

    return translate_binary


def _transpose(call: OperatorCall) -> Translation:
    axes = list(range(len(call.sizes)))
    one, other = call.arguments.get("dim0", 0), call.arguments.get("dim1", 1)
    axes[one], axes[other] = axes[other], axes[one]
    return call.to("permute", PermutationParameters(tuple(axes)))


def _slice(call: OperatorCall) -> Translation:
    axis, step, start = call["dim"] % len(call.sizes), call["step"], call["start"] or 0
    size = call.sizes[axis]
    if not isinstance(size, int) or not isinstance(start, int):
        require(start == 0 and step == 1 and call["end"] in (None, 2**63 - 1))  # the entire batch
        return call.to("view")
    start = max(0, start + size) if start < 0 else start
    if call.shape is not None and call.shape[axis] == size:
        return call.to("view")
    return call.to("shift", ShiftParameters(axis, start, step=step))


def _selected(call: OperatorCall, place: Any) -> Translation:
    """Translate to one place of an axis, which is dropped."""
    axis = call["dim"] % len(call.sizes)
    require(isinstance(place, int) and isinstance(call.sizes[axis], int))
    return call.to("shift", ShiftParameters(axis, place % call.sizes[axis], drop=True))


def _split(call: OperatorCall) -> Translation:
    sizes = call.arguments.get("split_sizes", call.arguments.get("split_size"))
    before = sizes[: call.part] if isinstance(sizes, list | tuple) else [sizes] * call.part
    require(all(isinstance(size, int) for size in (*before, call.sizes[call["dim"]])))
    return call.to("shift", ShiftParameters(call["dim"] % len(call.sizes), sum(before)))


def _largest(call: OperatorCall) -> Translation:
    require(call.part == 0)
    return call.to("max", ReductionParameters((call["dim"],), bool(call["keepdim"])))


def _chosen(call: OperatorCall) -> Translation:
    """Translate indexing of one axis with a constant list of places."""
    if "dim" in call.arguments:
        axis, index = call["dim"], call.constant("index")
    else:
        given = [(axis, node) for axis, node in enumerate(call["indices"]) if node is not None]
        require(len(given) == 1 and given[0][1].name in call.constants)
        axis, index = given[0][0], call.constants[given[0][1].name]
    require(index.dim() == 1 and index.dtype != torch.bool)
    return call.to("choose", ChoiceParameters(axis, tuple(index.tolist())))


def _upsample(call: OperatorCall) -> Translation:
    outputs = (call.shape or (0,))[-1] or 0
    require(outputs > 0 and outputs % call.sizes[-1] == 0)
    return call.to("upsample", UpsamplingParameters(2, outputs // call.sizes[-1]))


def _repeat_interleave(call: OperatorCall) -> Translation:
    require(call["dim"] is not None and isinstance(call["repeats"], int))
    return call.to("upsample", UpsamplingParameters(call["dim"] % len(call.sizes), call["repeats"]))


def _constant_pad(call: OperatorCall) -> Translation:
    pad = list(call["pad"])
    padded = [i for i in range(len(pad) // 2) if pad[2 * i] or pad[2 * i + 1]]
    require(call.arguments.get("mode", "constant") == "constant")
    require(len(padded) == 1 and all(isinstance(width, int) for width in pad))
    # The padding is constant, so that its delta is zero, whatever its value.
    return call.to("shift", ShiftParameters(len(call.sizes) - 1 - padded[0], -pad[2 * padded[0]]))


def _join(op: str) -> Translator:
    def translate_join(call: OperatorCall) -> Translation:
        nodes, axis = call["tensors"], call["dim"]
        require(all(isinstance(node, fx.Node) for node in nodes) and len(set(nodes)) == len(nodes))
        require(len({node.meta["val"].dtype for node in nodes}) == 1)  # else each is cast to the widest type
        if op == "stack":
            require(call.shape is not None)
            axis %= len(call.shape or ())
        return Translation(op, tuple(node.name for node in nodes), ConcatenationParameters(axis))

    return translate_join


def _reduction(op: str) -> Translator:
    def translate_reduction(call: OperatorCall) -> Translation:
        require(bool(call.arguments.get("dim")) and call.arguments.get("dtype") is None)
        return call.to(op, ReductionParameters(tuple(call["dim"]), bool(call["keepdim"])))

    return translate_reduction


def _softmax(function: Callable[..., Tensor]) -> Translator:
    def translate_softmax(call: OperatorCall) -> Translation:
        require(call.arguments.get("dtype") is None and not call.arguments.get("half_to_float"))
        return call.to_axis_function(call["dim"], lambda x: function(x, -1))

    return translate_softmax


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


def _channel_reduction(function: Callable[..., Tensor]) -> Translator:
    """Return the translator of a function of one axis, which rules cover where that axis is channels."""

    def translate_channel_reduction(call: OperatorCall) -> Translation:
        axes = [call["dim"]] if isinstance(call["dim"], int) else list(call["dim"] or ())
        require(len(axes) == 1 and call.arguments.get("dtype") is None)
        own = ("self", "dim", "keepdim", "dtype")
        others = {name: value for name, value in call.arguments.items() if name not in own}
        parameters = AxisReductionParameters(axes[0], lambda x: function(x, dim=-1, **others), bool(call["keepdim"]))
        return call.to("reduce_channels", parameters)

    return translate_channel_reduction


RESHAPES = ("_unsafe_view", "flatten", "reshape", "squeeze", "unflatten", "unsqueeze", "view")
COPIES = ("alias", "clone", "contiguous", "detach", "dropout")
TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        **dict.fromkeys((*RESHAPES, *COPIES), lambda call: call.to("view")),
        "_native_batch_norm_legit_no_training": _batch_norm,
        "_softmax": _softmax(torch.softmax),
        "add": _binary("add"),
        "adaptive_avg_pool1d": _adaptive_pool("average_pool", "mean"),
        "addmm": _addmm,
        "amax": _reduction("max"),
        "argmax": _channel_reduction(torch.argmax),
        "avg_pool1d": _pool("average_pool", 1),
        "avg_pool2d": _pool("average_pool", 2),
        "batch_norm": _batch_norm,
        "cat": _join("concatenate"),
        "constant_pad_nd": _constant_pad,
        "conv1d": _conv1d,
        "conv2d": _conv2d,
        "conv_transpose1d": _conv_transpose1d,
        "div": _binary("divide"),
        "einsum": _einsum,
        "embedding": lambda call: Translation(
            "embedding", (call["indices"].name,), WeightParameters(call.constant("weight"))
        ),
        "flip": lambda call: call.to("flip", FlipParameters(tuple(call["dims"]))),
        "glu": lambda call: call.to_axis_function(call["dim"], lambda x: F.glu(x, -1)),
        "index": _chosen,
        "index_select": _chosen,
        "layer_norm": _layer_norm,
        "linalg_vector_norm": _channel_reduction(torch.linalg.vector_norm),
        "linear": lambda call: call.to("linear", WeightParameters(call.constant("weight"))),
        "logsumexp": _channel_reduction(torch.logsumexp),
        "log_softmax": _softmax(torch.log_softmax),
        "matmul": _matmul,
        "max_pool1d": _pool("max_pool", 1),
        "max_pool2d": _pool("max_pool", 2),
        "mean": _reduction("mean"),
        "mm": _matmul,
        "mul": _binary("multiply"),
        "pad": _constant_pad,
        "permute": lambda call: call.to("permute", PermutationParameters(tuple(call["dims"]))),
        "prelu": _parametric_rectifier,
        "repeat_interleave": _repeat_interleave,
        "rms_norm": _rms_norm,
        "select": lambda call: _selected(call, call["index"]),
        "slice": _slice,
        "softmax": _softmax(torch.softmax),
        "stack": _join("stack"),
        "std": _channel_reduction(torch.std),
        "sub": _binary("add", sign=-1),
        "sum": _reduction("sum"),
        "t": _transpose,
        "transpose": _transpose,
        "upsample_nearest1d": _upsample,
        "var": _channel_reduction(torch.var),
    }
)
PART_TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        "_native_batch_norm_legit_no_training": _batch_norm,
        "adaptive_max_pool1d": _adaptive_pool("max_pool", "max"),
        "max": _largest,
        "split": _split,
        "split_with_sizes": _split,
        "unbind": lambda call: _selected(call, call.part),
    }
)
"""Translators of one of several tensors that an operator returns."""
