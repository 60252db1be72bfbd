"""The self-check: some predictions of windows against full passes, and the first layer at which they differ."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench.errors import SelfCheckError
from attribution_bench.models.differences import difference, scale
from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.call import Call
from attribution_bench_plugins.fastism.execution.interpreter import BlockInterpreter
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations, run_graph
from attribution_bench_plugins.fastism.ops.normalisation import Affine
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.values.window import whole
from attribution_bench_plugins.fastism.values.windowed import Windowed

MOST_SHARE = 0.05
"""Part of the time of a request that its self-check may take, in full passes."""
FEWEST_ROWS = 2
"""Full passes that it may take in any case."""

Place = Literal["middle", "first", "last", "outside"]
"""Where a mutation is among those of a call that reach what is wanted; outside for one that reaches nothing of it."""
PLACES: tuple[Place, ...] = ("middle", "first", "last", "outside")
Chosen = TypeVar("Chosen", bound=Hashable)
MutateInput = Callable[[UnmutatedActivations, Edit], Windowed]
"""Returns the mutated input of one sequence as the engine runs it."""


class DueChecks:
    """The comparisons that a model's windows have still to pass; they live with its plan in the plan cache.

    There is one for each place and turn; each turn takes another letter. A call makes as many as its size allows, so
    that small ones cost little, and those after it make the others.
    """

    def __init__(self, letters: int) -> None:
        self._due = [(place, turn) for turn in range(letters) for place in PLACES]

    def __bool__(self) -> bool:
        return bool(self._due)

    def choose(self, most: int, find: Callable[[Place, int], Chosen | None]) -> dict[Chosen, list[tuple[Place, int]]]:
        """Return at most `most` mutations of a call with the comparisons that each stands for.

        Parameters
        ----------
        find
            Returns the mutation of a place and turn; None where the call has none there.
        """
        chosen: dict[Chosen, list[tuple[Place, int]]] = {}
        for due in self._due:
            found = find(*due)
            if found is not None and (found in chosen or len(chosen) < most):
                chosen.setdefault(found, []).append(due)
        return chosen

    def passed(self, done: Iterable[tuple[Place, int]]) -> None:
        """Remember comparisons that were passed."""
        passed = set(done)
        self._due = [due for due in self._due if due not in passed]


def rows_to_check(asked: int, speedup: float) -> int:
    """Return the full passes that a self-check may take in a call of `asked` mutations at a speed-up over full passes.

    That are two, or as many as take a twentieth of its time.
    """
    return max(FEWEST_ROWS, math.floor(MOST_SHARE * asked / speedup) if speedup > 0 else asked)


def place_among(count: int, place: Place, turn: int) -> int:
    """Return the number of a place among `count` mutations in order, moved on with each turn."""
    return {"middle": count // 2 + turn, "first": turn, "last": -1 - turn, "outside": count // 2 + turn}[place] % count


@dataclass(frozen=True)
class SelfCheck:
    """Comparison of windows with full passes, due in a call whose plan has not passed all of it."""

    call: Call
    due: DueChecks
    rows: int
    """Full passes at most."""

    def check(
        self,
        find: Callable[[Place, int], Chosen | None],
        edit: Callable[[Chosen], Edit],
        predictions: Callable[[Sequence[Chosen]], Mapping[str, NDArray[np.floating]]],
        mutate_input: MutateInput,
    ) -> None:
        """Make comparisons that are due; raises as `compare` does.

        Parameters
        ----------
        find
            As `DueChecks.choose` takes it.
        edit
            Returns the mutation that `find` has named.
        predictions
            Returns the predictions (mutations, *selected) of some such mutations by the names of selections.
        """
        chosen = self.due.choose(self.rows, find)
        if chosen:
            start, names = self.call.clock(), list(chosen)
            compared = self.compare([edit(name) for name in names], predictions(names), mutate_input)
            passed = [name for name, was in zip(names, compared.tolist(), strict=True) if was]
            self.due.passed(due for name in passed for due in chosen[name])
            self.call.tally.checked += len(names)
            self.call.tally.check_seconds += self.call.clock() - start

    def compare(
        self, edits: Sequence[Edit], predictions: Mapping[str, NDArray[np.floating]], mutate_input: MutateInput
    ) -> NDArray[np.bool_]:
        """Compare the predictions (len(edits), *selected) of some mutations with full passes of the model.

        Numbers that are not finite in windows are not compared: full passes take their place in any case.

        Returns
        -------
        (len(edits),) bool
            Which mutations had a number that is finite in both.

        Raises
        ------
        SelfCheckError
            They differ by more than rounding; the message names the first layer that does.
        """
        source, compared = self.call.source, np.zeros(len(edits), bool)
        for name, truth in self.call.full_passes(edits, lambda done, total: None).items():
            found = predictions[name]
            finite = np.isfinite(found) & np.isfinite(truth)
            compared |= finite.any(axis=tuple(range(1, finite.ndim)))
            error = relative_error(found, truth)
            if not error <= source.window_tolerance:
                layers = self._diverging_layers(edits, mutate_input)
                layer = next(layers, "the outputs, though no single layer differs")
                raise SelfCheckError(
                    f"fastISM's predictions of output {name!r} differ from the model's own by {error:.1e} of their "
                    f"scale, first at layer {layer!r}; nothing was returned. Please report the model; standard_ism "
                    "gives exact results meanwhile"
                )
        return compared

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
        if not relative_error(_on_host(found), _on_host(expected)) <= tolerance:
            return step.node.layer
    return None


def relative_error(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the largest difference of the finite numbers of windows from full passes, relative to those' scale.

    It is infinite where the full pass has no finite number.
    """
    finite = np.isfinite(found)
    return difference(found[finite], truth[finite]) / (scale(truth) or float(np.finfo(np.float32).tiny))


def _on_host(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor of any numbers as an array in double precision."""
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64).cpu().numpy()


def _is_folded(plan: Plan, name: str) -> bool:
    """Whether a node's own activations are not computed, since the batch norm after it is folded into it."""
    return any(
        isinstance(step.operation, Affine) and step.operation.absorbed and name in step.node.inputs
        for step in plan.steps.values()
    )
