"""Layers of Keras 3 and Keras 2 as ops of the graph, with the parameters that their rules need."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.capture.errors import TranslationError, require
from attribution_bench_plugins.fastism.capture.keras_functions import FUNCTIONS, key, options_of
from attribution_bench_plugins.fastism.capture.keras_site import Site
from attribution_bench_plugins.fastism.graph.ir import OPAQUE
from attribution_bench_plugins.fastism.graph.parameters import (
    AveragePoolParameters,
    BatchNormParameters,
    Convolution2dParameters,
    ConvolutionParameters,
    ElementwiseParameters,
    OpaqueParameters,
    Parameters,
    PoolParameters,
    TransposedConvolutionParameters,
    WeightParameters,
)

Translator = Callable[[Site, Any, str], str]
"""Takes the site, the layer and the node that it is called on; returns the node of its output."""
Merger = Callable[[Site, Any, list[str]], str]
"""The same for a layer called on several nodes."""


def translate_layer(site: Site, layer: Any, nodes: list[str]) -> str:
    """Return the node of a layer's call on nodes; raise TranslationError for one that no rule covers."""
    name = _standard_name(site, layer)
    require(all(site.is_tensor(node) for node in nodes))
    require(getattr(layer, "quantization_mode", None) is None)
    if name in MERGERS:
        return MERGERS[name](site, layer, nodes)
    require(len(nodes) == 1 and name in TRANSLATORS)
    return TRANSLATORS[name](site, layer, nodes[0])


def _standard_name(site: Site, layer: Any) -> str:
    """Return the name of the library's class that a layer is, or that it calls like; TranslationError for others."""
    own: set[str] = set()
    for kind in type(layer).__mro__:
        if site.library.owns(kind, "layers"):
            require(not any(callable(getattr(kind, name, None)) for name in own - UNCALLED))
            return str(kind.__name__)
        own |= vars(kind).keys()
    raise TranslationError


def _activation(site: Site, function: Any, node: str) -> str:
    """Return the node of an activation function, which may be a layer, or a function that others are made of."""
    if function is None:
        return node
    if hasattr(function, "weights"):
        return translate_layer(site, function, [node])
    name = _function_name(function)
    if not site.library.owns(function, "activations"):
        of_backend = str(getattr(function, "__module__", "")).startswith(("tensorflow.", "jax.", "torch."))
        if of_backend and key(name) in FUNCTIONS:
            return site.named_function(node, name, function, name)
        return site.follow(site, function, node)
    if name == "linear":
        return node
    if key(name) in ("softmax", "logsoftmax"):
        return site.softmax(node, -1, name, getattr(torch, name))
    return site.named_function(node, name, function, name)


def _activated(site: Site, layer: Any, node: str) -> str:
    """Return a layer's node after its own activation, which the library calls where no rule covers it."""
    function = layer.activation
    try:
        return _activation(site, function, node)
    except TranslationError:
        name = _function_name(function)
        return site.add(OPAQUE, node, lambda x: site.by_library(function, x), OpaqueParameters(), name)


def _function_name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _axes(site: Site, layer: Any, node: str) -> tuple[tuple[int, ...], int]:
    """Return the spatial axes, and that of channels."""
    rank = len(site.shape(node))
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        return tuple(range(2, rank)), 1
    return tuple(range(1, rank - 1)), rank - 1


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """Return a setting of each spatial axis."""
    return tuple(map(int, value)) if isinstance(value, list | tuple) else (int(value),) * axes


