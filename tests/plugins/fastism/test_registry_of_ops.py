"""The registry of ops: every op is declared in full, and what is declared of it holds."""

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import attribution_bench as ab
import keras_models
from attribution_bench.models import SequenceModel
from attribution_bench_plugins.fastism.capture.from_torch import capture
from attribution_bench_plugins.fastism.capture.source import source_of
from attribution_bench_plugins.fastism.execution.unmutated import run_graph
from attribution_bench_plugins.fastism.graph.ir import Graph, Node
from attribution_bench_plugins.fastism.graph.layout import labelled
from attribution_bench_plugins.fastism.graph.parameters import BatchNormParameters, ConvolutionParameters
from attribution_bench_plugins.fastism.ops.registry import SPECS, OpSpec, Traits
from attribution_bench_plugins.fastism.planning.cost import full_cost
from attribution_bench_plugins.fastism.planning.plan import make_plan
from attribution_bench_plugins.fastism.planning.pooling_first import pool_first
from attribution_bench_plugins.fastism.planning.rewriting import split_joint_features
from fastism_models import LENGTH, MODELS, Custom, build, chain

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")

KERAS_MODELS = ("activations", "convolutions", "joint_features", "merges", "operations", "pools", "shapes", "users_own")
ROWS = 3


@dataclass(frozen=True)
class Seen:
    """A node of a captured model, and values of its operands."""

    node: Node
    operands: tuple[Any, ...]
    changing: tuple[int, ...]
    """The operands that are no constants."""

    @property
    def sole(self) -> Tensor | None:
        """The only changing operand, where it holds floating-point numbers; else None."""
        if len(self.changing) != 1 or not isinstance(self.operands[self.changing[0]], Tensor):
            return None
        value: Tensor = self.operands[self.changing[0]]
        return value if value.is_floating_point() else None

    def value(self, changed: Tensor) -> Tensor:
        """Return the node's value where its only changing operand is another."""
        operands = list(self.operands)
        operands[self.changing[0]] = changed
        with torch.no_grad():
            result: Tensor = self.node.call(*operands)
        return result


def captured(model: SequenceModel, length: int = LENGTH, extras: tuple[Any, ...] = ()) -> Graph:
    """Return the graph of a model as the engine plans it."""
    with model.inference():
        graph = source_of(model).capture(length, extras, model.outputs(length, extras))
    return pool_first(split_joint_features(graph))


@cache
def graphs() -> tuple[Graph, ...]:
    """Return the graphs of models that hold every op."""
    second = Custom(
        lambda m, x, extra: m.norm(m.conv(x)) + extra[:, None],
        conv=nn.Conv1d(4, 2, 3, padding=1),
        norm=nn.BatchNorm1d(2),  # the small models have norms that turn channels around
    ).double()
    track = np.random.default_rng(0).random((5, LENGTH))
    return (
        *(captured(ab.as_sequence_model(build(name).double())) for name in MODELS),
        *(captured(ab.as_sequence_model(keras_models.build(name)), keras_models.LENGTH) for name in KERAS_MODELS),
        captured(ab.as_sequence_model(second), extras=(track,)),
    )


@cache
def seen() -> tuple[Seen, ...]:
    """Return every operation of the models with values that it computes from."""
    return tuple(one for graph in graphs() for one in _seen(graph))


def _seen(graph: Graph) -> Iterator[Seen]:
    generator = torch.Generator().manual_seed(0)
    inputs = {}
    for name in (graph.input, *graph.extras):
        shape = graph.nodes[name].shape
        assert shape is not None
        inputs[name] = torch.rand([size or ROWS for size in shape], generator=generator, dtype=torch.float64)
    with torch.no_grad():
        values = run_graph(graph, inputs, ROWS, frozenset(graph.nodes))
    for node in graph.nodes.values():
        if node.inputs:
            changing = tuple(i for i, name in enumerate(node.inputs) if graph.nodes[name].op != "constant")
            yield Seen(node, tuple(values[name] for name in node.inputs), changing)


def with_trait(trait: str) -> list[Seen]:
    """Return operations of ops with a trait and one operand that changes, at least one of each such op."""
    found = [one for one in seen() if getattr(SPECS[one.node.op].traits, trait) and one.sole is not None]
    declared = {name for name, spec in SPECS.items() if getattr(spec.traits, trait) and spec.rule is not None}
    assert {one.node.op for one in found} == declared
    return found


def test_nothing_of_an_op_has_a_default() -> None:
    declared = [*fields(Traits), *fields(OpSpec)]
    assert [field.name for field in declared if (field.default, field.default_factory) != (MISSING, MISSING)] == []
    with pytest.raises(TypeError, match=r"missing .* 'monotone'"):
        Traits(linear=False, foldable=False, free=False, elementwise=False, any_dtype=False)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"missing .* 'cost'"):
        OpSpec("new", None, ConvolutionParameters, SPECS["conv"].traits)  # type: ignore[call-arg]


def test_models_are_captured_in_registered_ops_with_their_parameters() -> None:
    nodes = [node for graph in graphs() for node in graph.nodes.values()]
    classes = {(node.op, type(node.parameters)) for node in nodes}
    wrong = {(op, found) for op, found in classes if found is not SPECS[op].parameters}
    assert not wrong
    assert {node.op for node in nodes} == SPECS.keys()
    assert all(name == spec.name for name, spec in SPECS.items())


