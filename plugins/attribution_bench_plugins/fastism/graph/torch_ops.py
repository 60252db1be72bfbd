"""PyTorch's operators in the engine's words: which family each belongs to, and what its rule needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, fx

Arguments = Mapping[str, Any]
Constants = Mapping[str, Tensor]
Shape = tuple[int | None, ...] | None


@dataclass(frozen=True)
class Translation:
    """A family, the nodes that it computes from (in the order in which its rule reads them), and its parameters."""

    op: str
    inputs: tuple[str, ...]
    parameters: dict[str, Any]


Translator = Callable[[Arguments, Constants, Shape], Translation | None]


def translate(target: Any, arguments: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    """Return the translation of an operator's call; None for one that the engine has no words for."""
    name = target.name().removeprefix("aten::").partition(".")[0]
    translator = TRANSLATORS.get(name)
    translation = translator(arguments, constants, shape) if translator is not None else None
    if translation is not None:
        return translation
    if torch.Tag.pointwise in target.tags and target.name().startswith("aten::"):
        return _pointwise(target, arguments)
    return None


def _pointwise(target: Any, a: Arguments) -> Translation | None:
    tensors = [
        value for value in a.values() if isinstance(value, fx.Node) and isinstance(value.meta.get("val"), Tensor)
    ]
    others = [value for value in a.values() if isinstance(value, fx.Node) and value not in tensors]
    if others or not tensors or any(isinstance(value, list | tuple) for value in a.values()):
        return None
    inputs = tuple(dict.fromkeys(node.name for node in tensors))
    op = "relu" if target is torch.ops.aten.relu.default else "elementwise"
    in_place = _in_place(target, a) if len(tensors) == 1 else None
    return Translation(op, inputs, {"in_place": in_place})


def _in_place(target: Any, a: Arguments) -> Callable[[Tensor], Tensor] | None:
    """Return the operator's own in-place form, where it has one that takes the same arguments."""
    packet = getattr(torch.ops.aten, target.name().removeprefix("aten::").partition(".")[0] + "_", None)
    overload = getattr(packet, target._overloadname, None) if packet is not None else None
    if overload is None or [x.name for x in overload._schema.arguments] != [x.name for x in target._schema.arguments]:
        return None
    first, *rest = a.values()
    if not isinstance(first, fx.Node):
        return None

    def call(x: Tensor) -> Tensor:
        result: Tensor = overload(x, *rest)
        return result

    return call


def _weight(a: Arguments, key: str, constants: Constants) -> Tensor | None:
    """Return a constant tensor argument; None where it depends on the input."""
    value = a.get(key)
    return constants.get(value.name) if isinstance(value, fx.Node) else None


def _one(value: Any) -> int | None:
    """Return the only element of an int or a list of one; None for anything else."""
    if isinstance(value, int):
        return value
    return int(value[0]) if len(value) == 1 and isinstance(value[0], int) else None


