"""The self-check: some predictions of windows against full passes, and the first layer at which they differ."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.errors import SelfCheckError
from attribution_bench.mutagenesis import full_passes
from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.call import Call
from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations, run_graph
from attribution_bench_plugins.fastism.ops.normalisation import Affine
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.window import whole
from attribution_bench_plugins.fastism.values.windowed import Windowed

CHECKED_OF = 16
"""Listed mutations of a group for each that is checked, at least, so that short lists are not run twice."""

MutateInput = Callable[[UnmutatedActivations, Edit], Windowed]
"""Returns the mutated input of one sequence as the engine runs it."""


def places_to_check(reaches: NDArray[np.bool_]) -> list[int]:
    """Return which of the mutated positions of a saturation are checked.

    They are the first, the middle and the last of those that reach what is wanted, but one that does not in the place
    of the last, where there are any.
    """
    inside, outside = np.flatnonzero(reaches).tolist(), np.flatnonzero(~reaches).tolist()
    if not inside:
        return [0]
    return sorted({inside[0], inside[len(inside) // 2], outside[len(outside) // 2] if outside else inside[-1]})


def numbers_to_check(numbers: NDArray[np.int64]) -> list[int]:
    """Return which listed mutations of a group are checked: up to three, spread over it."""
    found: list[int] = numbers[:: max(CHECKED_OF, len(numbers) // 2)].tolist()
    return found


@dataclass(frozen=True)
class SelfCheck:
    """Comparison of windows with full passes, due in a call whose plan has not passed it."""

    call: Call
    passed: Callable[[], None]
    """Called when the predictions agree."""

    def compare(
        self, edits: Sequence[Edit], predictions: Mapping[str, NDArray[np.floating]], mutate_input: MutateInput
    ) -> None:
        """Compare the predictions (len(edits), *selected) of some mutations with full passes of the model.

        Raises
        ------
        SelfCheckError
            They differ by more than rounding; the message names the first layer that does.
        """
        source = self.call.source
        passes = full_passes(source.model, self.call.request, edits, lambda done, total: None)
        for name, values in passes.items():
            truth = values.astype(np.float64)  # of integers, too
            scale = max(float(np.abs(truth).max()), float(np.finfo(truth.dtype).tiny))
            error = float(np.abs(predictions[name] - truth).max()) / scale
            if not error <= source.window_tolerance and np.isfinite(truth).all():
                layers = self._diverging_layers(edits, mutate_input)
                layer = next(layers, "the outputs, though no single layer differs")
                raise SelfCheckError(
                    f"fastISM's predictions of output {name!r} differ from the model's own by {error:.1e} of their "
                    f"scale, first at layer {layer!r}; nothing was returned. Please report the model; standard_ism "
                    "gives exact results meanwhile"
                )
        self.passed()

    def _diverging_layers(self, edits: Sequence[Edit], mutate_input: MutateInput) -> Iterator[str]:
        for edit in edits:
            unmutated = self.call.unmutated(np.array([edit.sequence]))
            mutated = mutate_input(unmutated, edit)
            layer = first_divergence(unmutated, mutated, self.call.source.window_tolerance)
            if layer is not None:
                yield layer


def first_divergence(unmutated: UnmutatedActivations, mutated: Windowed, tolerance: float) -> str | None:
    """Return the first layer at which one mutation of one sequence differs from a full pass.

    That is by more than `tolerance` of the scale of the layer's activations; `mutated` is the mutated input.
    """
    plan = unmutated.plan
    layout = plan.steps[plan.graph.input].layout
    assert layout is not None
    original = unmutated.inputs[plan.graph.input]
    sequence = mutated.value_on(whole(plan.length)).flatten(0, 2)
    full = {**unmutated.inputs, plan.graph.input: layout.to_framework(sequence, (None, *original.shape[1:]))}
    truth = run_graph(plan.graph, full, 1, frozenset(plan.steps))
    run = BlockInterpreter(unmutated, 1, 1, {plan.graph.input: mutated})
    for step in (*plan.body, *plan.head):
        # Every activation is kept, unchanged, on the window that was planned for it.
        run.run_step(step, frozenset())
        name = step.node.name
        if name in run.windowed:
            run.windowed[name].schedule()
        if step.node.shape is None or (step.operation is not None and _is_folded(plan, name)):
            continue
        found, expected = run.framework_value(name), truth[name]
        if name in plan.cuts and step.layout is not None:
            # Windows are cut to the receptive field: what is outside may be anything.
            field = slice(plan.cuts[name].start, plan.cuts[name].stop)
            found, expected = (step.layout.to_engine(value)[:, field] for value in (found, expected))
        if not expected.is_floating_point():
            found, expected = found.float(), expected.float()
        scale = float(expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny))
        if not float((found - expected).abs().max()) <= tolerance * scale:
            return step.node.layer
    return None


def _is_folded(plan: Plan, name: str) -> bool:
    """Whether a node's own activations are not computed, since the batch norm after it is folded into it."""
    return any(
        isinstance(step.operation, Affine) and step.operation.absorbed and name in step.node.inputs
        for step in plan.steps.values()
    )
