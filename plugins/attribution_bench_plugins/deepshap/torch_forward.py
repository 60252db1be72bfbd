"""The values of a captured PyTorch model for pairs of sequences and references, and the arrays of the rules."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from attribution_bench_plugins.deepshap.graph import Kind, Node, Value
from attribution_bench_plugins.deepshap.norms import Inner
from attribution_bench_plugins.deepshap.planning import Step
from attribution_bench_plugins.deepshap.rules import Call, Function
from attribution_bench_plugins.deepshap.torch_graph import CapturedGraph
from attribution_bench_plugins.deepshap.torch_operations import name_of

QUADRATURE = (8, 16, 32, 64, 128, 256)
"""Numbers of nodes that a local integration tries, until its parts add up."""


class TorchArrays:
    """`rules.Arrays` over PyTorch."""

    abs = staticmethod(torch.abs)
    exp = staticmethod(torch.exp)
    expm1 = staticmethod(torch.expm1)
    log = staticmethod(torch.log)
    maximum = staticmethod(torch.maximum)
    minimum = staticmethod(torch.minimum)
    isfinite = staticmethod(torch.isfinite)

    def where(self, condition: Tensor, left: Any, right: Any) -> Tensor:
        chosen: Tensor = torch.where(condition, left, right)
        return chosen

    def logsumexp(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return x.logsumexp(axes, keepdim=True)

    def sum(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        return x.sum(axes, keepdim=True)

    def expand(self, x: Tensor, axis: int) -> Tensor:
        return x.unsqueeze(axis)

    def squeeze(self, x: Tensor, axis: int) -> Tensor:
        return x.squeeze(axis)

    def full_like(self, x: Tensor, value: Any) -> Tensor:
        return torch.full_like(x, value)

    def floating(self, x: Tensor, like: Tensor) -> Tensor:
        return x.to(like.dtype)

    def reshape(self, x: Tensor, like: Tensor) -> Tensor:
        return x.reshape(like.shape)

    def broadcast(self, x: Tensor, like: Tensor) -> Tensor:
        return x.expand_as(like)

    def reduced(self, x: Tensor, like: Tensor) -> Tensor:
        return x if x.shape == like.shape else x.sum_to_size(like.shape)

    def epsilon(self, x: Tensor) -> float:
        return torch.finfo(x.dtype).eps

    def some(self, condition: Tensor) -> bool:
        return bool(condition.any())

    def pullback(self, function: Function, inputs: Sequence[Tensor], upstream: Sequence[Tensor | None]) -> list[Tensor]:
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_(_has_gradient(tensor)) for tensor in inputs]
            outputs = function(*leaves)
        return gradients(outputs, leaves, upstream)

    def path_mean(self, call: Call, upstream: Sequence[Tensor | None]) -> list[Tensor]:
        wanted = _rows(call.output, call.reference_output, upstream)
        # Single precision cannot tell more apart.
        tolerance = torch.finfo(call.x[0].dtype).eps ** 0.6 * float(wanted.abs().max()) if wanted.numel() else 0.0
        means: list[Tensor] = []
        for count in QUADRATURE:
            places, weights = np.polynomial.legendre.leggauss(count)
            sums: list[Tensor] | None = None
            for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
                point = [
                    old + float(place) * (x - old) if _has_gradient(x) else x
                    for x, old in zip(call.x, call.reference, strict=True)
                ]
                parts = [float(weight) * part for part in self.pullback(call.function, point, upstream)]
                sums = parts if sums is None else [one + other for one, other in zip(sums, parts, strict=True)]
            means = sums or []
            if not bool(((_rows(call.x, call.reference, means) - wanted).abs() > tolerance).any()):
                break
        return means


class TorchForward:
    """Both passes of a captured model: of the sequences, and of their references."""

    def __init__(self, graph: CapturedGraph, steps: Sequence[Step]) -> None:
        self.arrays = TorchArrays()
        self._graph = graph
        self._linear = {step.node for step in steps if step.rule is None}
        ruled = [step for step in steps if step.rule is not None]
        self._kept = {value for step in ruled for value in step.inputs} | {
            Value(step.node, index) for step in ruled for index in range(len(step.node.outputs))
        }
        self._last = _last_uses(graph.module.graph)
        # Constants that regions read while they are evaluated again.
        self._constants_kept = {
            argument
            for step in ruled
            for member in step.members
            for argument in member.handle.all_input_nodes
            if argument not in graph.values
        }
        self._x: dict[Value, Any] = {}
        self._reference: dict[Value, Any] = {}
        self._constants: dict[fx.Node, Any] = {}
        self._tapes: dict[Node, tuple[list[Tensor], Any]] = {}

    def run(self, x: Tensor, references: Tensor, extras: Sequence[Tensor]) -> None:
        """Compute every value of a batch of pairs."""
        self._x, self._reference, self._constants, self._tapes = {}, {}, {}, {}
        now: dict[fx.Node, Any] = {}
        before: dict[fx.Node, Any] = {}
        inputs = iter((x, *extras))
        graph, values = self._graph, self._graph.values
        for node in graph.module.graph.nodes:
            if node.op == "placeholder":
                now[node] = next(inputs)
                if node in values:
                    before[node] = references
            elif node.op == "get_attr":
                attribute = _attribute(graph.module, node.target)
                now[node] = attribute.detach() if isinstance(attribute, Tensor) else attribute
            elif node.op == "output":
                break
            elif node in graph.nodes and graph.nodes[node] in self._linear:
                before[node] = _evaluate(node, before, now)
                now[node] = self._recorded(node, now)
            elif node in values:
                before[node] = _evaluate(node, before, now)
                now[node] = _evaluate(node, now, now)
            else:
                now[node] = _evaluate(node, now, now)
            self._keep(node, now, before)
            for done in self._last.get(node, ()):
                now.pop(done, None)
                before.pop(done, None)

    def _keep(self, node: fx.Node, now: dict[fx.Node, Any], before: dict[fx.Node, Any]) -> None:
        if node in self._constants_kept:
            self._constants[node] = now[node]
        value = self._graph.values.get(node)
        if value is None:
            return
        several = isinstance(now[node], tuple | list)
        for index in range(len(now[node]) if several else 1):
            part = Value(value.node, index) if several else value
            if part in self._kept:
                self._x[part] = now[node][index] if several else now[node]
                self._reference[part] = before[node][index] if several else before[node]

    def _recorded(self, node: fx.Node, now: dict[fx.Node, Any]) -> Any:
        """Evaluate a linear call on leaves of its own, for its pullback."""
        leaves: list[Tensor] = []

        def leaf(argument: fx.Node) -> Any:
            if argument not in self._graph.values:
                return now[argument]
            leaves.append(now[argument].detach().requires_grad_())
            return leaves[-1]

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), leaf)
        with torch.enable_grad():
            outputs = _function(node)(*args, **kwargs)
        self._tapes[self._graph.nodes[node]] = leaves, outputs
        return tuple(part.detach() for part in outputs) if isinstance(outputs, tuple | list) else outputs.detach()

    def call(self, step: Step) -> Call:
        outputs = [Value(step.node, index) for index in range(len(step.node.outputs))]
        return Call(
            self.arrays,
            self._function(step),
            tuple(self._x[value] for value in step.inputs),
            tuple(self._reference[value] for value in step.inputs),
            tuple(self._x[value] for value in outputs),
            tuple(self._reference[value] for value in outputs),
            None if step.inner is None else self._inner(step.inner),
        )

    def pullback(self, step: Step, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
        leaves, outputs = self._tapes[step.node]
        return gradients(outputs, leaves, upstream)

    def lost(self, call: Call, upstream: Sequence[Tensor | None], multipliers: Sequence[Tensor]) -> Tensor:
        wanted = _rows(call.output, call.reference_output, upstream)
        # No rule explains differences that are infinite or no numbers in the model itself.
        missing = (wanted - _rows(call.x, call.reference, multipliers)).abs().where(wanted.isfinite(), 0)
        return missing.max() if missing.numel() else missing.sum()

    def _function(self, step: Step) -> Callable[..., Any]:
        """Return the step's operations as a function of its inputs."""

        def function(*inputs: Tensor) -> Any:
            if step.inputs == step.node.inputs:
                given = iter(inputs)
                return _called(step.node.handle, lambda argument: self._constant_or(argument, given))
            known = dict(zip(step.inputs, inputs, strict=True))
            self._run_all(step.members, known)
            last = tuple(known[Value(step.node, index)] for index in range(len(step.node.outputs)))
            return last if len(last) > 1 else last[0]

        return function

    def _inner(self, inner: Inner) -> Callable[..., Any]:
        """Return the sum of squares of a norm, and its divisor, as a function of what is squared."""

        def function(*inputs: Tensor) -> tuple[Tensor, Tensor]:
            known = dict(zip(inner.operands, inputs, strict=True))
            self._run_all(inner.members, known)
            total = known[inner.total]
            for node in inner.above:
                if node.kind is Kind.REARRANGE:
                    rearranged = {node.inputs[0]: total}
                    self._run_all((node,), rearranged)
                    total = rearranged[Value(node)]
            return total, known[inner.divisor]

        return function

    def _run_all(self, members: Sequence[Node], known: dict[Value, Tensor]) -> None:
        """Evaluate operations on known inputs, and note their outputs there."""
        for member in members:
            outputs = _called(member.handle, lambda argument: self._bound(argument, known))
            for index, part in enumerate(outputs if isinstance(outputs, tuple | list) else (outputs,)):
                known[Value(member, index)] = part

    def _constant_or(self, argument: fx.Node, given: Any) -> Any:
        return next(given) if argument in self._graph.values else self._constants[argument]

    def _bound(self, argument: fx.Node, known: dict[Value, Tensor]) -> Any:
        value = self._graph.values.get(argument)
        return self._constants[argument] if value is None else known[value]


