"""Operations of keras.ops and of TensorFlow between the layers of functional models, as ops of the graph."""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attribution_bench_plugins.fastism.capture.einstein_sums import product_equation
from attribution_bench_plugins.fastism.capture.errors import TranslationError, require
from attribution_bench_plugins.fastism.capture.keras_functions import FUNCTIONS, key, options_of
from attribution_bench_plugins.fastism.capture.keras_layers import convolve, layer_norm, per_axis, pool, rms_norm
from attribution_bench_plugins.fastism.capture.keras_model import Reference, number
from attribution_bench_plugins.fastism.capture.keras_site import Site
from attribution_bench_plugins.fastism.graph.parameters import (
    NO_PARAMETERS,
    ConcatenationParameters,
    ElementwiseParameters,
    FlipParameters,
    ShiftParameters,
    WeightParameters,
)

Handler = Callable[..., str]
"""Takes the site and the operation's arguments, References among them; returns the node.

Arguments that Keras stores as attributes of the operation have the same names as parameters.
"""


def translate_operation(site: Site, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the node of an operation's call; raise TranslationError for one that no rule covers."""
    if site.keras_2:
        symbol = str(getattr(operation, "symbol", None)).removeprefix("compat.v1.").rpartition(".")[2]
        name = TENSORFLOW_NAMES.get(symbol, symbol)
        kwargs = {TENSORFLOW_ARGUMENTS.get(k, k): v for k, v in kwargs.items() if k not in ("name", "conjugate")}
        attributes: dict[str, Any] = {}
    else:
        name = type(operation).__name__
        attributes = vars(operation)
    handler = HANDLERS.get(key(name))
    if handler is None:
        require(key(name) in FUNCTIONS and len(args) == 1 and isinstance(args[0], Reference))
        options = {**options_of(operation, FUNCTIONS[key(name)]), **kwargs}
        return site.named_function(args[0].name, name, lambda x: operation(x, **kwargs), **options)
    signature = inspect.signature(handler)
    arguments = {option: value for option, value in attributes.items() if option in signature.parameters} | kwargs
    try:
        signature.bind(site, *args, **arguments)
    except TypeError:
        raise TranslationError from None
    return handler(site, *args, **arguments)


def _binary(op: str) -> Handler:
    return lambda site, x1, x2: site.combine(op, site.operand(x1), site.operand(x2))


def _of_elements(function: Callable[..., Tensor]) -> Handler:
    """Return the handler of a function of single elements of several tensors or numbers."""
    return lambda site, *operands: site.call_of(
        "elementwise", function, [site.operand(operand) for operand in operands], ElementwiseParameters()
    )


def _power(site: Site, x1: Reference, x2: Any) -> str:
    exponent = site.operand(x2)
    require(isinstance(x1, Reference) and not isinstance(exponent, str))
    return site.add("elementwise", x1.name, lambda x: x**exponent, ElementwiseParameters())


def _identity(site: Site, x: Reference) -> str:
    return x.name


def _reduction(op: str) -> Handler:
    def handle(site: Site, x: Reference, axis: Any = None, keepdims: bool = False, initial: Any = None) -> str:
        require(initial is None)
        return site.reduce(x.name, op, site.inner_axes(x.name, axis), bool(keepdims))

    return handle


def _stack(site: Site, xs: Sequence[Any], axis: int = 0) -> str:
    nodes = site.nodes(xs)
    axis %= len(site.shape(nodes[0])) + 1
    require(axis > 0 and len(set(nodes)) == len(nodes))
    return site.add("stack", tuple(nodes), lambda *values: torch.stack(values, axis), ConcatenationParameters(axis))


def _reshape(site: Site, x: Reference, newshape: Sequence[Any]) -> str:
    rows, *sizes = newshape
    require(isinstance(rows, Reference) or rows is None or rows == -1)
    require(all(isinstance(size, int | np.integer) for size in sizes))
    return site.view(x.name, lambda value: (value.shape[0], *sizes))


def _transpose(site: Site, x: Reference, axes: Sequence[int] | None = None) -> str:
    if axes is None:
        raise TranslationError
    return site.permute(x.name, tuple(int(axis) % len(site.shape(x.name)) for axis in axes))


def _swap_axes(site: Site, x: Reference, axis1: int, axis2: int) -> str:
    axes = list(range(len(site.shape(x.name))))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return site.permute(x.name, tuple(axes))


def _move_axis(site: Site, x: Reference, source: Any, destination: Any) -> str:
    # Axes of different sizes are told by them.
    sizes = np.empty(range(1, len(site.shape(x.name)) + 1))
    return site.permute(x.name, tuple(size - 1 for size in np.moveaxis(sizes, source, destination).shape))


def _expand(site: Site, x: Reference, axis: Any) -> str:
    require(isinstance(axis, int))
    return site.add("view", x.name, lambda value: value.unsqueeze(axis), NO_PARAMETERS)


def _squeeze(site: Site, x: Reference, axis: Any = None) -> str:
    require(isinstance(axis, int))
    return site.add("view", x.name, lambda value: value.squeeze(axis), NO_PARAMETERS)


def _flip(site: Site, x: Reference, axis: Any = None) -> str:
    axes = site.inner_axes(x.name, axis)
    return site.add("flip", x.name, lambda value: value.flip(axes), FlipParameters(axes))


def _repeat(site: Site, x: Reference, repeats: Any, axis: Any = None) -> str:
    require(isinstance(repeats, int) and isinstance(axis, int))
    return site.upsample(x.name, repeats, *site.inner_axes(x.name, axis))


def _roll(site: Site, x: Reference, shift: Any, axis: Any = None) -> str:
    require(isinstance(shift, int) and isinstance(axis, int))
    (axis,), size = site.inner_axes(x.name, axis), site.shape(x.name)[axis]
    return site.choose(x.name, axis, [(place - shift) % size for place in range(size)])


def _tile(site: Site, x: Reference, repeats: Any) -> str:
    times = [repeats] if isinstance(repeats, int) else list(repeats)
    shape, node = site.shape(x.name), x.name
    require(len(times) <= len(shape) and all(isinstance(n, int) for n in times))
    for axis, count in enumerate([1] * (len(shape) - len(times)) + times):
        require(axis > 0 or count == 1)
        node = site.choose(node, axis, list(range(shape[axis])) * count) if count != 1 else node
    return node


def _take(site: Site, x: Reference, indices: Any, axis: Any = None) -> str:
    require(isinstance(axis, int) and not isinstance(indices, Reference))
    places = np.asarray(indices)
    require(places.ndim == 1)
    (axis,) = site.inner_axes(x.name, axis)
    return site.choose(x.name, axis, [int(place) for place in places])


def _along(function: Callable[..., Tensor]) -> Handler:
    """Return the handler of a function of one axis, which stays."""

    def handle(site: Site, x: Reference, axis: Any = None, dtype: Any = None) -> str:
        require(isinstance(axis, int) and dtype is None)
        (axis,) = site.inner_axes(x.name, axis)
        return site.position_wise(x.name, axis, lambda value: function(value, -1))

    return handle


def _over(function: Callable[..., Tensor]) -> Handler:
    """Return the handler of a function that makes one number of an axis."""

    def handle(site: Site, x: Reference, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> str:
        require(isinstance(axis, int | list | tuple) and dtype is None)
        axes = site.inner_axes(x.name, axis)
        require(len(axes) == 1)
        return site.over(x.name, axes[0], lambda value: function(value, -1), keep=bool(keepdims))

    return handle


def _pad(site: Site, x: Reference, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> str:
    value = 0 if constant_values is None else site.operand(constant_values)
    (before, after), *widths = (tuple(map(int, pair)) for pair in pad_width)
    if mode != "constant" or isinstance(value, str) or before or after:
        raise TranslationError
    node = x.name
    for axis, (low, high) in enumerate(widths, start=1):
        node = site.pad(node, axis, low, high, value)
    return node


def _matmul(site: Site, x1: Any, x2: Any) -> str:
    constant = site.operand(x2)
    require(isinstance(x1, Reference) and not isinstance(x2, Reference))
    if not isinstance(constant, str):
        raise TranslationError
    weight = site.value(constant).to(site.dtype_of(x1.name))
    if weight.dim() != 2:
        return site.contract(product_equation(len(site.shape(x1.name)), weight, weight_first=False), x1.name, weight)
    weight = weight.t().contiguous()
    return site.add("linear", x1.name, lambda x: torch.nn.functional.linear(x, weight), WeightParameters(weight))


def _einsum(site: Site, *operands: Any, subscripts: str) -> str:
    changing = [isinstance(operand, Reference) for operand in operands]
    require(len(operands) == 2 and changing[0] != changing[1])
    nodes = site.nodes(operands)
    node, constant = nodes if changing[0] else reversed(nodes)
    weight = site.value(constant).to(site.dtype_of(node))
    return site.contract(subscripts, node, weight, weight_first=changing[1])


def _softmax(function: Callable[..., Tensor]) -> Handler:
    def handle(site: Site, x: Reference, axis: Any = -1) -> str:
        return site.softmax(x.name, axis, function=function)

    return handle


def _pool(op: str) -> Handler:
    """Return the handler of a pool, whose settings are those of a layer."""
    translate = pool(op)

    def handle(
        site: Site, x: Reference, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
    ) -> str:
        settings = SimpleNamespace(pool_size=pool_size, strides=strides, padding=padding, data_format=data_format)
        return translate(site, settings, x.name)

    return handle


def _convolution(
    site: Site,
    x: Reference,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> str:
    weight, axes = _fixed(site, kernel, x.name), len(site.shape(x.name)) - 2
    require(axes in (1, 2))
    if weight is None:
        raise TranslationError
    settings = SimpleNamespace(padding=padding, data_format=data_format)
    taps = weight.movedim((-1, -2), (0, 1)).contiguous()
    return convolve(site, settings, x.name, taps, None, per_axis(strides, axes), per_axis(dilation_rate, axes))


def _fixed(site: Site, value: Any, like: str) -> Tensor | None:
    """Return an argument that depends on no input as a tensor of a node's type; None for one that is left out."""
    require(not isinstance(value, Reference))
    plain = number(value)  # which the library would round to single precision
    weight = site.weight(value) if plain is None else torch.tensor(plain, dtype=torch.float64, device=site.device)
    return None if weight is None else weight.to(site.dtype_of(like))


def _of_axis(site: Site, value: Any, node: str, axis: int) -> Tensor | None:
    """Return what a normalization multiplies or adds along its axis, to which it may be broadcast, (places,)."""
    weight, shape = _fixed(site, value, node), site.shape(node)
    if weight is None or weight.shape == (shape[axis],):
        return weight
    return weight.broadcast_to([size if at == axis else 1 for at, size in enumerate(shape)]).flatten()


def _layer_norm(
    site: Site,
    x: Reference,
    gamma: Any = None,
    beta: Any = None,
    axis: Any = -1,
    epsilon: float | None = None,
    rms_scaling: bool = False,
) -> str:
    axes = site.inner_axes(x.name, axis)
    require(len(axes) == 1 and not rms_scaling)
    weight, bias = (_of_axis(site, value, x.name, axes[0]) for value in (gamma, beta))
    return layer_norm(site, x.name, axes[0], weight, bias, _epsilon(epsilon))


def _rms_norm(site: Site, x: Reference, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> str:
    axes = site.inner_axes(x.name, axis)
    require(len(axes) == 1)
    return rms_norm(site, x.name, axes[0], _of_axis(site, scale, x.name, axes[0]), _epsilon(epsilon))


def _epsilon(given: float | None) -> float:
    """Return what a normalization adds to a variance: Keras' own number where none is given."""
    if given is not None:
        return given
    import keras

    return float(keras.config.epsilon())


def _cast(site: Site, x: Reference, dtype: Any) -> str:
    wanted = getattr(torch, str(getattr(dtype, "name", dtype)), None)
    if not isinstance(wanted, torch.dtype):
        raise TranslationError
    return x.name if site.dtype_of(x.name) == wanted else site.cast(x.name, wanted)


def _converted(site: Site, x: Reference, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> str:
    return x.name if dtype is None else _cast(site, x, dtype)


def _get_item(site: Site, x: Reference, index: Any) -> str:
    """Crop, stride, flip and reshape as ``x[index]`` does; no other negative steps, and no indices that are tensors."""
    parts = [_slice(part) for part in (index if isinstance(index, list | tuple) else (index,))]
    require(all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts))
    parts += [] if Ellipsis in parts else [Ellipsis]
    at, rank = parts.index(Ellipsis), len(site.shape(x.name))
    parts[at : at + 1] = [slice(None)] * (rank - sum(isinstance(part, int | slice) for part in parts))
    node, axis = x.name, 0
    kept: list[int | None] = []
    for part in parts:
        if part is None:
            kept.append(None)
            continue
        if part != slice(None):
            require(axis > 0)
            node = _taken(site, node, axis, part)
        if isinstance(part, slice):
            kept.append(axis)
        axis += 1
    if kept == list(range(rank)):
        return node
    require(kept[0] == 0)
    shape = site.shape(node)
    sizes = [1 if axis is None else shape[axis] for axis in kept[1:]]
    return site.view(node, lambda value: (value.shape[0], *sizes))


def _slice(part: Any) -> Any:
    """Return a part of an index as Python writes it; Keras 2 stores slices as dicts."""
    return slice(part["start"], part["stop"], part["step"]) if isinstance(part, dict) else part


def _taken(site: Site, node: str, axis: int, part: int | slice) -> str:
    """Return a node of the elements of one axis that an index or a slice takes; the axis stays."""
    size = site.shape(node)[axis]
    if isinstance(part, int):
        return site.crop(node, axis, part % size, 1)
    if part == slice(None, None, -1):
        return site.add("flip", node, lambda value: value.flip(axis), FlipParameters((axis,)))
    start, stop, step = part.indices(size)
    if step == 1:
        return site.crop(node, axis, start, max(0, stop - start))
    require(step > 0 and stop > start)
    places = (*[slice(None)] * axis, slice(start, stop, step))
    return site.add("shift", node, lambda value: value[places], ShiftParameters(axis, start, step))


HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {
        "add": _binary("add"),
        "amax": _reduction("max"),
        "amin": _reduction("min"),
        "argmax": _over(lambda x, axis: x.argmax(axis).int()),
        "averagepool": _pool("average_pool"),
        "cast": _cast,
        "concatenate": lambda site, xs, axis=0: site.concatenate(site.nodes(xs), axis),
        "conv": _convolution,
        "converttotensor": _converted,
        "copy": _identity,
        "cumprod": _along(torch.cumprod),
        "cumsum": _along(torch.cumsum),
        "divide": _binary("divide"),
        "einsum": _einsum,
        "equal": _of_elements(operator.eq),
        "expanddims": _expand,
        "flip": _flip,
        "getitem": _get_item,
        "greater": _of_elements(operator.gt),
        "greaterequal": _of_elements(operator.ge),
        "layernorm": _layer_norm,
        "less": _of_elements(operator.lt),
        "lessequal": _of_elements(operator.le),
        "logicaland": _of_elements(torch.logical_and),
        "logicalnot": _of_elements(torch.logical_not),
        "logicalor": _of_elements(torch.logical_or),
        "logsoftmax": _softmax(torch.log_softmax),
        "logsumexp": _over(torch.logsumexp),
        "matmul": _matmul,
        "max": _reduction("max"),
        "maximum": _binary("maximum"),
        "maxpool": _pool("max_pool"),
        "mean": _reduction("mean"),
        "min": _reduction("min"),
        "minimum": _binary("minimum"),
        "moveaxis": _move_axis,
        "multiply": _binary("multiply"),
        "negative": lambda site, x: site.add("multiply", x.name, torch.neg, NO_PARAMETERS),
        "notequal": _of_elements(operator.ne),
        "pad": _pad,
        "power": _power,
        "prod": _over(torch.prod),
        "repeat": _repeat,
        "reshape": _reshape,
        "rmsnorm": _rms_norm,
        "roll": _roll,
        "softmax": _softmax(torch.softmax),
        "squeeze": _squeeze,
        "stack": _stack,
        "stopgradient": _identity,
        "std": _over(lambda x, axis: x.std(axis, correction=0)),
        "subtract": _binary("subtract"),
        "sum": _reduction("sum"),
        "swapaxes": _swap_axes,
        "take": _take,
        "tile": _tile,
        "transpose": _transpose,
        "truedivide": _binary("divide"),
        "var": _over(lambda x, axis: x.var(axis, correction=0)),
        "where": _of_elements(torch.where),
    }
)
"""Key of the class' name (see `key`) -> handler."""
TENSORFLOW_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "concat": "concatenate",
        "neg": "negative",
        "pow": "power",
        "reduce_max": "max",
        "reduce_mean": "mean",
        "reduce_min": "min",
        "reduce_prod": "prod",
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
        "multiples": "repeats",
        "perm": "axes",
        "shape": "newshape",
        "slice_spec": "index",
        "tensor": "x",
        "y": "x2",
    }
)
