"""Which rule each operation follows: functions of single elements and softmaxes are found however they are written."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from attribution_bench_plugins.deepshap import norm_rule, rules
from attribution_bench_plugins.deepshap.graph import LINEAR, POINTWISE, Kind, Node, Value, ancestors
from attribution_bench_plugins.deepshap.norms import Inner, norm_of
from attribution_bench_plugins.deepshap.rules import Rule


@dataclass(frozen=True, eq=False)
class Step:
    """One or more operations that follow one rule."""

    node: Node
    """The last of them, whose outputs are the step's."""
    inputs: tuple[Value, ...]
    members: tuple[Node, ...]
    """All operations between the inputs and the node, in an order in which they can run."""
    rule: Rule | None
    """None where the operation is linear and its gradient is exact."""
    measured: bool = False
    """Whether the rule need not be complete, so that what it loses is measured."""
    inner: Inner | None = None
    """Of a norm, what it is divided by."""

    def __str__(self) -> str:
        return str(self.members[0])


@dataclass(frozen=True)
class _Normal:
    """What a softmax, log-softmax or logsumexp is taken of."""

    kind: Kind
    logits: Value
    axes: tuple[int, ...]
    offset: float = 0.0
    """Number added to the sum of the exponentials."""
    total: Value | None = None
    """Of a logsumexp, the value with one number for each of the sums, before its axes are moved about."""


def plan(output: Value, own: Mapping[str, Rule]) -> tuple[Step, ...]:
    """Return the steps that lead to an output, the last one first.

    Parameters
    ----------
    output
        What is explained.
    own
        Rules of the user by the name of the operation; they take precedence.
    """
    chosen = _Planner(own)
    order = ancestors(output.node, frozenset())
    needed = {output}
    steps = []
    for node in reversed(order):
        read = [value for index in range(len(node.outputs)) if (value := Value(node, index)) in needed]
        if read and node.kind is not Kind.INPUT:
            step = chosen.step(node)
            # Beside the values that a rule knows of, their places may be read: whole numbers without multipliers.
            beside = any(value.index and not value.spec.floating for value in read)
            steps.append(replace(step, measured=step.measured or beside))
            needed.update(step.inputs)
    return tuple(steps)


