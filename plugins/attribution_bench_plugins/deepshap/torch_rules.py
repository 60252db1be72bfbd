"""DeepLIFT's rules as differentiable functions of batches that hold x in their first half, references in the second.

Each replaces the gradient of an operation by multipliers with ``sum(m * (x - reference)) = f(x) - f(reference)``. Both
halves receive the same multipliers. Where x and reference agree the ratio of differences is not defined, and the
gradient at x stands in for it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Operation = Callable[..., Any]


def rescale(operation: Operation, position: int, *args: Any, **kwargs: Any) -> Tensor:
    """Elementwise operation of argument `position`: the ratio of differences (Shrikumar et al. 2017, section 3.5.1)."""

    def function(value: Tensor) -> Tensor:
        result: Tensor = operation(*args[:position], value, *args[position + 1 :], **kwargs)
        return result

    return _apply(_Rescale, args[position], function)


def largest(operation: Operation, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Maximum over windows or axes: a rise or fall of the maximum goes to the elements that hold it.

    With o the maximum of x and r that of the reference, ``max(o, r) - r`` is due to the element that holds o, and
    ``o - max(o, r)`` to the one that holds r. Each is at most that element's own difference, so multipliers lie in
    [0, 1], or add up to that over overlapping windows. Returns what the operation does, with None for indices.
    """
    pair = isinstance(operation(x[:1].detach(), *args, **kwargs), tuple)

    def function(value: Tensor) -> Tensor:
        result = operation(value, *args, **kwargs)
        chosen: Tensor = result[0] if isinstance(result, tuple) else result
        return chosen

    values = _apply(_Largest, x, function)
    return (values, None) if pair else values


def product(operation: Operation, *args: Any, **kwargs: Any) -> Tensor:
    """Bilinear operation of two tensors: each factor's multiplier is the mean of the other over x and reference.

    These are the Shapley values of the two factors: ``ab - a'b' = (a - a')(b + b')/2 + (b - b')(a + a')/2``.
    """

    def function(left: Tensor, right: Tensor) -> Tensor:
        result: Tensor = operation(left, right, *args[2:], **kwargs)
        return result

    return _apply(_Product, args[0], args[1], function)


def halves(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values of x and those of the references."""
    first, second = tensor.chunk(2)
    return first, second


def both(tensor: Tensor) -> Tensor:
    """Repeat values for x and for the references."""
    return torch.cat([tensor, tensor])


class _Rescale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Operation) -> Tensor:
        return _remember(ctx, x, function)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, output = ctx.remembered
        observed, reference = halves(x.detach())
        change = observed - reference
        # Below this the ratio is lost to rounding; the gradient is then as near to it as half precision's worth.
        resolution = torch.finfo(x.dtype).eps ** 0.5
        # Written so that infinite inputs, whose change is no number, take the gradient too.
        same = ~(change.abs() > resolution * torch.maximum(observed.abs(), reference.abs()))
        multiplier = torch.sub(*halves(output.detach())) / change.masked_fill(same, 1)
        if same.any():
            slope, _ = halves(_recalled_gradient(ctx, torch.ones_like(output)))
            multiplier = torch.where(same, slope, multiplier)
        return gradient * both(multiplier), None


class _Largest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Operation) -> Tensor:
        return _remember(ctx, x, function)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        x, output = ctx.remembered
        observed, reference = halves(output.detach())
        top = torch.maximum(observed, reference)
        share = torch.cat([top - reference, observed - top])
        contribution = torch.add(*halves(_recalled_gradient(ctx, gradient * share)))
        change = torch.sub(*halves(x.detach()))
        same = change == 0
        multiplier = contribution / change.masked_fill(same, 1)
        if same.any():
            slope, _ = halves(_recalled_gradient(ctx, gradient))
            multiplier = torch.where(same, slope, multiplier)
        return both(multiplier), None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, function: Operation) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(left, right)
        output: Tensor = function(left, right)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        left, right = ctx.saved_tensors
        mean_left, mean_right = (both(torch.add(*halves(factor)) / 2) for factor in (left, right))
        to_left = _gradient(lambda value: ctx.function(value, mean_right), left, gradient)
        to_right = _gradient(lambda value: ctx.function(mean_left, value), right, gradient)
        return to_left, to_right, None


def _remember(ctx: Any, x: Tensor, function: Operation) -> Tensor:
    """Evaluate a function of one tensor, keeping what `_recalled_gradient` needs so as not to evaluate it again."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        output: Tensor = function(leaf)
    ctx.remembered = leaf, output
    return output.detach()


def _recalled_gradient(ctx: Any, upstream: Tensor) -> Tensor:
    leaf, output = ctx.remembered
    gradient: Tensor = torch.autograd.grad(output, leaf, upstream, retain_graph=True)[0]
    return gradient


def _gradient(function: Operation, at: Tensor, upstream: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = at.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(function(leaf), leaf, upstream)
    return gradient


def _apply(function: Any, *args: Any) -> Tensor:
    result: Tensor = function.apply(*args)
    return result
