"""Layers of Keras 3 and Keras 2 in the engine's words: which family each belongs to, and what its rule needs."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.capture.keras_functions import find, key, options_of
from attribution_bench_plugins.fastism.capture.keras_ops import upsample
from attribution_bench_plugins.fastism.capture.keras_site import Site
from attribution_bench_plugins.fastism.graph.ir import OPAQUE
from attribution_bench_plugins.fastism.graph.parameters import (
    AveragePoolParameters,
    BatchNormParameters,
    Convolution2dParameters,
    ConvolutionParameters,
    ElementwiseParameters,
    OpaqueParameters,
    PoolParameters,
    TransposedConvolutionParameters,
    WeightParameters,
)

Translator = Callable[[Site, Any, str], str | None]
"""Takes the site, the layer and the node that it is called on; returns the node of its output, or None for none."""
Merger = Callable[[Site, Any, list[str]], str | None]
"""The same for a layer called on several nodes."""


def translate_layer(site: Site, layer: Any, nodes: list[str]) -> str | None:
    """Return the node of a layer's call on nodes; None for one that the engine has no words for."""
    name = type(layer).__name__
    if not site.library.owns(type(layer), "layers") or not all(site.is_tensor(node) for node in nodes):
        return None
    if getattr(layer, "quantization_mode", None) is not None:
        return None
    if name in MERGERS:
        return MERGERS[name](site, layer, nodes)
    if len(nodes) != 1:
        return None
    return TRANSLATORS[name](site, layer, nodes[0]) if name in TRANSLATORS else None


def activation(site: Site, function: Any, node: str) -> str | None:
    """Return the node of an activation function, which may be a layer; None for a function of the user's."""
    if function is None:
        return node
    if hasattr(function, "weights"):
        return translate_layer(site, function, [node])
    name = getattr(function, "__name__", type(function).__name__)
    if not site.library.owns(function, "activations"):
        return None
    if name == "linear":
        return node
    if key(name) in ("softmax", "logsoftmax"):
        return site.softmax(node, -1, name, getattr(torch, name))
    return site.named_function(node, name, function, name)


def _activated(site: Site, layer: Any, node: str) -> str | None:
    """Return a layer's node after its own activation; the library calls what the engine has no words for."""
    function = layer.activation
    found = activation(site, function, node)
    if found is not None:
        return found
    name = getattr(function, "__name__", type(function).__name__)
    return site.add(OPAQUE, node, lambda x: site.by_library(function, x), OpaqueParameters(), name)


def _axes(layer: Any) -> tuple[int, int]:
    """Return the axes of positions and of channels."""
    return (2, 1) if getattr(layer, "data_format", "channels_last") == "channels_first" else (1, 2)


def _one(value: Any) -> int:
    """Return the size along the one axis of positions."""
    return int(value[0]) if isinstance(value, list | tuple) else int(value)


def _two(values: Sequence[int]) -> tuple[int, int]:
    """Return a setting of two spatial axes."""
    first, second = values
    return int(first), int(second)


