"""Compiled convolutions against sums that are added up one by one, in double precision."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench_plugins.fastism.convolution.algorithm import CompiledAlgorithm, ConvolutionAlgorithm
from attribution_bench_plugins.fastism.convolution.direct import CompiledDirect
from attribution_bench_plugins.fastism.explanation import UNCOMPILED
from attribution_bench_plugins.fastism.kernels import machine
from attribution_bench_plugins.fastism.kernels.blocked_toom_cook_kernel import BlockedToomCookKernel
from attribution_bench_plugins.fastism.kernels.convolution_kernel import DirectKernel, OverlapAddKernel
from attribution_bench_plugins.fastism.kernels.epilogue import Epilogue
from attribution_bench_plugins.fastism.kernels.program import KernelCall, run_calls
from attribution_bench_plugins.fastism.kernels.register_tile import best_tile
from attribution_bench_plugins.fastism.kernels.toom_cook_kernel import ToomCookKernel
from attribution_bench_plugins.fastism.kernels.window_kernel import WindowKernel
from attribution_bench_plugins.fastism.ops.convolution import LinearConvolution
from attribution_bench_plugins.fastism.planning.step import Step
from attribution_bench_plugins.fastism.profile import observed
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Window
from fastism_models import chain
from parity import assert_parity, brute_force, one_hot

EPILOGUES = [
    Epilogue(steps, value)
    for steps in [
        (),
        *(("rectify",), ("add",), ("scale",)),
        *(("rectify", "add"), ("add", "rectify"), ("rectify", "scale"), ("scale", "rectify", "add")),
    ]
    for value in (False, True)
    if not (value and "rectify" in steps[:-1])
]


def run_alone(call: KernelCall) -> Tensor:
    """Return what one kernel writes."""
    (result,) = run_calls([call], [True], Buffers())
    assert result is not None
    return result


def deltas(window: Window, count: int, length: int, channels: int, dtype: torch.dtype, seed: int) -> Tensor:
    """Return deltas of two sequences with two alternatives, zero outside the sequence."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, count, 2, window.width, channels, dtype=torch.float64, generator=generator).to(dtype)
    for k, i in itertools.product(range(count), range(window.width)):
        if not 0 <= window.at(k) + i < length:
            x[:, k, :, i] = 0
    return x