class _Planner:
    def __init__(self, own: Mapping[str, Rule]) -> None:
        self._own = own
        self._roots: dict[Node, Value] = {}
        self._normals: dict[Node, _Normal | None] = {}

    def step(self, node: Node) -> Step:
        """Return the step that ends with a node."""
        if node.operation in self._own:
            return Step(node, node.inputs, (node,), self._own[node.operation], measured=True)
        normal = self._normal(node)
        if normal is not None and (normal.kind is not Kind.LOGSUMEXP or _has_each_once(node, normal)):
            inputs = (normal.logits,)
            rule = rules.of_softmax(normal.kind, normal.axes, normal.offset)
            return Step(node, inputs, ancestors(node, frozenset(inputs)), rule)
        root = self._root(Value(node))
        if root.node is not node:
            members = ancestors(node, frozenset({root}))
            # Exponentials may be infinite where what is made of them, as a sigmoid written out, is not.
            exponential = any(member.kind is Kind.EXP for member in members[:-1])
            if exponential or any(_joins(member) or not member.outputs[0].floating for member in members):
                return Step(node, (root,), members, rules.rescale)
        return self._single(node)

    def _single(self, node: Node) -> Step:
        if node.kind in LINEAR and all(value.spec.floating for value in node.inputs):
            return Step(node, node.inputs, (node,), None)
        norm = norm_of(node)
        if norm is not None:
            inputs = (norm.numerator, *norm.inner.operands)
            members = ancestors(node, frozenset(inputs))
            if not self._is_own(node, inputs):
                rule = norm_rule.over_norm if node.kind is Kind.DIVIDE else norm_rule.times_inverse_norm
                return Step(node, inputs, members, rule, inner=norm.inner)
        if node.kind is Kind.MULTIPLY:
            inverse = [_is_inverse(value) for value in node.inputs]
            if inverse[0] != inverse[1]:
                rule = rules.times_inverse if inverse[1] else rules.inverse_times
                return Step(node, node.inputs, (node,), rule)
        rule_of_kind = rules.RULES.get(node.kind)
        if rule_of_kind is not None and _takes(node):
            return Step(node, node.inputs, (node,), rule_of_kind(node))
        # Whole numbers and handles carry no multipliers: what makes them belongs to the operation that reads them.
        inputs = node.inputs
        while any(not value.spec.floating for value in inputs):
            parts = [(value,) if value.spec.floating else value.node.inputs for value in inputs]
            inputs = tuple(dict.fromkeys(itertools.chain.from_iterable(parts)))
        inputs = tuple(dict.fromkeys(inputs))
        return Step(node, inputs, ancestors(node, frozenset(inputs)), rules.integrate, measured=True)

    def _is_own(self, node: Node, inputs: Sequence[Value]) -> bool:
        """Whether the user has a rule for an operation between inputs and a node."""
        return bool(self._own) and any(each.operation in self._own for each in ancestors(node, frozenset(inputs)))

    def _root(self, value: Value) -> Value:
        """Return the tensor that a value depends on element by element, itself where there is none."""
        pending = [value.node]
        while pending:
            node = pending[-1]
            if node in self._roots:
                pending.pop()
                continue
            if node.kind not in POINTWISE or node.operation in self._own or self._normal(node) is not None:
                self._roots[node] = Value(node)
                continue
            unknown = [v.node for v in node.inputs if v.node not in self._roots]
            if unknown:
                pending += unknown
                continue
            found = {self._roots[v.node] if v.node.kind in POINTWISE else v for v in node.inputs}
            (root,) = found if len(found) == 1 else (Value(node),)
            shape = node.outputs[0].shape
            self._roots[node] = root if root.spec.shape == shape and root.spec.floating else Value(node)
        return self._roots[value.node] if value.node.kind in POINTWISE else value

    def _normal(self, node: Node) -> _Normal | None:
        """Return what the node is a softmax, log-softmax or logsumexp of; None where it is none of them."""
        if node not in self._normals:
            found = None if node.operation in self._own else self._recognised(node)
            self._normals[node] = None if found is not None and self._is_own(node, [found.logits]) else found
        return self._normals[node]

    def _recognised(self, node: Node) -> _Normal | None:
        if node.kind in (Kind.SOFTMAX, Kind.LOG_SOFTMAX, Kind.LOGSUMEXP):
            return _Normal(node.kind, node.inputs[0], node.known.axes, total=Value(node))
        if node.kind in (Kind.DIVIDE, Kind.MULTIPLY):
            return self._softmax_by_hand(node)
        if node.kind is Kind.LOG:
            inner = self._normal(node.inputs[0].node)
            if inner is not None and inner.kind is Kind.SOFTMAX and not inner.offset:
                return _Normal(Kind.LOG_SOFTMAX, inner.logits, inner.axes)
            return _partition(node.inputs[0])
        if node.kind is Kind.EXP:
            return self._exponential_of_normal(node)
        return None

    def _softmax_by_hand(self, node: Node) -> _Normal | None:
        """Recognise exponentials over their sum."""
        if len(node.inputs) != 2:
            return None
        orders = (node.inputs,) if node.kind is Kind.DIVIDE else (node.inputs, node.inputs[::-1])
        for exponential, denominator in orders:
            below = denominator
            if node.kind is Kind.MULTIPLY:
                below = _without_shapes(denominator)
                if below.node.kind is not Kind.RECIPROCAL or below.node.known.offset != 1:
                    continue
                below = below.node.inputs[0]
            total = _partition(below)
            if total is None or exponential.node.kind is not Kind.EXP:
                continue
            is_whole = exponential.node.inputs[0] == total.logits and exponential.spec.shape == node.outputs[0].shape
            if is_whole and _is_beside(total, _shapes_between(denominator, total), node.outputs[0].shape):
                return _Normal(Kind.SOFTMAX, total.logits, total.axes, total.offset)
        return None

    def _exponential_of_normal(self, node: Node) -> _Normal | None:
        """Recognise the exponential of a log-softmax, or of logits less their logsumexp."""
        inner = self._normal(node.inputs[0].node)
        if inner is not None and inner.kind is Kind.LOG_SOFTMAX:
            return _Normal(Kind.SOFTMAX, inner.logits, inner.axes)
        terms = _terms(node.inputs[0])
        for term, count in terms.items():
            total = self._normal(term.value.node) if term is not None and count == -1 else None
            if term is None or total is None or total.kind is not Kind.LOGSUMEXP:
                continue
            shape = node.outputs[0].shape
            rest = {key: number for key, number in terms.items() if key != term}
            is_whole = total.logits.spec.shape == shape and rest == _terms(total.logits)
            shapes = (*_shapes_between(term.value, total), *term.shapes)
            if (
                is_whole
                and all(key is None or key.place is not None for key in rest)
                and _is_beside(total, shapes, shape)
            ):
                return _Normal(Kind.SOFTMAX, total.logits, total.axes, total.offset)
        return None


def _joins(node: Node) -> bool:
    """Whether the node brings several tensors together in a way that is not linear."""
    return len(node.inputs) > 1 and node.kind not in LINEAR


def _takes(node: Node) -> bool:
    """Whether the rule of the node's kind takes tensors of these types."""
    accepts_any = node.kind in (Kind.CAST, Kind.SELECT, Kind.MULTIPLY, Kind.BILINEAR)
    single = node.kind not in rules.OF_ONE_TENSOR or len(node.inputs) == 1
    return single and (accepts_any or all(value.spec.floating for value in node.inputs))