def gradients(outputs: Any, leaves: Sequence[Tensor], upstream: Sequence[Tensor | None]) -> list[Tensor]:
    """Return the gradients of one or several outputs; zeros where there is none."""
    parts = outputs if isinstance(outputs, tuple | list) else (outputs,)
    pairs = [
        (part, given.to(part.dtype))
        for part, given in zip(parts, upstream, strict=False)
        if given is not None and part.requires_grad
    ]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    if not pairs or not wanted:
        return [_zeros(leaf, upstream) for leaf in leaves]
    found = iter(
        torch.autograd.grad(
            [part for part, _ in pairs], wanted, [given for _, given in pairs], retain_graph=True, allow_unused=True
        )
    )
    results = [next(found) if leaf.requires_grad else None for leaf in leaves]
    return [_zeros(leaf, upstream) if part is None else part for leaf, part in zip(leaves, results, strict=True)]


def _has_gradient(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _zeros(leaf: Tensor, upstream: Sequence[Tensor | None]) -> Tensor:
    like = next(part for part in upstream if part is not None)
    return torch.zeros(leaf.shape, dtype=like.dtype, device=leaf.device)


def _rows(now: Sequence[Tensor], before: Sequence[Tensor], factors: Sequence[Tensor | None]) -> Tensor:
    """Return the sum of factors times differences for each row of the first axis.

    PyTorch's gradients of complex numbers are those of their real parts, and i times those of their imaginary parts.
    """
    totals = [
        (factor.conj() * (x.to(factor.dtype) - old.to(factor.dtype))).real.reshape(len(x) if x.ndim else 1, -1).sum(1)
        for x, old, factor in zip(now, before, factors, strict=False)
        if factor is not None
    ]
    if len({len(total) for total in totals}) > 1:
        totals = [total.sum()[None] for total in totals]
    return torch.stack(totals).sum(0)


def _evaluate(node: fx.Node, own: dict[fx.Node, Any], shared: dict[fx.Node, Any]) -> Any:
    """Evaluate a call on the values of one pass; constants are those of the other."""
    with torch.no_grad():
        return _called(node, lambda argument: own[argument] if argument in own else shared[argument])


def _called(node: fx.Node, bound: Callable[[fx.Node], Any]) -> Any:
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), bound)
    return _function(node)(*args, **kwargs)


def _function(node: fx.Node) -> Callable[..., Any]:
    # Rules and gradients may have other strides than the traced tensors, of which a view would not hold.
    target: Any = torch.reshape if name_of(node) in ("view", "_unsafe_view") and len(node.args) == 2 else node.target
    return target  # type: ignore[no-any-return]


def _attribute(module: torch.nn.Module, path: Any) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def _last_uses(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """Return, for each node, those that it is the last to read."""
    order = {node: place for place, node in enumerate(graph.nodes)}
    found: dict[fx.Node, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.users:
            found.setdefault(max(node.users, key=order.__getitem__), []).append(node)
    return found
