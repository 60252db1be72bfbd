"""PyTorch's operators as ops of the graph: arithmetic, functions of one axis, and what moves axes and places."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from attribution_bench_plugins.fastism.capture.errors import TranslationError, require
from attribution_bench_plugins.fastism.capture.operator_calls import OperatorCall, Translation, Translator
from attribution_bench_plugins.fastism.capture.torch_layers import LAYERS, PARTS_OF_LAYERS
from attribution_bench_plugins.fastism.graph.ir import BATCH
from attribution_bench_plugins.fastism.graph.parameters import (
    NO_PARAMETERS,
    AxisReductionParameters,
    ChoiceParameters,
    ConcatenationParameters,
    ElementwiseParameters,
    FlipParameters,
    PermutationParameters,
    ReductionParameters,
    ShiftParameters,
    SumParameters,
    UpsamplingParameters,
)
from attribution_bench_plugins.fastism.ops.registry import SPECS


def translate(target: Any, call: OperatorCall) -> Translation | None:
    """Return the translation of an operator's call; None for one that no rule covers."""
    translation = _translated(TRANSLATORS, target, call)
    if translation is None and torch.Tag.pointwise in target.tags and target.name().startswith("aten::"):
        return _pointwise(target, call)
    return translation


def translate_part(target: Any, call: OperatorCall) -> Translation | None:
    """Return the translation of one of the tensors that an operator returns."""
    return _translated(PART_TRANSLATORS, target, call)


def has_parts(target: Any) -> bool:
    """Whether an operator returns several tensors that `translate_part` knows."""
    return _name(target) in PART_TRANSLATORS


def _name(target: Any) -> str:
    """Return the name of an operator, without its library and overload."""
    return str(target.name()).removeprefix("aten::").partition(".")[0]


def _translated(translators: Mapping[str, Translator], target: Any, call: OperatorCall) -> Translation | None:
    translator = translators.get(_name(target))
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
    packet = getattr(torch.ops.aten, f"{_name(target)}_", None)
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


def _binary(op: str, sign: int = 1) -> Translator:
    def translate_binary(call: OperatorCall) -> Translation:
        require(isinstance(call["self"], fx.Node) and call.arguments.get("rounding_mode") is None)
        nodes = [value for value in (call["self"], call["other"]) if isinstance(value, fx.Node)]
        require(all(isinstance(node.meta.get("val"), Tensor) for node in nodes))
        inputs = tuple(dict.fromkeys(node.name for node in nodes))
        changing = {node.meta["val"].dtype for node in nodes if node.name not in call.constants}
        if len(inputs) < len(nodes) or not call.is_floating or changing != {call.dtype}:
            return Translation("elementwise", inputs, ElementwiseParameters())
        alpha = sign * call.arguments.get("alpha", 1)
        return Translation(op, inputs, SumParameters(alpha) if op == "add" else NO_PARAMETERS)

    return translate_binary


def _cast(call: OperatorCall) -> Translation:
    """Translate a copy in another type, or in the same."""
    return call.to("view") if call.operand.meta["val"].dtype == call.dtype else _of_elements(call)


def _of_elements(call: OperatorCall) -> Translation:
    return call.to("elementwise", ElementwiseParameters())


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


def _taken(call: OperatorCall, axis: int, places: Sequence[int]) -> Translation:
    """Translate to places of one axis, in any order and any number of times."""
    axis %= len(call.sizes)
    size = call.sizes[axis]
    require(isinstance(size, int) and len(places) > 0)
    places = [place % size for place in places]
    steps = set(np.diff(places).tolist())
    if places == list(range(size)):
        return call.to("view")
    if places == list(range(size))[::-1]:
        return call.to("flip", FlipParameters((axis,)))
    if len(steps) == 1 and min(steps) > 0:
        return call.to("shift", ShiftParameters(axis, places[0], step=min(steps)))
    return call.to("choose", ChoiceParameters(axis, tuple(places)))


def _sole(axes: Sequence[int]) -> int:
    """Return the only axis that an operator changes; TranslationError where there are others."""
    require(len(axes) == 1)
    return axes[0]


def _chosen(call: OperatorCall) -> Translation:
    """Translate indexing of one axis with a constant list of places, or a constant mask."""
    if "dim" in call.arguments:
        axis, index = call["dim"], call.constant("index")
    else:
        given = [(axis, node) for axis, node in enumerate(call["indices"]) if node is not None]
        require(len(given) == 1 and given[0][1].name in call.constants)
        axis, index = given[0][0], call.constants[given[0][1].name]
    require(index.dim() == 1)
    return _taken(call, axis, (index.nonzero()[:, 0] if index.dtype == torch.bool else index).tolist())