def expected(
    x: Tensor,
    source: Window,
    taps: Tensor,
    upsampling: int,
    dilation: int,
    offset: int,
    window: Window,
    length: int,
    epilogue: Epilogue,
    unmutated: Tensor,
    scale: Tensor,
    other: Tensor,
    other_window: Window,
) -> Tensor:
    """Return what the kernel should, one tap of one position at a time."""
    x, taps, unmutated, scale, other = (tensor.double() for tensor in (x, taps, unmutated, scale, other))
    out = torch.zeros(*x.shape[:3], window.width, taps.shape[2], dtype=torch.float64)
    for k, place in itertools.product(range(x.shape[1]), range(window.width)):
        position = window.at(k) + place
        if not 0 <= position < length:
            continue
        total = torch.zeros(2, 2, taps.shape[2], dtype=torch.float64)
        for i, j in itertools.product(range(source.width), range(taps.shape[0])):
            if (source.at(k) + i) * upsampling + j * dilation + offset == position:
                total += x[:, k, :, i] @ taps[j]
        before = unmutated[:, None, position]
        after = before
        for step in epilogue.steps:
            beside = position - other_window.at(k)
            if step == "add" and 0 <= beside < other_window.width:
                total = total + other[:, k, :, beside]
            elif step == "scale":
                total = total * scale
            elif step == "rectify":
                total, after = (total + before).relu() - before.relu(), before.relu()
        out[:, k, :, place] = total + after if epilogue.value else total
    return out


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    epilogue=st.sampled_from(EPILOGUES),
    name=st.sampled_from(["toom_cook", "blocked_toom_cook", "direct", "overlap_add"]),
    upsampling=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    c_in=st.sampled_from([1, 3, 5, 17, 70]),
    c_out=st.sampled_from([1, 3, 16, 17, 40, 64, 70, 130]),
    kernel=st.integers(1, 4),
    dilation=st.integers(1, 9),
    offset=st.integers(-6, 3),
    source=st.builds(Window, st.integers(-4, 20), st.integers(0, 3), st.integers(1, 13)),
    window=st.builds(Window, st.integers(-6, 20), st.integers(0, 3), st.integers(1, 30)),
    beside=st.builds(Window, st.integers(-6, 20), st.integers(0, 3), st.integers(1, 9)),
    here=st.sampled_from([machine.Machine(64, 32), machine.Machine(32, 16), machine.Machine(16, 32)]),
)
def test_kernels_agree_with_sums_one_by_one(
    epilogue: Epilogue,
    name: str,
    upsampling: int,
    dtype: torch.dtype,
    c_in: int,
    c_out: int,
    kernel: int,
    dilation: int,
    offset: int,
    source: Window,
    window: Window,
    beside: Window,
    here: machine.Machine,
) -> None:
    """Windows that leave the sequence, that miss each other, that no tile fits; channels that fill no vector."""
    length, count = 24, 3
    generator = torch.Generator().manual_seed(1)
    if name == "blocked_toom_cook":
        kernel *= 3  # One block of taps, and several.
    taps = torch.randn(kernel, c_in, c_out, dtype=torch.float64, generator=generator).to(dtype)
    unmutated = torch.randn(2, length, c_out, dtype=torch.float64, generator=generator).to(dtype)
    scale = torch.randn(c_out, dtype=torch.float64, generator=generator).to(dtype)
    x = deltas(source, count, length, c_in, dtype, 2)
    other = deltas(beside, count, length, c_out, dtype, 3)
    window_kernel: WindowKernel
    match name:
        case "toom_cook":
            upsampling, dilation = 1, min(dilation, source.width)
            tile = best_tile(c_out, dtype.itemsize, here)
            window_kernel = ToomCookKernel(taps, tile, dilation=dilation, offset=offset)
        case "blocked_toom_cook":
            upsampling, dilation = 1, min(dilation, source.width)
            tile = best_tile(c_out, dtype.itemsize, here)
            window_kernel = BlockedToomCookKernel(taps, tile, dilation=dilation, offset=offset)
        case "direct":
            tile, upsampling = best_tile(c_out, dtype.itemsize, here), 1
            window_kernel = DirectKernel(taps, tile, dilation=dilation, offset=offset)
        case _:
            tile, dilation = best_tile(kernel * c_out, dtype.itemsize, here), 1
            window_kernel = OverlapAddKernel(taps, tile, upsampling=upsampling, offset=offset)
            epilogue = replace(epilogue, steps=tuple(step for step in epilogue.steps if step == "rectify"))
    call = KernelCall(window_kernel, x, source, window, length, epilogue, None, unmutated, scale, other, beside)
    found = run_alone(call)
    wanted = expected(
        x, source, taps, upsampling, dilation, offset, window, length, epilogue, unmutated, scale, other, beside
    )
    allowed = (1e-13 if dtype == torch.float64 else 1e-5) * max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=allowed)


def test_rows_of_a_wider_tensor() -> None:
    """A part of a window, as regridding makes it: rows are not contiguous."""
    taps = torch.randn(3, 4, 20, dtype=torch.float64)
    wide = torch.randn(1, 2, 2, 30, 4, dtype=torch.float64)
    kernel = DirectKernel(taps, best_tile(20, 8), dilation=1, offset=-1)
    source, window = Window(0, 0, 10), Window(0, 0, 12)
    part = wide[:, :, :, 5:15]
    found = run_alone(KernelCall(kernel, part, source, window, 40))
    assert torch.equal(found, run_alone(KernelCall(kernel, part.contiguous(), source, window, 40)))


def test_a_relu_keeps_what_is_not_a_number() -> None:
    taps = torch.ones(1, 1, 20)
    x = torch.tensor([1.0, float("nan"), -3.0]).view(1, 1, 1, 3, 1)
    window = Window(0, 0, 3)
    kernel, epilogue = DirectKernel(taps, best_tile(20, 4), dilation=1, offset=0), Epilogue(("rectify",), value=True)
    found = run_alone(KernelCall(kernel, x, window, window, 3, epilogue, unmutated=torch.zeros(1, 3, 20)))
    torch.testing.assert_close(
        found[0, 0, 0, :, 7], torch.tensor([1.0, float("nan"), 0.0]), rtol=0, atol=0, equal_nan=True
    )


def test_sums_fit_the_registers() -> None:
    for here, itemsize, c_out in itertools.product(
        [machine.Machine(64, 32), machine.Machine(32, 16), machine.Machine(16, 32)], [4, 8], [1, 30, 64, 200, 300]
    ):
        tile = best_tile(c_out, itemsize, here)
        assert tile.positions * tile.vectors + tile.vectors + 1 <= here.vector_registers
        assert tile.positions >= 1


