"""Blocks that begin with positions nearer than a phase, and divide on the way, give what blocks of a phase give."""

import gc
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

import attribution_bench as ab
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.ops.lazy_window import Program
from attribution_bench_plugins.fastism.planning.plan import Plan, reached_window
from attribution_bench_plugins.fastism.planning.sizes import CPU, SizePolicy, Sizer, fewest_launches, phases
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed, regrid
from fastism_models import LENGTH, MODELS, build, chain
from parity import assert_parity, brute_force, one_hot, plan_of, sized
from real_architectures import ARCHITECTURES

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


NEAR = replace(CPU, enough_rows=2**30, blocks_per_worker=0)
"""Every block begins with neighbours."""
FAR = replace(CPU, enough_rows=0)
"""Every block begins with positions a phase apart."""


def strides(plan: Plan, sizes: SizePolicy, count: int, positions: Sequence[int]) -> set[int]:
    """Return the strides with which the blocks of a group begin."""
    sizer = Sizer(plan, sizes, 8, 2**30)
    return {block.stride for block in sizer.blocks(sizer.sizes(3), positions, (count, 3), 2)}


@pytest.mark.parametrize("name", MODELS)
def test_every_rule_in_float64(name: str) -> None:
    module, x = build(name).double(), one_hot(2, 4, LENGTH)
    x[1, :, 11] = 0
    method = sized(FastISM(module, self_check=False), NEAR)
    result = method.attribute(x, target="all")
    assert_parity(dict(result.predictions), brute_force(module, x), 1e-10)
    (compiled,) = method.engine.cache.models
    assert compiled.plan is not None
    assert strides(compiled.plan, NEAR, 2, range(LENGTH)) == {compiled.plan.strides[0]}


@pytest.mark.parametrize("name", MODELS)
def test_positions_that_are_spread(name: str) -> None:
    """Evenly, at multiples of the stride and not, and unevenly; blocks that divide on the way, too."""
    module, x = build(name).double(), one_hot(2, 4, LENGTH)
    truth = brute_force(module, x)
    uneven = np.sort(np.random.default_rng(3).choice(LENGTH, 11, replace=False))
    for sizes, positions in itertools.product((CPU, NEAR), (np.arange(1, LENGTH, 5), np.arange(0, LENGTH, 4), uneven)):
        method = sized(FastISM(module, self_check=False, min_speedup=0), sizes)
        found = method.attribute(x, target="all", positions=positions)
        assert_parity(dict(found.predictions), {name: values[:, :, positions] for name, values in truth.items()}, 1e-10)


def test_blocks_of_spread_positions() -> None:
    assert list(phases(range(7, 100, 10), 1, 50)) == [Positions(7, 10, 10)]
    assert list(phases(range(7, 100, 10), 5, 4)) == [Positions(7, 10, 4), Positions(47, 10, 4), Positions(87, 10, 2)]
    assert list(phases([3, 4, 5, 9, 13], 1, 50)) == [Positions(3, 1, 5, (0, 1, 2, 6, 10))]
    assert list(phases([3, 4, 5, 9, 13], 2, 50)) == [Positions(3, 2, 4, (0, 1, 3, 5)), Positions(4, 2, 1)]
    assert list(phases([0, 1, 2, 3], 2, 50)) == [Positions(0, 2, 2), Positions(1, 2, 2)]
    positions = np.sort(np.random.default_rng(0).choice(1000, 200, replace=False)).tolist()
    blocks = list(phases(positions, 4, 30))
    assert sorted(position for block in blocks for position in block.indices) == positions
    assert all(block.stride % 4 == 0 for block in blocks)
    assert len(blocks) == 8


POSITION_SETS = st.sets(st.integers(0, 60), min_size=1, max_size=20).map(sorted)


@given(POSITION_SETS, st.integers(1, 4), st.integers(-2, 3), st.data())
@settings(deadline=None)
def test_some_mutations_of_a_block_keep_their_ranges(
    positions: list[int], stride: int, step: int, data: st.DataObject
) -> None:
    for block in phases(positions, stride, 12):
        advance = step * block.stride
        window = Window(7, advance, 3, block.multiples if step else None)
        times = data.draw(st.integers(1, 4))
        chosen = data.draw(st.sampled_from([slice(first, None) for first in range(block.count)]))
        members_of_phases = list(block.phases(times))
        for members, least in [(chosen, 1), *((members, times) for members in members_of_phases)]:
            numbers = range(block.count)[members] if isinstance(members, slice) else members
            part, ranges = block.of(members, least), window.of(members, least)
            assert part.stride % (block.stride * least) == 0
            assert list(part.indices) == [block.indices[k] for k in numbers]
            assert [ranges.at(k) for k in range(part.count)] == [window.at(k) for k in numbers]
            assert ranges.starts(part.count).tolist() == [window.at(k) for k in numbers]
            assert ranges.multiples in (part.multiples, None)
        found = [position for members in members_of_phases for position in block.of(members, times).indices]
        assert sorted(found) == list(block.indices)


