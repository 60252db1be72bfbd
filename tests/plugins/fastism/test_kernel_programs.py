"""Programs of kernels, which run in order for a chunk of rows at a time; pools and sums against loops."""

import itertools
import weakref
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench_plugins.fastism.kernels import machine
from attribution_bench_plugins.fastism.kernels.convolution_kernel import DirectKernel, OverlapAddKernel
from attribution_bench_plugins.fastism.kernels.epilogue import Epilogue
from attribution_bench_plugins.fastism.kernels.pool_kernel import PoolKernel, TotalKernel
from attribution_bench_plugins.fastism.kernels.program import KernelCall, TableRows, run_calls
from attribution_bench_plugins.fastism.kernels.register_tile import best_tile
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow, Program
from attribution_bench_plugins.fastism.planning.fusion import materialized_nodes
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import LookedUp, Unmutated, Windowed
from fastism_models import chain
from parity import assert_parity, brute_force, one_hot

LENGTH, COUNT = 40, 3
ADVANCES = st.sampled_from([None, (0, 0, 1), (0, 1, 1), (0, 2, 5)])
"""Multiples of windows: those of a source, and of what is pooled of it, differ behind a pool."""
MACHINES = [machine.Machine(64, 32), machine.Machine(32, 16), machine.Machine(16, 32)]


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return normal numbers."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def deltas(window: Window, channels: int, length: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return deltas of two sequences with two alternatives, zero outside the sequence."""
    x = random(2, COUNT, 2, window.width, channels, seed=5, dtype=dtype)
    for k, i in itertools.product(range(COUNT), range(window.width)):
        if not 0 <= window.at(k) + i < length:
            x[:, k, :, i] = 0
    return x


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    steps=st.sampled_from([(), ("rectify",), ("rectify", "scale"), ("scale",)]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    channels=st.sampled_from([1, 3, 16, 17, 70, 130]),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    source=st.builds(Window, st.integers(-4, 30), st.integers(0, 2), st.integers(1, 13), ADVANCES),
    here=st.sampled_from(MACHINES),
    data=st.data(),
)
def test_pools_agree_with_the_largest_of_each_place(
    steps: tuple[str, ...],
    dtype: torch.dtype,
    channels: int,
    kernel: int,
    stride: int,
    dilation: int,
    source: Window,
    here: machine.Machine,
    data: st.DataObject,
) -> None:
    """Whatever is mutated, unmutated or outside the sequence."""
    reach = (kernel - 1) * dilation
    padding = data.draw(st.integers(0, reach // 2))
    pooled = (LENGTH + 2 * padding - reach - 1) // stride + 1
    window = data.draw(st.builds(Window, st.integers(-3, pooled), st.integers(0, 2), st.integers(1, 9), ADVANCES))
    x, before = deltas(source, channels, LENGTH, dtype), random(2, LENGTH, channels, seed=6, dtype=dtype)
    scale = random(channels, seed=7, dtype=dtype)
    places = [
        [
            i * stride - padding + j * dilation
            for j in range(kernel)
            if 0 <= i * stride - padding + j * dilation < LENGTH
        ]
        for i in range(pooled)
    ]
    after = torch.stack([before[:, place].amax(1) for place in places], 1)
    tile = best_tile(channels, dtype.itemsize, here)
    pool = PoolKernel(tile, kernel=kernel, stride=stride, dilation=dilation, padding=padding, channels=channels)
    epilogue = Epilogue(steps)  # type: ignore[arg-type]
    call = KernelCall(pool, x, source, window, pooled, epilogue, x_unmutated=before, unmutated=after, scale=scale)
    (found,) = run_calls([call], [True], Buffers())
    assert found is not None
    wanted = torch.zeros(found.shape, dtype=torch.float64)
    for k, w in itertools.product(range(COUNT), range(window.width)):
        position = window.at(k) + w
        if not 0 <= position < pooled:
            continue
        mutated = before.double()[:, None].repeat(1, 2, 1, 1)
        for i in range(source.width):
            if 0 <= source.at(k) + i < LENGTH:
                mutated[:, :, source.at(k) + i] += x.double()[:, k, :, i]
        value, unmutated_value = mutated[:, :, places[position]].amax(2), after.double()[:, None, position]
        if "rectify" in steps:
            value, unmutated_value = value.relu(), unmutated_value.relu()
        wanted[:, k, :, w] = (value - unmutated_value) * (scale.double() if "scale" in steps else 1)
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-13 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("source", [Window(-3, 2, 7), Window(5, 3, 7), Window(30, 4, 7)])
def test_a_pool_looks_up_deltas_that_are_entries_of_a_table(source: Window) -> None:
    """Those outside the sequence, which the entries have too, count for nothing."""
    channels, pooled = 20, LENGTH // 3
    table, entries = random(5, source.width, channels, seed=1), torch.arange(2 * COUNT * 2).view(2, COUNT, 2) % 5
    looked_up = LookedUp(cast(Unmutated, None), "conv", LENGTH, source, table, entries)
    before, after = random(2, LENGTH, channels, seed=6), random(2, pooled, channels, seed=7)
    pool = PoolKernel(best_tile(channels, 8), kernel=3, stride=3, dilation=1, padding=0, channels=channels)

    def run(x: Tensor | TableRows) -> Tensor:
        window = Window(source.start // 3, 1, 5)
        call = KernelCall(pool, x, source, window, pooled, x_unmutated=before, unmutated=after)
        (found,) = run_calls([call], [True], Buffers(), chunk_bytes=1, least_chunk_rows=2)
        assert found is not None
        return found

    listed = run(TableRows(table, looked_up.entries))
    assert not looked_up.is_written
    part = looked_up.of(slice(1, 3))
    assert torch.equal(listed, run(looked_up.delta()))
    assert torch.equal(part.delta(), looked_up.delta()[:, 1:])
    assert torch.equal(looked_up.of(slice(1, 3)).delta(), part.delta())


def test_a_first_layer_before_a_pool_is_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    module = chain(nn.Conv1d(4, 20, 5, padding=2), nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(20, 6, 3), nn.Flatten())
    monkeypatch.setattr(LookedUp, "materialize", lambda looked_up: pytest.fail("its deltas were written"))
    x = one_hot(2, 4, 60)
    found = ab.get_method("fastism")(module.double().eval(), min_speedup=0, self_check=False).attribute(x, target="all")
    assert_parity(dict(found.predictions), brute_force(module, x), 1e-10)


def test_a_pool_keeps_what_is_not_a_number() -> None:
    x = torch.tensor([1.0, float("nan"), 2.0, 3.0]).view(1, 1, 1, 4, 1).expand(-1, -1, -1, -1, 20)
    pool = PoolKernel(best_tile(20, 4), kernel=2, stride=2, dilation=1, padding=0, channels=20)
    zeros = torch.zeros(1, 4, 20)
    call = KernelCall(pool, x, Window(0, 0, 4), Window(0, 0, 2), 2, x_unmutated=zeros, unmutated=zeros[:, :2])
    (found,) = run_calls([call], [True], Buffers())
    assert found is not None
    torch.testing.assert_close(found[0, 0, 0, :, 7], torch.tensor([float("nan"), 3.0]), equal_nan=True)


@pytest.mark.parametrize("channels", [1, 5, 16, 70])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_over_positions(channels: int, dtype: torch.dtype) -> None:
    """More positions than are added up together; scaled as a mean is."""
    source = Window(-3, 1, 77)
    x, scale = deltas(source, channels, 90, dtype), torch.full((channels,), 1 / 90, dtype=dtype)
    kernel = TotalKernel(best_tile(channels, dtype.itemsize), channels=channels)
    (found,) = run_calls(
        [KernelCall(kernel, x, source, Window(0, 0, 1), 1, Epilogue(("scale",)), scale=scale)], [True], Buffers()
    )
    assert found is not None
    expected = x.double().sum(3, keepdim=True) / 90
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-15 if dtype == torch.float64 else 3e-7)


def residual_calls() -> list[KernelCall]:
    """Return convolutions, a residual sum, a pool, a profile head and a mean: each reads what others write."""
    taps = [random(3, 20, 20, seed=seed) / 8 for seed in (1, 2)]
    first, second = (
        DirectKernel(each, best_tile(20, 8), dilation=dilation, offset=-dilation)
        for each, dilation in zip(taps, (1, 2), strict=True)
    )
    source = Window(2, 3, 7)
    wider, widest = Window(1, 3, 9), Window(-1, 3, 13)
    before, pooled = random(2, LENGTH, 20, seed=3), random(2, LENGTH // 2, 20, seed=4)
    one = KernelCall(first, deltas(source, 20, LENGTH), source, wider, LENGTH, Epilogue(("rectify",)), unmutated=before)
    two = KernelCall(
        second,
        one,
        wider,
        widest,
        LENGTH,
        Epilogue(("rectify", "add")),
        unmutated=before,
        other=one,
        other_window=wider,
    )
    pool = PoolKernel(best_tile(20, 8), kernel=2, stride=2, dilation=1, padding=0, channels=20)
    head = OverlapAddKernel(random(5, 20, 1, seed=8), best_tile(5, 8), upsampling=1, offset=-2)
    return [
        one,
        two,
        KernelCall(pool, two, widest, Window(0, 1, 7), LENGTH // 2, x_unmutated=before, unmutated=pooled),
        KernelCall(head, two, widest, Window(-3, 3, 17), LENGTH),
        KernelCall(TotalKernel(best_tile(20, 8), channels=20), two, widest, Window(0, 0, 1), 1),
    ]


@pytest.mark.parametrize("least", [1, 2, 5, 100])
@pytest.mark.parametrize("kept", list(itertools.product([True, False], repeat=3)))
def test_chunks_of_rows_and_kept_results_change_no_bit(kept: tuple[bool, bool, bool], least: int) -> None:
    alone: dict[KernelCall, Tensor] = {}
    calls = residual_calls()
    for call, whole in zip(calls, run_calls(calls, [True] * 5, Buffers()), strict=True):
        assert whole is not None
        alone[call] = whole
    keeping = [*kept, True, True]
    results = run_calls(calls, keeping, Buffers(), chunk_bytes=1, least_chunk_rows=least)
    for call, keeps, result in zip(calls, keeping, results, strict=True):
        assert (result is not None) == keeps
        assert result is None or torch.equal(result, alone[call])


def test_kept_results_are_right() -> None:
    """The sums of the chain above against PyTorch's convolutions, sequence by sequence."""
    one, two, *_ = calls = residual_calls()
    results = run_calls(calls, [True] * 5, Buffers())
    for n, k, a in itertools.product(range(2), range(COUNT), range(2)):
        x = torch.zeros(LENGTH, 20, dtype=torch.float64)
        assert isinstance(one.x, Tensor)
        x[one.source.at(k) : one.source.at(k) + one.source.width] = one.x[n, k, a]
        assert one.unmutated is not None
        before = one.unmutated[n]
        total = x
        for dilation in (1, 2):
            taps = (random(3, 20, 20, seed=dilation) / 8).flip(0).permute(2, 1, 0)
            sums = nn.functional.conv1d(total.t()[None], taps, padding=dilation, dilation=dilation)[0].t()
            rectified = (sums + before).relu() - before.relu()
            total = rectified if dilation == 1 else total + rectified
        low, high = max(0, two.window.at(k)), min(LENGTH, two.window.at(k) + two.window.width)
        result = results[1]
        assert result is not None
        torch.testing.assert_close(result[n, k, a, low - two.window.at(k) : high - two.window.at(k)], total[low:high])
        assert float(total[:low].abs().sum() + total[high:].abs().sum()) == 0


class ProfileAndCount(nn.Module):
    """A small BPNet: its residual convolutions are read by two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, 20, 5, padding=2)
        self.tower = nn.ModuleList([nn.Conv1d(20, 20, 3, padding=2**i, dilation=2**i) for i in range(1, 4)])
        self.profile, self.count = nn.ConvTranspose1d(20, 1, 7, padding=3), nn.Linear(20, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a profile and a count."""
        x = self.stem(x).relu()
        for convolution in self.tower:
            x = x + convolution(x).relu()
        return self.profile(x), self.count(x.mean(2))


MODELS = {
    "profile and count": ProfileAndCount,
    "pooled": lambda: chain(
        nn.Conv1d(4, 20, 5, padding=2),
        nn.ReLU(),
        nn.BatchNorm1d(20),
        nn.MaxPool1d(3),
        nn.Conv1d(20, 20, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(160, 2),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_foreseen_to_stay_between_kernels_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are made so large that only the others fit."""
    model = MODELS[name]().double().eval()
    kept: set[str] = set()
    between: set[str] = set()
    take_result = LazyWindow.take_result

    def spy(self: LazyWindow, result: Tensor | None) -> None:
        (between if result is None else kept).add(self.source)
        take_result(self, result)

    monkeypatch.setattr(LazyWindow, "take_result", spy)
    method = ab.get_method("fastism")(model, self_check=False, min_speedup=0)
    x = one_hot(1, 4, 48)
    found = method.attribute(x, target="all")
    assert_parity(dict(found.predictions), brute_force(model, x), 1e-10)
    (engine,) = method.engine.cache.models
    plan = engine.plan
    assert plan is not None
    foreseen = materialized_nodes(plan, plan.middle_windows)
    assert kept <= foreseen
    assert between
    assert not between & foreseen


class NothingUnmutated:
    """The unmutated activations of kernels that read none."""

    buffers = Buffers()


def test_what_is_computed_keeps_nothing_that_it_was_computed_from() -> None:
    """The head reads results of a block after all blocks have run: what they were computed from is freed before."""
    window, unmutated, rows = Window(3, 1, 6), cast("Unmutated", NothingUnmutated()), Program(Buffers(), {})
    x = Windowed(unmutated, "x", LENGTH, window, delta=deltas(window, 20, LENGTH), is_masked=True)
    kernel = DirectKernel(random(3, 20, 20, seed=1), best_tile(20, 8), dilation=1, offset=-1)
    between = LazyWindow(unmutated, "y", LENGTH, Window(2, 1, 8), kernel, x, rows)
    result = LazyWindow(unmutated, "z", LENGTH, Window(1, 1, 10), kernel, between, rows)
    operands = weakref.ref(x), weakref.ref(between)
    del x, between
    assert all(operand() is not None for operand in operands)
    assert result.delta().shape == (2, COUNT, 2, 10, 20)
    assert all(operand() is None for operand in operands)
