"""Layers of Keras 3 and Keras 2 in the engine's words: which family each belongs to, and what its rule needs."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attribution_bench_plugins.fastism.graph.keras_functions import find, key, options_of
from attribution_bench_plugins.fastism.graph.keras_ops import upsample
from attribution_bench_plugins.fastism.graph.keras_site import Site

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
    return site.add("opaque", node, lambda x: site.by_library(function, x), name)


def _axes(layer: Any) -> tuple[int, int]:
    """Return the axes of positions and of channels."""
    return (2, 1) if getattr(layer, "data_format", "channels_last") == "channels_first" else (1, 2)


def _one(value: Any) -> int:
    """Return the size along the one axis of positions."""
    return int(value[0]) if isinstance(value, list | tuple) else int(value)


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

    return site.add(
        "conv",
        node,
        call,
        kind,
        weight=weight,
        stride=stride,
        dilation=dilation,
        padding=padding,
        groups=groups,
        position_axis=position,
        channel_axis=channel,
    )


def _needed(site: Site, variable: Any) -> Tensor:
    weight = site.weight(variable)
    assert weight is not None
    return weight


def _conv(site: Site, layer: Any, node: str) -> str | None:
    weight = _needed(site, layer.kernel).permute(2, 1, 0).contiguous()
    return _activated(site, layer, _convolve(site, node, layer, weight, site.weight(layer.bias), _one(layer.groups)))


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

    found = site.add(
        "conv_transpose",
        node,
        call,
        weight=weight,
        stride=stride,
        dilation=dilation,
        padding=low,
        groups=1,
        position_axis=position,
        channel_axis=channel,
    )
    return _activated(site, layer, found)


def _dense(site: Site, layer: Any, node: str) -> str | None:
    weight = _needed(site, layer.kernel).t().contiguous()
    bias = site.weight(layer.bias)
    return _activated(site, layer, site.add("linear", node, lambda x: F.linear(x, weight, bias), weight=weight))


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
    mean, variance = _needed(site, layer.moving_mean), _needed(site, layer.moving_variance)
    weight, bias = site.weight(layer.gamma), site.weight(layer.beta)
    epsilon = float(layer.epsilon)

    def call(x: Tensor) -> Tensor:
        shape = [-1 if i == axis else 1 for i in range(rank)]
        scale = torch.rsqrt(variance + epsilon) * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - mean * scale
        return x * scale.view(shape) + shift.view(shape)

    parameters: dict[str, Any] = {
        "mean": mean,
        "variance": variance,
        "weight": weight,
        "bias": bias,
        "epsilon": epsilon,
    }
    return site.add("batch_norm", node, call, axis=axis, **parameters)


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

        parameters: dict[str, Any] = {"kernel": kernel, "stride": stride, "dilation": 1, "padding": padding[0]}
        if op == "average_pool":
            parameters["count_padding"] = False
        return site.add(op, node, call, position_axis=position, channel_axis=channel, **parameters)

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
    return site.add("elementwise", (node, constant), lambda x, a: torch.relu(x) - a * torch.relu(-x))


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
            found = found if node == found else site.add("elementwise", (found, node), function)
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
        "BatchNormalization": _batch_norm,
        "Conv1D": _conv,
        "Conv1DTranspose": _conv_transpose,
        "Cropping1D": _crop,
        "Dense": _dense,
        "DepthwiseConv1D": _depthwise,
        "Dropout": _identity,
        "ELU": _function("elu"),
        "Flatten": _flatten,
        "GaussianDropout": _identity,
        "GaussianNoise": _identity,
        "GlobalAveragePooling1D": _global_pool("mean"),
        "GlobalMaxPooling1D": _global_pool("max"),
        "Identity": _identity,
        "LayerNormalization": _layer_norm,
        "LeakyReLU": _function("leaky_relu"),
        "MaxPooling1D": _pool("max_pool"),
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
