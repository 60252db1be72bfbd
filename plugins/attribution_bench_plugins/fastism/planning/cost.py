"""Costs of the nodes of a graph, counted: on windows, and in full passes."""

from collections.abc import Mapping
from dataclasses import dataclass

from attribution_bench_plugins.fastism.graph.ir import Graph, Node
from attribution_bench_plugins.fastism.graph.layout import elements
from attribution_bench_plugins.fastism.ops.base import Fusion
from attribution_bench_plugins.fastism.ops.full_pass import size_of
from attribution_bench_plugins.fastism.ops.registry import SPECS
from attribution_bench_plugins.fastism.planning.fusion import planned_fusion
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.step import Step
from attribution_bench_plugins.fastism.values.window import Window

STORE_COST_MACS = 50
"""Cost of writing one number, in multiply-accumulates; measured on one two-core CPU, as are the others here."""
CACHE_ELEMENTS = 2**14
"""Numbers of a sequence from which on a batch of full passes leaves the cache, so that writing costs twice as much."""
WINDOW_STORE_CHANNELS = 8
"""Channels that are added to each position of a window in counting: few channels make short loops."""
LAUNCH_COST_MACS = {"cpu": 4_000_000}
"""Cost of starting one operation, in multiply-accumulates: 40 microseconds."""
ENGINE_STARTS = 2
"""How many times longer an operation takes to start on windows than in the model itself."""
ACCELERATOR_LAUNCH_COST_MACS = 300_000_000
"""The same time on a device that does 10 tera multiply-accumulates a second; an estimate."""


@dataclass(frozen=True)
class Cost:
    """Work for one mutated sequence."""

    macs: int = 0
    """Multiply-accumulates."""
    elements: int = 0
    """Numbers written."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.elements + other.elements)

    @property
    def work(self) -> int:
        """Both together, in multiply-accumulates."""
        return self.macs + STORE_COST_MACS * self.elements


def full_cost(node: Node, graph: Graph) -> Cost:
    """Return the cost of a node for one sequence run as the model runs it; that of an opaque node is an estimate."""
    spec = SPECS[node.op]
    if spec.traits.free or (node.shape is None and not node.is_opaque):
        return Cost()
    operands = [graph.nodes[name] for name in node.inputs]
    written = size_of(node)
    written *= 2 if written >= CACHE_ELEMENTS else 1
    if node.is_opaque:  # unknown, so that it is assumed to copy its operands, too
        written += sum(map(size_of, operands))
    return Cost(spec.multiply_accumulates(node, operands), written)


def windowed_cost(step: Step, plan: Plan, windows: Mapping[str, Window], fusion: Fusion) -> Cost:
    """Return the cost of a node on the windows of one mutation; what is fused into another node writes nothing."""
    if step.operation is None or step.alias_of != step.node.name or step.layout is None:
        return Cost()
    inputs = [windows.get(plan.steps[name].alias_of) for name in step.node.inputs]
    window = windows[step.node.name]
    macs = step.operation.multiply_accumulates(inputs, window)
    reached = min(window.width, step.layout.length)
    if not macs and step.node.is_opaque:  # a rule of the user: its share of the estimate
        macs = full_cost(step.node, plan.graph).macs * reached // step.layout.length
    written = 0 if fusion is Fusion.EPILOGUE else reached * (step.layout.channels + WINDOW_STORE_CHANNELS)
    return Cost(macs, written + step.operation.partial_sums(inputs, window))


def step_costs(plan: Plan) -> dict[str, Cost]:
    """Return what each step costs as planned, for one mutation in the middle of the sequence."""
    windows = plan.middle_windows
    fusion = planned_fusion(plan, windows)
    costs = {}
    for name, step in plan.steps.items():
        if name not in plan.fields or name == plan.graph.input:
            costs[name] = Cost()
        elif step.mode == "full":
            costs[name] = full_cost(step.node, plan.graph)
        else:
            costs[name] = windowed_cost(step, plan, windows, fusion[name])
    for name in {name for step in plan.full for name in step.node.inputs}:
        step = plan.steps[name]
        if step.mode in ("windowed", "global") and step.node.shape is not None:
            # It is put together at every position, as the model itself would have it.
            costs[name] += Cost(elements=2 * elements(step.node.shape))
    return costs


@dataclass(frozen=True)
class LaunchCounts:
    """Mutations, and the runs that they are divided into."""

    asked: int
    """Mutations that are asked for, of all sequences together; a full pass each."""
    mutations: int
    """Those of them that can change what is wanted, which run."""
    blocks: int
    """Walks over the plan."""
    groups: int
    """Groups of sequences, each with an unmutated pass and a run of the head."""
    batches: int = 0
    """Calls of the model that full passes would take."""


@dataclass(frozen=True)
class Work:
    """Costs of a plan, and of full passes, on a device, in multiply-accumulates."""

    full: int
    """A full pass of one sequence, in batches large enough for the cost of starting operations to vanish."""
    planned: int
    """One mutation in the middle of the sequence as planned, in blocks large enough for the same."""
    block: int
    """Starting the operations of a block."""
    group: int
    """Starting the operations of a group."""
    batch: int = 0
    """Starting the operations of a call of the model."""

    @classmethod
    def of(cls, plan: Plan, device: str) -> "Work":
        """Count the work of a plan."""
        start = LAUNCH_COST_MACS.get(device, ACCELERATOR_LAUNCH_COST_MACS)
        operations = sum(not SPECS[node.op].traits.free for node in plan.graph.nodes.values())
        return cls(
            full=sum((full_cost(node, plan.graph) for node in plan.graph.nodes.values()), Cost()).work,
            planned=sum(step_costs(plan).values(), Cost()).work,
            block=len(plan.body) * start,
            group=(len(plan.head) + operations) * start,
            batch=operations * start // ENGINE_STARTS,
        )