@pytest.mark.parametrize("name", ["basset", "bpnet"])
@pytest.mark.parametrize("count", [1, 8])
def test_irregular_positions_start_no_more_than_neighbours_and_all(name: str, count: int) -> None:
    """Neither in blocks as they run nor as they are counted, so that what decides knows it."""
    length, random = 600, np.random.default_rng(0)
    plan = plan_of(ab.as_sequence_model(ab.get_model(name)(length)), length)
    sizer = Sizer(plan, CPU, 4, 2**30)

    def blocks(positions: NDArray[np.int64]) -> int:
        return len(sizer.blocks(sizer.sizes(3), positions.tolist(), (count, 3), 1))

    def counted(positions: NDArray[np.int64]) -> int:
        return fewest_launches(plan, count, positions, 3, 32).blocks

    for asked in (20, 50, 100, 200, 500, 590):
        irregular = np.sort(random.permutation(length)[:asked])
        near = np.arange((length - asked) // 2, (length + asked) // 2)
        for launched in (blocks, counted):
            assert launched(irregular) <= launched(near) <= launched(np.arange(length))


def test_dividing_on_the_way_changes_nothing_but_rounding() -> None:
    model, x, positions = ab.get_model("basset")(300).double(), one_hot(1, 4, 300), range(20, 290)
    divided, apart = (
        sized(FastISM(model), sizes).attribute(x, target="all", positions=positions) for sizes in (NEAR, FAR)
    )
    plan = plan_of(ab.as_sequence_model(model), 300)
    assert max(strides(plan, NEAR, 1, positions)) < 48
    assert strides(plan, FAR, 1, positions) == {48}
    assert_parity(dict(divided.predictions), dict(apart.predictions), 1e-14)


class Pools(nn.Module):
    """Pools that overlap, are padded or dilated, residual sums between them, and a head of all positions or of none."""

    def __init__(self, *, padding: int, dilation: int, stride: int, is_global: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 20, 5, padding=2), nn.Conv1d(20, 20, 3, padding=1)
        self.third, self.norm = nn.Conv1d(20, 17, 3, dilation=2), nn.BatchNorm1d(20)
        self.pool = nn.MaxPool1d(3, stride, padding, dilation)
        self.last, self.is_global = nn.LazyLinear(3), is_global

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.first(x)).relu()
        x = self.pool(self.norm(x + self.second(x)).relu())
        x = self.third(x)
        x = x.mean(2) if self.is_global else nn.functional.max_pool1d(x, 2).flatten(1)
        return self.last(x)


