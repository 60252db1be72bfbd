"""Explanation of a plan for people to read: what the engine does with a model, and why."""

from dataclasses import replace
from functools import reduce
from operator import or_

from attribution_bench.explanation import Explanation, LayerExplanation
from attribution_bench_plugins.fastism.graph.layout import elements
from attribution_bench_plugins.fastism.graph.parameters import ShiftParameters
from attribution_bench_plugins.fastism.kernels.machine import OLDEST_LLVMLITE, has_compiler
from attribution_bench_plugins.fastism.ops.base import POOL_BEFORE
from attribution_bench_plugins.fastism.ops.convolution import LOOP, LinearConvolution
from attribution_bench_plugins.fastism.ops.registry import SPECS
from attribution_bench_plugins.fastism.planning.cost import Cost, full_cost, step_costs
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.policy import Decision
from attribution_bench_plugins.fastism.planning.step import Step
from attribution_bench_plugins.fastism.values import devices

FOLLOWS = "it follows "
LOOPED = "it puts single positions together one by one, as a loop over them does"
LOOPED_POSITIONS = 8
"""Positions that a loop over them has at least; a few are read one by one by other code, too."""
UNCOMPILED = (
    "On a CPU, convolutions are faster compiled together with what follows them: "
    f"pip install 'llvmlite>={'.'.join(map(str, OLDEST_LLVMLITE))}'."
)


def explain(plan: Plan | None, length: int, itemsize: int, decision: Decision) -> Explanation:
    """Explain a plan for numbers of `itemsize` bytes, or why there is none."""
    advice = [f"Every mutation takes a full pass: {decision.reason}."] if decision.reason else []
    if plan is None:
        return Explanation(length, (), 1.0, tuple(advice), decision.reason)
    costs, windows, causes = step_costs(plan), plan.middle_windows, _causes(plan)
    layers = []
    for name, step in plan.steps.items():
        if step.mode != "constant" and step.alias_of not in plan.fields:
            continue
        if causes.get(step) != LOOPED and (
            SPECS[step.node.op].traits.free or (step.node.shape is None and step.mode != "full")
        ):
            continue
        positions = step.layout.length if step.layout is not None else None
        reached = positions if step.mode in ("windowed", "full") else int(step.mode == "global")
        numbers = elements(step.node.shape or ())
        if step.mode == "windowed" and step.layout is not None:
            reached = min(windows[step.alias_of].width, step.layout.length)
            numbers = reached * step.layout.channels
        layer = LayerExplanation(
            step.node.layer,
            step.mode,
            reached,
            length=positions,
            products_standard=full_cost(step.node, plan.graph).macs,
            products_fast=costs[name].macs,
            bytes=numbers * itemsize,
            reason=causes.get(step, step.reason),
            kind=step.node.kind if step.node.is_opaque else "",
        )
        layers.append(layer)
    advice += _advice(plan, costs)
    return Explanation(length, tuple(layers), decision.predicted_speedup, tuple(advice), decision.reason)


def main_cause(plan: Plan) -> str:
    """Return the main reason why a plan saves little."""
    causes = _causes(plan)
    if causes:
        first = next(iter(causes))
        return f"{first.node.layer!r}: {causes[first]}"
    costs = step_costs(plan)
    heaviest = max(costs, key=lambda name: costs[name].work)
    return f"most of the work is in {plan.steps[heaviest].node.layer!r}"


def _causes(plan: Plan) -> dict[Step, str]:
    """Return the steps from which on every position is computed, each with its reason."""
    causes: dict[Step, str] = {}
    loop = _loop(plan)
    for step in plan.steps.values():
        joins = step.mode == "windowed" and step.layout is not None and step.layout.positional
        if step is loop:
            causes[step] = LOOPED
        elif loop is not None and step.remedy == LOOP:
            continue  # of what the loop has left, which is told there
        elif step.reason and not step.reason.startswith(FOLLOWS):
            causes[step] = step.reason
        elif joins:
            vectors = [name for name in step.node.inputs if plan.steps[name].mode == "global"]
            if any(_has_read_all(plan, name) for name in vectors):
                causes[step] = "a branch that has read all positions joins here, so that every position changes"
            elif vectors:
                causes[step] = "what a single position holds joins here, so that every position is computed"
    return causes


def _loop(plan: Plan) -> Step | None:
    """Return the step in which half of the positions of a tensor, read one by one, have come together, if any.

    Capture writes out a loop over positions: what it computes has no axis of positions, so that every step has a rule.
    """
    numbers: dict[tuple[str, int], int] = {}
    read: dict[str, int] = {}
    least = LOOPED_POSITIONS
    for name, step in plan.steps.items():
        if step.mode != "global":
            continue
        source = plan.steps[step.node.inputs[0]]
        if step.node.op == "shift" and source.mode == "windowed" and source.layout is not None:
            place = source.alias_of, step.node.parameters_as(ShiftParameters).low
            read[name] = numbers.setdefault(place, 1 << len(numbers))
            least = max(least, source.layout.length // 2)
            continue
        read[name] = reduce(or_, (read.get(operand, 0) for operand in step.node.inputs), 0)
        if read[name].bit_count() >= least:
            return step
    return None


def _has_read_all(plan: Plan, name: str) -> bool:
    """Whether something without positions was computed from more than one of them."""
    step = plan.steps[name]
    if step.mode != "global":
        return False
    if step.node.op == "shift" and plan.steps[step.node.inputs[0]].mode == "windowed":
        return False
    before = [operand for operand in step.node.inputs if plan.steps[operand].mode == "global"]
    return not before or any(_has_read_all(plan, operand) for operand in before)


def _advice(plan: Plan, costs: dict[str, Cost]) -> list[str]:
    total = max(1, sum(costs.values(), Cost()).work)
    advice, causes = [], _causes(plan)
    for step, reason in causes.items():
        dependent = replace(plan.graph, input=step.node.name).reached()
        share = sum((costs[name] for name in dependent), Cost()).work / total
        remedy = LOOP if reason == LOOPED else step.remedy or POOL_BEFORE
        advice.append(
            f"{step.node.layer!r} needs every position: {reason}. "
            f"It and what follows it take {share:.0%} of the time; {remedy}."
        )
    if not causes and costs:
        heaviest = max(costs, key=lambda name: costs[name].work)
        share = costs[heaviest].work / total
        advice.append(f"Every layer runs on windows; {plan.steps[heaviest].node.layer!r} takes most, {share:.0%}.")
    if not has_compiler() and any(
        isinstance(step.operation, LinearConvolution) and devices.on_cpu(step.operation.filter.taps)
        for step in plan.steps.values()
    ):
        advice.append(UNCOMPILED)
    return advice
