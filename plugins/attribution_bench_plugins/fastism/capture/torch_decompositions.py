"""PyTorch's composite operators as simpler ones, which have rules."""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from attribution_bench_plugins.fastism.capture.errors import TranslationError, require

Decomposition = Callable[..., Any]
"""Takes the arguments of an operator, and returns the same by other operators."""
MOST_PIECES = 64
"""Pieces of an axis that an operator may be taken apart into."""


def decomposed(node: fx.Node) -> fx.Graph | None:
    """Return the graph of simpler operators that an operator's call stands for; None where there is none.

    Its placeholders are the nodes that the call reads, in the order of ``all_input_nodes``.
    """
    target: Any = node.target
    own = DECOMPOSITIONS.get(str(target.name()).removeprefix("aten::").partition(".")[0])
    decomposition = own or _of_pytorch(target)
    if decomposition is None:
        return None
    sources = node.all_input_nodes

    def call(*values: Any) -> Any:
        def fill(source: fx.Node) -> Any:
            return values[sources.index(source)]

        return decomposition(*fx.map_arg(node.args, fill), **fx.map_arg(node.kwargs, fill))

    # What PyTorch's own decompositions call is taken apart, too; ours call operators that have rules as they are.
    trace = make_fx(call, tracing_mode="symbolic", pre_dispatch=own is not None)
    try:
        with torch.no_grad():
            graph: fx.Graph = trace(*(source.meta["val"] for source in sources)).graph
    except (NotImplementedError, RuntimeError, TranslationError, TypeError, ValueError):
        return None  # it cannot be traced without values, so that the operator stays whole
    return graph if {piece.op for piece in graph.nodes} <= {"placeholder", "call_function", "output"} else None


def _of_pytorch(target: Any) -> Decomposition | None:
    """Return PyTorch's own decomposition of an operator, if it has one."""
    if target._can_decompose():
        found: Decomposition = target.decompose
        return found
    return get_decompositions([target]).get(target)


