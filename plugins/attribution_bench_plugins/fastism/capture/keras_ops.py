"""Operations of keras.ops and of TensorFlow, as they stand between the layers of functional models."""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attribution_bench_plugins.fastism.capture.keras_functions import find, key, options_of
from attribution_bench_plugins.fastism.capture.keras_model import Reference
from attribution_bench_plugins.fastism.capture.keras_site import Site
from attribution_bench_plugins.fastism.graph.parameters import (
    NO_PARAMETERS,
    ConcatenationParameters,
    ElementwiseParameters,
    FlipParameters,
    ShiftParameters,
    UpsamplingParameters,
    WeightParameters,
)

Handler = Callable[..., str | None]
"""Takes the site and the operation's arguments, References among them; returns the node, or None for what has none."""


def translate_operation(site: Site, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Return the node of an operation's call; None for one that the engine has no words for."""
    if site.keras_2:
        symbol = str(getattr(operation, "symbol", None)).removeprefix("compat.v1.").rpartition(".")[2]
        name = TENSORFLOW_NAMES.get(symbol, symbol)
        kwargs = {TENSORFLOW_ARGUMENTS.get(k, k): v for k, v in kwargs.items() if k not in ("name", "conjugate")}
        attributes: dict[str, Any] = {}
    else:
        name = type(operation).__name__
        attributes = vars(operation)
    handler, options = HANDLERS.get(key(name), (None, ()))
    if handler is not None:
        given = {option: attributes[option] for option in options if option in attributes}
        arguments = {**given, **kwargs}
        try:
            inspect.signature(handler).bind(site, *args, **arguments)
        except TypeError:  # an argument that is not known here
            return None
        return handler(site, *args, **arguments)
    return _function(site, name, operation, args, kwargs)


def _function(site: Site, name: str, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    function = find(name)
    if function is None or len(args) != 1 or not isinstance(args[0], Reference):
        return None
    options = {**options_of(operation, function), **kwargs}
    return site.named_function(args[0].name, name, lambda x: operation(x, **kwargs), **options)


def _binary(op: str) -> Handler:
    def handle(site: Site, x1: Any, x2: Any) -> str | None:
        first, second = site.operand(x1), site.operand(x2)
        return None if first is None or second is None else site.combine(op, first, second)

    return handle


def _extremum(function: Callable[[Tensor, Tensor], Tensor]) -> Handler:
    def handle(site: Site, x1: Any, x2: Any) -> str | None:
        first, second = site.operand(x1), site.operand(x2)
        if isinstance(first, str) and isinstance(second, str):
            return (
                first
                if first == second
                else site.add("elementwise", (first, second), function, ElementwiseParameters())
            )
        node, bound = (first, second) if isinstance(first, str) else (second, first)
        if not isinstance(node, str) or bound is None or isinstance(bound, str):
            return None
        return site.add("elementwise", node, lambda x: function(x, torch.full_like(x, bound)), ElementwiseParameters())

    return handle


def _of_elements(function: Callable[..., Tensor]) -> Handler:
    """Return the handler of a function of single elements of several tensors or numbers."""

    def handle(site: Site, *operands: Any) -> str | None:
        found = [site.operand(operand) for operand in operands]
        names = tuple(dict.fromkeys(operand for operand in found if isinstance(operand, str)))
        if not names or any(operand is None for operand in found):
            return None

        def call(*values: Tensor) -> Tensor:
            given = dict(zip(names, values, strict=True))
            return function(*(given[operand] if isinstance(operand, str) else operand for operand in found))

        return site.add("elementwise", names, call, ElementwiseParameters())

    return handle


def _power(site: Site, x1: Any, x2: Any) -> str | None:
    exponent = site.operand(x2)
    if not isinstance(x1, Reference) or isinstance(exponent, str) or exponent is None:
        return None
    return site.add("elementwise", x1.name, lambda x: x**exponent, ElementwiseParameters())


def _negative(site: Site, x: Reference) -> str:
    return site.add("multiply", x.name, torch.neg, NO_PARAMETERS)


def _identity(site: Site, x: Reference) -> str:
    return x.name


def _reduction(op: str) -> Handler:
    def handle(site: Site, x: Reference, axis: Any = None, keepdims: bool = False, initial: Any = None) -> str | None:
        axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
        rank = len(site.shape(x.name))
        if initial is not None or any(not isinstance(a, int) or a % rank == 0 for a in axes):
            return None
        return site.reduce(x.name, op, axes, bool(keepdims))

    return handle


def _concatenate(site: Site, xs: Sequence[Any], axis: int = 0) -> str | None:
    nodes = [site.operand(x) for x in xs]
    names = [node for node in nodes if isinstance(node, str)]
    return site.concatenate(names, axis) if len(names) == len(nodes) else None


def _stack(site: Site, xs: Sequence[Any], axis: int = 0) -> str | None:
    nodes = [site.operand(x) for x in xs]
    names = tuple(node for node in nodes if isinstance(node, str))
    if len(names) < len(nodes) or len(set(names)) < len(names) or axis % (len(site.shape(names[0])) + 1) == 0:
        return None
    axis %= len(site.shape(names[0])) + 1
    return site.add("stack", names, lambda *values: torch.stack(values, axis), ConcatenationParameters(axis))


def _reshape(site: Site, x: Reference, newshape: Sequence[Any]) -> str | None:
    sizes = [None if isinstance(size, Reference) else size for size in newshape]
    known = [size for size in sizes[1:] if isinstance(size, int | np.integer)]
    if len(known) != len(sizes) - 1 or (isinstance(sizes[0], int | np.integer) and sizes[0] != -1):
        return None
    return site.view(x.name, lambda value: (value.shape[0], *known))


def _transpose(site: Site, x: Reference, axes: Sequence[int] | None = None) -> str | None:
    rank = len(site.shape(x.name))
    return None if axes is None else site.permute(x.name, tuple(int(axis) % rank for axis in axes))


def _swap_axes(site: Site, x: Reference, axis1: int, axis2: int) -> str | None:
    axes = list(range(len(site.shape(x.name))))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return site.permute(x.name, tuple(axes))


def _move_axis(site: Site, x: Reference, source: Any, destination: Any) -> str | None:
    order = torch.empty([1] * len(site.shape(x.name))).movedim(source, destination)
    axes = np.moveaxis(np.empty(range(1, order.dim() + 1)), source, destination).shape
    return site.permute(x.name, tuple(size - 1 for size in axes))


def _expand(site: Site, x: Reference, axis: Any) -> str | None:
    return (
        site.add("view", x.name, lambda value: value.unsqueeze(axis), NO_PARAMETERS) if isinstance(axis, int) else None
    )


def _squeeze(site: Site, x: Reference, axis: Any = None) -> str | None:
    return site.add("view", x.name, lambda value: value.squeeze(axis), NO_PARAMETERS) if isinstance(axis, int) else None


def _flip(site: Site, x: Reference, axis: Any = None) -> str | None:
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    rank = len(site.shape(x.name))
    if any(not isinstance(a, int) or a % rank == 0 for a in axes):
        return None
    return site.add("flip", x.name, lambda value: value.flip(axes), FlipParameters(tuple(a % rank for a in axes)))


def _repeat(site: Site, x: Reference, repeats: Any, axis: Any = None) -> str | None:
    if not isinstance(repeats, int) or not isinstance(axis, int) or axis % len(site.shape(x.name)) == 0:
        return None
    return upsample(site, x.name, repeats, axis % len(site.shape(x.name)))


def _pad(site: Site, x: Reference, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> str | None:
    value = 0 if constant_values is None else site.operand(constant_values)
    widths = [tuple(int(n) for n in pair) for pair in pad_width]
    if mode != "constant" or not isinstance(value, int | float) or widths[0] != (0, 0):
        return None
    node = x.name
    for axis, (low, high) in enumerate(widths):
        node = site.pad(node, axis, low, high, value)
    return node


def _matmul(site: Site, x1: Any, x2: Any) -> str | None:
    if not isinstance(x1, Reference) or isinstance(x2, Reference):
        return None
    constant = site.operand(x2)
    if not isinstance(constant, str) or len(site.shape(constant)) != 2:
        return None
    weight = site.builder.examples[constant][0].to(site.dtype_of(x1.name)).t().contiguous()
    return site.add("linear", x1.name, lambda x: torch.nn.functional.linear(x, weight), WeightParameters(weight))


def _einsum(site: Site, *operands: Any, subscripts: str) -> str | None:
    changing = [operand for operand in operands if isinstance(operand, Reference)]
    if len(operands) != 2 or len(changing) != 1:
        return None
    first, second = (site.operand(operand) for operand in operands)
    if not isinstance(first, str) or not isinstance(second, str):
        return None
    weight_first = isinstance(operands[1], Reference)
    node, constant = (second, first) if weight_first else (first, second)
    weight = site.builder.examples[constant][0].to(site.dtype_of(node))
    return site.contract(subscripts, node, weight, weight_first=weight_first)


def _softmax(function: Callable[..., Tensor]) -> Handler:
    def handle(site: Site, x: Reference, axis: Any = -1) -> str | None:
        return site.softmax(x.name, axis, function=function)

    return handle


def _cast(site: Site, x: Reference, dtype: Any) -> str | None:
    wanted = getattr(torch, str(getattr(dtype, "name", dtype)), None)
    if not isinstance(wanted, torch.dtype):
        return None
    return x.name if site.dtype_of(x.name) == wanted else site.cast(x.name, wanted)


def _get_item(site: Site, x: Reference, index: Any) -> str | None:
    """Crop, thin out, flip and reshape as ``x[index]`` does; None for other negative steps, and other indices."""
    index = [_slice(part) for part in (index if isinstance(index, list | tuple) else (index,))]
    node, rank = x.name, len(site.shape(x.name))
    taken = sum(part is not None and part is not Ellipsis for part in index)
    if Ellipsis not in [part for part in index if part is None or part is Ellipsis or not hasattr(part, "shape")]:
        index.append(Ellipsis)
    at = next(i for i, part in enumerate(index) if part is Ellipsis)
    index[at : at + 1] = [slice(None)] * (rank - taken)
    axis, kept = 0, []
    for part in index:
        if part is None:
            kept.append(1)
            continue
        size = site.shape(node)[axis]
        if isinstance(part, int) and axis > 0:
            node = site.crop(node, axis, part % size, 1)
        elif part == slice(None):
            kept.append(axis)
        elif isinstance(part, slice) and axis > 0 and (part.step or 1) == 1:
            start, stop, _ = part.indices(size)
            node = site.crop(node, axis, start, max(0, stop - start))
            kept.append(axis)
        elif isinstance(part, slice) and axis > 0 and part.step > 0 and len(range(*part.indices(size))):
            start, stop, step = part.indices(size)
            whole = (slice(None),) * axis
            taken_places = (*whole, slice(start, stop, step))
            node = site.add("shift", node, lambda x, at=taken_places: x[at], ShiftParameters(axis, start, step))
            kept.append(axis)
        elif part == slice(None, None, -1) and axis > 0:
            node = site.add("flip", node, lambda value, axis=axis: value.flip(axis), FlipParameters((axis,)))
            kept.append(axis)
        else:
            return None
        axis += 1
    if kept == list(range(rank)):
        return node
    sizes = _sizes_kept(index, site.shape(node))
    return site.view(node, lambda value: (value.shape[0], *sizes)) if index[0] == slice(None) else None


def _slice(part: Any) -> Any:
    """Return a part of an index as Python writes it; Keras 2 stores slices as dicts."""
    return slice(part["start"], part["stop"], part["step"]) if isinstance(part, dict) else part


def _sizes_kept(index: Sequence[Any], shape: tuple[int, ...]) -> list[int]:
    """Return the sizes that are left of a cropped tensor, without the batch."""
    sizes, axis = [], 0
    for part in index:
        if part is None:
            sizes.append(1)
            continue
        if isinstance(part, slice):
            sizes.append(shape[axis])
        axis += 1
    return sizes[1:]


def upsample(site: Site, node: str, factor: int, axis: int) -> str:
    """Add a node that repeats each element along an axis."""
    return site.add("upsample", node, lambda x: x.repeat_interleave(factor, axis), UpsamplingParameters(axis, factor))


HANDLERS: Mapping[str, tuple[Handler, tuple[str, ...]]] = MappingProxyType(
    {
        "add": (_binary("add"), ()),
        "amax": (_reduction("max"), ("axis", "keepdims")),
        "cast": (_cast, ("dtype",)),
        "concatenate": (_concatenate, ("axis",)),
        "copy": (_identity, ()),
        "divide": (_binary("divide"), ()),
        "einsum": (_einsum, ("subscripts",)),
        "equal": (_of_elements(operator.eq), ()),
        "expanddims": (_expand, ("axis",)),
        "flip": (_flip, ("axis",)),
        "getitem": (_get_item, ()),
        "greater": (_of_elements(operator.gt), ()),
        "greaterequal": (_of_elements(operator.ge), ()),
        "less": (_of_elements(operator.lt), ()),
        "lessequal": (_of_elements(operator.le), ()),
        "logicaland": (_of_elements(torch.logical_and), ()),
        "logicalnot": (_of_elements(torch.logical_not), ()),
        "logicalor": (_of_elements(torch.logical_or), ()),
        "logsoftmax": (_softmax(torch.log_softmax), ("axis",)),
        "matmul": (_matmul, ()),
        "max": (_reduction("max"), ("axis", "keepdims", "initial")),
        "maximum": (_extremum(torch.maximum), ()),
        "mean": (_reduction("mean"), ("axis", "keepdims")),
        "minimum": (_extremum(torch.minimum), ()),
        "moveaxis": (_move_axis, ("source", "destination")),
        "multiply": (_binary("multiply"), ()),
        "negative": (_negative, ()),
        "notequal": (_of_elements(operator.ne), ()),
        "pad": (_pad, ("pad_width", "mode")),
        "power": (_power, ()),
        "repeat": (_repeat, ("repeats", "axis")),
        "reshape": (_reshape, ("newshape",)),
        "softmax": (_softmax(torch.softmax), ("axis",)),
        "squeeze": (_squeeze, ("axis",)),
        "stack": (_stack, ("axis",)),
        "stopgradient": (_identity, ()),
        "subtract": (_binary("subtract"), ()),
        "sum": (_reduction("sum"), ("axis", "keepdims")),
        "swapaxes": (_swap_axes, ("axis1", "axis2")),
        "transpose": (_transpose, ("axes",)),
        "truedivide": (_binary("divide"), ()),
        "where": (_of_elements(torch.where), ()),
    }
)
"""Key of the class' name -> handler, and the attributes of the operation that are its further arguments."""
TENSORFLOW_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "concat": "concatenate",
        "neg": "negative",
        "pow": "power",
        "reduce_max": "max",
        "reduce_mean": "mean",
        "reduce_sum": "sum",
        "reverse": "flip",
    }
)
TENSORFLOW_ARGUMENTS: Mapping[str, str] = MappingProxyType(
    {
        "a": "x1",
        "b": "x2",
        "input": "x",
        "input_tensor": "x",
        "perm": "axes",
        "shape": "newshape",
        "slice_spec": "index",
        "tensor": "x",
        "y": "x2",
    }
)
