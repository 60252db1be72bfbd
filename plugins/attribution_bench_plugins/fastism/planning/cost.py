"""What the nodes of a graph cost, counted: on the windows that mutations reach, and whole."""

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
"""What writing one number costs, in multiply-accumulates; measured on one two-core CPU, as are the others here."""
CACHE_ELEMENTS = 2**14
"""From so many numbers a sequence on, a batch of full passes leaves the cache, and writing costs twice as much."""
WINDOW_STORE_CHANNELS = 8
"""Windows cost as if each of their positions had so many more channels: few channels make short loops."""
LAUNCH_COST_MACS = {"cpu": 4_000_000}
"""What starting one operation costs, in multiply-accumulates: 40 microseconds."""
ACCELERATOR_LAUNCH_COST_MACS = 300_000_000
"""The same time on a device that does 10 tera multiply-accumulates a second; an estimate."""


@dataclass(frozen=True)
class Cost:
    """Work for one mutated sequence."""

    products: int = 0
    """Multiply-accumulates."""
    elements: int = 0
    """Numbers written."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.products + other.products, self.elements + other.elements)

    @property
    def work(self) -> int:
        """Both together, in multiply-accumulates."""
        return self.products + STORE_COST_MACS * self.elements


def full_cost(node: Node, graph: Graph) -> Cost:
    """Return the cost of a node for one sequence run as the model runs it; that of an opaque node is an estimate."""
    spec = SPECS[node.op]
    if spec.traits.free or (node.shape is None and not node.is_opaque):
        return Cost()
    operands = [graph.nodes[name] for name in node.inputs]
    written = size_of(node)
    written *= 2 if written >= CACHE_ELEMENTS else 1
    if node.is_opaque:  # nothing is known of it, so that it is taken to copy its operands, too
        written += sum(map(size_of, operands))
    return Cost(spec.multiply_accumulates(node, operands), written)


def windowed_cost(step: Step, plan: Plan, windows: Mapping[str, Window], fusion: Fusion) -> Cost:
    """Return the cost of a node on windows; `windows` are those of one mutation.

    What is done on the way with another node writes nothing of its own.
    """
    if step.operation is None or step.alias_of != step.node.name or step.layout is None:
        return Cost()
    inputs = [windows.get(plan.steps[name].alias_of) for name in step.node.inputs]
    window = windows[step.node.name]
    products = step.operation.multiply_accumulates(inputs, window)
    reached = min(window.width, step.layout.length)
    if not products and step.node.is_opaque:  # a rule of the user's: its share of the estimate
        products = full_cost(step.node, plan.graph).products * reached // step.layout.length
    written = 0 if fusion is Fusion.EPILOGUE else reached * (step.layout.channels + WINDOW_STORE_CHANNELS)
    return Cost(products, written + step.operation.partial_sums(inputs, window))


def handover_cost(step: Step) -> Cost:
    """Return what it costs to put a windowed node together at every position, as the model itself would have it."""
    return Cost(0, 2 * elements(step.node.shape)) if step.node.shape is not None else Cost()


def step_costs(plan: Plan) -> dict[str, Cost]:
    """Return what each step costs as planned, for one mutation in the middle of the sequence."""
    windows = plan.middle_windows
    fusion = planned_fusion(plan, windows)
    costs = {}
    for name, step in plan.steps.items():
        if step.mode == "full":
            costs[name] = full_cost(step.node, plan.graph)
        elif step.mode == "constant" or name == plan.graph.input:
            costs[name] = Cost()
        else:
            costs[name] = windowed_cost(step, plan, windows, fusion[name])
    handed_over = {
        operand
        for step in plan.steps.values()
        if step.mode == "full"
        for operand in step.node.inputs
        if plan.steps[operand].mode in ("windowed", "global")
    }
    for name in handed_over:
        costs[name] += handover_cost(plan.steps[name])
    return costs


@dataclass(frozen=True)
class LaunchCounts:
    """In how many pieces an amount of work is done."""

    mutations: int
    """Letters put instead, of all sequences together."""
    blocks: int
    """Walks over the plan."""
    groups: int
    """Groups of sequences, each with an unmutated pass, and with what runs once for all its blocks."""


@dataclass(frozen=True)
class Work:
    """What a plan costs on a device, in multiply-accumulates, and what it stands against."""

    full: int
    """A full pass of one sequence, in batches so large that starting their operations costs nothing."""
    planned: int
    """One mutation in the middle of the sequence as planned, in blocks as large."""
    block: int
    """What starting a block's operations costs."""
    group: int
    """What starting the operations of a group costs."""

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
        )
