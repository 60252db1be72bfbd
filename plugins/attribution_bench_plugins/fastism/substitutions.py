"""Lists of mutations on the engine: substitutions of any width in shared blocks; the rest by full passes."""

import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, RawMutagenesis, full_passes, reference_passes
from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.capture.source import Source
from attribution_bench_plugins.fastism.execution.blocks import walk
from attribution_bench_plugins.fastism.execution.group_run import GroupRun
from attribution_bench_plugins.fastism.execution.shared_blocks import Batch, Group, shared_blocks
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.sizes import (
    SizePolicy,
    bytes_per_sequence,
    positions_at_once,
    workers_for,
)
from attribution_bench_plugins.fastism.precision import products_in
from attribution_bench_plugins.fastism.self_check import SelfCheck, numbers_to_check
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import Windowed


def predict_listed(
    source: Source,
    request: Request,
    plan: Plan,
    edits: Sequence[Edit],
    policy: SizePolicy,
    *,
    budget: int,
    fewest: float,
    self_check: SelfCheck | None,
) -> RawMutagenesis:
    """Return the predictions of mutated sequences.

    Parameters
    ----------
    budget
        Bytes that the engine may use.
    fewest
        Mutations that a block must hold on average; what fills no such block takes full passes.

    Raises
    ------
    SelfCheckError
        The predictions of the first group differ from those of full passes.
    """
    mutagenesis = _Mutagenesis(source, request, plan, policy, edits)
    with torch.inference_mode(), Workers(workers_for(plan, policy)) as workers:
        for group in _groups(source, request, plan, policy, fewest, edits, budget):
            mutagenesis.walk(group, workers)
            if self_check is not None:
                mutagenesis.check(self_check, group)
                self_check = None
    mutagenesis.run_full_passes()
    return RawMutagenesis(mutagenesis.predictions.arrays, mutagenesis.unmutated.arrays)


def _groups(
    source: Source,
    request: Request,
    plan: Plan,
    policy: SizePolicy,
    fewest: float,
    edits: Sequence[Edit],
    budget: int,
) -> Iterator[Group]:
    itemsize = source.dtype.itemsize

    @functools.cache
    def at_once(width: int, alternatives: int) -> int:
        return positions_at_once(plan, itemsize, alternatives, policy, budget, width)

    kept = bytes_per_sequence(plan, itemsize, 1)
    together = min(request.batch_size or DEFAULT_BATCH_SIZE, budget // policy.group_budget_share // kept)
    return shared_blocks(edits, plan.stride, at_once, sequences_at_once=together, fewest=fewest)


class _Rows:
    """Arrays of as many rows as there are things to predict, as they fill up."""

    def __init__(self, count: int) -> None:
        self.arrays: dict[str, NDArray[np.floating]] = {}
        self.known = np.zeros(count, bool)

    def write(self, rows: NDArray[np.int64], values: Mapping[str, NDArray[np.floating]]) -> None:
        """Store values (len(rows), ...) by their selections' names."""
        self.known[rows] = True
        for name, part in values.items():
            if name not in self.arrays:
                self.arrays[name] = np.empty((len(self.known), *part.shape[1:]), part.dtype)
            self.arrays[name][rows] = part


class _Mutagenesis:
    """The predictions of a list of mutations, and of the sequences as they are."""

    def __init__(self, source: Source, request: Request, plan: Plan, policy: SizePolicy, edits: Sequence[Edit]) -> None:
        self.source, self.request, self.plan, self.policy, self.edits = source, request, plan, policy, edits
        self.predictions, self.unmutated = _Rows(len(edits)), _Rows(len(request.one_hot))
        self.done = 0
        self.selections = {o.name: [s for s in request.selections if s.name == o.name] for o in request.outputs}

    def walk(self, group: Group, workers: Workers) -> None:
        """Run a group's substitutions through the engine."""
        unmutated = UnmutatedActivations(self.plan, self._inputs(group.sequences))
        for output, name in self.plan.graph.outputs.items():
            values = self._select(output, unmutated.native[name])
            self.unmutated.write(group.sequences, values)
            # An output that no mutation reaches is not computed again.
            for batch in group.batches:
                each = batch.every[0].size
                repeated = {selection: array.repeat(each, axis=0) for selection, array in values.items()}
                self.predictions.write(batch.every.ravel(), repeated)
        for batch in group.batches:
            self._walk(batch, unmutated, workers)

    def _walk(self, batch: Batch, unmutated: UnmutatedActivations, workers: Workers) -> None:
        def mutated(block: Positions) -> Windowed:
            numbers = batch.at(block.indices)
            edits = [self.edits[number] for number in numbers.ravel().tolist()]
            window = Window(block.start, block.stride, batch.width)
            return self._mutated(unmutated, edits, numbers.shape, window)

        def report(positions: int) -> None:
            self.done += positions * batch.every[:, 0].size
            self.request.progress(self.done, len(self.edits))

        group = GroupRun(self.plan, self.policy, unmutated, workers)
        with products_in(self.source.matmul_precision, self.source.device):
            for emission in walk(group, batch.blocks, batch.alternatives, mutated, report):
                values = self._select(emission.output, emission.values.flatten(0, 2))
                self.predictions.write(batch.at(emission.positions).ravel(), values)

    def run_full_passes(self) -> None:
        """Take full passes for what no walk has taken: mutations, and sequences as they are."""
        model, request, done, total = self.source.model, self.request, self.done, len(self.edits)
        left = np.flatnonzero(~self.predictions.known)
        if left.size:
            edits = [self.edits[number] for number in left.tolist()]
            passes = full_passes(model, request, edits, lambda more, _: request.progress(done + more, total))
            self.predictions.write(left, passes)
        left = np.flatnonzero(~self.unmutated.known)
        if left.size:
            self.unmutated.write(left, reference_passes(model, request, left.tolist()))

    def check(self, self_check: SelfCheck, group: Group) -> None:
        """Check some substitutions of a group."""
        numbers = numbers_to_check(np.concatenate([batch.every.ravel() for batch in group.batches]))
        found = {name: array[numbers] for name, array in self.predictions.arrays.items()}
        self_check.compare([self.edits[number] for number in numbers], found, self._mutated_alone)

    def _mutated_alone(self, unmutated: UnmutatedActivations, edit: Edit) -> Windowed:
        """Return the input of one sequence under one mutation."""
        return self._mutated(unmutated, [edit], (1, 1, 1), Window(edit.position, self.plan.stride, edit.width))

    def _inputs(self, sequences: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        return self.source.graph_inputs(self.plan.graph, self.request, sequences)

    def _select(self, output: str, value: torch.Tensor) -> dict[str, NDArray[np.floating]]:
        return {selection.name: self.source.select(value, selection) for selection in self.selections[output]}

    def _mutated(
        self, unmutated: UnmutatedActivations, edits: Sequence[Edit], rows: tuple[int, ...], window: Window
    ) -> Windowed:
        """Return the mutated input of a block; `rows` are (sequences, positions, alternatives)."""
        source = self.plan.graph.input
        columns = np.stack([edit.columns.T for edit in edits]).reshape(*rows, window.width, self.plan.letters)
        delta = self.source.tensor(columns) - unmutated.view(source, window, rows[1])
        return Windowed(unmutated, source, self.plan.length, window, delta=delta, is_masked=True)