def _padding(kind: str, length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the padding of Keras before and after, in positions."""
    reach = (kernel - 1) * dilation
    if kind == "causal":
        return reach, 0
    total = max(0, (math.ceil(length / stride) - 1) * stride + reach + 1 - length) if kind == "same" else 0
    return total // 2, total - total // 2


def _needed(site: Site, variable: Any) -> Tensor:
    weight = site.weight(variable)
    if weight is None:
        raise TranslationError
    return weight


def _rates(layer: Any, axes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the strides and the dilations of a convolution."""
    return per_axis(layer.strides, axes), per_axis(layer.dilation_rate, axes)


def _dense_weight(site: Site, variable: Any) -> Tensor:
    """Return a kernel (K, C_in / groups, C_out) or (K, K, C_in / groups, C_out), its channels first."""
    return _needed(site, variable).movedim((-1, -2), (0, 1)).contiguous()


def _depthwise_weight(site: Site, layer: Any, axes: int) -> Tensor:
    """Return a kernel (K, C_in, multiplier) or (K, K, C_in, multiplier) as weights of C_in groups."""
    kernel = _needed(site, layer.depthwise_kernel if hasattr(layer, "depthwise_kernel") else layer.kernel)
    if axes == 1:
        kernel = kernel.flatten(0, -3)  # Keras 2 stores some with an axis of size one
    return kernel.movedim((-2, -1), (0, 1)).flatten(0, 1).unsqueeze(1).contiguous()


def convolve(
    site: Site,
    layer: Any,
    node: str,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    kind: str = "",
) -> str:
    """Add a convolution by weights (C_out, C_in / groups, K) or (C_out, C_in / groups, K, K), padded as the layer."""
    spatial, channel = _axes(site, layer, node)
    shape = site.shape(node)
    groups = shape[channel] // weight.shape[1]
    sizes = zip((shape[axis] for axis in spatial), weight.shape[2:], stride, dilation, strict=True)
    padding = [_padding(layer.padding, *size) for size in sizes]
    pads = [width for widths in reversed(padding) for width in widths]
    function = F.conv1d if len(spatial) == 1 else F.conv2d

    def call(x: Tensor) -> Tensor:
        x = F.pad(x.movedim(channel, 1), pads)
        return function(x, weight, bias, stride, 0, dilation, groups).movedim(1, channel)

    if len(spatial) == 1:
        parameters: Parameters = ConvolutionParameters(
            weight, stride[0], dilation[0], padding[0], groups, position_axis=spatial[0], channel_axis=channel
        )
        return site.add("conv", node, call, parameters, kind)
    (first, second), (row_stride, column_stride), (row_dilation, column_dilation) = padding, stride, dilation
    parameters = Convolution2dParameters(
        weight,
        (row_stride, column_stride),
        (row_dilation, column_dilation),
        (first, second),
        groups,
        spatial_axes=(spatial[0], spatial[1]),
        channel_axis=channel,
    )
    return site.add("conv2d", node, call, parameters, kind)


def _conv(axes: int) -> Translator:
    def translate(site: Site, layer: Any, node: str) -> str:
        weight, bias = _dense_weight(site, layer.kernel), site.weight(layer.bias)
        return _activated(site, layer, convolve(site, layer, node, weight, bias, *_rates(layer, axes)))

    return translate


def _depthwise(axes: int) -> Translator:
    def translate(site: Site, layer: Any, node: str) -> str:
        weight, bias = _depthwise_weight(site, layer, axes), site.weight(layer.bias)
        return _activated(site, layer, convolve(site, layer, node, weight, bias, *_rates(layer, axes)))

    return translate


def _separable(site: Site, layer: Any, node: str) -> str:
    weight = _depthwise_weight(site, layer, 1)
    node = convolve(site, layer, node, weight, None, *_rates(layer, 1), kind="depthwise")
    weight, bias = _dense_weight(site, layer.pointwise_kernel), site.weight(layer.bias)
    return _activated(site, layer, convolve(site, layer, node, weight, bias, (1,), (1,), kind="pointwise"))


def _conv_transpose(site: Site, layer: Any, node: str) -> str:
    (position,), channel = _axes(site, layer, node)
    weight, bias = _dense_weight(site, layer.kernel), site.weight(layer.bias)
    (stride,), (dilation,) = _rates(layer, 1)
    reach, length = (weight.shape[2] - 1) * dilation, site.shape(node)[position]
    size = int(layer.compute_output_shape(site.shape(node))[position])
    entire = (length - 1) * stride + reach + 1
    low = max(0, entire - size) // 2 if layer.padding == "same" else 0

    def call(x: Tensor) -> Tensor:
        x = F.conv_transpose1d(x.movedim(channel, 1), weight, None, stride, dilation=dilation)
        x = F.pad(x, (-low, size - entire + low))
        return (x if bias is None else x + bias[:, None]).movedim(1, channel)

    parameters = TransposedConvolutionParameters(
        weight, stride, dilation, low, groups=1, position_axis=position, channel_axis=channel
    )
    return _activated(site, layer, site.add("conv_transpose", node, call, parameters))


def _dense(site: Site, layer: Any, node: str) -> str:
    weight, bias = _needed(site, layer.kernel).t().contiguous(), site.weight(layer.bias)
    found = site.add("linear", node, lambda x: F.linear(x, weight, bias), WeightParameters(weight))
    return _activated(site, layer, found)


def _einsum_dense(site: Site, layer: Any, node: str) -> str:
    bias = site.weight(layer.bias)
    found = site.contract(layer.equation, node, _needed(site, layer.kernel))
    if bias is not None:
        shift = site.constant("bias", bias)
        found = site.combine("add", found, shift, "bias")
    return _activated(site, layer, found)


def _time_distributed(site: Site, layer: Any, node: str) -> str:
    inner = layer.layer
    require(type(inner).__name__ in ("Activation", "Dense", "Dropout"))
    return translate_layer(site, inner, [node])


def _normalised_axis(layer: Any) -> int:
    axes = list(layer.axis) if isinstance(layer.axis, list | tuple) else [layer.axis]
    require(len(axes) == 1)
    return int(axes[0])


def _batch_norm(site: Site, layer: Any, node: str) -> str:
    rank = len(site.shape(node))
    parameters = BatchNormParameters(
        weight=site.weight(layer.gamma),
        bias=site.weight(layer.beta),
        mean=_needed(site, layer.moving_mean),
        variance=_needed(site, layer.moving_variance),
        epsilon=float(layer.epsilon),
        axis=_normalised_axis(layer) % rank,
    )
    shape = [-1 if axis == parameters.axis else 1 for axis in range(rank)]

    def call(x: Tensor) -> Tensor:
        return x * parameters.scale.view(shape) + parameters.shift.view(shape)

    return site.add("batch_norm", node, call, parameters)


def _layer_norm(site: Site, layer: Any, node: str) -> str:
    require(not getattr(layer, "rms_scaling", False))
    weight, bias = site.weight(layer.gamma), site.weight(layer.beta)
    return layer_norm(site, node, _normalised_axis(layer), weight, bias, layer.epsilon)


def layer_norm(site: Site, node: str, axis: int, weight: Tensor | None, bias: Tensor | None, epsilon: float) -> str:
    """Add a layer normalization of one axis."""
    return site.position_wise(
        node, axis, lambda x: F.layer_norm(x, x.shape[-1:], _like(x, weight), _like(x, bias), epsilon)
    )


def _rms_norm(site: Site, layer: Any, node: str) -> str:
    return rms_norm(site, node, _normalised_axis(layer), _needed(site, layer.scale), layer.epsilon)


def rms_norm(site: Site, node: str, axis: int, weight: Tensor | None, epsilon: float) -> str:
    """Add a division of one axis by its root mean square."""
    return site.position_wise(node, axis, lambda x: F.rms_norm(x, x.shape[-1:], _like(x, weight), epsilon))


def _like(x: Tensor, weight: Tensor | None) -> Tensor | None:
    """Return a weight in the type of what it multiplies: functions are asked of NaN in that of the input."""
    return None if weight is None else weight.to(x.dtype)


def pool(op: str) -> Translator:
    """Return the translator of a pool along one of the spatial axes: of a layer, or what has a layer's settings."""

    def translate(site: Site, layer: Any, node: str) -> str:
        spatial, channel = _axes(site, layer, node)
        axes, sizes = len(spatial), [site.shape(node)[axis] for axis in spatial]
        kernels, strides = per_axis(layer.pool_size, axes), per_axis(layer.strides or layer.pool_size, axes)
        paddings = [_padding(layer.padding, *settings, 1) for settings in zip(sizes, kernels, strides, strict=True)]
        pooled = [i for i in range(axes) if kernels[i] > 1 or (strides[i] > 1 and sizes[i] > 1)]
        require(len(pooled) <= 1)
        at = pooled[0] if pooled else axes - 1
        steps = tuple(strides[i] if i == at else 1 for i in range(axes))
        pads = [width for widths in reversed(paddings) for width in widths]
        maximum, mean = (F.max_pool1d, F.avg_pool1d) if axes == 1 else (F.max_pool2d, F.avg_pool2d)

        def call(x: Tensor) -> Tensor:
            x = x.movedim(channel, 1)
            if op == "max_pool":
                x = maximum(F.pad(x, pads, value=float("-inf")), kernels, steps)
            else:
                inside = mean(F.pad(torch.ones_like(x[:1, :1]), pads), kernels, steps)
                x = mean(F.pad(x, pads), kernels, steps) / inside
            return x.movedim(1, channel)

        settings = (kernels[at], strides[at], paddings[at][0], 1, spatial[at])
        is_max = op == "max_pool"
        parameters = PoolParameters(*settings) if is_max else AveragePoolParameters(*settings, count_padding=False)
        return site.add(op, node, call, parameters)

    return translate


def _global_pool(op: str) -> Translator:
    return lambda site, layer, node: site.reduce(
        node, op, _axes(site, layer, node)[0], bool(getattr(layer, "keepdims", False))
    )


def _flatten(site: Site, layer: Any, node: str) -> str:
    rank = len(site.shape(node))
    if getattr(layer, "data_format", None) == "channels_first" and rank > 2:
        node = site.permute(node, (0, *range(2, rank), 1), "transpose")
    return site.view(node, lambda x: (x.shape[0], math.prod(x.shape[1:])))


def _crop(site: Site, layer: Any, node: str) -> str:
    (axis,), _ = _axes(site, layer, node)
    low, high = layer.cropping
    return site.crop(node, axis, low, site.shape(node)[axis] - low - high)


def _zero_pad(site: Site, layer: Any, node: str) -> str:
    (axis,), _ = _axes(site, layer, node)
    return site.pad(node, axis, *layer.padding)


def _function(name: str) -> Translator:
    """Return the translator of an activation layer; Keras 2 calls the slope of its leaky ReLU alpha."""

    def translate(site: Site, layer: Any, node: str) -> str:
        options = options_of(layer, FUNCTIONS[key(name)])
        if name == "leaky_relu" and "negative_slope" not in options:
            options = {"negative_slope": float(layer.alpha)}
        return site.named_function(node, name, layer, **options)

    return translate


def _prelu(site: Site, layer: Any, node: str) -> str:
    alpha = _needed(site, layer.alpha)
    constant = site.constant("alpha", alpha[None])

    def call(x: Tensor, slope: Tensor) -> Tensor:
        return torch.relu(x) - slope * torch.relu(-x)

    return site.add("elementwise", (node, constant), call, ElementwiseParameters())


def _rescaling(site: Site, layer: Any, node: str) -> str:
    require(isinstance(layer.scale, int | float) and isinstance(layer.offset, int | float))
    scaled = site.combine("multiply", node, float(layer.scale), "scale")
    return site.combine("add", scaled, float(layer.offset), "offset")


def _fold(op: str) -> Merger:
    """Return the translator of a merge of tensors, two by two."""

    def translate(site: Site, layer: Any, nodes: list[str]) -> str:
        rank = max(len(site.shape(node)) for node in nodes)
        nodes = [_with_axes(site, node, rank) for node in nodes]
        total = nodes[0]
        for node in nodes[1:]:
            total = site.combine(op, total, node)
        return total

    return translate


def _with_axes(site: Site, node: str, rank: int) -> str:
    """Return a node with axes of size one after the batch, as Keras adds them to the operands of a merge."""
    missing = rank - len(site.shape(node))
    return site.view(node, lambda x: (x.shape[0], *[1] * missing, *x.shape[1:]), "expand") if missing else node


def _average(site: Site, layer: Any, nodes: list[str]) -> str:
    return site.combine("divide", _fold("add")(site, layer, nodes), len(nodes))


UNCALLED = frozenset(
    {
        "__init__",
        "build",
        "build_from_config",
        "compute_output_shape",
        "compute_output_signature",
        "compute_output_spec",
        "from_config",
        "get_build_config",
        "get_config",
        "load_own_variables",
        "save_own_variables",
    }
)
"""Methods of layers that take no part in calls: a subclass that defines no others calls like its base."""
NOISE = ("AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D")
"""Layers that are inactive in inference."""
TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        **dict.fromkeys((*NOISE, "ActivityRegularization", "Identity"), lambda site, layer, node: node),
        "Activation": lambda site, layer, node: _activation(site, layer.activation, node),
        "AveragePooling1D": pool("average_pool"),
        "AveragePooling2D": pool("average_pool"),
        "BatchNormalization": _batch_norm,
        "Conv1D": _conv(1),
        "Conv1DTranspose": _conv_transpose,
        "Conv2D": _conv(2),
        "Cropping1D": _crop,
        "Dense": _dense,
        "DepthwiseConv1D": _depthwise(1),
        "DepthwiseConv2D": _depthwise(2),
        "ELU": _function("elu"),
        "EinsumDense": _einsum_dense,
        "Flatten": _flatten,
        "GlobalAveragePooling1D": _global_pool("mean"),
        "GlobalAveragePooling2D": _global_pool("mean"),
        "GlobalMaxPooling1D": _global_pool("max"),
        "GlobalMaxPooling2D": _global_pool("max"),
        "LayerNormalization": _layer_norm,
        "LeakyReLU": _function("leaky_relu"),
        "MaxPooling1D": pool("max_pool"),
        "MaxPooling2D": pool("max_pool"),
        "PReLU": _prelu,
        "Permute": lambda site, layer, node: site.permute(node, (0, *layer.dims)),
        "RMSNormalization": _rms_norm,
        "ReLU": _function("relu"),
        "Rescaling": _rescaling,
        "Reshape": lambda site, layer, node: site.view(node, lambda x: (x.shape[0], *layer.target_shape)),
        "SeparableConv1D": _separable,
        "Softmax": lambda site, layer, node: site.softmax(node, layer.axis),
        "SyncBatchNormalization": _batch_norm,
        "TimeDistributed": _time_distributed,
        "UpSampling1D": lambda site, layer, node: site.upsample(node, per_axis(layer.size, 1)[0], 1),
        "ZeroPadding1D": _zero_pad,
    }
)
MERGERS: Mapping[str, Merger] = MappingProxyType(
    {
        "Add": _fold("add"),
        "Average": _average,
        "Concatenate": lambda site, layer, nodes: site.concatenate(nodes, layer.axis),
        "Maximum": _fold("maximum"),
        "Minimum": _fold("minimum"),
        "Multiply": _fold("multiply"),
        "Subtract": _fold("subtract"),
    }
)
