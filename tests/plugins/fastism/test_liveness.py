"""Values live from the step that gives them to their last use, no shorter and no longer."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import attribution_bench as ab
from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.kernels.convolution_kernel import DirectKernel
from attribution_bench_plugins.fastism.kernels.register_tile import best_tile
from attribution_bench_plugins.fastism.ops.lazy_window import LazyWindow, Program
from attribution_bench_plugins.fastism.planning.liveness import Schedule, overwritable, schedule
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.buffers import Buffers
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed
from fastism_models import LENGTH, MODELS, build
from parity import one_hot, plan_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")


@functools.cache
def plan_for(name: str) -> Plan:
    model = ab.as_sequence_model(build(name).double())
    with model.inference():
        return plan_of(model, LENGTH)


def schedules(plan: Plan) -> Iterator[tuple[int | None, Schedule]]:
    """Yield every schedule of a plan: those of blocks by the stride they begin with, then the head's."""
    for stride in plan.strides:
        yield from ((stride, stage.schedule) for stage in plan.stages(stride))
    yield None, plan.head_schedule


@pytest.mark.parametrize("name", MODELS)
def test_a_value_is_dropped_after_its_last_reader_and_nowhere_else(name: str) -> None:
    """The oracle goes through the steps forwards and asks of each value who comes last."""
    plan = plan_for(name)
    for _, planned in schedules(plan):
        last: dict[str, str] = {}
        for step in planned.steps:
            for value in (step.node.name, *(plan.aliases[operand] for operand in step.node.inputs)):
                last[value] = step.node.name
        expected = {(step, value) for value, step in last.items() if value not in planned.live_out}
        assert {(step, value) for step, values in planned.last_uses.items() for value in values} == expected


@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_later_outlives_a_schedule(name: str) -> None:
    plan = plan_for(name)
    for stride in plan.strides:
        stages = plan.stages(stride)
        steps = [step for stage in stages for step in stage.schedule.steps]
        assert sorted(step.node.name for step in steps) == sorted(step.node.name for step in plan.body)
        for number, stage in enumerate(stages):
            later = [step for other in stages[number + 1 :] for step in other.schedule.steps]
            read = {plan.aliases[operand] for step in (*later, *plan.head) for operand in step.node.inputs}
            given = {plan.graph.input, *(s.node.name for other in stages[: number + 1] for s in other.schedule.steps)}
            outputs = {plan.aliases[node] for node in plan.graph.outputs.values()}
            assert stage.schedule.live_out >= given & (read | outputs)
            assert stage.schedule.live_out & given <= read | outputs


class Block:
    """One block of mutations of a small model, run schedule by schedule."""

    def __init__(self, name: str) -> None:
        x = one_hot(2, 4, LENGTH)
        self.plan = plan_for(name)
        self.unmutated = UnmutatedActivations(self.plan, {self.plan.graph.input: torch.as_tensor(x)})
        count = LENGTH // self.plan.stride
        window = Window(0, self.plan.stride, 1)
        letters = torch.as_tensor(x.argmax(1))[:, : count * self.plan.stride : self.plan.stride]
        alt = (letters[:, :, None] + torch.arange(1, 4)) % 4
        mutated = MutatedInput(self.unmutated, self.plan.graph.input, LENGTH, window, letters, alt, 4)
        self.run = BlockInterpreter(self.unmutated, count, 3, {self.plan.graph.input: mutated})

    def outputs(self, planned: Schedule) -> list[Tensor]:
        with torch.inference_mode():
            self.run.run(planned)
            return [emission.values for emission in self.run.outputs([], self.plan.body_outputs)]


WHOLE_BLOCKS = ["residual, two heads", "position-wise", "branches", "valid with crop"]
"""Models with values that several steps read."""


@pytest.mark.parametrize("name", WHOLE_BLOCKS)
def test_only_what_outlives_a_schedule_is_left(name: str) -> None:
    block = Block(name)
    planned = block.plan.stages(block.plan.stride)[-1].schedule
    block.outputs(planned)
    assert set(block.run.windowed) <= planned.live_out


@pytest.mark.parametrize("name", ["attention tail", "instance norm", "recurrent tail"])
def test_values_at_every_position_are_dropped_as_those_of_windows_are(name: str) -> None:
    block = Block(name)
    plan, planned = block.plan, block.plan.stages(block.plan.stride)[-1].schedule
    assert any(step.mode == "full" for step in planned.steps)
    block.outputs(planned)
    reached = {node for node in block.run.native if plan.steps[node].mode != "constant"}
    assert reached <= planned.live_out | set(plan.body_outputs.values())


