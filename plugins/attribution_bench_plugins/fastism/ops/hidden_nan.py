"""Operations that may give a number where an operand holds NaN, found by calling them on NaN."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.parameters import AxisFunctionParameters

PROBES = (math.nan, -math.inf, -1e30, -30.0, -1.0, -0.3, 0.0, 0.3, 1.0, 30.0, 1e30, math.inf)
"""Numbers that an element of an operand takes in turn, NaN first."""
OTHER = 0.7
"""Elements of the operands that are not probed."""


def hides_nan(node: Node, operands: Sequence[Node], like: Tensor) -> bool:
    """Whether a node may give a number that depends on an element of an operand where that element is NaN.

    Comparisons do, what counts or looks up numbers, and what leaves NaN aside; arithmetic gives NaN. An operation is
    called on a few numbers of the type and the device of `like`. Of one that cannot be, or is opaque, nothing is known:
    it is held to hide NaN.
    """
    if node.is_opaque:
        return True
    try:
        if isinstance(node.parameters, AxisFunctionParameters):
            return _hides_along(node.parameters, operands[0], like)
        return node.op == "elementwise" and any(_hides_of(node, operands, i, like) for i in range(len(operands)))
    except Exception:  # operations of a framework raise anything where an operand is not what they take
        return True


def _hides_along(parameters: AxisFunctionParameters, operand: Node, like: Tensor) -> bool:
    """Whether a function along an axis hides NaN at either end of it."""
    size = (operand.shape or ())[parameters.axis] or 1
    for place in (0, size - 1):
        numbers = torch.linspace(-0.9, 0.8, size).repeat(len(PROBES), 1)
        numbers[:, place] = torch.tensor(PROBES)
        if _is_hidden(parameters.on_last_axis(numbers.to(like))):
            return True
    return False


def _hides_of(node: Node, operands: Sequence[Node], place: int, like: Tensor) -> bool:
    """Whether a function of single elements hides NaN of one operand."""
    constants = {i: _first(operand.call()) for i, operand in enumerate(operands) if operand.op == "constant"}
    if place in constants:
        return False
    axes = max(len(operand.shape or ()) for operand in (node, *operands))
    probes = torch.tensor(PROBES).reshape(-1, *[1] * (axes - 1)).to(like)

    def called(own: Tensor, other: Tensor) -> Tensor:
        result: Tensor = node.call(*(constants.get(i, own if i == place else other) for i in range(len(operands))))
        return result

    number, truth = torch.tensor(OTHER).to(like), torch.tensor(True, device=like.device)
    for other in (number, truth):
        try:
            return _is_hidden(called(probes, other))
        except (RuntimeError, TypeError):  # this operand, or the others, are truth values
            continue
    called(truth, number)
    return False


def _first(value: Tensor) -> Tensor:
    """Return the first element of a tensor, with every axis."""
    return value[tuple(slice(0, 1) for _ in value.shape)]


def _is_hidden(results: Tensor) -> bool:
    """Whether results (probes, ...) are numbers where the probe is NaN although they depend on it."""
    if not (results.is_floating_point() or results.is_complex()):
        return True
    of_nan, others = results[0], results[1:]
    return not bool((of_nan.isnan() | (others == of_nan).all(0)).all())
