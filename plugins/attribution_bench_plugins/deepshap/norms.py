"""Norms however they are written: a quotient of which the divisor is the root of a sum of squares."""

from dataclasses import dataclass

from attribution_bench_plugins.deepshap.graph import LINEAR, Kind, Node, Value, ancestors

OF_ONE = frozenset({Kind.SCALE, Kind.REARRANGE, Kind.ADD, Kind.MAXIMUM, Kind.MINIMUM})
"""Kinds that may lie between the sum of squares and the divisor beside powers; `ADD` of a number."""


@dataclass(frozen=True)
class Inner:
    """A sum of squares, and the divisor or its inverse that is made of its root."""

    total: Value
    """The sum of squares."""
    above: tuple[Node, ...]
    """What makes the divisor of it, operations of one tensor each; rearrangements fit the sum as well."""
    divisor: Value
    operands: tuple[Value, ...]
    """What is squared or multiplied: the sum is quadratic in them."""
    members: tuple[Node, ...]
    """All operations between the operands and the divisor, in an order in which they can run."""


@dataclass(frozen=True)
class Norm:
    """A numerator over the root of a sum of squares."""

    numerator: Value
    inner: Inner


def norm_of(node: Node) -> Norm | None:
    """Return what a quotient or a product is the norm of; None where it is none."""
    if node.kind not in (Kind.DIVIDE, Kind.MULTIPLY) or len(node.inputs) != 2:
        return None
    orders = [node.inputs] if node.kind is Kind.DIVIDE else [node.inputs, node.inputs[::-1]]
    exponent = 0.5 if node.kind is Kind.DIVIDE else -0.5
    for numerator, divisor in orders:
        inner = _inner(divisor, exponent)
        if inner is not None and numerator.spec.floating:
            return Norm(numerator, inner)
    return None


def _inner(divisor: Value, wanted: float) -> Inner | None:
    """Follow a divisor down to the sum of squares of which it is the wanted power."""
    value, exponent, above = divisor, 1.0, list[Node]()
    while True:
        operands = _squared(value) if exponent == wanted else None
        if operands is not None:
            members = ancestors(divisor.node, frozenset(operands))
            return Inner(value, tuple(reversed(above)), divisor, operands, members)
        node = value.node
        power = 1.0 if node.kind in OF_ONE else node.known.exponent
        if len(node.inputs) != 1 or power != power:
            return None
        (value,) = node.inputs
        exponent *= power
        # What rearranges the divisor does not fit the sum where a constant has widened it in between.
        widens = node.kind is not Kind.REARRANGE and node.outputs[0].shape != value.spec.shape
        if widens and any(later.kind is Kind.REARRANGE for later in above):
            return None
        above.append(node)


def _squared(value: Value) -> tuple[Value, ...] | None:
    """Return the tensors in which a value is quadratic: a linear function of squares or products of two."""
    found: dict[Value, None] = {}
    pending = [value]
    while pending:
        current = pending.pop()
        node = current.node
        if node.kind in LINEAR:
            pending += node.inputs
        elif node.kind in (Kind.MULTIPLY, Kind.BILINEAR, Kind.SQUARED_DIFFERENCE) or node.known.exponent == 2:
            found.update(dict.fromkeys(node.inputs))
        else:
            return None
    return tuple(found) if all(part.spec.floating for part in found) else None