class Residual(nn.Module):
    """Blocks whose parts are read again: before and after a convolution, a batch norm, a ReLU, a sum."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, 20, 3, padding=1)
        self.convolution = nn.Conv1d(20, 20, 3, padding=1)
        self.norm = nn.BatchNorm1d(20)
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 20, L)."""
        x = self.stem(x).relu()
        for step in self.order:
            match step:
                case "c":
                    y = self.convolution(x)
                case "n":
                    y = self.norm(y)
                case "r":
                    y = y.relu()
                case "+":
                    y = x + y
                case "2":
                    y = x + 2 * y
                case "y":
                    y = y + y
                case "m":
                    y = nn.functional.max_pool1d(y, 2)
                case "g":
                    y = nn.functional.gelu(y)
                case "=":
                    x = y
        return y


def compiled_direct(available: Sequence[ConvolutionAlgorithm], source: int, width: int) -> ConvolutionAlgorithm:
    """Return the direct convolution as a kernel."""
    (algorithm,) = (each for each in available if isinstance(each, CompiledDirect))
    return algorithm


ORDERS = [
    "cnr+",
    "c+r=c+r",
    "cr=c",
    "c=cnr+=cg+",
    "cy",
    "cry+",
    "crm",
    "c+m",
    "cr+r+",
    "c2r",
    "cg",
    "c+g",
    "cnrm",
]


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_steps_after_a_convolution(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elementwise steps that may be fused into a kernel, in every order, some of whose results are read again."""
    monkeypatch.setattr(LinearConvolution, "choose_algorithm", staticmethod(compiled_direct))
    module = Residual(order).double().eval()
    with torch.no_grad():
        module.norm.running_mean.uniform_(-1, 1)
        module.norm.running_var.uniform_(0.5, 2)
    x = one_hot(2, 4, 24)
    found = ab.get_method("fastism")(module).attribute(x, target="all")
    assert_parity(dict(found.predictions), brute_force(module, x), 1e-10)


class KernelRecorder:
    """Records the calls of kernels that an engine runs."""

    def __init__(self) -> None:
        self.calls: list[KernelCall] = []

    def run_step(self, step: Step, run: Callable[[], None]) -> None:
        """Run a step."""
        run()

    def run_kernel(self, call: KernelCall, run: Callable[[], None]) -> None:
        """Run a kernel for some rows."""
        self.calls.append(call)
        run()


def test_a_relu_and_a_sum_are_fused_into_the_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LinearConvolution, "choose_algorithm", staticmethod(compiled_direct))
    method, kernels = ab.get_method("fastism")(Residual("cnr+").eval(), self_check=False), KernelRecorder()
    with observed(method.engine, kernels):
        method.attribute(one_hot(1, 4, 24), target="all")
    assert {call.epilogue for call in kernels.calls} == {Epilogue(("rectify", "add"))}


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Give a function after which llvmlite is not installed, as far as its version tells."""

    def missing(_: str) -> str:
        raise PackageNotFoundError

    def uninstall() -> None:
        monkeypatch.setattr(machine, "version", missing)
        machine.has_compiler.cache_clear()

    yield uninstall
    monkeypatch.undo()
    machine.has_compiler.cache_clear()


def test_without_a_compiler_no_kernel_runs(uncompiled: Callable[[], None]) -> None:
    """And `explain` advises to install one."""
    module, x = Residual("cnr+").double().eval(), one_hot(1, 4, 24)
    with_it, kernels = ab.get_method("fastism")(module), KernelRecorder()
    assert UNCOMPILED not in with_it.explain(24).advice
    with observed(with_it.engine, kernels):
        expected_here = with_it.attribute(x, target="all")
    assert kernels.calls
    uncompiled()
    without, kernels = ab.get_method("fastism")(module), KernelRecorder()
    assert UNCOMPILED in without.explain(24).advice
    with observed(without.engine, kernels):
        found = without.attribute(x, target="all")
    assert not kernels.calls
    assert_parity(dict(found.predictions), dict(expected_here.predictions), 1e-12)


def test_an_old_compiler_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.has_compiler()
    machine.has_compiler.cache_clear()
    try:
        monkeypatch.setattr(machine, "version", lambda _: "0.44.1")
        assert not machine.has_compiler()
    finally:
        machine.has_compiler.cache_clear()


def test_chains_take_kernels_where_they_are_cheapest() -> None:
    module = chain(nn.Conv1d(4, 64, 7, padding=3), nn.ReLU(), nn.Conv1d(64, 64, 3, padding=64, dilation=64), nn.ReLU())
    engine = ab.get_method("fastism")(module.eval())
    engine.explain(400)
    (captured,) = engine.engine.cache.models
    (wide,) = (
        s.operation
        for s in captured.plan.steps.values()
        if isinstance(s.operation, LinearConvolution) and s.operation.filter.c_in == 64
    )
    assert isinstance(wide.algorithm(133, 261), CompiledAlgorithm)
