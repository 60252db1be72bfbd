"""Which results of a plan wait until something reads them, foreseen: what waits is never written whole."""

from collections.abc import Mapping

from attribution_bench_plugins.fastism.ops.base import Deferral, Waiting
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.window import Window


def deferrals(plan: Plan, windows: Mapping[str, Window]) -> dict[str, Deferral]:
    """Return how each node's result waits for its reader; `windows` are those of one mutation."""
    found: dict[str, Deferral] = dict.fromkeys(plan.steps, "")
    for name, step in plan.steps.items():
        if step.operation is None or step.source != name or step.mode not in ("windowed", "vector") or step.late:
            continue
        if name not in windows:
            continue
        sources = [plan.steps[operand].source for operand in step.node.inputs]
        operands = [
            Waiting(waits=bool(found[source]), open=bool(found[source]) and plan.steps[source].uses == 1)
            for source in sources
        ]
        found[name] = step.operation.defers([windows.get(source) for source in sources], windows[name], operands)
    return found


def written(plan: Plan, windows: Mapping[str, Window]) -> frozenset[str]:
    """Return the windowed nodes whose results are written for all mutations of a block.

    The others stay between kernels, which read them as they are written.
    """
    found = deferrals(plan, windows)
    whole = set(plan.frontier()) | {plan.steps[name].source for name in plan.graph.outputs.values()}
    for name, step in plan.steps.items():
        if step.source == name and not found[name]:
            whole.update(plan.steps[operand].source for operand in step.node.inputs)
    return frozenset(
        name for name, step in plan.steps.items() if step.source == name and (not found[name] or name in whole)
    )
