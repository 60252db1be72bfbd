"""Saturation on the engine: every single-letter mutation, group after group of sequences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench.attribution import RawAttribution, Request
from attribution_bench.models.targets import Selection
from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.capture.source import Source
from attribution_bench_plugins.fastism.execution.blocks import mutate
from attribution_bench_plugins.fastism.execution.group_run import GroupRun
from attribution_bench_plugins.fastism.execution.observer import Observer
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.sizes import SizePolicy, Sizes, saturation_blocks, workers_for
from attribution_bench_plugins.fastism.precision import products_in
from attribution_bench_plugins.fastism.self_check import SelfCheck, places_to_check
from attribution_bench_plugins.fastism.values.window import Window
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed


def alternatives_of(request: Request, letters: int) -> int:
    """Return how many mutations each position has: one for every other letter.

    With an unknown letter anywhere every letter is put everywhere, the reference letter included: its delta is zero.
    """
    return letters if (request.letters < 0).any() else letters - 1


@dataclass(frozen=True)
class Saturation:
    """The single-letter mutations that a request asks for, on the plan of its model."""

    source: Source
    request: Request
    plan: Plan
    policy: SizePolicy
    observer: Observer | None

    def run(self, sizes: Sizes, self_check: SelfCheck | None) -> RawAttribution:
        """Run group after group of sequences; where one does not fit the device's memory, go on with smaller blocks.

        Raises
        ------
        SelfCheckError
            The first sequence's predictions differ from those of full passes.
        """
        count, first = len(self.request.one_hot), 0
        store = _Predictions(self.request, self.plan.letters)
        with torch.inference_mode(), Workers(workers_for(self.plan, self.policy)) as workers:
            while first < count:
                rows = slice(first, min(first + sizes.sequences, count))
                try:
                    self._run_group(rows, sizes, store, workers)
                except torch.OutOfMemoryError:
                    if sizes == Sizes(1, 1):
                        raise
                    sizes = sizes.halved()
                    continue
                if self_check is not None and first == 0:
                    self._check(self_check, store)
                first = rows.stop
        return RawAttribution(predictions=store.predictions, reference_predictions=store.unmutated)

    def _run_group(self, rows: slice, sizes: Sizes, store: "_Predictions", workers: Workers) -> None:
        source, request, plan = self.source, self.request, self.plan
        positions: Sequence[int] = request.positions.tolist()
        alternatives = alternatives_of(request, plan.letters)
        ref, alt = _letters(request.letters[rows], plan.letters, alternatives)
        place = np.full(plan.length, -1)
        place[request.positions] = np.arange(len(positions))
        unmutated = UnmutatedActivations(plan, source.graph_inputs(plan.graph, request, rows))
        by_output = {
            output.name: [s for s in request.selections if s.name == output.name] for output in request.outputs
        }
        for output, name in plan.graph.outputs.items():
            for selection in by_output[output]:
                store.reference(selection, rows, source.select(unmutated.native[name], selection))
        done = rows.start * len(positions)

        def report(positions_done: int) -> None:
            nonlocal done
            done += positions_done * (rows.stop - rows.start)
            request.progress(done, len(request.one_hot) * len(positions))

        itemsize = unmutated.inputs[plan.graph.input].element_size()
        mutated = unmutated.count, alternatives
        blocks = saturation_blocks(plan, self.policy, sizes, positions, mutated, itemsize, workers.count)
        letters = ref.to(source.device), alt.to(source.device)
        with products_in(source.matmul_precision, source.device):
            group = GroupRun(plan, self.policy, unmutated, workers, self.observer)
            for emission in mutate(group, *letters, blocks, report):
                at, values = np.asarray(emission.positions), emission.values
                for selection in by_output[emission.output]:
                    chosen = source.select(values.flatten(0, 2), selection)
                    chosen = chosen.reshape(*values.shape[:3], *chosen.shape[1:])
                    store.write(selection, rows, place[at], alt[:, at].numpy(), chosen)

    def _check(self, self_check: SelfCheck, store: "_Predictions") -> None:
        """Check every letter at a few positions of the first sequence."""
        places, columns = places_to_check(len(self.request.positions)), np.eye(self.plan.letters)
        positions = self.request.positions[places].tolist()
        edits = [Edit(0, position, column[:, None], 1) for position in positions for column in columns]
        found = {
            name: values[0][:, places].swapaxes(0, 1).reshape(len(edits), *values.shape[3:])
            for name, values in store.predictions.items()
        }
        self_check.compare(edits, found, self._mutated_input)

    def _mutated_input(self, unmutated: UnmutatedActivations, edit: Edit) -> Windowed:
        """Return the input of one sequence under one mutation of a letter."""
        plan, device = self.plan, self.source.device
        letter = int(self.request.letters[edit.sequence, edit.position])
        ref = torch.full((1, 1), plan.letters if letter < 0 else letter, device=device)
        alt = torch.full((1, 1, 1), int(edit.columns.argmax()), device=device)
        window = Window(edit.position, plan.stride, 1)
        return MutatedInput(unmutated, plan.graph.input, plan.length, window, ref, alt, plan.letters)


class _Predictions:
    """The arrays of a result as they fill up."""

    def __init__(self, request: Request, letters: int) -> None:
        self.count, self.places, self.letters = len(request.one_hot), len(request.positions), letters
        self.predictions: dict[str, NDArray[np.floating]] = {}
        self.unmutated: dict[str, NDArray[np.floating]] = {}

    def reference(self, selection: Selection, rows: slice, values: NDArray[np.floating]) -> None:
        """Store the reference predictions of some sequences, and let every letter have them to begin with."""
        name, shape = selection.name, values.shape[1:]
        if name not in self.unmutated:
            self.unmutated[name] = np.empty((self.count, *shape), values.dtype)
            self.predictions[name] = np.empty((self.count, self.letters, self.places, *shape), values.dtype)
        self.unmutated[name][rows] = values
        self.predictions[name][rows] = values[:, None, None]

    def write(
        self,
        selection: Selection,
        rows: slice,
        places: NDArray[np.int64],
        alt: NDArray[np.int64],
        values: NDArray[np.floating],
    ) -> None:
        """Store predictions (sequences, positions, alternatives, ...)."""
        sequences = np.arange(rows.start, rows.stop)[:, None, None]
        self.predictions[selection.name][sequences, alt, places[None, :, None]] = values


def _letters(letters: NDArray[np.int64], count: int, alternatives: int) -> tuple[Tensor, Tensor]:
    """Return the reference letters (`count` where unknown), and the alternative ones."""
    ref = torch.as_tensor(np.where(letters < 0, count, letters))
    if alternatives == count:
        return ref, torch.arange(count).expand(*ref.shape, count)
    return ref, (ref[:, :, None] + torch.arange(1, count)) % count
