"""What a GPU would run, as far as a CPU can tell.

Its ways give the same numbers on a CPU's tensors. Tensors without numbers ("meta") show how many operations a block
starts, and fail where one waits for a number.
"""

import itertools
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

import attribution_bench as ab
from attribution_bench.sequences import lambda_windows
from attribution_bench_plugins.fastism.execution.group_run import GroupRun
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.graph.ir import Node
from attribution_bench_plugins.fastism.graph.layout import labelled
from attribution_bench_plugins.fastism.ops.custom_rules import rules_for
from attribution_bench_plugins.fastism.planning.plan import Plan, make_plan
from attribution_bench_plugins.fastism.planning.sizes import ACCELERATOR, Sizer
from attribution_bench_plugins.fastism.values import devices
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, regrid, shifted
from fastism_models import LENGTH, MODELS, build
from parity import assert_parity, brute_force, one_hot, plan_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


@pytest.fixture
def as_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "kind", lambda device: "cuda")


@pytest.mark.usefixtures("as_accelerator")
@pytest.mark.parametrize("name", MODELS)
def test_every_rule_in_float64(name: str) -> None:
    module = build(name).double()
    x = one_hot(2, 4, LENGTH)
    result = ab.get_method("fastism")(module, self_check=False).attribute(x, target="all")
    assert "fallback" not in result.metadata
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)


@pytest.mark.usefixtures("as_accelerator")
@pytest.mark.parametrize("architecture", ["basset", "factorized_basset", "bpnet"])
def test_paper_models_on_real_sequence(architecture: str) -> None:
    model = ab.get_model(architecture)(400).double()
    x, positions = lambda_windows(400, 2).one_hot(), [0, 1, 100, 201, 398, 399]
    found, expected = (
        ab.get_method(name)(model).attribute(x, target="all", positions=positions).predictions
        for name in ("fastism", "standard_ism")
    )
    assert_parity(dict(found), dict(expected), 1e-10)


@pytest.mark.usefixtures("as_accelerator")
def test_keeps_to_its_budget_in_blocks() -> None:
    model, x = ab.get_model("bpnet")(120).double(), one_hot(2, 4, 120)
    whole, parts = (
        ab.get_method("fastism")(model, memory_budget=budget)
        .attribute(x, target="all", positions=slice(50, 58))
        .predictions
        for budget in (None, 4 * 2**20)
    )
    assert_parity(dict(parts), dict(whole), 1e-12)


@given(
    starts=st.tuples(st.integers(-6, 6), st.integers(-6, 6)),
    steps=st.tuples(st.integers(-2, 3), st.integers(-2, 3)),
    widths=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    distances=st.lists(st.integers(1, 4), max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_windows_move_together_as_they_do_one_by_one(
    starts: tuple[int, int], steps: tuple[int, int], widths: tuple[int, int], distances: list[int]
) -> None:
    multiples, count = tuple(itertools.accumulate(distances, initial=0)), len(distances) + 1
    old, new = (Window(*of, multiples) for of in zip(starts, steps, widths, strict=True))
    delta = torch.rand(2, count, 3, old.width, 2, dtype=torch.float64) + 1
    moved, inside = shifted(delta, old, new)
    torch.testing.assert_close(torch.where(inside, moved, 0), regrid(delta, old, new), rtol=0, atol=0)


class Operations(TorchDispatchMode):
    """Counts the operations that write something."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not function.is_view
        return function(*args, **(kwargs or {}))


def without_numbers(plan: Plan) -> Plan:
    """Return a plan whose weights, and whatever the model computes, are meta tensors."""

    def emptied(node: Node) -> Node:
        def call(*operands: Any) -> Any:
            try:
                return node.call(*operands)
            except (RuntimeError, AssertionError):  # the model's own weights have numbers
                if node.shape is None:
                    return []
                if node.op in ("elementwise", "multiply"):  # of windows, whatever their shape
                    return torch.empty(torch.broadcast_shapes(*(operand.shape for operand in operands)), device="meta")
                return torch.empty([size or len(operands[0]) for size in node.shape], device="meta")

        found = {field.name: getattr(node.parameters, field.name) for field in fields(node.parameters)}
        tensors = {name: value.to("meta") for name, value in found.items() if isinstance(value, torch.Tensor)}
        return replace(node, parameters=replace(node.parameters, **tensors), call=call)

    graph = replace(plan.graph, nodes={name: emptied(node) for name, node in plan.graph.nodes.items()})
    return make_plan(graph, labelled(("n", "c", "p"), 4, plan.length), rules_for(graph, {}))


def operations(plan: Plan, positions: int) -> int:
    """Return how many operations the mutations of a block start."""
    middle = plan.length // 2 // plan.stride * plan.stride
    block = Positions(middle - plan.stride * (positions // 2), plan.stride, positions)
    letters = torch.zeros(2, plan.length, dtype=torch.long, device="meta")
    unmutated = UnmutatedActivations(plan, {plan.graph.input: torch.zeros(2, 4, plan.length, device="meta")})
    alt = letters[:, :, None].expand(-1, -1, 3)

    def mutated(at: Positions) -> MutatedInput:
        ref = letters[:, at.index]
        return MutatedInput(unmutated, plan.graph.input, plan.length, at.window(1), ref, alt[:, at.index], plan.letters)

    with torch.inference_mode(), Workers(1) as workers, Operations() as counted:
        group = GroupRun(Sizer(plan, ACCELERATOR, 4, 2**30), unmutated, workers)
        emissions = list(group.run([block], 3, mutated, lambda done: None))
    assert emissions
    return counted.count


@pytest.mark.parametrize(("architecture", "more"), [("bpnet", 0), ("basset", 3)])
def test_operations_of_a_block_do_not_grow_with_its_positions(architecture: str, more: int) -> None:
    """But for the products of a dense layer's rows: mutations a pool apart reach others of them."""
    model = ab.as_sequence_model(ab.get_model(architecture)(2000))
    with model.inference():
        plan = without_numbers(plan_of(model, 2000))
    few, many = (operations(plan, positions) for positions in (12, 36))
    assert many < few + 12 + more * 24


def test_a_walk_over_every_rule_waits_for_no_number() -> None:
    walked = 0
    for name in MODELS:
        model = ab.as_sequence_model(build(name))
        with model.inference():
            plan = plan_of(model, LENGTH)
        if any(step.mode == "full" for step in plan.steps.values()):
            continue  # the model's own operations are run there
        try:
            assert operations(without_numbers(plan), 3 if plan.stride < 8 else 1)
        except RuntimeError as error:
            if "is not on the expected device" in str(error):
                continue  # the model's own weights are read there
            raise
        walked += 1
    assert walked > 25


def test_a_cpu_is_no_accelerator() -> None:
    assert devices.on_cpu(torch.zeros(1))
    assert not devices.on_cpu(torch.zeros(1, device="meta"))
