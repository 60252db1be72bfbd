"""What the engine will do with a model, and why, for people to read."""

from dataclasses import dataclass

from attribution_bench_plugins.fastism.cost import (
    FREE,
    Cost,
    middle_windows,
    predicted_ratio,
    step_costs,
    whole_cost,
)
from attribution_bench_plugins.fastism.graph.layout import elements
from attribution_bench_plugins.fastism.plan import Plan, Step

FOLLOWS = "it follows "


@dataclass(frozen=True)
class LayerExplanation:
    """One operation of the model under the mutation of one letter."""

    layer: str
    """The model's own name for it."""
    mode: str
    """``windowed``: only what the mutation reaches. ``vector``: no positions are left. ``whole``: every position.
    ``constant``: no mutation reaches it."""
    reached: int
    """Positions that a mutation in the middle of the sequence makes the engine compute."""
    length: int
    """Positions of the layer; 1 where it has none."""
    products_standard: int
    """Multiply-accumulates of a full pass over one mutated sequence; an estimate where `mode` is ``whole``."""
    products_fast: int
    """Multiply-accumulates as planned."""
    bytes: int
    """Memory of its values for one mutated sequence as planned."""
    reason: str
    """Why it runs whole; empty otherwise."""


@dataclass(frozen=True)
class Explanation:
    """fastISM's plan for one model at one length."""

    length: int
    layers: tuple[LayerExplanation, ...]
    predicted_ratio: float
    """How many times cheaper than standard ISM, by counted work; 1 where it runs as standard ISM."""
    advice: tuple[str, ...]
    """What stands in the way of more, and what would have to change."""
    fallback: str
    """Why every mutation takes a full pass; empty where the engine runs."""

    def __str__(self) -> str:
        header = ("layer", "mode", "reached", "MMAC standard", "MMAC fast", "kB", "reason")
        rows = [
            (
                layer.layer,
                layer.mode,
                f"{layer.reached} / {layer.length}",
                f"{layer.products_standard / 1e6:.3g}",
                f"{layer.products_fast / 1e6:.3g}",
                f"{layer.bytes / 1e3:.3g}",
                layer.reason,
            )
            for layer in self.layers
        ]
        widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
        ]
        return "\n".join(line.rstrip() for line in (*lines, "", self.summary, *self.advice))

    @property
    def summary(self) -> str:
        """One line on how fast it should be."""
        return (
            f"Predicted from counted work: {self.predicted_ratio:.1f} times as fast as standard ISM "
            f"at {self.length} letters."
        )


def explain(plan: Plan | None, length: int, itemsize: int, fallback: str) -> Explanation:
    """Explain a plan, or why there is none.

    Parameters
    ----------
    itemsize
        Bytes of one number in the model's precision.
    fallback
        Why the engine does not run the plan; empty where it does.
    """
    if plan is None:
        return Explanation(length, (), 1.0, (f"every mutation takes a full pass: {fallback}",), fallback)
    costs, windows = step_costs(plan), middle_windows(plan)
    layers = []
    for name, step in plan.steps.items():
        if step.node.op in FREE or step.node.shape is None:
            continue
        held = step.layout.length if step.layout is not None else 1
        reached = {"constant": 0, "whole": held, "vector": 1}.get(step.mode, 0)
        numbers = elements(step.node.shape)
        if step.mode == "windowed":
            reached = min(windows[step.source].width, held)
            numbers = reached * (step.layout.channels if step.layout is not None else 1)
        products = whole_cost(step.node, plan.graph).products
        fast = costs[name].products
        layers.append(
            LayerExplanation(step.node.layer, step.mode, reached, held, products, fast, numbers * itemsize, step.reason)
        )
    ratio = 1.0 if fallback else predicted_ratio(plan)
    return Explanation(length, tuple(layers), ratio, _advice(plan, costs, fallback), fallback)


def main_cause(plan: Plan) -> str:
    """Return in a few words what takes most of the time of a plan."""
    costs = step_costs(plan)
    heaviest = plan.steps[max(costs, key=lambda name: costs[name].work)]
    for step in _causes(plan):
        if heaviest.node.name in _after(plan, step):
            return f"{step.node.layer!r} runs whole: {step.reason}"
    return f"{heaviest.node.layer!r} takes most of it"


def _causes(plan: Plan) -> list[Step]:
    """Return the steps that run whole on their own account."""
    return [step for step in plan.steps.values() if step.reason and not step.reason.startswith(FOLLOWS)]


def _advice(plan: Plan, costs: dict[str, Cost], fallback: str) -> tuple[str, ...]:
    total = max(1, sum(costs.values(), Cost()).work)
    advice = [f"every mutation takes a full pass: {fallback}"] if fallback else []
    causes = _causes(plan)
    for step in causes:
        after = _after(plan, step)
        share = sum((costs[name] for name in after), Cost()).work / total
        advice.append(
            f"{step.node.layer!r} runs whole: {step.reason}. With what follows it, it takes {share:.0%} of the time; "
            + _remedy(step)
        )
    if not causes and costs:
        heaviest = max(costs, key=lambda name: costs[name].work)
        share = costs[heaviest].work / total
        advice.append(f"the engine runs every layer on windows; {plan.steps[heaviest].node.layer!r} takes {share:.0%}")
    return tuple(advice)


def _after(plan: Plan, first: Step) -> set[str]:
    after = {first.node.name}
    for name, node in plan.graph.nodes.items():
        if any(operand in after for operand in node.inputs):
            after.add(name)
    return after


def _remedy(step: Step) -> str:
    if "so windows would not pay" in step.reason:
        return "a longer sequence, a shorter reach (kernels, dilations) or a crop would let windows pay."
    if step.node.op == "opaque":
        return (
            "pooling or striding before it makes it cheaper; if it works position by position, "
            "register a rule for it (docs/fastism.md)."
        )
    return "it would keep windows if it ran over positions or channels alone."