def _rolled(call: OperatorCall) -> Translation:
    axis = _sole(call["dims"])
    size, (shift,) = call.sizes[axis], call["shifts"]
    require(isinstance(size, int))
    return _taken(call, axis, [(place - shift) % size for place in range(size)])


def _repeated(call: OperatorCall) -> Translation:
    times = list(call["repeats"])
    require(len(times) == len(call.sizes) and all(isinstance(n, int) for n in times))
    if set(times) == {1}:
        return call.to("view")
    axis = _sole([axis for axis, n in enumerate(times) if n != 1])
    require(isinstance(call.sizes[axis], int))
    return _taken(call, axis, list(range(call.sizes[axis])) * times[axis])


def _expanded(call: OperatorCall) -> Translation:
    shape = call.shape
    require(shape is not None and len(shape) == len(call.sizes))
    sizes = [BATCH if not isinstance(size, int) else size for size in call.sizes]
    grown = [axis for axis, size in enumerate(shape or ()) if size != sizes[axis]]
    if not grown:
        return call.to("view")
    axis = _sole(grown)
    size = (shape or ())[axis]
    return call.to("choose", ChoiceParameters(axis, (0,) * _known(size)))


def _known(size: int | None) -> int:
    if size is None:
        raise TranslationError
    return size


def _shuffled(call: OperatorCall) -> Translation:
    places = torch.arange(call.sizes[1]).view(call["groups"], -1).t().flatten()
    return _taken(call, 1, places.tolist())


def _upsample(call: OperatorCall) -> Translation:
    return call.to("upsample", UpsamplingParameters(2, _whole_factor(call)))


def _whole_factor(call: OperatorCall) -> int:
    """Return how many outputs an upsampling makes of each place of the last axis, a whole number."""
    factors, size, outputs = call.arguments.get("scale_factors"), call.sizes[-1], (call.shape or (None,))[-1]
    require(isinstance(size, int) and isinstance(outputs, int))
    factor = factors[0] if factors else _known(outputs) / size
    require(factor == int(factor) >= 1 and outputs == factor * size)
    return int(factor)


def _repeat_interleave(call: OperatorCall) -> Translation:
    require(call["dim"] is not None and isinstance(call["repeats"], int))
    return call.to("upsample", UpsamplingParameters(call["dim"] % len(call.sizes), call["repeats"]))


PADDINGS: Mapping[str, Any] = MappingProxyType({"circular": "wrap", "reflect": "reflect", "replicate": "edge"})
"""Names of paddings that repeat values -> NumPy's."""


