"""Lists of mutations on the engine: substitutions of any width in shared blocks; the rest by full passes."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.mutagenesis import RawMutagenesis, full_passes, reference_passes
from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.call import Call, Predictions, Selected
from attribution_bench_plugins.fastism.execution.shared_blocks import Batch, Group, Sites
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.self_check import Place, SelfCheck, place_among
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import Windowed


class Substitutions:
    """A list of mutations, and the sequences as they are."""

    def __init__(self, call: Call, edits: Sequence[Edit], sites: Sites) -> None:
        count = len(call.request.one_hot)
        self.call, self.edits, self.done = call, edits, 0
        self.unreached = np.array(sites.unreached, np.int64)
        self.predictions, self.unmutated = Predictions(len(edits)), Predictions(count)
        self.needs_full_pass, self.needs_unmutated_pass = np.ones(len(edits), bool), np.ones(count, bool)

    def run(self, groups: Iterable[Group], self_check: SelfCheck | None) -> RawMutagenesis:
        """Return the predictions of the mutated sequences.

        Parameters
        ----------
        groups
            Those of the mutations that run on windows; the others take full passes, and so do those of which
            windows give no number, as of infinite activations.
        self_check
            Check of the first group, if any; raises as `SelfCheck.compare` does.
        """
        with torch.inference_mode(), Workers(self.call.sizer.workers) as workers:
            for group in groups:
                self._run_group(group, workers)
                if self_check is not None:
                    self._check(self_check, group)
                    self_check = None
        self.needs_full_pass[self.unreached] = False
        self._run_full_passes()
        self._copy_unmutated()
        return RawMutagenesis(self.predictions.arrays, self.unmutated.arrays)

    def _copy_unmutated(self) -> None:
        """Give mutations that reach nothing of what is selected the unmutated predictions of their sequences."""
        numbers = self.unreached
        if numbers.size:
            sequences = [self.edits[number].sequence for number in numbers.tolist()]
            self.predictions.write(numbers, {name: of[sequences] for name, of in self.unmutated.arrays.items()})
            self.done += len(numbers)
            self.call.request.progress(self.done, len(self.edits))

    def _run_group(self, group: Group, workers: Workers) -> None:
        edits = [self.edits[number] for batch in group.batches for number in batch.every.ravel().tolist()]
        mutated = range(min(edit.position for edit in edits), max(edit.position + edit.width for edit in edits))
        unmutated = self.call.unmutated(group.sequences, mutated)
        values = self.call.unmutated_predictions(unmutated)
        self.unmutated.write(group.sequences, values)
        self.needs_unmutated_pass[group.sequences] = False
        for batch in group.batches:
            # Outputs that no mutation reaches are not computed again.
            self.predictions.write(batch.every, {name: part[:, None, None] for name, part in values.items()}, axes=3)
            self.needs_full_pass[batch.every] = False
        for batch in group.batches:
            self._run_batch(batch, unmutated, workers)
            numbers = batch.every.ravel()
            missing = numbers[self.predictions.without_number(numbers, 1)]
            self.needs_full_pass[missing] = True
            self.done -= len(missing)

    def _run_batch(self, batch: Batch, unmutated: UnmutatedActivations, workers: Workers) -> None:
        def mutated(block: Positions) -> Windowed:
            numbers = batch.at(block.indices)
            edits = [self.edits[number] for number in numbers.ravel().tolist()]
            return self._mutated(unmutated, edits, numbers.shape, block.window(batch.width))

        def progress(positions: int) -> None:
            self.done += positions * batch.every[:, 0].size
            self.call.request.progress(self.done, len(self.edits))

        def write(positions: NDArray[np.int64], values: Selected) -> None:
            self.predictions.write(batch.at(positions.tolist()), values, axes=3)

        self.call.run(unmutated, workers, batch.blocks, batch.alternatives, mutated, progress, write)

    def _run_full_passes(self) -> None:
        """Take full passes for the mutations, and for the sequences as they are, that no group has held."""
        model, request, done, total = self.call.source.model, self.call.request, self.done, len(self.edits)
        numbers, sequences = np.flatnonzero(self.needs_full_pass), np.flatnonzero(self.needs_unmutated_pass)
        if numbers.size:
            edits = [self.edits[number] for number in numbers.tolist()]
            passes = full_passes(model, request, edits, lambda more, _: request.progress(done + more, total))
            self.predictions.write(numbers, passes)
            self.done += len(numbers)
        if sequences.size:
            self.unmutated.write(sequences, reference_passes(model, request, sequences.tolist()))

    def _check(self, self_check: SelfCheck, group: Group) -> None:
        """Check some substitutions of a group."""
        every = np.concatenate([batch.every.ravel() for batch in group.batches])
        numbers = every[~self.needs_full_pass[every]].tolist()

        def find(place: Place, turn: int) -> int | None:
            return None if place == "outside" or not numbers else numbers[place_among(len(numbers), place, turn)]

        def found(chosen: Sequence[int]) -> Selected:
            return {name: array[list(chosen)] for name, array in self.predictions.arrays.items()}

        self_check.check(find, self.edits.__getitem__, found, self._mutated_alone)

    def _mutated_alone(self, unmutated: UnmutatedActivations, edit: Edit) -> Windowed:
        """Return the input of one sequence under one mutation."""
        window = Window(edit.position, self.call.plan.stride, edit.width)
        return self._mutated(unmutated, [edit], (1, 1, 1), window)

    def _mutated(
        self, unmutated: UnmutatedActivations, edits: Sequence[Edit], rows: tuple[int, ...], window: Window
    ) -> Windowed:
        """Return the mutated input of a block; `rows` are (sequences, positions, alternatives)."""
        plan = self.call.plan
        columns = np.stack([edit.columns.T for edit in edits]).reshape(*rows, window.width, plan.letters)
        delta = self.call.source.tensor(columns) - unmutated.view(plan.graph.input, window, rows[1])
        return Windowed(unmutated, plan.graph.input, plan.length, window, delta=delta, is_masked=True)