@pytest.mark.parametrize("positions", ["all", "spread", "irregular"])
@pytest.mark.parametrize(
    ("padding", "dilation", "stride", "is_global"),
    [(0, 1, 3, False), (1, 1, 2, False), (1, 1, 3, True), (0, 2, 2, False), (1, 2, 3, False), (0, 1, 4, True)],
)
def test_blocks_that_kernels_do_not_divide_give_what_phases_give(
    padding: int, dilation: int, stride: int, is_global: bool, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, x = Pools(padding=padding, dilation=dilation, stride=stride, is_global=is_global), one_hot(2, 4, 90)
    module = module.double()
    with torch.no_grad():
        module(torch.as_tensor(x))  # the lazy layer takes its size
        for number, parameter in enumerate(module.eval().parameters()):
            nn.init.uniform_(parameter, -1, 1, generator=torch.Generator().manual_seed(number))
    chosen = {"all": np.arange(90), "spread": np.arange(1, 90, 5), "irregular": np.arange(60) ** 2 % 89}[positions]
    chosen, ran = np.unique(chosen), list[int]()
    run = BlockInterpreter.run
    monkeypatch.setattr(BlockInterpreter, "run", lambda block, steps: (ran.append(block.count), run(block, steps)))

    def found() -> dict[str, NDArray[np.floating]]:
        method = sized(FastISM(module, self_check=False, min_speedup=0), NEAR)
        return dict(method.attribute(x, target="all", positions=chosen).predictions)

    undivided, few = found(), len(ran)
    ran.clear()
    monkeypatch.setattr(Plan, "undivided", frozenset())
    divided = found()
    assert few < len(ran), "no block was spared its phases"
    assert_parity(undivided, divided, 1e-13)
    assert_parity(undivided, {name: part[:, :, chosen] for name, part in brute_force(module, x).items()}, 1e-10)


class Stack(nn.Module):
    """Narrow convolutions, pools with any stride, padding and gaps between their taps, and sums of branches."""

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__()
        self.layers, self.kinds = nn.ModuleList([nn.Conv1d(4, 3, int(random.integers(1, 3)))]), ["plain"]
        for _ in range(random.integers(3, 6)):
            kernel, stride, dilation = (int(random.integers(*between)) for between in ((1, 4), (1, 4), (1, 4)))
            padding = int(random.integers(0, kernel // 2 + 1))
            kind = str(random.choice(["plain", "pool", "pool", "pool", "strided", "pooled and not"]))
            if kind == "plain":
                layer: nn.Module = nn.Conv1d(3, 3, kernel, 1, padding, dilation)
            elif kind == "strided":
                layer = nn.Conv1d(3, 3, kernel, 2, padding, dilation)
            elif kind == "pool":
                layer = nn.MaxPool1d(kernel, stride, padding, dilation)
            else:
                layer = nn.Sequential(nn.MaxPool1d(2, 2, 0, dilation), nn.ConvTranspose1d(3, 3, 2, 2))
            self.layers.append(layer)
            self.kinds.append(kind)
        self.last = nn.Conv1d(3, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            if x.shape[2] < 10:
                break
            after = layer(x)
            x = after if kind != "pooled and not" else after + x[:, :, : after.shape[2]]
        return self.last(x)


@pytest.mark.parametrize("seed", range(24))
def test_narrow_windows_behind_any_pools(seed: int) -> None:
    """Of a sequence of nearly one letter, so that no maximum hides a mutation; blocks end at any position."""
    random = np.random.default_rng(seed)
    letters = np.where(random.random(48) < 0.1, random.integers(0, 4, 48), 0)
    x, module = np.eye(4)[letters].T[None], Stack(random).double().eval()
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            nn.init.uniform_(parameter, -1, 1, generator=torch.Generator().manual_seed(100 * seed + number))
    truth, method = brute_force(module, x), sized(FastISM(module, self_check=False, min_speedup=0), NEAR)
    sets = [np.arange(*sorted(random.choice(49, 2, replace=False))) for _ in range(5)]
    sets += [np.sort(random.choice(48, count, replace=False)) for count in (2, 3, 5, 8, 13, 21)]
    for positions in sets:
        found = dict(method.attribute(x, target="all", positions=positions).predictions)
        assert_parity(found, {name: values[:, :, positions] for name, values in truth.items()}, 1e-12)


def test_letters_at_the_end_of_a_block_behind_a_pool_with_gaps_are_told_apart() -> None:
    """Even positions change the output j / 2 of the third pool, odd ones (j - 3) / 2."""
    torch.manual_seed(0)
    pool, gaps = nn.MaxPool1d(2), nn.MaxPool1d(2, 2, 0, 3)
    module = chain(nn.Conv1d(4, 8, 1), pool, pool, gaps, pool, nn.Flatten(), nn.Linear(40, 1)).double().eval()
    x = np.eye(4)[np.zeros(96, int)].T[None]
    method, truth = sized(FastISM(module, self_check=False, min_speedup=0), NEAR), brute_force(module, x)
    for stop in (51, 52, 53):
        found = dict(method.attribute(x, target="all", positions=range(stop)).predictions)
        assert_parity(found, {name: values[:, :, :stop] for name, values in truth.items()}, 1e-12)


def test_ranges_that_do_not_ascend_or_advance_by_fractions_raise() -> None:
    plan = plan_of(ab.as_sequence_model(chain(nn.Conv1d(4, 8, 1), nn.MaxPool1d(2, 2, 0, 3), nn.Flatten())), 40)
    pool = next(step.operation for step in plan.body if step.node.op == "max_pool")
    assert pool is not None
    assert not pool.takes_any_advance
    with pytest.raises(RuntimeError, match=r"max_pool1d do not ascend"):
        reached_window(pool, [Window(10, 1, 1)], 4, near=Positions(10, 1, 4), times=2)
    for step in (1, 3):
        with pytest.raises(RuntimeError, match=rf"max_pool1d reads advance by \[{step}\] positions"):
            reached_window(pool, [Window(10, step, 1)], 4)
    assert reached_window(pool, [Window(10, 3, 1)], 1).at(0) == 5


def test_what_kernels_do_not_compute_runs_in_phases() -> None:
    """Half precision has no kernels; neither has an activation of which nothing is known but its formula."""
    plan = plan_of(ab.as_sequence_model(ab.get_model("basset")(96)), 96)
    assert [stage.stride for stage in plan.stages(1)] == [1, 3, 12, 48]
    assert [stage.stride for stage in plan.stages_of_kernels(1)] == [1]
    pool = nn.MaxPool1d(2)
    module = chain(nn.Conv1d(4, 8, 5), pool, nn.Conv1d(8, 8, 3), nn.GELU(), pool, nn.Conv1d(8, 8, 3), nn.Flatten())
    plan = plan_of(ab.as_sequence_model(module), 60)
    assert [stage.stride for stage in plan.stages_of_kernels(1)] == [1, 2]
    assert [stage.stride for stage in plan.stages(1)] == [1, 2, 4]


STARTS = st.lists(st.integers(0, 4), min_size=1, max_size=8).map(np.cumsum)


@given(STARTS, STARTS, st.integers(-3, 9), st.integers(1, 6), st.integers(1, 9))
@settings(deadline=None)
def test_ranges_that_advance_irregularly(
    one: NDArray[np.int64], other: NDArray[np.int64], offset: int, width: int, wide: int
) -> None:
    """As a window holds them, of some mutations, and deltas that are put from one into another."""
    count = min(len(one), len(other))
    old, new = Window.of_starts(one[:count] + offset, width), Window.of_starts(other[:count], wide)
    assert old.starts(count).tolist() == [old.at(k) for k in range(count)] == (one[:count] + offset).tolist()
    assert old.is_parallel_to(new) == (np.ptp(one[:count] - other[:count]) == 0)
    for times in range(1, 4):
        for first in range(min(times, count)):
            members = slice(first, None, times)
            part = old.of(members, times)
            assert part.starts(len(range(count)[members])).tolist() == old.starts(count)[members].tolist()
    delta = torch.rand(2, count, 3, width, 2, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2, count, 3, wide, 2)
    for k in range(count):
        for place in range(width):
            if 0 <= (into := old.at(k) + place - new.at(k)) < wide:
                expected[:, k, :, into] = delta[:, k, :, place]
    assert torch.equal(regrid(delta, old, new), expected)


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


@pytest.mark.parametrize(("workers", "blocks"), [(2, 12), (8, 48)])
def test_few_blocks_are_not_made_fewer_than_workers_share_evenly(workers: int, blocks: int) -> None:
    plan = plan_of(ab.as_sequence_model(ab.get_model("basset")(500)), 500)
    sizer = Sizer(plan, CPU, 4, 2**32)
    assert len(sizer.blocks(sizer.sizes(3), range(500), (1, 3), workers)) == blocks


def test_a_phase_shares_the_numbers_of_its_block() -> None:
    delta = torch.arange(2 * 7 * 3 * 4 * 2, dtype=torch.float32).view(2, 7, 3, 4, 2)
    whole = Windowed(None, "x", 100, Window(5, 3, 4), delta=delta, is_masked=True)  # type: ignore[arg-type]
    phase = whole.of(slice(1, None, 3))
    assert phase.window == Window(8, 9, 4)
    assert torch.equal(phase.delta(), delta[:, [1, 4]])
    phase.give_up(Program(Buffers(), {}))
    phase.take_delta().zero_()
    assert not delta[:, [1, 4]].any()
    assert delta[:, [0, 2, 3, 5, 6]][:, :, :, 1:].all()
    letters = torch.arange(14).view(2, 7)
    mutation = MutatedInput(None, "x", 100, Window(5, 3, 1), letters, letters[:, :, None], 4)  # type: ignore[arg-type]
    assert np.array_equal(mutation.of(slice(1, None, 3)).ref, letters[:, [1, 4]])
    chosen = whole.of((0, 2, 6))
    assert chosen.window == Window(5, 6, 4, (0, 1, 3))
    assert torch.equal(chosen.delta(), whole.delta()[:, [0, 2, 6]])


def test_a_group_of_sequences_leaves_nothing_behind() -> None:
    """Not even until Python looks for cycles: the next group would run beside its memory."""
    alive: list[int] = []

    def count(done: int, total: int) -> None:
        alive.append(sum(type(held) is UnmutatedActivations for held in gc.get_objects()))

    method, x = FastISM(ab.get_model("basset")(200)), one_hot(4, 4, 200)
    method.attribute(x, batch_size=1, positions=[100])
    gc.collect()
    gc.disable()
    try:
        method.attribute(x, batch_size=1, positions=[100], progress=count)
        count(4, 4)
    finally:
        gc.enable()
    *during, after = alive
    assert len(during) == 4
    assert 1 <= max(during) <= 2  # that of the group before, at most
    assert after == 0


@pytest.mark.parametrize("count", [3, 25])
def test_irregular_positions_are_answered_as_asked_whatever_runs_for_them(count: int) -> None:
    module = ARCHITECTURES["both strands"].build().double()
    x, seen = one_hot(2, 4, 60), list[tuple[int, int]]()
    x[0, :, 5] = 0  # an unknown letter
    positions = np.random.default_rng(0).permutation(60)[:count]
    result = FastISM(module).attribute(x, target="all", positions=positions, progress=lambda *state: seen.append(state))
    truth = {name: values[:, :, positions] for name, values in brute_force(module, x).items()}
    assert_parity(dict(result.predictions), truth, 1e-10)
    assert seen[-1] == (2 * count, 2 * count)