def _padding(mode: str | None = None) -> Translator:
    """Return the translator of a padding of one axis; the mode is the call's own where none is given."""

    def translate_padding(call: OperatorCall) -> Translation:
        pad = list(call.arguments.get("pad", call.arguments.get("padding")))
        require(all(isinstance(width, int) for width in pad))
        axis, kind = len(call.sizes) - 1, mode or call["mode"]
        padded = [i for i in range(len(pad) // 2) if pad[2 * i] or pad[2 * i + 1]]
        if not padded:
            return call.to("view")
        at = _sole(padded)
        axis, low, high = axis - at, pad[2 * at], pad[2 * at + 1]
        if kind == "constant":
            # The padding is constant, so that its delta is zero, whatever its value.
            return call.to("shift", ShiftParameters(axis, -low))
        require(kind in PADDINGS and low >= 0 and high >= 0)
        places = np.pad(np.arange(call.sizes[axis]), (low, high), mode=PADDINGS[kind])
        return _taken(call, axis, places.tolist())

    return translate_padding


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
    """Return the translator of a reduction over any axes."""

    def translate_reduction(call: OperatorCall) -> Translation:
        given = call.arguments.get("dim")
        axes = [given] if isinstance(given, int) else list(given or ())
        require(bool(axes) and call.arguments.get("dtype") is None)
        return call.to(op, ReductionParameters(tuple(axes), bool(call["keepdim"])))

    return translate_reduction


def _extreme(op: str, place: Translator) -> Translator:
    """Return the translator of the two tensors that an extreme along an axis gives: the value and its place."""
    value = _reduction(op)
    return lambda call: place(call) if call.part else value(call)


def _softmax(function: Callable[..., Tensor]) -> Translator:
    def translate_softmax(call: OperatorCall) -> Translation:
        dtype = torch.float32 if call.arguments.get("half_to_float") else call.arguments.get("dtype")
        return call.to_axis_function(call["dim"], lambda x: function(x, -1, dtype=dtype))

    return translate_softmax


def _others(call: OperatorCall) -> dict[str, Any]:
    """Return the arguments of a function of one axis beside the tensor and the axis."""
    others = {name: value for name, value in call.arguments.items() if name not in ("self", "dim", "keepdim")}
    require(not any(isinstance(value, fx.Node) for value in others.values()))
    return {name: value for name, value in others.items() if name != "dtype" or value is not None}


def _part(found: Any, part: int) -> Tensor:
    tensor: Tensor = found if isinstance(found, Tensor) else found[part]
    return tensor


def _along(function: Callable[..., Any]) -> Translator:
    """Return the translator of a function along one axis, which stays; of several tensors it takes the call's part."""

    def translate_along(call: OperatorCall) -> Translation:
        others, part = _others(call), call.part
        return call.to_axis_function(call["dim"], lambda x: _part(function(x, dim=-1, **others), part))

    return translate_along


def _over(function: Callable[..., Any]) -> Translator:
    """Return the translator of a function of one axis that makes one number of it; part as for `_along`."""

    def translate_over(call: OperatorCall) -> Translation:
        given = call.arguments.get("dim")
        axes = [given] if isinstance(given, int) else list(given or ())
        others, part = _others(call), call.part
        keep = bool(call.arguments.get("keepdim", False))
        parameters = AxisReductionParameters(_sole(axes), lambda x: _part(function(x, dim=-1, **others), part), keep)
        return call.to("reduce_channels", parameters)

    return translate_over


RESHAPES = ("_unsafe_view", "flatten", "reshape", "squeeze", "unflatten", "unsqueeze", "view")
COPIES = ("alias", "clone", "contiguous", "detach", "detach_copy", "lift_fresh_copy", "view_copy")
DROPOUTS = ("alpha_dropout", "dropout", "feature_alpha_dropout", "feature_dropout")
FILLS = ("fill", "full_like", "ones_like", "zeros_like")
"""Operators that read the shape of a tensor alone."""
ALONG = ("cumprod", "cumsum", "logcumsumexp")
ALONG_PARTS = ("cummax", "cummin", "sort", "topk")
OVER = (
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "logsumexp",
    "nanmean",
    "nanquantile",
    "nansum",
    "prod",
    "quantile",
)
OVER_PARTS = ("kthvalue", "median", "mode", "nanmedian", "std_mean", "var_mean")
TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        **LAYERS,
        **dict.fromkeys((*RESHAPES, *COPIES, *DROPOUTS), lambda call: call.to("view")),
        **dict.fromkeys(FILLS, _of_elements),
        **{name: _along(getattr(torch, name)) for name in ALONG},
        **{name: _over(getattr(torch, name)) for name in (*OVER, "std", "var")},
        "_softmax": _softmax(torch.softmax),
        "_log_softmax": _softmax(torch.log_softmax),
        "_to_copy": _cast,
        "_upsample_nearest_exact1d": _upsample,
        "add": _binary("add"),
        "amax": _reduction("max"),
        "amin": _reduction("min"),
        "bucketize": _of_elements,
        "cat": _join("concatenate"),
        "channel_shuffle": _shuffled,
        "constant_pad_nd": _padding("constant"),
        "div": _binary("divide"),
        "expand": _expanded,
        "flip": lambda call: call.to("flip", FlipParameters(tuple(call["dims"]))),
        "glu": lambda call: call.to_axis_function(call["dim"], lambda x: F.glu(x, -1)),
        "index": _chosen,
        "index_select": _chosen,
        "linalg_vector_norm": _over(torch.linalg.vector_norm),
        "log_softmax": _softmax(torch.log_softmax),
        "mean": _reduction("mean"),
        "mul": _binary("multiply"),
        "native_channel_shuffle": _shuffled,
        "pad": _padding(),
        "permute": lambda call: call.to("permute", PermutationParameters(tuple(call["dims"]))),
        "reflection_pad1d": _padding("reflect"),
        "repeat": _repeated,
        "repeat_interleave": _repeat_interleave,
        "replication_pad1d": _padding("replicate"),
        "roll": _rolled,
        "select": lambda call: _selected(call, call["index"]),
        "slice": _slice,
        "softmax": _softmax(torch.softmax),
        "stack": _join("stack"),
        "sub": _binary("add", sign=-1),
        "sum": _reduction("sum"),
        "t": _transpose,
        "to": _cast,
        "transpose": _transpose,
        "upsample_nearest1d": _upsample,
    }
)
PART_TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        **PARTS_OF_LAYERS,
        **{name: _along(getattr(torch, name)) for name in ALONG_PARTS},
        **{name: _over(getattr(torch, name)) for name in OVER_PARTS},
        "max": _extreme("max", _over(torch.max)),
        "min": _extreme("min", _over(torch.min)),
        "split": _split,
        "split_with_sizes": _split,
        "unbind": lambda call: _selected(call, call.part),
    }
)
"""Translators of one of several tensors that an operator returns."""
