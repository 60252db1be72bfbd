"""The plan's windows against the positions that change, found by changing the model's input.

Two statements, both without tolerance in positions. Together with every other position left alone:

- safe: what changes anywhere in the graph when one position of the input changes lies in the plan's window, and reaches
  both its ends where nothing before it leaves a gap;
- tight: when a node's operands change everywhere in their windows, and nowhere else, the outermost positions that
  change in its output are the window's ends. (The sets themselves may have gaps, as a dilated convolution's do; a
  window is the range that holds them. Where the sequence's end cuts a window inside a gap, the gap's rest remains.)

A block of mutations shares one width. It may hold more for those near an end, whose windows are cut; every other
mutation has in a block the windows that it has alone.

"Not a number" finds the positions: it goes through every sum, product, maximum and activation that reads it, so that no
ReLU hides it, and no weight of zero. Comparisons and indices swallow it, so where there are any, inputs, real numbers
and not letters, are changed by noise too, large and many times.
"""

from collections.abc import Mapping

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

import attribution_bench as ab
from attribution_bench_plugins.fastism.execution.unmutated import run_graph
from attribution_bench_plugins.fastism.planning.plan import Plan, Step
from attribution_bench_plugins.fastism.values.window import Positions, Window
from fastism_models import LENGTH, LOOSE, MODELS, build
from parity import plan_of
from random_models import Description, descriptions
from real_architectures import ARCHITECTURES

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")

ROWS = 24
"""Random inputs of which each is changed in its own way."""
ROUNDING = 1e-12


class Probe:
    """A model's plan, and its activations on random inputs that are not letters."""

    def __init__(self, module: nn.Module, letters: int, length: int, extras: tuple[Tensor, ...] = ()) -> None:
        model = ab.as_sequence_model(module.double(), alphabet="DNA" if letters == 4 else "protein")
        arrays = tuple(extra.numpy() for extra in extras)
        with model.inference():
            plan = plan_of(model, length, arrays)
        assert plan is not None
        self.plan: Plan = plan
        self.generator = torch.Generator().manual_seed(0)
        self.inputs = dict(zip(plan.graph.extras, (e[:1].expand(ROWS, *e.shape[1:]) for e in extras), strict=True))
        self.x = self.noise(torch.empty(ROWS, letters, length, dtype=torch.float64))
        self.unmutated = self.run(self.x)
        reached = (self.unmutated[name] for name in plan.graph.reached())
        numbers = all(not isinstance(value, Tensor) or value.is_floating_point() for value in reached)
        self.changes = ("not a number",) if numbers else ("not a number", "noise")

    def noise(self, like: Tensor) -> Tensor:
        return 2 * torch.randn(like.shape, generator=self.generator, dtype=torch.float64)

    def run(self, x: Tensor) -> Mapping[str, Tensor]:
        with torch.no_grad():
            inputs = {self.plan.graph.input: x, **self.inputs}
            return run_graph(self.plan.graph, inputs, ROWS, frozenset(self.plan.steps))

    def changed(self, step: Step, value: Tensor) -> list[int]:
        """Return the positions at which a node's value is not its reference."""
        assert step.layout is not None
        unmutated = step.layout.to_engine(self.unmutated[step.node.name]).double()
        difference = (step.layout.to_engine(value).double() - unmutated).abs().amax((0, 2))
        # A change may leave a function's domain: what is not a number has changed.
        return (~(difference <= ROUNDING * unmutated.abs().max())).nonzero().flatten().tolist()

    def changed_by_input(self, position: int) -> dict[str, set[int]]:
        """Return for each node the positions that change when one of the input does."""
        found: dict[str, set[int]] = {}
        for change in self.changes:
            x = self.x.clone()
            x[:, :, position] = self.other(x[:, :, position], change, 1)
            values = self.run(x)
            for name, step in self.plan.steps.items():
                if step.layout is not None:
                    found[name] = found.get(name, set()) | set(self.changed(step, values[name]))
        return found

    def other(self, part: Tensor, change: str, scale: float) -> Tensor:
        """Return other values; noise as large as the scale, so that a ReLU below zero everywhere is crossed."""
        if not part.is_floating_point():
            return part.roll(1, 0)  # an index or a comparison takes values that it has in other rows
        if change == "not a number":
            return torch.full_like(part, torch.nan)
        return part + self.noise(part) * scale

    def changed_by_operands(self, step: Step, windows: Mapping[str, Window]) -> set[int]:
        """Return the positions that change when the operands do, everywhere in their windows."""
        values = (self.after(step, windows, change) for change in self.changes)
        return {position for value in values for position in self.changed(step, value)}

    def after(self, step: Step, windows: Mapping[str, Window], change: str) -> Tensor:
        """Return a node's value when its operands change, everywhere in their windows."""
        operands = []
        for name in step.node.inputs:
            value, operand = self.unmutated[name], self.plan.steps[name]
            window = windows.get(operand.alias_of)
            if window is not None:
                assert operand.layout is not None
                assert operand.node.shape is not None
                engine = operand.layout.to_engine(value).clone()
                part = engine[:, max(0, window.start) : max(0, window.start + window.width)]
                part.copy_(self.other(part, change, max(1, float(engine.double().abs().max()))))
                value = operand.layout.to_framework(engine, operand.node.shape)
            operands.append(value)
        with torch.no_grad():
            value: Tensor = step.node.call(*operands)
        return value

    def is_constant(self, step: Step) -> bool:
        """Whether a node of indices or comparisons has the same value whatever the input."""
        unmutated = self.unmutated[step.node.name]
        return not unmutated.is_floating_point() and bool((unmutated == unmutated[:1]).all())

    def is_vector(self, name: str) -> bool:
        """Whether a node that changes has no positions."""
        layout = self.plan.steps[name].layout
        return layout is not None and not layout.positional

    def sources(self, step: Step) -> set[str]:
        """Return the nodes that a node reads and that may change; for a view, the one that it is a view of."""
        reached = self.plan.graph.reached()
        return {self.plan.steps[name].alias_of for name in step.node.inputs if name in reached}

    def windowed(self, windows: Mapping[str, Window]) -> dict[str, Window]:
        """Return the windows of nodes with positions, the input aside."""
        steps = self.plan.steps
        return {
            name: window
            for name, window in windows.items()
            if steps[name].layout is not None and steps[name].layout.positional and name != self.plan.graph.input
        }


