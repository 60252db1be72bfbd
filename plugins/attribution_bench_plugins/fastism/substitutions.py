"""Lists of mutations on the engine: substitutions of any width in shared blocks; the rest by full passes."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.mutagenesis import RawMutagenesis
from attribution_bench.mutations import Edit
from attribution_bench.request import MEMORY_HALVINGS
from attribution_bench_plugins.fastism.call import Call, Predictions, Selected
from attribution_bench_plugins.fastism.execution.shared_blocks import Batch, Group, Sharing, Sites, shared_blocks
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.segments import segments
from attribution_bench_plugins.fastism.progress import RisingProgress
from attribution_bench_plugins.fastism.self_check import Place, SelfCheck, place_among
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import Windowed


class Substitutions:
    """A list of mutations, and the sequences as they are."""

    def __init__(self, call: Call, edits: Sequence[Edit], sites: Sites) -> None:
        count = len(call.request.one_hot)
        self.call, self.edits, self.sites = call, edits, sites
        self.progress = RisingProgress(call.request.progress, len(edits))
        """In mutations."""
        self.unreached = np.array(sites.unreached, np.int64)
        self.predictions, self.unmutated = Predictions(len(edits)), Predictions(count)
        self.needs_full_pass, self.needs_unmutated_pass = np.ones(len(edits), bool), np.ones(count, bool)

    def run(self, chosen: Iterable[Sharing], sequences: int, self_check: SelfCheck | None) -> RawMutagenesis:
        """Return the predictions of the mutated sequences.

        Where a group does not fit the device's memory, it goes on with blocks and groups half as large.

        Parameters
        ----------
        chosen
            Those of the mutations that run on windows; the others take full passes, and so do those of which
            windows give no number, as of infinite activations.
        sequences
            Sequences that a group may hold.
        self_check
            Check of the first group, if any; raises as `SelfCheck.compare` does.
        """
        sizer = self.call.sizer
        rows: int | None = None
        with torch.inference_mode(), Workers(sizer.workers) as workers:
            for each in chosen:
                left = each.sequences
                while left:
                    for group in shared_blocks(self.sites, [Sharing(left, each.grids)], sizer, sequences, rows):
                        if not self._fits(group, workers):
                            rows = group.rows_at_once // 2
                            break
                        left = left[len(group.sequences) :]
                        if self_check is not None:
                            self._check(self_check, group)
                            self_check = None
        self.needs_full_pass[self.unreached] = False
        self._run_full_passes()
        self._copy_unmutated()
        halvings = self.call.tally.halvings
        said = {MEMORY_HALVINGS: halvings} if halvings else {}
        return RawMutagenesis(self.predictions.arrays, self.unmutated.arrays, said)

    def _copy_unmutated(self) -> None:
        """Give mutations that reach nothing of what is selected the unmutated predictions of their sequences."""
        numbers = self.unreached
        if numbers.size:
            sequences = [self.edits[number].sequence for number in numbers.tolist()]
            self.predictions.write(numbers, {name: of[sequences] for name, of in self.unmutated.arrays.items()})
            self.progress.add(len(numbers))

    def _fits(self, group: Group, workers: Workers) -> bool:
        """Run a group; returns False where it does not fit the device's memory, and nothing is done of it."""
        done, tally = self.progress.done, self.call.tally
        try:
            self._run_group(group, workers)
        except torch.OutOfMemoryError:
            if group.rows_at_once == 1:
                raise
            self.progress.done, tally.halvings = done, tally.halvings + 1
            return False
        return True

    def _run_group(self, group: Group, workers: Workers) -> None:
        positions = sorted({position for batch in group.batches for position in batch.numbers})
        letters = self.call.sizer.segment_letters
        parts = [positions] if letters is None else segments(positions, letters)
        for number, part in enumerate(parts):
            here = range(part[0], part[-1] + 1)
            ends = [at + batch.width for batch in group.batches for at in batch.numbers if at in here]
            unmutated = self.call.unmutated(group.sequences, range(here.start, max(ends)))
            if number == 0:
                self._begin(group, unmutated)
            for batch in group.batches:
                self._run_batch(batch, here, unmutated, workers)
            del unmutated  # The pass of the next segment needs its memory.
        for batch in group.batches:
            numbers = batch.every.ravel()
            missing = numbers[self.predictions.missing(numbers, 1)]
            self.needs_full_pass[missing] = True
            self.progress.done -= len(missing)

    def _begin(self, group: Group, unmutated: UnmutatedActivations) -> None:
        """Write the unmutated predictions, also for the mutations of the group: outputs may be reached by none."""
        values = self.call.unmutated_predictions(unmutated)
        self.unmutated.write(group.sequences, values)
        self.needs_unmutated_pass[group.sequences] = False
        for batch in group.batches:
            self.predictions.write(batch.every, {name: part[:, None, None] for name, part in values.items()}, axes=3)
            self.needs_full_pass[batch.every] = False

    def _run_batch(self, batch: Batch, within: range, unmutated: UnmutatedActivations, workers: Workers) -> None:
        def mutated(block: Positions) -> Windowed:
            numbers = batch.at(block.indices)
            edits = [self.edits[number] for number in numbers.ravel().tolist()]
            return self._mutated(unmutated, edits, numbers.shape, block.window(batch.width))

        def progress(positions: int) -> None:
            self.progress.add(positions * batch.every[:, 0].size)

        def write(positions: NDArray[np.int64], values: Selected) -> None:
            self.predictions.write(batch.at(positions.tolist()), values, axes=3)

        def lose(positions: NDArray[np.int64], lost: NDArray[np.bool_]) -> None:
            self.predictions.lose(batch.at(positions.tolist()), lost)

        members = [(block, block.between(within.start, within.stop)) for block in batch.blocks]
        blocks = [block.of(part) for block, part in members if part.start < part.stop]
        if blocks:
            self.call.run(unmutated, workers, blocks, batch.alternatives, mutated, progress, write, lose)

    def _run_full_passes(self) -> None:
        """Take full passes for the mutations, and for the sequences as they are, that no group has held."""
        progress, done = self.progress, self.progress.done
        numbers, sequences = np.flatnonzero(self.needs_full_pass), np.flatnonzero(self.needs_unmutated_pass)
        if numbers.size:
            edits = [self.edits[number] for number in numbers.tolist()]
            passes = self.call.full_passes(edits, lambda more, _: progress.add(done + more - progress.done))
            self.predictions.write(numbers, passes)
        if sequences.size:
            self.unmutated.write(sequences, self.call.reference_passes(sequences.tolist()))

    def _check(self, self_check: SelfCheck, group: Group) -> None:
        """Check some substitutions of a group."""
        every = np.concatenate([batch.every.ravel() for batch in group.batches])
        numbers = every[~self.predictions.lost(every)].tolist()

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
