"""What kind of operation each ATen operation is for DeepLIFT, as it is used in a captured graph."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node as Call

from attribution_bench_plugins.deepshap.graph import LINEAR, Classified, Kind, power_of


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONSTANT = _names(
    """
    zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full
    new_empty sym_size sym_numel sym_stride size numel is_same_size _assert_tensor_metadata
    """
)
"""Depend on the shape of their tensor, not on its values."""

DETACHING = _names("detach detach_ alias lift_fresh_copy lift_fresh")
"""Hand their tensor on."""

REARRANGING = _names("view _unsafe_view reshape squeeze unsqueeze expand expand_as flatten unflatten view_as")

LINEAR_IN_ALL = _names(
    """
    cat stack index_put scatter slice_scatter select_scatter diagonal_scatter scatter_add index_add copy concat
    hstack vstack
    """
)
"""Linear in all their floating-point tensors at once."""

LINEAR_IN_FIRST = _names(
    """
    permute transpose t numpy_T select slice narrow split split_with_sizes chunk unbind clone contiguous pad
    constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d flip rot90 roll repeat
    repeat_interleave tile unfold im2col col2im diagonal as_strided movedim moveaxis swapaxes index index_select
    gather take_along_dim masked_fill tril triu diag_embed mean cumsum trace avg_pool1d avg_pool2d avg_pool3d
    adaptive_avg_pool1d adaptive_avg_pool2d _adaptive_avg_pool2d upsample_nearest1d upsample_nearest2d
    upsample_linear1d upsample_bilinear2d pixel_shuffle pixel_unshuffle channel_shuffle conv1d conv2d conv3d
    convolution conv_transpose1d conv_transpose2d conv_transpose3d _fft_r2c fft_rfft
    """
)
"""Linear in their first argument while the others are constant."""

BATCH_NORMS = _names("batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional")
BILINEAR = _names("matmul bmm mm mv dot linear bilinear tensordot outer inner kron conv1d conv2d conv3d convolution")
"""Linear in either of the two tensors that depend on the sequence."""

ELEMENTWISE = _names(
    """
    prelu _prelu_kernel rrelu hardswish hardtanh log_sigmoid logsigmoid celu softsign tanhshrink special_expit
    glu_jvp __and__ __or__ __xor__
    """
)
"""Functions of one element that PyTorch does not mark so."""

NAMED = {
    "relu": Kind.RECTIFIER,
    "exp": Kind.EXP,
    "log": Kind.LOG,
    "maximum": Kind.MAXIMUM,
    "clamp_min": Kind.MAXIMUM,
    "fmax": Kind.MAXIMUM,
    "minimum": Kind.MINIMUM,
    "fmin": Kind.MINIMUM,
    "clamp_max": Kind.MINIMUM,
    "softmax": Kind.SOFTMAX,
    "_softmax": Kind.SOFTMAX,
    "log_softmax": Kind.LOG_SOFTMAX,
    "_log_softmax": Kind.LOG_SOFTMAX,
    "logsumexp": Kind.LOGSUMEXP,
    "amax": Kind.LARGEST,
    "amin": Kind.SMALLEST,
    **{f"{adaptive}max_pool{n}d": Kind.LARGEST for adaptive in ("", "adaptive_") for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": Kind.LARGEST for n in (1, 2, 3)},
    "sort": Kind.ORDERED,
    "topk": Kind.ORDERED,
    "msort": Kind.ORDERED,
}
EXPONENTS = {"reciprocal": -1.0, "sqrt": 0.5, "rsqrt": -0.5, "square": 2.0}
COMPARISONS = _names("gt ge lt le eq ne")
CONJUNCTIONS = _names("logical_and bitwise_and __and__")
"""Products of truth values."""


def classify(node: Call, varying: set[Call]) -> Classified:
    """Return the kind of a call of which at least one argument depends on the sequence."""
    known = _classify(node, varying)
    # The rules are those of real numbers; their mean gradient holds of complex ones, too.
    of_complex = any(_is_complex(argument) for argument in node.all_input_nodes)
    return Classified(Kind.UNKNOWN) if of_complex and known.kind not in LINEAR else known


def _is_complex(node: Call) -> bool:
    value = value_of(node)
    return isinstance(value, Tensor) and value.is_complex()


def _classify(node: Call, varying: set[Call]) -> Classified:
    name = name_of(node)
    positions = varying_positions(node, varying)
    value = value_of(node)
    if positions is None or not isinstance(value, Tensor):
        return Classified(Kind.UNKNOWN)
    first: Any = value_of(node.args[0]) if node.args and isinstance(node.args[0], Call) else None
    if name in ("add", "sub", "rsub", "neg", "positive"):
        return _sum_of_terms(name, node, positions)
    if name == "mul":
        return Classified(Kind.SCALE if len(positions) == 1 else Kind.MULTIPLY)
    if name in CONJUNCTIONS and value.dtype == torch.bool and positions == (0, 1):
        return Classified(Kind.MULTIPLY)
    if name in ("div", "true_divide", "reciprocal", "pow", "sqrt", "rsqrt", "square"):
        return _power(name, node, positions)
    if name in ("to", "_to_copy", "type_as"):
        return _cast(node, value)
    if name == "where":
        return Classified(Kind.SELECT if 0 in positions else Kind.LINEAR)
    if name in COMPARISONS:
        return Classified(Kind.COMPARE if positions in ((0,), (0, 1)) else Kind.ELEMENTWISE)
    if name in ("max", "min"):
        along_axis = len(node.args) > 1 and not isinstance(node.args[1], Call)
        extreme, two = (Kind.LARGEST, Kind.MAXIMUM) if name == "max" else (Kind.SMALLEST, Kind.MINIMUM)
        return Classified(extreme if along_axis or len(node.args) == 1 else two)
    if name == "sum":
        axes = axes_of(node.args[1] if len(node.args) > 1 else None, first)
        return Classified(Kind.SUM, axes) if value.dtype == first.dtype else Classified(Kind.UNKNOWN)
    if name in NAMED:
        return _named(name, node, positions, first)
    if name == "einsum":
        count = sum(operand in varying for operand in operands_of(node))
        return Classified({1: Kind.LINEAR, 2: Kind.BILINEAR}.get(count, Kind.UNKNOWN))
    return Classified(_other(name, node, positions))


def _other(name: str, node: Call, positions: tuple[int, ...]) -> Kind:
    if name in REARRANGING:
        return Kind.REARRANGE
    if name == "_native_batch_norm_legit_no_training" and positions == (0,):
        return Kind.LINEAR
    if name in BATCH_NORMS:
        training = node.args[5] if len(node.args) > 5 else node.kwargs.get("training", True)
        return Kind.UNKNOWN if training or positions != (0,) else Kind.LINEAR
    if name == "dropout":
        return Kind.UNKNOWN if node.args[2] else Kind.LINEAR
    if name in BILINEAR and positions == (0, 1):
        return Kind.BILINEAR
    if name in BILINEAR and len(positions) == 1:
        return Kind.LINEAR
    if name in LINEAR_IN_FIRST and positions == (0,):
        return Kind.LINEAR
    if name in LINEAR_IN_ALL:
        return Kind.LINEAR
    pointwise = torch.Tag.pointwise in getattr(node.target, "tags", ())
    return Kind.ELEMENTWISE if pointwise or name in ELEMENTWISE else Kind.UNKNOWN


def _sum_of_terms(name: str, node: Call, positions: tuple[int, ...]) -> Classified:
    signs = {"add": (1, 1), "sub": (1, -1), "rsub": (-1, 1), "neg": (-1,), "positive": (1,)}[name]
    others = [value for place, value in enumerate(node.args[:2]) if place not in positions]
    offset = 0.0
    if node.kwargs.get("alpha", 1) != 1 or len(node.args) > 2:
        return Classified(Kind.LINEAR)
    if others:
        if not isinstance(others[0], int | float):
            return Classified(Kind.SCALE if len(positions) == 1 else Kind.LINEAR)
        (place,) = {0, 1} - set(positions)
        offset = float(others[0]) * signs[place]
    return Classified(Kind.ADD, signs=tuple(signs[place] for place in positions), offset=offset)


def _power(name: str, node: Call, positions: tuple[int, ...]) -> Classified:
    if name in EXPONENTS:
        return power_of(EXPONENTS[name])
    if name == "pow":
        exponent = node.args[1]
        if positions == (0,) and isinstance(exponent, int | float):
            return power_of(exponent)
        return Classified(Kind.ELEMENTWISE)
    if node.kwargs.get("rounding_mode") is not None:
        return Classified(Kind.ELEMENTWISE)
    if positions == (0,):
        return Classified(Kind.SCALE)
    numerator = node.args[0]
    if positions == (1,):
        numerator = float(numerator) if isinstance(numerator, int | float) else float("nan")
        return Classified(Kind.RECIPROCAL, offset=numerator, exponent=-1)
    return Classified(Kind.DIVIDE)


def _cast(node: Call, value: Tensor) -> Classified:
    source: Any = node.args[0]
    first = value_of(source)
    if not value.is_floating_point():
        return Classified(Kind.ELEMENTWISE)
    return Classified(Kind.SCALE if first.is_floating_point() else Kind.CAST)


def _named(name: str, node: Call, positions: tuple[int, ...], first: Any) -> Classified:
    kind = NAMED[name]
    if kind in (Kind.MAXIMUM, Kind.MINIMUM):
        return Classified(kind)
    if positions != (0,):
        return Classified(Kind.UNKNOWN)
    if kind in (Kind.SOFTMAX, Kind.LOG_SOFTMAX, Kind.LOGSUMEXP):
        return Classified(kind, axes_of(node.args[1], first))
    if kind is Kind.ORDERED:
        place = 2 if name == "topk" else 1
        stable = isinstance(node.args[1] if len(node.args) > 1 else -1, bool)
        axis = node.args[place] if len(node.args) > place and not stable else node.kwargs.get("dim", -1)
        return Classified(kind, (axes_of(axis, first)[0],))
    return Classified(kind)


def axes_of(axes: Any, value: Tensor) -> tuple[int, ...]:
    """Return axes as numbers below zero; all of them where None is given."""
    if axes is None or axes == []:
        return tuple(range(-value.ndim, 0))
    return tuple(
        axis if axis < 0 else axis - value.ndim for axis in (axes if isinstance(axes, list | tuple) else [axes])
    )


def operands_of(node: Call) -> list[Any]:
    """Return the operands of a contraction."""
    operands: Any = node.args[1]
    return list(operands)


def varying_positions(node: Call, varying: set[Call]) -> tuple[int, ...] | None:
    """Return the positions of the arguments that depend on the sequence; None where one is a keyword's."""
    if any(value in varying for value in node.kwargs.values() if isinstance(value, Call)):
        return None
    found = []
    for position, value in enumerate(node.args):
        nodes = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, Call) and item in varying for item in nodes):
            found.append(position)
    return tuple(found)


def name_of(node: Call) -> str:
    """Return the operation's name; those that are not of ATen carry their namespace."""
    packet = getattr(node.target, "overloadpacket", node.target)
    name = str(getattr(packet, "__name__", packet))
    namespace = getattr(node.target, "namespace", "aten")
    return name if namespace in ("aten", "prims") else f"{namespace}::{name}"


def value_of(node: Call) -> Any:
    """Return the example of a call's first output."""
    value = node.meta.get("val")
    return value[0] if isinstance(value, tuple | list) and value else value