def _distinct(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors of one type, each of them another one."""
    dtype = torch.result_type(tensors[0], tensors[-1])
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    found: list[Tensor] = []
    for tensor in tensors:
        cast = tensor if tensor.dtype == dtype else tensor.to(dtype)
        found.append(cast.clone() if any(cast is known for known in found) else cast)
    return found


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    return torch.cat(_distinct(tensors), dim)


def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    return torch.stack(_distinct(tensors), dim)


def _repeat(x: Tensor, repeats: Sequence[int]) -> Tensor:
    """Repeat one axis after the other."""
    require(len(repeats) == x.dim())
    for axis, times in enumerate(repeats):
        if times != 1:
            x = x.repeat([times if i == axis else 1 for i in range(x.dim())])
    return x


def _expand(x: Tensor, size: Sequence[int], *, implicit: bool = False) -> Tensor:
    """Expand one axis after the other; the longest first, which is taken for the positions."""
    require(len(size) == x.dim())
    grown = [axis for axis in range(1, x.dim()) if size[axis] not in (-1, x.shape[axis])]
    require(bool(grown))
    for axis in sorted(grown, key=lambda axis: -size[axis]):
        x = x.expand([size[axis] if i == axis else -1 for i in range(x.dim())])
    return x


def _roll(x: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> Tensor:
    for shift, axis in zip(shifts, dims, strict=True):
        x = torch.roll(x, shift, axis)
    return x


def _pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Pad one axis after the other; what is cropped first."""
    require(all(isinstance(width, int) for width in pad))
    for i in range(len(pad) // 2):
        before = [0] * (2 * i)
        for widths in (
            [min(0, width) for width in pad[2 * i : 2 * i + 2]],
            [max(0, n) for n in pad[2 * i : 2 * i + 2]],
        ):
            if any(widths):
                x = F.pad(x, [*before, *widths], mode if max(widths) > 0 else "constant", value)
    return x


def _slice_scatter(
    x: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    require(step == 1)
    if not start and end in (None, sys.maxsize):
        return _copy(x, src)
    require(dim % x.dim() > 0)
    size = x.shape[dim]
    first, stop, _ = slice(start, end).indices(size)
    parts = [x.narrow(dim, 0, first), src, x.narrow(dim, stop, size - stop)]
    kept = [part for part, width in zip(parts, (first, stop - first, size - stop), strict=True) if width]
    return kept[0] if len(kept) == 1 else _cat(kept, dim)


def _select_scatter(x: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    index %= x.shape[dim]
    return _slice_scatter(x, src.unsqueeze(dim), dim, index, index + 1)


def _copy(x: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    require(x.shape == src.shape)
    return src if src.dtype == x.dtype else src.to(x.dtype)


def _in_dtype(reduce: Callable[..., Tensor]) -> Decomposition:
    """Return the decomposition of a reduction that casts first."""

    def in_dtype(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
        require(dtype is not None)
        return reduce(x.to(dtype), dim, keepdim)

    return in_dtype


def _extremes(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    require(dim is not None)
    return x.amin(dim or 0, keepdim), x.amax(dim or 0, keepdim)


def _one_hot(x: Tensor, num_classes: int = -1) -> Tensor:
    require(num_classes > 0)
    return (x.unsqueeze(-1) == torch.arange(num_classes, device=x.device)).to(torch.int64)


def _einsum(equation: str, tensors: Sequence[Tensor], *, path: Any = None) -> Tensor:
    """Return an Einstein sum of two tensors, one of which has every axis of the other, as a product and a sum."""
    left, arrow, out = equation.replace(" ", "").partition("->")
    require(bool(arrow) and len(tensors) == 2 and "." not in left)
    (all_labels, x), (labels, y) = sorted(zip(left.split(","), tensors, strict=True), key=lambda pair: -len(pair[0]))
    require(all(len(set(part)) == len(part) for part in (all_labels, labels, out)))
    require({*labels, *out} <= set(all_labels) and all_labels[0] in out)
    y = y.permute([labels.index(label) for label in all_labels if label in labels])
    for axis, label in enumerate(all_labels):
        y = y if label in labels else y.unsqueeze(axis)
    product, summed = x * y, [axis for axis, label in enumerate(all_labels) if label not in out]
    product = product.sum(summed) if summed else product
    kept = [label for label in all_labels if label in out]
    return product if kept == list(out) else product.permute([kept.index(label) for label in out])


def _unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Take each place of the stretches by a slice with a step."""
    dimension %= x.dim()
    require(dimension > 0)
    count = (x.shape[dimension] - size) // step + 1
    if size == step:
        stretches = torch.unflatten(x.narrow(dimension, 0, count * size), dimension, (count, size))
        return stretches.movedim(dimension + 1, -1)
    require(size <= MOST_PIECES)
    places = [range(first, first + (count - 1) * step + 1, step) for first in range(size)]
    return torch.stack([_strided(x, dimension, place) for place in places], -1)


def _strided(x: Tensor, axis: int, places: range) -> Tensor:
    return x[(*[slice(None)] * axis, slice(places.start, places.stop, places.step))]


def _ratio(x: Tensor, output_size: Sequence[int] | None, scale_factors: Sequence[float] | None) -> float:
    """Return how many places of the last axis lie between two of an interpolation."""
    require(x.dim() == 3)
    if scale_factors:
        return 1 / scale_factors[0]
    return x.shape[-1] / (output_size or [0])[0]


def _nearest(centre: float) -> Decomposition:
    """Return the decomposition of a nearest interpolation to fewer positions, a whole number of times fewer.

    Of each group of positions that becomes one, the one at `centre` of the group's length is taken: 0 is the first.
    """

    def nearest(x: Tensor, output_size: Sequence[int] | None, scale_factors: Sequence[float] | None) -> Tensor:
        ratio = _ratio(x, output_size, scale_factors)
        require(ratio == int(ratio) > 1)
        step, count = int(ratio), output_size[0] if output_size else int(x.shape[-1] / ratio)
        first = int(centre * step)
        return x[:, :, first : first + (count - 1) * step + 1 : step]

    return nearest


def _linear(
    x: Tensor, output_size: Sequence[int] | None, align_corners: bool, scale_factors: Sequence[float] | None
) -> Tensor:
    """Return a linear interpolation of the last axis, by a whole number."""
    ratio = _ratio(x, output_size, scale_factors)
    require(not align_corners and (ratio == int(ratio) or 1 / ratio == int(1 / ratio) <= MOST_PIECES))
    if ratio >= 1:
        step, count = int(ratio), output_size[0] if output_size else int(x.shape[-1] / ratio)
        middles = [x[:, :, at : at + (count - 1) * step + 1 : step] for at in {(step - 1) // 2, step // 2}]
        return middles[0] if len(middles) == 1 else (middles[0] + middles[1]) * 0.5
    padded = F.pad(x, (1, 1), "replicate")
    before, after = padded[:, :, :-2], padded[:, :, 2:]
    places = [(phase + 0.5) * ratio - 0.5 for phase in range(int(1 / ratio))]
    between = [torch.lerp(x, before if at < 0 else after, abs(at)) if at else x.clone() for at in places]
    return torch.stack(between, -1).flatten(-2)


def _of_rows(mode: str) -> Decomposition:
    """Return the decomposition of an interpolation of images along their rows alone."""

    def along_rows(x: Tensor, output_size: Any, *settings: Any) -> Tensor:
        scale_factors = settings[-1]
        require(x.dim() == 4 and not any(value for value in settings[:-1]))
        size = None if output_size is None else output_size[1]
        rows = output_size[0] if output_size else x.shape[2] * scale_factors[0]
        require(rows == x.shape[2])
        scale = None if scale_factors is None else scale_factors[1]
        return torch.unflatten(F.interpolate(x.flatten(1, 2), size, scale, mode), 1, (-1, x.shape[2]))

    return along_rows


DECOMPOSITIONS: Mapping[str, Decomposition] = MappingProxyType(
    {
        "_upsample_nearest_exact1d": _nearest(0.5),
        "aminmax": _extremes,
        "cat": _cat,
        "copy": _copy,
        "einsum": _einsum,
        "expand": _expand,
        "inner": lambda x, other: torch.tensordot(x, other, ([-1], [-1])),
        "mean": _in_dtype(torch.mean),
        "one_hot": _one_hot,
        "pad": _pad,
        "repeat": _repeat,
        "roll": _roll,
        "select_scatter": _select_scatter,
        "slice_scatter": _slice_scatter,
        "stack": _stack,
        "sum": _in_dtype(torch.sum),
        "unfold": _unfold,
        "upsample_bilinear2d": _of_rows("linear"),
        "upsample_linear1d": _linear,
        "upsample_nearest1d": _nearest(0),
        "upsample_nearest2d": _of_rows("nearest"),
    }
)
"""Name of an operator -> the same by operators that have rules; those of PyTorch end in operators that have none."""