def _conv1d(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    stride, dilation = _one(a["stride"]), _one(a["dilation"])
    if weight is None or weight.dim() != 3 or stride is None or dilation is None:
        return None
    reach = (weight.shape[2] - 1) * dilation
    padding = a["padding"]
    if padding == "same":
        left, right = reach // 2, reach - reach // 2
    elif padding == "valid":
        left = right = 0
    else:
        both = _one(padding)
        if both is None:
            return None
        left = right = both
    return Translation(
        "conv",
        (a["input"].name,),
        {"weight": weight, "stride": stride, "dilation": dilation, "padding": (left, right), "groups": a["groups"]},
    )


def _conv_transpose1d(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    settings = {key: _one(a[key]) for key in ("stride", "padding", "output_padding", "dilation")}
    if weight is None or weight.dim() != 3 or None in settings.values():
        return None
    return Translation("conv_transpose", (a["input"].name,), {"weight": weight, "groups": a["groups"], **settings})


def _linear(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight = _weight(a, "weight", constants)
    return None if weight is None else Translation("linear", (a["input"].name,), {"weight": weight})


def _addmm(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    weight, bias = _weight(a, "mat2", constants), _weight(a, "self", constants)
    if weight is None or bias is None or not isinstance(a["mat1"], fx.Node):
        return None
    return Translation("linear", (a["mat1"].name,), {"weight": weight.t() * a["alpha"]})


def _matmul(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    second = "mat2" if "mat2" in a else "other"
    weight = _weight(a, second, constants)
    if weight is None or weight.dim() != 2:
        return None
    return Translation("linear", (a["self"].name,), {"weight": weight.t()})


def _batch_norm(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    mean, variance = _weight(a, "running_mean", constants), _weight(a, "running_var", constants)
    if mean is None or variance is None or a.get("training") is True:
        return None
    parameters = {
        "mean": mean,
        "variance": variance,
        "weight": _weight(a, "weight", constants),
        "bias": _weight(a, "bias", constants),
        "epsilon": a["eps"],
    }
    return Translation("batch_norm", (a["input"].name,), parameters)


def _pool(op: str) -> Translator:
    def translate_pool(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        kernel = _one(a["kernel_size"])
        stride = _one(a["stride"]) if a["stride"] else kernel
        padding, dilation = _one(a["padding"]), _one(a.get("dilation", 1))
        if kernel is None or stride is None or padding is None or dilation is None:
            return None
        parameters = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        return Translation(op, (a["self"].name,), {**parameters, "count_padding": a.get("count_include_pad", True)})

    return translate_pool


def _binary(op: str) -> Translator:
    def translate_binary(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        first, second = a["self"], a["other"]
        if a.get("rounding_mode") is not None:
            return None
        inputs = tuple(x.name for x in (first, second) if isinstance(x, fx.Node))
        tensors = [x for x in (first, second) if isinstance(x, fx.Node) and isinstance(x.meta.get("val"), Tensor)]
        if len(tensors) != len(inputs) or not isinstance(first, fx.Node):
            return None
        if len(set(inputs)) < len(inputs):
            return Translation("elementwise", inputs[:1], {"in_place": None})
        return Translation(op, inputs, {"alpha": a.get("alpha", 1)})

    return translate_binary


def _subtract(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    translation = _binary("add")(a, constants, shape)
    if translation is None or translation.op != "add":
        return translation
    return Translation("add", translation.inputs, {"alpha": -translation.parameters["alpha"]})


def _view(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return Translation("view", (a["self"].name,), {})


def _identity(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return Translation("view", ((a.get("self") or a["input"]).name,), {})


def _permute(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    return Translation("permute", (a["self"].name,), {"axes": tuple(a["dims"])})


def _transpose(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    rank = a["self"].meta["val"].dim()
    axes = list(range(rank))
    one, other = a.get("dim0", 0) % rank, a.get("dim1", 1) % rank
    axes[one], axes[other] = axes[other], axes[one]
    return Translation("permute", (a["self"].name,), {"axes": tuple(axes)})


def _slice(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    value = a["self"].meta["val"]
    axis = a["dim"] % value.dim()
    size = value.shape[axis]
    start = a["start"] or 0
    if a["step"] != 1 or not isinstance(size, int) or not isinstance(start, int):
        whole_batch = start == 0 and a["step"] == 1 and a["end"] in (None, 2**63 - 1)
        return Translation("view", (a["self"].name,), {}) if whole_batch else None
    start = max(0, start + size) if start < 0 else start
    if shape is not None and shape[axis] == size:
        return Translation("view", (a["self"].name,), {})
    return Translation("shift", (a["self"].name,), {"axis": axis, "low": start})


def _constant_pad(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    pad, rank = list(a["pad"]), a["self"].meta["val"].dim()
    padded = [i for i in range(len(pad) // 2) if pad[2 * i] or pad[2 * i + 1]]
    if len(padded) != 1 or not all(isinstance(n, int) for n in pad):
        return None
    axis = rank - 1 - padded[0]
    # The padding is constant, so that its delta is zero, whatever its value.
    return Translation("shift", (a["self"].name,), {"axis": axis, "low": -pad[2 * padded[0]]})


def _concatenate(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    nodes = a["tensors"]
    if not all(isinstance(node, fx.Node) for node in nodes) or len({node.name for node in nodes}) < len(nodes):
        return None
    return Translation("concatenate", tuple(node.name for node in nodes), {"axis": a["dim"]})


def _reduction(mean: bool) -> Translator:
    def translate_reduction(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        if not a.get("dim") or a.get("dtype") is not None:
            return None
        parameters = {"axes": tuple(a["dim"]), "keep": bool(a["keepdim"]), "mean": mean}
        return Translation("mean" if mean else "sum", (a["self"].name,), parameters)

    return translate_reduction


def _softmax(function: Callable[..., Tensor]) -> Translator:
    def translate_softmax(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
        if a.get("dtype") is not None or a.get("half_to_float"):
            return None
        parameters = {"axis": a["dim"], "on_last_axis": lambda x: function(x, -1)}
        return Translation("position_wise", (a["self"].name,), parameters)

    return translate_softmax


def _layer_norm(a: Arguments, constants: Constants, shape: Shape) -> Translation | None:
    size, epsilon = list(a["normalized_shape"]), a["eps"]
    weight, bias = _weight(a, "weight", constants), _weight(a, "bias", constants)
    if len(size) != 1 or (isinstance(a["weight"], fx.Node) and weight is None):
        return None

    def on_last_axis(x: Tensor) -> Tensor:
        return torch.nn.functional.layer_norm(x, size, weight, bias, epsilon)

    return Translation("position_wise", (a["input"].name,), {"axis": -1, "on_last_axis": on_last_axis})


TRANSLATORS: Mapping[str, Translator] = MappingProxyType(
    {
        "_native_batch_norm_legit_no_training": _batch_norm,
        "_softmax": _softmax(torch.softmax),
        "_unsafe_view": _view,
        "add": _binary("add"),
        "addmm": _addmm,
        "alias": _identity,
        "avg_pool1d": _pool("average_pool"),
        "batch_norm": _batch_norm,
        "cat": _concatenate,
        "clone": _identity,
        "constant_pad_nd": _constant_pad,
        "contiguous": _identity,
        "conv1d": _conv1d,
        "conv_transpose1d": _conv_transpose1d,
        "detach": _identity,
        "div": _binary("divide"),
        "dropout": _identity,
        "flatten": _view,
        "layer_norm": _layer_norm,
        "linear": _linear,
        "log_softmax": _softmax(torch.log_softmax),
        "matmul": _matmul,
        "max_pool1d": _pool("max_pool"),
        "mean": _reduction(True),
        "mm": _matmul,
        "mul": _binary("multiply"),
        "pad": lambda a, constants, shape: _constant_pad(a, constants, shape) if a["mode"] == "constant" else None,
        "permute": _permute,
        "reshape": _view,
        "slice": _slice,
        "softmax": _softmax(torch.softmax),
        "squeeze": _view,
        "sub": _subtract,
        "sum": _reduction(False),
        "t": _transpose,
        "transpose": _transpose,
        "unflatten": _view,
        "unsqueeze": _view,
        "view": _view,
    }
)
