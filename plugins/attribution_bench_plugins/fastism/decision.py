"""Which nodes go whole although they have a rule: where that is cheaper."""

from attribution_bench_plugins.fastism.cost import Cost, handover_cost, middle_windows, whole_cost, windowed_cost
from attribution_bench_plugins.fastism.graph.ir import Graph
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.plan import Plan, make_plan

GAIN = 0.95
"""Going whole must cost at most this share of the windows that it replaces: estimates are no better than that."""
WIDE = 0.5
"""Share of a layer's positions from which on its windows may be worth giving up."""


def cheapest_plan(graph: Graph, layout: Layout) -> Plan:
    """Return the plan with windows as far as they pay.

    From a node that goes whole everything after it does, so that a cut is a node with all that follows from it. Cuts
    are tried one by one, and the best is made, until none helps.
    """
    whole: dict[str, str] = {}
    plan = make_plan(graph, layout, whole)
    while True:
        cut = _best_cut(plan)
        if cut is None:
            return plan
        windows = middle_windows(plan)
        step = plan.steps[cut]
        assert step.layout is not None
        width = min(windows[step.source].width, step.layout.length)
        whole[cut] = f"a mutation reaches {width} of its {step.layout.length} positions, so windows would not pay"
        plan = make_plan(graph, layout, whole)


def _best_cut(plan: Plan) -> str | None:
    """Return the node from which on going whole saves most; None where it saves nothing."""
    windows = middle_windows(plan)
    followers = _followers(plan.graph)
    on_windows = {
        name: windowed_cost(step, plan, windows)
        for name, step in plan.steps.items()
        if step.mode in ("windowed", "vector") and name != plan.graph.input
    }
    best, least = None, 0.0
    for name in on_windows:
        step = plan.steps[name]
        if step.layout is None or step.source != name or windows[name].width < WIDE * step.layout.length:
            continue
        if not step.layout.positional:
            continue
        after = {name, *(follower for follower in followers[name] if follower in on_windows)}
        saved = sum((on_windows[node] for node in after), Cost()).work
        paid = sum((whole_cost(plan.steps[node].node, plan.graph) for node in after), Cost()).work
        borders = {operand for node in after for operand in plan.steps[node].node.inputs if operand not in after}
        paid += sum((handover_cost(plan.steps[operand]) for operand in borders if operand in on_windows), Cost()).work
        if paid < GAIN * saved and paid - saved < least:
            best, least = name, paid - saved
    return best


def _followers(graph: Graph) -> dict[str, set[str]]:
    """Return for each node all that depend on it."""
    followers: dict[str, set[str]] = {name: set() for name in graph.nodes}
    for name in reversed(list(graph.nodes)):
        for operand in graph.nodes[name].inputs:
            followers[operand] |= {name} | followers[name]
    return followers
