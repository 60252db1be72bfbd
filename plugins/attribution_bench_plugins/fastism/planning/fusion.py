"""Fusion of a plan's nodes, as foreseen: those computed lazily, and those that are written."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attribution_bench_plugins.fastism.ops.base import Fusion, LazyOperand
from attribution_bench_plugins.fastism.values.window import Window

if TYPE_CHECKING:
    from attribution_bench_plugins.fastism.planning.plan import Plan


def planned_fusion(plan: "Plan", windows: Mapping[str, Window]) -> dict[str, Fusion]:
    """Return the fusion of each node; `windows` are those of one mutation."""
    found: dict[str, Fusion] = dict.fromkeys(plan.steps, Fusion.NONE)
    for name, step in plan.steps.items():
        if step.operation is None or step.alias_of != name or step.is_head or name not in windows:
            continue
        sources = [plan.steps[operand].alias_of for operand in step.node.inputs]
        operands = [
            LazyOperand(
                is_lazy=found[source] is not Fusion.NONE,
                is_fusible=found[source] is not Fusion.NONE and plan.steps[source].readers == 1,
            )
            for source in sources
        ]
        found[name] = step.operation.fusion([windows.get(source) for source in sources], windows[name], operands)
    return found


def materialized_nodes(plan: "Plan", windows: Mapping[str, Window]) -> frozenset[str]:
    """Return the windowed nodes whose results are written for all mutations of a block.

    The others stay in a core's cache between the kernels that write and read them.
    """
    found = planned_fusion(plan, windows)
    read = set(plan.live_across_blocks | plan.output_sources)
    for name, step in plan.steps.items():
        if name in plan.fields and step.alias_of == name and found[name] is Fusion.NONE:
            read.update(plan.steps[operand].alias_of for operand in step.node.inputs)
    return frozenset(
        name
        for name, step in plan.steps.items()
        if step.alias_of == name and (found[name] is Fusion.NONE or name in read)
    )