@pytest.mark.parametrize("name", WHOLE_BLOCKS)
def test_one_use_less_is_noticed(name: str) -> None:
    """Each value in turn is given up one reader too early: its last reader fails, or the numbers change."""
    plan = plan_for(name)
    planned = plan.stages(plan.stride)[-1].schedule
    truth = Block(name).outputs(planned)
    readers: dict[str, list[str]] = {}
    for step in planned.steps:
        for operand in step.node.inputs:
            readers.setdefault(plan.aliases[operand], []).append(step.node.name)
    shared = {value: steps for value, steps in readers.items() if len(set(steps)) > 1}
    assert shared
    for value, steps in shared.items():
        early = {step: frozenset(values - {value}) for step, values in planned.last_uses.items()}
        early[steps[-2]] |= {value}
        block = Block(name)
        try:
            found = block.outputs(Schedule(planned.steps, early, planned.live_out - {value}))
        except Exception:  # a value that is missing fails in any way
            continue
        assert any(not torch.equal(one, other) for one, other in zip(found, truth, strict=True)), value


class NothingUnmutated:
    """The unmutated activations of kernels that read none."""

    buffers = Buffers()


@pytest.fixture
def block() -> "LazyBlock":
    return LazyBlock()


class LazyBlock:
    """Lazy windows over one tensor, and the values that steps will read."""

    def __init__(self) -> None:
        self.live: dict[str, Windowed] = {}
        self.program = Program(Buffers(), self.live)
        generator = torch.Generator().manual_seed(0)
        self.kernel = DirectKernel(torch.randn(3, 8, 8, generator=generator), best_tile(8, 4), dilation=1, offset=-1)
        self.delta = torch.randn(2, 5, 3, 6, 8, generator=generator)
        self.x = Windowed(self.unmutated, "x", 40, Window(3, 4, 6), delta=self.delta.clone(), is_masked=True)

    @property
    def unmutated(self) -> Any:
        return NothingUnmutated()

    def lazy(self, x: Windowed, name: str) -> LazyWindow:
        window = Window(x.window.start - 1, x.window.step, x.window.width + 2)
        return LazyWindow(self.unmutated, name, 40, window, self.kernel, x, self.program)


def test_a_reader_that_is_not_the_last_overwrites_nothing(block: LazyBlock) -> None:
    block.x.take_delta().zero_()
    assert torch.equal(block.x.delta(), block.delta)


def test_the_last_reader_overwrites(block: LazyBlock) -> None:
    block.x.give_up(block.program)
    assert block.x.take_delta() is block.x.delta()


@pytest.mark.parametrize("scheduled", [False, True])
def test_what_a_lazy_window_still_reads_is_not_overwritten(block: LazyBlock, scheduled: bool) -> None:
    expected = LazyBlock()
    lazy, truth = block.lazy(block.x, "y"), expected.lazy(expected.x, "y")
    if scheduled:
        lazy.schedule()
    block.x.give_up(block.program)
    assert not block.x.is_overwritable
    block.x.take_delta().zero_()
    assert torch.equal(lazy.delta(), truth.delta())
    assert block.x.is_overwritable


def test_a_second_operand_is_read_too(block: LazyBlock) -> None:
    beside = Windowed(block.unmutated, "z", 40, Window(2, 4, 8), delta=block.lazy(block.x, "z").delta(), is_masked=True)
    total = block.lazy(block.x, "y").plus(beside, "total", Window(2, 4, 8))
    assert total is not None
    beside.give_up(block.program)
    assert not beside.is_overwritable
    total.delta()
    assert beside.is_overwritable


def test_what_steps_will_read_is_kept_and_the_rest_is_not(block: LazyBlock) -> None:
    kept, dropped = block.lazy(block.x, "kept"), block.lazy(block.x, "dropped")
    block.live["kept"] = kept
    for lazy in (kept, dropped):
        lazy.schedule()
    block.lazy(block.x, "wanted").materialize()
    assert torch.equal(kept.delta(), LazyBlock().lazy(LazyBlock().x, "kept").delta())
    with pytest.raises(AssertionError):
        dropped.delta()


def test_what_a_fusible_window_reads_is_kept(block: LazyBlock) -> None:
    between = block.lazy(block.x, "between")
    fusible = block.lazy(between, "fusible")
    block.lazy(block.x, "wanted").materialize()
    expected = LazyBlock()
    assert torch.equal(fusible.delta(), expected.lazy(expected.lazy(expected.x, "between"), "fusible").delta())


def test_an_operand_that_is_read_twice_is_not_overwritten() -> None:
    plan = plan_for("the input twice")
    steps = [step for step in plan.body if len(step.node.inputs) > 1]
    for step in steps:
        doubled = schedule(
            [step], dict.fromkeys(step.node.inputs, "same") | {step.node.name: step.node.name}, frozenset()
        )
        assert "same" in doubled.last_uses[step.node.name]
        assert "same" not in overwritable(
            step, dict.fromkeys(step.node.inputs, "same"), doubled.last_uses[step.node.name]
        )
    assert steps