def graph_of(op: str, parameters: Any) -> Graph:
    """Return a graph of one operation on the sequence."""
    sequence = Node("x", "input", (), torch.clone, "input", (None, 4, 20))
    node = Node("y", op, ("x",), torch.clone, "layer", (None, 4, 20), parameters)
    return Graph({"x": sequence, "y": node}, "x", (), {"output": "y"})


def test_an_op_without_a_spec_is_refused() -> None:
    graph = graph_of("smooth", SPECS["flip"].parameters((1,)))
    for use in (
        lambda: make_plan(graph, labelled(("n", "c", "p"), 4, 20)),
        lambda: full_cost(graph.nodes["y"], graph),
    ):
        with pytest.raises(KeyError, match="smooth"):
            use()


def test_a_rule_refuses_parameters_of_another_op() -> None:
    graph = graph_of("conv", SPECS["flip"].parameters((1,)))
    with pytest.raises(TypeError, match="has FlipParameters, where its rule reads ConvolutionParameters"):
        make_plan(graph, labelled(("n", "c", "p"), 4, 20))


COSTS: dict[str, tuple[nn.Module, int]] = {
    "convolution": (nn.Conv1d(4, 5, 3), 18 * 3 * 4 * 5),
    "convolution with padding, stride, dilation and groups": (
        nn.Conv1d(4, 6, 3, padding=2, stride=3, dilation=2, groups=2),
        7 * 3 * (4 // 2) * 6,
    ),
    "convolution of images": (
        nn.Sequential(nn.Unflatten(1, (4, 1)), nn.Conv2d(4, 5, (1, 3), padding=(0, 1))),
        20 * 3 * 4 * 5,
    ),
    "transposed convolution": (nn.ConvTranspose1d(4, 5, 3, 2, padding=1), 20 * 3 * 4 * 5),
    "transposed convolution in groups": (nn.ConvTranspose1d(4, 6, 3, groups=2), 20 * 3 * 4 * (6 // 2)),
    "dense layer": (nn.Sequential(nn.Flatten(), nn.Linear(80, 7)), 80 * 7),
    "dense layer at every position": (Custom(lambda m, x: m.d(x.transpose(1, 2)), d=nn.Linear(4, 7)), 20 * 4 * 7),
    "Einstein sum": (
        Custom(lambda m, x: torch.einsum("ncl,dc->ndl", x, m.w.weight), w=nn.Linear(4, 7)),
        20 * 4 * 7,
    ),
    "pools, norm and function": (chain(nn.MaxPool1d(2), nn.AvgPool1d(2), nn.BatchNorm1d(4), nn.ReLU()), 0),
    "product of what changes with what changes": (Custom(lambda m, x: torch.bmm(x.transpose(1, 2), x)), 20 * 4 * 20),
}
"""Modules of (n, 4, 20), and their multiply-accumulates for one sequence, counted by hand."""


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_what_is_multiplied(name: str) -> None:
    module, expected = COSTS[name]
    x = torch.rand(1, 4, 20)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        module.eval()(x)
    assert counted.get_total_flops() == 2 * expected
    graph = capture(module.eval(), x, (), ("output",))
    assert sum(full_cost(node, graph).macs for node in graph.nodes.values()) == expected


def test_free_ops_cost_nothing() -> None:
    for graph in graphs():
        for node in graph.nodes.values():
            if SPECS[node.op].traits.free:
                assert full_cost(node, graph).work == 0
                assert SPECS[node.op].multiply_accumulates(node, [graph.nodes[name] for name in node.inputs]) == 0


def test_linear_ops_are_linear() -> None:
    for one in with_trait("linear"):
        x = one.sole
        assert x is not None
        y = torch.rand_like(x)
        zero = one.value(torch.zeros_like(x))
        sums, found = one.value(x) + 2 * one.value(y) - 2 * zero, one.value(x + 2 * y)
        torch.testing.assert_close(found, sums, rtol=1e-9, atol=1e-9 * float(found.abs().max()), msg=one.node.layer)


def test_monotone_ops_never_fall() -> None:
    rising = [one for one in with_trait("monotone") if one.node.parameters.is_rising]
    assert {one.node.op for one in rising} == {"relu", "batch_norm"}
    for one in rising:
        x = one.sole
        assert x is not None
        assert bool((one.value(x + torch.rand_like(x)) >= one.value(x)).all()), one.node.layer


def test_elementwise_ops_act_on_each_element_alone() -> None:
    for one in with_trait("elementwise"):
        x = one.sole
        assert x is not None
        before = one.value(x)
        if before.shape != x.shape:
            continue
        changed = x.clone().flatten()
        places = torch.arange(len(changed)) % 5 == 0
        changed[places] += 1
        found, expected = (value.flatten()[~places] for value in (one.value(changed.view_as(x)), before))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, equal_nan=True, msg=one.node.layer)


@pytest.mark.parametrize(("weight", "rises"), [(None, True), ([1.0, 0.0], True), ([1.0, -0.5], False)])
def test_a_norm_rises_where_no_weight_is_negative(weight: Sequence[float] | None, rises: bool) -> None:
    mean = torch.zeros(2)
    given = None if weight is None else torch.tensor(weight)
    assert BatchNormParameters(given, None, mean, mean + 1, 1e-5, axis=1).is_rising is rises