def inside(window: Window, k: int, length: int) -> range:
    """Return the positions of mutation k's window that exist."""
    return range(max(0, window.at(k)), max(0, min(length, window.at(k) + window.width)))


def gap(step: Step) -> int:
    """Return how many positions lie untouched between two that one input position leads to."""
    dilation, stride = (getattr(step.node.parameters, name, 1) for name in ("dilation", "stride"))
    spread = dilation if isinstance(dilation, int) else max(dilation)
    return max(spread, stride if step.node.op == "conv_transpose" else 1) - 1


IRREGULAR = (1, 2, 5)
"""Mutations of a phase at irregular distances."""


def check_windows(probe: Probe) -> int:
    """Check every position of the input alone, and all of each phase as a block; returns how many windows."""
    plan, alone, checked = probe.plan, {}, 0
    for position in range(plan.length):
        changed = probe.changed_by_input(position)
        alone[position] = plan.windows(Positions(position, plan.stride, 1))
        solid = {plan.graph.input, *(name for name in changed if changed[name] and probe.is_vector(name))}
        for name, window in probe.windowed(alone[position]).items():
            step, checked = plan.steps[name], checked + 1
            assert step.layout is not None
            reached, field = inside(window, 0, step.layout.length), plan.fields[name]
            where = f"{step.node.layer!r} ({step.node.op}), position {position} changed: window {reached}"
            # What no output reads need not be in the window.
            changed[name] &= set(field)
            outside = changed[name] - set(reached)
            assert not outside, f"not safe: {where} lacks {sorted(outside)}"
            if probe.is_constant(step):
                continue  # such as the index of the largest of one: nothing can show how tight its window is
            spare = gap(step)
            floating = probe.unmutated[name].is_floating_point()
            if floating and not spare and solid.issuperset(probe.sources(step)):
                ends = {reached[0], reached[-1]} if reached else set()
                assert ends <= changed[name], f"not tight: {where}, changed {sorted(changed[name])}"
                if len(changed[name]) == len(reached):
                    solid.add(name)
            changes = probe.changed_by_operands(step, alone[position])
            for end in (reached[: spare + 1], reached[::-1][: spare + 1]):
                cut = reached and (reached.start == field.start if end.step > 0 else reached.stop == field.stop)
                expected = end if cut else end[:1]
                shown = not reached or changes & set(expected) or (cut and len(reached) <= spare)
                assert shown, f"not tight: {where}, changed by its operands {sorted(changes)}"
    for phase in range(min(plan.stride, plan.length)):
        members = range(phase, plan.length, plan.stride)
        check_block(probe, Positions(phase, plan.stride, len(members)), alone)
        if len(members) > IRREGULAR[-1]:
            check_block(probe, Positions.among([members[k] for k in IRREGULAR], plan.stride), alone)
    return checked


def check_block(probe: Probe, block: Positions, alone: Mapping[int, Mapping[str, Window]]) -> None:
    """Compare a block's windows with those of its mutations alone."""
    plan, together = probe.plan, probe.windowed(probe.plan.windows(block))
    for k, position in enumerate(block.indices):
        lengths = {name: plan.steps[name].layout.length for name in together}  # type: ignore[union-attr]
        beyond = (window.at(k) < 0 or window.at(k) + window.width > lengths[name] for name, window in together.items())
        cut = plan.cuts or any(beyond)
        for name, window in together.items():
            here, single = inside(window, k, lengths[name]), inside(alone[position][name], 0, lengths[name])
            where = f"{plan.steps[name].node.layer!r}, position {position}: {here} in a block, {single} alone"
            assert set(single) <= set(here), where
            assert cut or window.step == 0 or here == single, where


@pytest.mark.parametrize("name", [name for name in MODELS if name not in LOOSE])
def test_windows_of_every_small_model(name: str) -> None:
    check_windows(Probe(build(name), 4, LENGTH))


@pytest.mark.long
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_windows_of_published_architectures(name: str) -> None:
    architecture = ARCHITECTURES[name]
    extras = tuple(torch.rand(1, *shape, dtype=torch.float64) for shape in architecture.extras)
    check_windows(Probe(architecture.build(), 4, architecture.length, extras))


@pytest.mark.parametrize("examples", [40, pytest.param(200, marks=pytest.mark.long)])
def test_windows_of_random_models(examples: int) -> None:
    checked = []

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(descriptions())
    def check(description: Description) -> None:
        extras = description.extra_inputs()
        checked.append(check_windows(Probe(description.build(), description.letters, description.length, extras)))

    check()
    assert sum(checked) > 25 * examples
