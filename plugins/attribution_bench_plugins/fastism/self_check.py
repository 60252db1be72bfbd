"""Where windows and full passes part: the layer to name when the self-check fails."""

from collections.abc import Mapping

import torch
from torch import Tensor

from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations, run_graph
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.window import Window, whole
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed


def first_divergence(
    plan: Plan, inputs: Mapping[str, Tensor], position: int, ref: int, alt: int, tolerance: float
) -> str | None:
    """Return the first layer whose activations differ from a full pass' by more than `tolerance` of their scale.

    Parameters
    ----------
    inputs
        The graph's inputs for one sequence, as the model takes them.
    position, there, instead
        The mutation: indices of the letter that is there (the number of letters where unknown) and of the other one.
    """
    unmutated = UnmutatedActivations(plan, inputs)
    device = inputs[plan.graph.input].device
    window = Window(position, plan.stride, 1)
    letters = torch.full((1, 1), ref, device=device), torch.full((1, 1, 1), alt, device=device)
    mutation = MutatedInput(unmutated, plan.graph.input, plan.length, window, *letters, plan.letters)
    return first_divergence_of(plan, unmutated, mutation, tolerance)


def first_divergence_of(
    plan: Plan, unmutated: UnmutatedActivations, mutation: Windowed, tolerance: float
) -> str | None:
    """Return the same for any mutated input of one sequence."""
    layout = plan.steps[plan.graph.input].layout
    assert layout is not None
    original = unmutated.inputs[plan.graph.input]
    mutated = mutation.value_on(whole(plan.length)).flatten(0, 2)
    full = {**unmutated.inputs, plan.graph.input: layout.to_framework(mutated, (None, *original.shape[1:]))}
    truth = run_graph(plan.graph, full, 1, frozenset(plan.steps))
    run = BlockInterpreter(plan, unmutated, 1, 1, {plan.graph.input: mutation})
    for step in (*plan.body, *plan.head):
        # Every activation is kept, unchanged.
        run.run_step(step, frozenset())
        name = step.node.name
        if step.node.shape is None or (step.operation is not None and _hidden(plan, name)):
            continue
        found, expected = run.framework_value(name), truth[name]
        if not expected.is_floating_point():
            found, expected = found.float(), expected.float()
        scale = float(expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny))
        if not float((found - expected).abs().max()) <= tolerance * scale:
            return step.node.layer
    return None


def _hidden(plan: Plan, name: str) -> bool:
    """Whether a node's own activations are not computed, since the batch norm after it is folded into it."""
    from attribution_bench_plugins.fastism.ops.normalisation import Affine

    return any(
        isinstance(step.operation, Affine) and step.operation.absorbed and name in step.node.inputs
        for step in plan.steps.values()
    )
