"""Operations that are several rules at once, written out, with the arguments of the ATen operation they stand for."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attribution_bench_plugins.deepshap.torch_rules import both, halves, product, rescale


def quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient of two tensors that both depend on the sequence."""
    return product(torch.mul, numerator, rescale(torch.reciprocal, 0, denominator))


def inverse(numerator: Any, denominator: Tensor) -> Tensor:
    """Quotient of something constant by a tensor that depends on the sequence."""
    result: Tensor = rescale(torch.reciprocal, 0, denominator) * numerator
    return result


def maximum(left: Tensor, right: Tensor) -> Tensor:
    """Larger of two tensors."""
    return right + rescale(torch.relu, 0, left - right)


def minimum(left: Tensor, right: Tensor) -> Tensor:
    """Smaller of two tensors."""
    return left - rescale(torch.relu, 0, left - right)


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """Gated linear unit."""
    value, gate = x.chunk(2, dim)
    return product(torch.mul, value, rescale(torch.sigmoid, 0, gate))


def softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Softmax along an axis."""
    exponential, total, _ = _exponential(x, [dim])
    result = product(torch.mul, exponential, rescale(torch.reciprocal, 0, total))
    return result if dtype is None else result.to(dtype)


def log_softmax(x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Logarithm of the softmax along an axis."""
    _, total, shift = _exponential(x, [dim])
    result = x - shift - rescale(torch.log, 0, total)
    return result if dtype is None else result.to(dtype)


def logsumexp(x: Tensor, dim: Sequence[int], keepdim: bool = False) -> Tensor:
    """Logarithm of the sum of exponentials over axes."""
    _, total, shift = _exponential(x, dim)
    result = rescale(torch.log, 0, total) + shift
    return result if keepdim else result.squeeze(tuple(dim))


def layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Layer normalisation over the last axes."""
    return _affine(_standardise(x, list(range(-len(normalized_shape), 0)), eps), weight, bias)


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
    shape = [-1] + [1] * (x.ndim - 2)
    normal = _standardise(grouped, [-1], eps).reshape(x.shape)
    return _affine(normal, *(None if term is None else term.reshape(shape) for term in (weight, bias)))


def rms_norm(
    x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Division by the root of the mean square over the last axes."""
    axes = list(range(-len(normalized_shape), 0))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _affine(_over_root_mean_square(x, axes, eps), weight, None)


def einsum(equation: str, operands: Sequence[Tensor]) -> Tensor:
    """Contraction of two tensors."""
    return product(lambda left, right: torch.einsum(equation, left, right), *operands)


def attention(query: Tensor, key: Tensor, value: Tensor, *, scale: float | None = None) -> Tensor:
    """Scaled dot-product attention without a mask."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    weights = softmax(product(torch.matmul, query * scale, key.transpose(-2, -1)), -1)
    return product(torch.matmul, weights, value)


def _exponential(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Exponentials, their sum, and the shift under which both are taken.

    The shift guards against overflow. It is one for x and reference, so that it cancels like any constant.
    """
    peaks = torch.maximum(*halves(x.detach().amax(tuple(axes), keepdim=True)))
    shift = both(peaks)
    exponential = rescale(torch.exp, 0, x - shift)
    return exponential, exponential.sum(tuple(axes), keepdim=True), shift


def _standardise(x: Tensor, axes: list[int], eps: float) -> Tensor:
    return _over_root_mean_square(x - x.mean(axes, keepdim=True), axes, eps)


def _over_root_mean_square(x: Tensor, axes: list[int], eps: float) -> Tensor:
    power = product(torch.mul, x, x).mean(axes, keepdim=True)
    return product(torch.mul, x, rescale(torch.rsqrt, 0, power + eps))


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
