"""Blocks that begin with positions nearer than a phase, and divide on the way, give what blocks of a phase give."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench_plugins.fastism import engine
from attribution_bench_plugins.fastism.execution import blocks as execute
from attribution_bench_plugins.fastism.execution.blocks import walk
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.ops.lazy_window import Program
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed
from fastism_models import LENGTH, MODELS, build
from parity import assert_parity, brute_force, one_hot, plan_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


@pytest.fixture
def begin_near(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let every block begin with neighbours; the strides with which blocks began."""
    seen: list[int] = []

    def watched(plan: Any, unmutated: Any, blocks: list[Positions], *rest: Any) -> Any:
        seen.extend(block.stride for block in blocks)
        return walk(plan, unmutated, blocks, *rest)

    monkeypatch.setattr(execute, "ENOUGH_ROWS", {"cpu": 2**30})
    monkeypatch.setattr(execute, "BLOCKS_EACH", 0)
    monkeypatch.setattr(execute, "walk", watched)
    return seen


@pytest.mark.parametrize("name", MODELS)
def test_every_rule_in_float64(name: str, begin_near: list[int]) -> None:
    module, x = build(name).double(), one_hot(2, 4, LENGTH)
    x[1, :, 11] = 0
    result = ab.get_method("fastism")(module, self_check=False).attribute(x, target="all")
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)
    with (model := ab.as_sequence_model(module)).inference():
        plan = plan_of(model, LENGTH)
    assert set(begin_near) == {plan.strides[0]}


def test_dividing_on_the_way_changes_nothing_but_rounding(
    begin_near: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = ab.get_model("basset")(300).double(), one_hot(1, 4, 300)
    method = ab.get_method("fastism")(model)
    divided = method.attribute(x, target="all", positions=range(20, 290))
    monkeypatch.setattr(execute, "ENOUGH_ROWS", {"cpu": 0})
    phases = method.attribute(x, target="all", positions=range(20, 290))
    assert min(begin_near) < max(begin_near) == 48
    assert_parity(dict(divided.predictions), dict(phases.predictions), 1e-14)


@pytest.mark.parametrize(
    ("name", "strides"),
    [("basset", (1, 3, 12, 48)), ("factorized_basset", (1, 3, 12, 48)), ("bpnet", (1,)), ("chrombpnet", (1,))],
)
def test_where_blocks_divide(name: str, strides: tuple[int, ...]) -> None:
    length = 2114 if name == "chrombpnet" else 96
    model = ab.as_sequence_model(ab.get_model(name)(length))
    with model.inference():
        assert plan_of(model, length).strides == strides


def test_pools_whose_sizes_do_not_divide_each_other_leave_one_phase() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.two, self.three = nn.Conv1d(4, 3, 3, padding=1), nn.MaxPool1d(2), nn.MaxPool1d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.body(x)
            return torch.cat([self.two(x).flatten(1), self.three(x).flatten(1)], 1)

    model = ab.as_sequence_model(Branches())
    with model.inference():
        assert plan_of(model, 24).strides == (6,)


def test_few_blocks_are_not_made_fewer_than_workers_share_evenly() -> None:
    model, x = ab.get_model("basset")(500), one_hot(1, 4, 500)
    method, before = ab.get_method("fastism")(model), torch.get_num_threads()
    seen: list[int] = []
    original = execute.walk

    def watched(plan: Any, unmutated: Any, blocks: list[Positions], *rest: Any) -> Any:
        seen.append(len(blocks))
        return original(plan, unmutated, blocks, *rest)

    try:
        execute.walk = watched  # type: ignore[assignment]
        for threads in (2, 8):
            torch.set_num_threads(threads)
            method.attribute(x)
    finally:
        execute.walk = original
        torch.set_num_threads(before)
    assert seen == [12, 48]


def test_a_phase_shares_the_numbers_of_its_block() -> None:
    delta = torch.arange(2 * 7 * 3 * 4 * 2, dtype=torch.float32).view(2, 7, 3, 4, 2)
    whole = Windowed(None, "x", 100, Window(5, 3, 4), delta=delta, is_masked=True)  # type: ignore[arg-type]
    phase = whole.phase(1, 3)
    assert phase.window == Window(8, 9, 4)
    assert torch.equal(phase.delta(), delta[:, [1, 4]])
    phase.give_up(Program(Buffers(), {}))
    phase.take_delta().zero_()
    assert not delta[:, [1, 4]].any()
    assert delta[:, [0, 2, 3, 5, 6]][:, :, :, 1:].all()
    letters = torch.arange(14).view(2, 7)
    mutation = MutatedInput(None, "x", 100, Window(5, 3, 1), letters, letters[:, :, None], 4)  # type: ignore[arg-type]
    assert np.array_equal(mutation.phase(1, 3).ref, letters[:, [1, 4]])


def test_a_group_of_sequences_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even until Python looks for cycles: the next group would run beside its memory."""
    alive: list[weakref.ref[UnmutatedActivations]] = []
    before: list[int] = []

    class Watched(UnmutatedActivations):
        def __init__(self, *given: Any) -> None:
            before.append(sum(store() is not None for store in alive))
            super().__init__(*given)
            alive.append(weakref.ref(self))

    monkeypatch.setattr(engine, "UnmutatedActivations", Watched)
    method, x = ab.get_method("fastism")(ab.get_model("basset")(200)), one_hot(4, 4, 200)
    method.attribute(x, batch_size=1)
    alive.clear()
    before.clear()
    gc.collect()
    gc.disable()
    try:
        method.attribute(x, batch_size=1)
    finally:
        gc.enable()
    assert len(alive) == 4
    assert max(before) <= 1  # that of the group before, at most
    assert not any(store() is not None for store in alive)
