"""Composite ATen operations written in those that DeepLIFT has rules for; PyTorch puts them into the captured graph.

Each takes the arguments of the ATen operation that it stands for.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decompositions as recurrent

aten = torch.ops.aten


def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Layer normalisation over the last axes."""
    return _affine(_standardised(x, list(range(-len(normalized_shape), 0)), eps), weight, bias)


def group_norm(
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Group normalisation over the channels of a group and all positions."""
    grouped = x.reshape(x.shape[0], groups, -1)
    return _channel_affine(_standardised(grouped, [-1], eps).reshape(x.shape), weight, bias)


def instance_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """Normalisation of each channel over its positions, or by running statistics."""
    shape = [1, -1] + [1] * (x.ndim - 2)
    if use_input_stats:
        normal = _standardised(x, list(range(2, x.ndim)), eps)
    else:
        assert running_mean is not None
        assert running_var is not None
        normal = (x - running_mean.reshape(shape)) / (running_var.reshape(shape) + eps).sqrt()
    return _channel_affine(normal, weight, bias)


def rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Division by the root of the mean square over the last axes."""
    axes = list(range(-len(normalized_shape), 0))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _affine(x / ((x * x).mean(axes, keepdim=True) + eps).sqrt(), weight, None)


def variance(
    x: Tensor,
    dim: Sequence[int] | int | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> Tensor:
    """Variance over axes, all where there are none."""
    axes = list(range(x.ndim)) if dim is None or dim == [] else [dim] if isinstance(dim, int) else list(dim)
    count = 1
    for axis in axes:
        count = count * x.shape[axis]
    centred = x - x.mean(axes, keepdim=True)
    return (centred * centred).sum(axes, keepdim=keepdim) / (count - (1 if correction is None else correction))


def old_variance(x: Tensor, dim: Sequence[int] | None, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """Variance over axes as it was called before there was a correction."""
    return variance(x, dim, correction=float(unbiased), keepdim=keepdim)


def deviation(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Root of `variance`."""
    return variance(x, *args, **kwargs).sqrt()


def old_deviation(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Root of `old_variance`."""
    return old_variance(x, *args, **kwargs).sqrt()


def vector_norm(
    x: Tensor, order: float = 2, dim: Sequence[int] | int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Norm of vectors along axes, all where there are none."""
    x = x if dtype is None else x.to(dtype)
    axes = list(range(x.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if order == float("inf"):
        return x.abs().amax(axes, keepdim=keepdim)
    if order == -float("inf"):
        return x.abs().amin(axes, keepdim=keepdim)
    if order == 0:
        return (x != 0).to(x.dtype).sum(axes, keepdim=keepdim)
    if order == 1:
        return x.abs().sum(axes, keepdim=keepdim)
    if order == 2:
        return (x * x).sum(axes, keepdim=keepdim).sqrt()
    return x.abs().pow(order).sum(axes, keepdim=keepdim).pow(1 / order)


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """Gated linear unit."""
    value, gate = x.chunk(2, dim)
    return value * gate.sigmoid()


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Scaled dot-product attention."""
    if dropout_p:
        return NotImplemented  # type: ignore[no-any-return]
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (part.repeat_interleave(repeats, -3) for part in (key, value))
    logits = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        ones = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)
        logits = torch.where(ones.tril(), logits, torch.full_like(logits, -float("inf")))
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        logits = torch.where(attn_mask, logits, -float("inf")) if masked else logits + attn_mask
    return logits.softmax(-1) @ value


def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Another value where a mask holds."""
    return torch.where(mask, value, x)


def index_put(x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False) -> Tensor:
    """Choose between tensors where values are assigned to the places of a mask."""
    mask = indices[0]
    chooses = len(indices) == 1 and mask is not None and mask.dtype == torch.bool and mask.shape == x.shape
    if accumulate or not chooses or values.ndim:
        return NotImplemented  # type: ignore[no-any-return]
    return torch.where(mask, values, x)  # type: ignore[arg-type]


def scaled_sum(x: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """Matrix product that is added to a matrix."""
    result: Tensor = beta * x + alpha * (left @ right)
    return result


def product_added(x: Tensor, left: Tensor, right: Tensor, *, value: float = 1) -> Tensor:
    """Product of elements that is added."""
    return x + value * (left * right)


def quotient_added(x: Tensor, left: Tensor, right: Tensor, *, value: float = 1) -> Tensor:
    """Quotient of elements that is added."""
    return x + value * (left / right)


def interpolated(start: Tensor, end: Tensor, weight: Any) -> Tensor:
    """Straight line between two tensors."""
    result: Tensor = start + weight * (end - start)
    return result


def log_add_exp(left: Tensor, right: Tensor) -> Tensor:
    """Logarithm of the sum of two exponentials."""
    shape = (left + right).shape
    return torch.stack([left.expand(shape), right.expand(shape)]).logsumexp(0)


def cosine(x: Tensor, y: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Cosine of the angle between vectors along an axis."""
    squares = [(part * part).sum(dim, keepdim=True).clamp_min(eps * eps).sqrt() for part in (x, y)]
    return ((x / squares[0]) * (y / squares[1])).sum(dim)


def extremes(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Smallest and largest elements along an axis, or of all."""
    axes = list(range(x.ndim)) if dim is None else [dim]
    return x.amin(axes, keepdim), x.amax(axes, keepdim)


def median(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Median along an axis, the lower one of an even number, and its place."""
    return kth_value(x, (x.shape[dim] + 1) // 2, dim, keepdim)


def kth_value(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Element of rank k along an axis, the smallest being of rank 1, and its place."""
    values, indices = x.sort(dim)
    values, indices = values.narrow(dim, k - 1, 1), indices.narrow(dim, k - 1, 1)
    return (values, indices) if keepdim else (values.squeeze(dim), indices.squeeze(dim))


TABLE: dict[Any, Callable[..., Any]] = {
    aten.layer_norm.default: layer_norm,
    aten.group_norm.default: group_norm,
    aten.instance_norm.default: instance_norm,
    aten.rms_norm.default: rms_norm,
    aten.var.correction: variance,
    aten.var.dim: old_variance,
    aten.std.correction: deviation,
    aten.std.dim: old_deviation,
    aten.linalg_vector_norm.default: vector_norm,
    aten.glu.default: glu,
    aten.scaled_dot_product_attention.default: attention,
    aten.masked_fill.Scalar: masked_fill,
    aten.masked_fill.Tensor: masked_fill,
    aten.index_put.default: index_put,
    aten.addmm.default: scaled_sum,
    aten.baddbmm.default: scaled_sum,
    aten.addcmul.default: product_added,
    aten.addcdiv.default: quotient_added,
    aten.lerp.Scalar: interpolated,
    aten.lerp.Tensor: interpolated,
    aten.logaddexp.default: log_add_exp,
    aten.cosine_similarity.default: cosine,
    aten.aminmax.default: extremes,
    aten.median.dim: median,
    aten.kthvalue.default: kth_value,
    aten.lstm.input: recurrent.lstm_impl,
    aten.gru.input: recurrent.gru_impl,
    aten.rnn_tanh.input: recurrent.rnn_tanh_input,
    aten.rnn_relu.input: recurrent.rnn_relu_input,
}
"""Recurrent layers are unrolled, so that every step of theirs follows the rules."""


def _standardised(x: Tensor, axes: list[int], eps: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred / ((centred * centred).mean(axes, keepdim=True) + eps).sqrt()


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _channel_affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = [-1] + [1] * (x.ndim - 2)
    return _affine(x, *(None if term is None else term.reshape(shape) for term in (weight, bias)))
