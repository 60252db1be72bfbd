"""Saturation on the engine: every single-letter mutation, group after group of sequences."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench.attribution import RawAttribution, Request
from attribution_bench.environment import thread_count
from attribution_bench.mutations import Edit
from attribution_bench.request import MEMORY_HALVINGS
from attribution_bench_plugins.fastism.call import Call, Predictions, Selected
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.segments import segments
from attribution_bench_plugins.fastism.planning.sizes import Sizes
from attribution_bench_plugins.fastism.progress import RisingProgress
from attribution_bench_plugins.fastism.self_check import PLACES, Place, SelfCheck, place_among
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import MutatedInput, Windowed


def alternatives_of(request: Request, letters: int) -> int:
    """Return how many mutations each position has: one for every other letter.

    If any letter is unknown, every letter is an alternative, the reference letter included: its delta is zero.
    """
    return letters if (request.letters < 0).any() else letters - 1


class Saturation:
    """The single-letter mutations that a request asks for, on the plan of its model."""

    def __init__(self, call: Call) -> None:
        self.call, self.request, self.letters = call, call.request, call.plan.letters
        count, positions = len(self.request.one_hot), self.request.positions
        self.alternatives = alternatives_of(self.request, self.letters)
        self.unmutated, self.predictions = Predictions(count), Predictions(count, self.letters, len(positions))
        self.progress = RisingProgress(self.request.progress, count * len(positions))
        """In positions of sequences."""
        self.place = np.full(call.plan.length, -1)
        """Position -> its index among those that the request asks for."""
        self.place[positions] = np.arange(len(positions))

    def run(self, sizes: Sizes, self_check: SelfCheck | None) -> RawAttribution:
        """Run group after group of sequences; where one does not fit the device's memory, go on with smaller blocks.

        Mutations of which windows do not give every number, as of infinite activations, take full passes.
        The check, if any, is of the first sequence; raises as `SelfCheck.compare` does.
        """
        count, first, tally = len(self.request.one_hot), 0, self.call.tally
        with torch.inference_mode(), Workers(self.call.sizer.workers) as workers:
            while first < count:
                rows = slice(first, min(first + sizes.sequences, count))
                try:
                    self._run_group(rows, sizes, workers)
                except torch.OutOfMemoryError:
                    if sizes.are_smallest:
                        raise
                    sizes, tally.halvings = sizes.halved(), tally.halvings + 1
                    self.progress.done = first * len(self.request.positions)
                    continue
                if self_check is not None and first == 0:
                    self._check(self_check)
                self._take_full_passes(rows)
                first = rows.stop
        said = {MEMORY_HALVINGS: tally.halvings} if tally.halvings else {}
        return RawAttribution(
            predictions=self.predictions.arrays, reference_predictions=self.unmutated.arrays, metadata=said
        )

    def _run_group(self, rows: slice, sizes: Sizes, workers: Workers) -> None:
        call, positions = self.call, self.request.positions[self.call.reaches].tolist()
        letters = call.sizer.segment_letters
        parts = [positions] if letters is None else list(segments(positions, letters)) or [positions]
        count = rows.stop - rows.start
        for number, part in enumerate(parts):
            at_once = count, min(sizes.alternatives, self.alternatives)
            blocks = call.sizer.blocks(sizes, part, at_once, workers.count) if part else []
            threads = call.sizer.threads_of_pass(count, len(blocks), workers.count)
            with nullcontext() if threads is None else thread_count("torch", threads):
                unmutated = call.unmutated(rows, range(part[0], part[-1] + 1) if part else range(1))
            if number == 0:
                values = call.unmutated_predictions(unmutated)
                self.unmutated.write(rows, values)
                # The reference letter has the unmutated predictions, as have outputs that no mutation reaches, and
                # mutations that reach nothing of what is selected.
                self.predictions.write(rows, {name: array[:, None, None] for name, array in values.items()}, axes=3)
                self.progress.done += unmutated.count * (len(self.request.positions) - len(positions))
            self._run_segment(rows, blocks, at_once[1], unmutated, workers)
            del unmutated  # The pass of the next segment needs its memory.

    def _run_segment(
        self,
        rows: slice,
        blocks: Sequence[Positions],
        alternatives: int,
        unmutated: UnmutatedActivations,
        workers: Workers,
    ) -> None:
        """Run the blocks of a segment, some alternatives of them at once."""
        if not blocks:
            self.progress.add(0)
            return
        ref, every = _alleles(self.request.letters[rows], self.letters, self.alternatives)
        before = self.progress.done
        for first in range(0, self.alternatives, alternatives):
            part = every[:, :, first : first + alternatives]
            # A position is done with the last of its alternatives; of all of them each part is a share.
            done = before, first, part.shape[2]
            self._run_alternatives(rows, blocks, unmutated, workers, (ref, part), done)

    def _run_alternatives(
        self,
        rows: slice,
        blocks: Sequence[Positions],
        unmutated: UnmutatedActivations,
        workers: Workers,
        alleles: tuple[Tensor, Tensor],
        done: tuple[int, int, int],
    ) -> None:
        """Run some of the alternatives of blocks of positions, all of them where memory allows.

        Parameters
        ----------
        alleles
            The reference letters (n, L), and these alternatives (n, L, together).
        done
            What the progress was before any alternatives; how many are done, and how many these are.
        """
        call, (ref, alt), (before, earlier, together) = self.call, alleles, done
        device_ref, device_alt = ref.to(call.source.device), alt.to(call.source.device)
        sequences = np.arange(rows.start, rows.stop)[:, None, None]
        ran = earlier * sum(block.count for block in blocks)

        def mutated(block: Positions) -> Windowed:
            at = block.index
            return self._mutated(unmutated, block.window(1), device_ref[:, at], device_alt[:, at])

        def progress(positions_done: int) -> None:
            nonlocal ran
            ran += together * positions_done
            now = before + ran // self.alternatives * unmutated.count
            self.progress.add(now - self.progress.done)

        def place(at: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
            return sequences, alt[:, at].numpy(), self.place[at][None, :, None]

        def write(at: NDArray[np.int64], values: Selected) -> None:
            self.predictions.write(place(at), values, axes=3)

        def lose(at: NDArray[np.int64], lost: NDArray[np.bool_]) -> None:
            self.predictions.lose(place(at), lost)

        call.run(unmutated, workers, blocks, together, mutated, progress, write, lose)

    def _take_full_passes(self, rows: slice) -> None:
        """Predict by full passes what windows of some sequences have not given."""
        call, request, predictions = self.call, self.request, self.predictions
        missing = predictions.missing(rows, 3) & call.reaches
        if not missing.any():
            return
        is_reference = request.letters[rows, None, request.positions] == np.arange(self.letters)[:, None]
        sequences, letters, places = np.nonzero(missing & is_reference)
        values = {name: array[sequences + rows.start] for name, array in self.unmutated.arrays.items()}
        predictions.write((sequences + rows.start, letters, places), values)
        sequences, letters, places = np.nonzero(missing & ~is_reference)
        columns, sequences = np.eye(self.letters), sequences + rows.start
        where = zip(sequences.tolist(), letters.tolist(), request.positions[places].tolist(), strict=True)
        edits = [Edit(sequence, position, columns[:, [letter]], 1) for sequence, letter, position in where]
        if edits:
            done, again = self.progress.done, len(set(zip(sequences.tolist(), places.tolist(), strict=True)))

            def progress(more: int, total: int) -> None:
                self.progress.add(done - again + again * more // total - self.progress.done)

            predictions.write((sequences, letters, places), call.full_passes(edits, progress))

    def _check(self, self_check: SelfCheck) -> None:
        """Check some letters at a few positions of the first sequence; the reference letter in the last turn."""
        inside, outside = np.flatnonzero(self.call.reaches), np.flatnonzero(~self.call.reaches)
        positions, count = self.request.positions, self.letters

        def find(place: Place, turn: int) -> tuple[int, int] | None:
            among = outside if place == "outside" else inside
            if not among.size:
                return None
            at = int(among[place_among(len(among), place, 0)])
            ref = int(self.request.letters[0, positions[at]])
            # Places take their letters in different orders, so that few rows see several letters.
            further = (turn + PLACES.index(place)) % (count - 1) + 1 if turn < count - 1 else 0
            letter = (ref + further) % count if ref >= 0 else turn
            return None if self.predictions.lost((0, letter, at)) else (at, letter)

        def edit(chosen: tuple[int, int]) -> Edit:
            at, letter = chosen
            return Edit(0, int(positions[at]), np.eye(count)[:, [letter]], 1)

        def found(chosen: Sequence[tuple[int, int]]) -> Selected:
            at, letters = (list(part) for part in zip(*chosen, strict=True))
            return {name: values[0][letters, at] for name, values in self.predictions.arrays.items()}

        self_check.check(find, edit, found, self._mutated_alone)

    def _mutated_alone(self, unmutated: UnmutatedActivations, edit: Edit) -> Windowed:
        """Return the input of one sequence under one mutation of a letter."""
        letter, device = int(self.request.letters[edit.sequence, edit.position]), self.call.source.device
        ref = torch.full((1, 1), self.letters if letter < 0 else letter, device=device)
        alt = torch.full((1, 1, 1), int(edit.columns.argmax()), device=device)
        return self._mutated(unmutated, Window(edit.position, self.call.plan.stride, 1), ref, alt)

    def _mutated(self, unmutated: UnmutatedActivations, window: Window, ref: Tensor, alt: Tensor) -> Windowed:
        plan = self.call.plan
        return MutatedInput(unmutated, plan.graph.input, plan.length, window, ref, alt, self.letters)


def _alleles(letters: NDArray[np.int64], count: int, alternatives: int) -> tuple[Tensor, Tensor]:
    """Return the reference letters (n, L), `count` where unknown, and the alternatives (n, L, alternatives)."""
    if alternatives == count:
        ref = torch.as_tensor(np.where(letters < 0, count, letters))
        return ref, torch.arange(count).expand(*ref.shape, count)
    ref = torch.as_tensor(letters)
    others = (torch.arange(count)[:, None] + torch.arange(1, count)) % count
    return ref, others[ref]