def _without_shapes(value: Value) -> Value:
    while value.node.kind is Kind.REARRANGE:
        value = value.node.inputs[0]
    return value


def _partition(value: Value) -> _Normal | None:
    """Return the logsumexp whose exponential a value is: a sum of exponentials, perhaps of a number besides."""
    value = _without_shapes(value)
    offset = 0.0
    if value.node.kind is Kind.ADD and value.node.known.signs == (1,):
        offset = value.node.known.offset
        value = _without_shapes(value.node.inputs[0])
    if value.node.kind is not Kind.SUM or offset < 0:
        return None
    exponential = value.node.inputs[0]
    if exponential.node.kind is not Kind.EXP:
        return None
    return _Normal(Kind.LOGSUMEXP, exponential.node.inputs[0], value.node.known.axes, offset, value)


def _has_each_once(node: Node, total: _Normal) -> bool:
    """Whether a node has as many elements as there are sums; it may be repeated along the axes that were summed."""
    shape = total.logits.spec.shape
    kept = [size for axis, size in zip(range(-len(shape), 0), shape, strict=True) if axis not in total.axes]
    return _sizes(tuple(kept)) == _sizes(node.outputs[0].shape)


Shape = tuple[Any, ...]


@dataclass(frozen=True)
class _Term:
    """A tensor that is added to others, perhaps in another shape."""

    value: Value
    shapes: tuple[Shape, ...] = field(compare=False)
    """Its shape, and all that it has on its way into the sum, the sum's own last."""
    place: Shape | None
    """Where its elements stand in the sum; see `_place`."""


def _terms(value: Value) -> dict[_Term | None, float]:
    """Return the tensors that a value is a sum of, each with how often; the number that is added has the key None."""
    counted: dict[_Term | None, float] = {}
    pending: list[tuple[Value, int, tuple[Shape, ...]]] = [(value, 1, ())]
    while pending:
        current, factor, later = pending.pop()
        shapes = (current.spec.shape, *later)
        node = current.node
        if node.kind is Kind.REARRANGE:
            pending.append((node.inputs[0], factor, shapes))
        elif node.kind is Kind.ADD:
            pending += [(part, factor * sign, shapes) for part, sign in zip(node.inputs, node.known.signs, strict=True)]
            counted[None] = counted.get(None, 0) + factor * node.known.offset
        else:
            term = _Term(current, shapes, _place(shapes))
            counted[term] = counted.get(term, 0) + factor
    return {key: count for key, count in counted.items() if count}


def _place(shapes: Sequence[Shape]) -> Shape | None:
    """Return where a tensor's elements stand in the last of the shapes that it has one after the other.

    It is reshaped from one to the next, which keeps the order of the elements, or repeated along axes of size one and
    new ones before the first. The place is the last shape with ones for the axes along which it is repeated. None where
    the axes cannot be followed.
    """
    place = shape = shapes[0]
    for following in shapes[1:]:
        if _sizes(following) == _sizes(shape) and place == shape:
            place = shape = following
            continue
        new = len(following) - len(shape)
        if new < 0 or any(str(size) not in ("1", str(to)) for size, to in zip(shape, following[new:], strict=True)):
            return None
        place, shape = (1,) * new + place, following
    return tuple(map(str, place))


def _sizes(shape: Shape) -> list[str]:
    """Return the sizes of the axes that have more than one element, in order."""
    return [str(size) for size in shape if str(size) != "1"]


def _shapes_between(value: Value, total: _Normal) -> tuple[Shape, ...]:
    """Return the shapes of a logsumexp's sums on their way to a value, that of the sums first."""
    shapes = [value.spec.shape]
    while value != total.total:
        value = value.node.inputs[0]
        shapes.append(value.spec.shape)
    return tuple(reversed(shapes))


def _is_beside(total: _Normal, shapes: Sequence[Shape], shape: Shape) -> bool:
    """Whether each sum of a logsumexp meets the elements that it was taken over, of which `shape` is the shape.

    The sums have the given shapes one after the other. Sizes alone do not tell: of a square tensor, the sums over one
    axis fit the other as well.
    """
    kept = tuple(
        "1" if axis in total.axes else str(size) for axis, size in zip(range(-len(shape), 0), shape, strict=True)
    )
    return _place((*shapes, shape)) == kept


def _is_inverse(value: Value) -> bool:
    """Whether a value is the inverse of something, up to constant factors, shape and limits."""
    while True:
        node = value.node
        if node.kind in (Kind.RECIPROCAL, Kind.INVERSE_POWER):
            return True
        if len(node.inputs) != 1 or node.kind not in (Kind.SCALE, Kind.REARRANGE, Kind.MAXIMUM, Kind.MINIMUM):
            return False
        value = node.inputs[0]