def _padding(kind: str, length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return what Keras pads on the left and on the right."""
    reach = (kernel - 1) * dilation
    if kind == "causal":
        return reach, 0
    total = max(0, (math.ceil(length / stride) - 1) * stride + reach + 1 - length) if kind == "same" else 0
    return total // 2, total - total // 2


def _convolve(
    site: Site,
    node: str,
    layer: Any,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    *,
    pointwise: bool = False,
    kind: str = "",
) -> str:
    """Add a convolution by weights (C_out, C_in / groups, K) with the layer's stride, dilation and padding."""
    position, channel = _axes(layer)
    stride, dilation = (1, 1) if pointwise else (_one(layer.strides), _one(layer.dilation_rate))
    padding = _padding(layer.padding, site.shape(node)[position], weight.shape[2], stride, dilation)

    def call(x: Tensor) -> Tensor:
        x = F.pad(x.movedim(channel, 1), padding)
        return F.conv1d(x, weight, bias, stride, 0, dilation, groups).movedim(1, channel)

    parameters = ConvolutionParameters(
        weight,
        stride=stride,
        dilation=dilation,
        padding=padding,
        groups=groups,
        position_axis=position,
        channel_axis=channel,
    )
    return site.add("conv", node, call, parameters, kind)


def _needed(site: Site, variable: Any) -> Tensor:
    weight = site.weight(variable)
    assert weight is not None
    return weight


def _conv(site: Site, layer: Any, node: str) -> str | None:
    weight = _needed(site, layer.kernel).permute(2, 1, 0).contiguous()
    return _activated(site, layer, _convolve(site, node, layer, weight, site.weight(layer.bias), _one(layer.groups)))


def _axes_2d(layer: Any) -> tuple[tuple[int, int], int]:
    """Return the two spatial axes and that of channels."""
    return ((2, 3), 1) if layer.data_format == "channels_first" else ((1, 2), 3)


def _paddings(
    site: Site, node: str, layer: Any, kernel: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return what Keras pads before and after along either spatial axis."""
    sizes = [site.shape(node)[axis] for axis in _axes_2d(layer)[0]]
    first, second = (
        _padding(layer.padding, *settings) for settings in zip(sizes, kernel, layer.strides, dilation, strict=True)
    )
    return first, second


def _convolve_2d(site: Site, node: str, layer: Any, weight: Tensor, groups: int) -> str | None:
    """Add a convolution of images by weights (C_out, C_in / groups, K, K), and its activation."""
    spatial, channel = _axes_2d(layer)
    stride, dilation, bias = _two(layer.strides), _two(layer.dilation_rate), site.weight(layer.bias)
    padding = _paddings(site, node, layer, weight.shape[2:], dilation)

    def call(x: Tensor) -> Tensor:
        x = F.pad(x.movedim(channel, 1), (*padding[1], *padding[0]))
        return F.conv2d(x, weight, bias, stride, 0, dilation, groups).movedim(1, channel)

    parameters = Convolution2dParameters(
        weight,
        stride=stride,
        dilation=dilation,
        padding=padding,
        groups=groups,
        spatial_axes=spatial,
        channel_axis=channel,
    )
    return _activated(site, layer, site.add("conv2d", node, call, parameters))


def _conv_2d(site: Site, layer: Any, node: str) -> str | None:
    weight = _needed(site, layer.kernel).permute(3, 2, 0, 1).contiguous()
    return _convolve_2d(site, node, layer, weight, _one(layer.groups))


def _depthwise_2d(site: Site, layer: Any, node: str) -> str | None:
    kernel = _needed(site, layer.kernel if hasattr(layer, "kernel") else layer.depthwise_kernel)
    weight = kernel.permute(2, 3, 0, 1).flatten(0, 1).unsqueeze(1).contiguous()
    return _convolve_2d(site, node, layer, weight, kernel.shape[2])


def _depthwise_weight(kernel: Tensor) -> Tensor:
    """Return (K, C_in, multiplier) as weights of C_in groups."""
    return kernel.permute(1, 2, 0).reshape(-1, 1, kernel.shape[0]).contiguous()


def _depthwise_kernel(site: Site, layer: Any) -> Tensor:
    name = "kernel" if hasattr(layer, "kernel") else "depthwise_kernel"
    return _needed(site, getattr(layer, name)).flatten(0, -3)  # Keras 2 stores some with an axis of size one


def _depthwise(site: Site, layer: Any, node: str) -> str | None:
    kernel = _depthwise_kernel(site, layer)
    bias = site.weight(layer.bias)
    return _activated(
        site, layer, _convolve(site, node, layer, _depthwise_weight(kernel), bias, groups=kernel.shape[1])
    )


def _separable(site: Site, layer: Any, node: str) -> str | None:
    kernel = _needed(site, layer.depthwise_kernel)
    weight = _depthwise_weight(kernel)
    node = _convolve(site, node, layer, weight, None, groups=kernel.shape[1], kind="depthwise")
    weight = _needed(site, layer.pointwise_kernel).permute(2, 1, 0).contiguous()
    bias = site.weight(layer.bias)
    return _activated(site, layer, _convolve(site, node, layer, weight, bias, 1, pointwise=True, kind="pointwise"))


def _conv_transpose(site: Site, layer: Any, node: str) -> str | None:
    position, channel = _axes(layer)
    weight = _needed(site, layer.kernel).permute(2, 1, 0).contiguous()
    bias = site.weight(layer.bias)
    stride, dilation = _one(layer.strides), _one(layer.dilation_rate)
    reach, length = (weight.shape[2] - 1) * dilation, site.shape(node)[position]
    size = int(layer.compute_output_shape(site.shape(node))[position])
    entire = (length - 1) * stride + reach + 1
    low = max(0, entire - size) // 2 if layer.padding == "same" else 0

    def call(x: Tensor) -> Tensor:
        x = F.conv_transpose1d(x.movedim(channel, 1), weight, None, stride, dilation=dilation)
        x = F.pad(x, (-low, size - entire + low))
        return (x if bias is None else x + bias[:, None]).movedim(1, channel)

    parameters = TransposedConvolutionParameters(
        weight,
        stride=stride,
        dilation=dilation,
        padding=low,
        groups=1,
        position_axis=position,
        channel_axis=channel,
    )
    return _activated(site, layer, site.add("conv_transpose", node, call, parameters))


def _dense(site: Site, layer: Any, node: str) -> str | None:
    weight = _needed(site, layer.kernel).t().contiguous()
    bias = site.weight(layer.bias)
    found = site.add("linear", node, lambda x: F.linear(x, weight, bias), WeightParameters(weight))
    return _activated(site, layer, found)


def _einsum_dense(site: Site, layer: Any, node: str) -> str | None:
    bias = site.weight(layer.bias)
    found = site.contract(layer.equation, node, _needed(site, layer.kernel))
    if found is not None and bias is not None:
        shift = site.builder.constant(f"{site.name}/bias", bias, f"{site.name} (bias)")
        found = site.combine("add", found, shift, "bias")
    return None if found is None else _activated(site, layer, found)


def _time_distributed(site: Site, layer: Any, node: str) -> str | None:
    inner = layer.layer
    known = type(inner).__name__ in ("Activation", "Dense", "Dropout") and site.library.owns(type(inner), "layers")
    return translate_layer(site, inner, [node]) if known else None


def _batch_norm(site: Site, layer: Any, node: str) -> str | None:
    rank = len(site.shape(node))
    axes = list(layer.axis) if isinstance(layer.axis, list | tuple) else [layer.axis]
    if len(axes) != 1:
        return None
    axis = axes[0] % rank
    parameters = BatchNormParameters(
        weight=site.weight(layer.gamma),
        bias=site.weight(layer.beta),
        mean=_needed(site, layer.moving_mean),
        variance=_needed(site, layer.moving_variance),
        epsilon=float(layer.epsilon),
        axis=axis,
    )

    def call(x: Tensor) -> Tensor:
        shape = [-1 if i == axis else 1 for i in range(rank)]
        return x * parameters.scale.view(shape) + parameters.shift.view(shape)

    return site.add("batch_norm", node, call, parameters)


def _layer_norm(site: Site, layer: Any, node: str) -> str | None:
    axis = _sole_axis(layer)
    if axis is None or getattr(layer, "rms_scaling", False):
        return None
    weight, bias = site.weight(layer.gamma), site.weight(layer.beta)
    return site.position_wise(node, axis, lambda x: F.layer_norm(x, x.shape[-1:], weight, bias, layer.epsilon))


def _rms_norm(site: Site, layer: Any, node: str) -> str | None:
    axis, weight = _sole_axis(layer), site.weight(layer.scale)
    if axis is None or weight is None:
        return None
    return site.position_wise(
        node, axis, lambda x: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + layer.epsilon) * weight
    )


def _sole_axis(layer: Any) -> int | None:
    axes = list(layer.axis) if isinstance(layer.axis, list | tuple) else [layer.axis]
    return int(axes[0]) if len(axes) == 1 else None


def _pool(op: str) -> Translator:
    def translate(site: Site, layer: Any, node: str) -> str | None:
        position, channel = _axes(layer)
        kernel, stride = _one(layer.pool_size), _one(layer.strides or layer.pool_size)
        padding = _padding(layer.padding, site.shape(node)[position], kernel, stride, 1)

        def call(x: Tensor) -> Tensor:
            x = x.movedim(channel, 1)
            if op == "max_pool":
                x = F.max_pool1d(F.pad(x, padding, value=float("-inf")), kernel, stride)
            else:
                inside = F.avg_pool1d(F.pad(torch.ones_like(x[:1, :1]), padding), kernel, stride)
                x = F.avg_pool1d(F.pad(x, padding), kernel, stride) / inside
            return x.movedim(1, channel)

        return site.add(op, node, call, _pool_parameters(op, kernel, stride, padding[0], position))

    return translate


def _pool_parameters(op: str, kernel: int, stride: int, padding: int, position_axis: int) -> PoolParameters:
    if op == "max_pool":
        return PoolParameters(kernel, stride, padding, dilation=1, position_axis=position_axis)
    return AveragePoolParameters(kernel, stride, padding, dilation=1, position_axis=position_axis, count_padding=False)


def _pool_2d(op: str) -> Translator:
    """Return the translator of a pool of images along one of their axes."""

    def translate(site: Site, layer: Any, node: str) -> str | None:
        spatial, channel = _axes_2d(layer)
        kernels, strides = _two(layer.pool_size), _two(layer.strides)
        paddings = _paddings(site, node, layer, kernels, (1, 1))
        sizes = [site.shape(node)[axis] for axis in spatial]
        pooled = [i for i in (0, 1) if kernels[i] > 1 or (strides[i] > 1 and sizes[i] > 1)]
        if len(pooled) > 1:
            return None
        at = pooled[0] if pooled else 1
        flat = tuple(1 if i != at else strides[i] for i in (0, 1))

        def call(x: Tensor) -> Tensor:
            pads = (*paddings[1], *paddings[0])
            x = x.movedim(channel, 1)
            if op == "max_pool":
                x = F.max_pool2d(F.pad(x, pads, value=float("-inf")), kernels, flat)
            else:
                inside = F.avg_pool2d(F.pad(torch.ones_like(x[:1, :1]), pads), kernels, flat)
                x = F.avg_pool2d(F.pad(x, pads), kernels, flat) / inside
            return x.movedim(1, channel)

        return site.add(op, node, call, _pool_parameters(op, kernels[at], strides[at], paddings[at][0], spatial[at]))

    return translate


def _global_pool_2d(op: str) -> Translator:
    def translate(site: Site, layer: Any, node: str) -> str | None:
        return site.reduce(node, op, _axes_2d(layer)[0], bool(getattr(layer, "keepdims", False)))

    return translate


def _global_pool(op: str) -> Translator:
    def translate(site: Site, layer: Any, node: str) -> str | None:
        return site.reduce(node, op, (_axes(layer)[0],), bool(getattr(layer, "keepdims", False)))

    return translate


def _flatten(site: Site, layer: Any, node: str) -> str | None:
    rank = len(site.shape(node))
    if getattr(layer, "data_format", None) == "channels_first" and rank > 2:
        node = site.permute(node, (0, *range(2, rank), 1), "transpose")
    return site.view(node, lambda x: (x.shape[0], math.prod(x.shape[1:])))


def _reshape(site: Site, layer: Any, node: str) -> str | None:
    return site.view(node, lambda x: (x.shape[0], *layer.target_shape))


def _permute(site: Site, layer: Any, node: str) -> str | None:
    return site.permute(node, (0, *layer.dims))


def _crop(site: Site, layer: Any, node: str) -> str | None:
    axis = _axes(layer)[0]
    low, high = layer.cropping
    return site.crop(node, axis, low, site.shape(node)[axis] - low - high)


def _zero_pad(site: Site, layer: Any, node: str) -> str | None:
    low, high = layer.padding
    return site.pad(node, _axes(layer)[0], low, high)


def _upsample(site: Site, layer: Any, node: str) -> str | None:
    return upsample(site, node, _one(layer.size), 1)


def _identity(site: Site, layer: Any, node: str) -> str | None:
    return node


def _function(name: str) -> Translator:
    """Return the translator of an activation layer; Keras 2 calls the slope of its leaky ReLU alpha."""

    def translate(site: Site, layer: Any, node: str) -> str | None:
        function = find(name)
        assert function is not None
        options = options_of(layer, function)
        if name == "leaky_relu" and "negative_slope" not in options:
            options = {"negative_slope": float(layer.alpha)}
        return site.named_function(node, name, layer, **options)

    return translate


def _prelu(site: Site, layer: Any, node: str) -> str | None:
    alpha = _needed(site, layer.alpha)
    constant = site.builder.constant(f"{site.name}/alpha", alpha[None], f"{site.name} (alpha)")

    def call(x: Tensor, slope: Tensor) -> Tensor:
        return torch.relu(x) - slope * torch.relu(-x)

    return site.add("elementwise", (node, constant), call, ElementwiseParameters())


def _softmax(site: Site, layer: Any, node: str) -> str | None:
    return site.softmax(node, layer.axis)


def _activation(site: Site, layer: Any, node: str) -> str | None:
    return activation(site, layer.activation, node)


def _rescaling(site: Site, layer: Any, node: str) -> str | None:
    if not isinstance(layer.scale, int | float) or not isinstance(layer.offset, int | float):
        return None
    scaled = site.combine("multiply", node, float(layer.scale), "scale")
    return scaled if scaled is None else site.combine("add", scaled, float(layer.offset), "offset")


def _fold(op: str) -> Merger:
    """Return the translator of a merge of tensors of one rank, two by two."""

    def translate(site: Site, layer: Any, nodes: list[str]) -> str | None:
        if len({len(site.shape(node)) for node in nodes}) > 1:
            return None  # Keras adds axes in ways of its own
        total: str | None = nodes[0]
        for node in nodes[1:]:
            assert total is not None
            total = site.combine(op, total, node)
        return total

    return translate


def _average(site: Site, layer: Any, nodes: list[str]) -> str | None:
    total = _fold("add")(site, layer, nodes)
    return None if total is None else site.combine("divide", total, len(nodes))


def _extremum(function: Callable[[Tensor, Tensor], Tensor]) -> Merger:
    def translate(site: Site, layer: Any, nodes: list[str]) -> str | None:
        if len({len(site.shape(node)) for node in nodes}) > 1:
            return None
        found = nodes[0]
        for node in nodes[1:]:
            found = (
                found if node == found else site.add("elementwise", (found, node), function, ElementwiseParameters())
            )
        return found

    return translate


def _concatenate(site: Site, layer: Any, nodes: list[str]) -> str | None:
    return site.concatenate(nodes, layer.axis)


TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        "Activation": _activation,
        "ActivityRegularization": _identity,
        "AlphaDropout": _identity,
        "AveragePooling1D": _pool("average_pool"),
        "AveragePooling2D": _pool_2d("average_pool"),
        "BatchNormalization": _batch_norm,
        "Conv1D": _conv,
        "Conv1DTranspose": _conv_transpose,
        "Conv2D": _conv_2d,
        "Cropping1D": _crop,
        "Dense": _dense,
        "DepthwiseConv1D": _depthwise,
        "DepthwiseConv2D": _depthwise_2d,
        "Dropout": _identity,
        "ELU": _function("elu"),
        "EinsumDense": _einsum_dense,
        "Flatten": _flatten,
        "GaussianDropout": _identity,
        "GaussianNoise": _identity,
        "GlobalAveragePooling1D": _global_pool("mean"),
        "GlobalAveragePooling2D": _global_pool_2d("mean"),
        "GlobalMaxPooling1D": _global_pool("max"),
        "GlobalMaxPooling2D": _global_pool_2d("max"),
        "Identity": _identity,
        "LayerNormalization": _layer_norm,
        "LeakyReLU": _function("leaky_relu"),
        "MaxPooling1D": _pool("max_pool"),
        "MaxPooling2D": _pool_2d("max_pool"),
        "PReLU": _prelu,
        "Permute": _permute,
        "RMSNormalization": _rms_norm,
        "ReLU": _function("relu"),
        "Rescaling": _rescaling,
        "Reshape": _reshape,
        "SeparableConv1D": _separable,
        "Softmax": _softmax,
        "SpatialDropout1D": _identity,
        "SyncBatchNormalization": _batch_norm,
        "TimeDistributed": _time_distributed,
        "UpSampling1D": _upsample,
        "ZeroPadding1D": _zero_pad,
    }
)
MERGERS: Mapping[str, Merger] = MappingProxyType(
    {
        "Add": _fold("add"),
        "Average": _average,
        "Concatenate": _concatenate,
        "Maximum": _extremum(torch.maximum),
        "Minimum": _extremum(torch.minimum),
        "Multiply": _fold("multiply"),
        "Subtract": _fold("subtract"),
    }
)
