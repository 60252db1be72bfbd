"""Lists of mutations on the engine: substitutions of any width in shared blocks; the rest by full passes."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.errors import SelfCheckError
from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, RawMutagenesis, full_passes, reference_passes
from attribution_bench.mutations import Edit
from attribution_bench_plugins.fastism.capture.source import Source
from attribution_bench_plugins.fastism.engine import (
    CompiledModel,
    Options,
    captured,
    graph_inputs,
    keep_checked,
    warn_of,
)
from attribution_bench_plugins.fastism.execution.blocks import positions_at_once, walk, workers_for
from attribution_bench_plugins.fastism.execution.shared_blocks import Batch, Group, shared_blocks
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.plan import Plan, bytes_per_sequence
from attribution_bench_plugins.fastism.precision import products_in
from attribution_bench_plugins.fastism.self_check import first_divergence_of
from attribution_bench_plugins.fastism.values.window import Positions, Window
from attribution_bench_plugins.fastism.values.windowed import Windowed
from attribution_bench_plugins.standard_ism import StandardISM

CHECKED_OF = 16
"""One of so many substitutions at most is compared with a full pass, so that short lists are not run twice."""


def predict(
    source: Source, request: Request, edits: Sequence[Edit], engines: dict[Any, CompiledModel], options: Options
) -> RawMutagenesis:
    """Compute the predictions of mutated sequences."""
    length, extras, outputs = request.one_hot.shape[2], request.extras, request.outputs
    engine = captured(source, length, extras, outputs, engines, options)
    if engine.plan is None or engine.work is None or engine.fallback:
        warn_of(engine)
        raw = StandardISM(source.model)._predict_mutations(request, edits)
        return replace(raw, metadata={"fallback": engine.fallback})
    unchecked = options.self_check and not engine.checked
    fewest = engine.work.fewest(options.min_speedup)
    mutagenesis = _Mutagenesis(source, request, engine.plan, edits)
    with torch.inference_mode(), Workers(workers_for(engine.plan, source.kind)) as workers:
        for group in _groups(source, request, engine.plan, fewest, edits, options.budget(source.device)):
            mutagenesis.walk(group, workers)
            if unchecked:
                mutagenesis.check(group)
                keep_checked(engine, engines)
                unchecked = False
    mutagenesis.epilogue()
    return RawMutagenesis(mutagenesis.predictions.arrays, mutagenesis.unmutated.arrays)


def _groups(
    source: Source, request: Request, plan: Plan, fewest: float, edits: Sequence[Edit], budget: int
) -> Iterator[Group]:
    itemsize, device = source.dtype.itemsize, source.kind

    @functools.cache
    def at_once(width: int, alternatives: int) -> int:
        return positions_at_once(plan, itemsize, alternatives, device, budget, width)

    kept = bytes_per_sequence(plan, itemsize, 1)
    together = min(request.batch_size or DEFAULT_BATCH_SIZE, budget // 2 // kept)
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

    def __init__(self, source: Source, request: Request, plan: Plan, edits: Sequence[Edit]) -> None:
        self.source, self.request, self.plan, self.edits = source, request, plan, edits
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

        with products_in(self.source.products, self.source.device):
            for emission in walk(self.plan, unmutated, batch.blocks, batch.alternatives, mutated, report, workers):
                values = self._select(emission.output, emission.values.flatten(0, 2))
                self.predictions.write(batch.at(emission.positions).ravel(), values)

    def epilogue(self) -> None:
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

    def check(self, group: Group) -> None:
        """Compare up to three substitutions, spread over a group, with full passes of the model.

        Raises
        ------
        SelfCheckError
            They differ by more than rounding; the message names the first layer that does.
        """
        every = np.concatenate([batch.every.ravel() for batch in group.batches])
        numbers = every[:: max(CHECKED_OF, len(every) // 2)].tolist()
        edits = [self.edits[number] for number in numbers]
        tolerance = self.source.allowed
        for name, passes in full_passes(self.source.model, self.request, edits, lambda done, total: None).items():
            truth = passes.astype(np.float64)  # it may be whole numbers
            scale = max(float(np.abs(truth).max()), float(np.finfo(truth.dtype).tiny))
            error = float(np.abs(self.predictions.arrays[name][numbers] - truth).max()) / scale
            if not error <= tolerance and np.isfinite(truth).all():
                layers = (self._first_diverging_layer(edit, tolerance) for edit in edits)
                layer = next(filter(None, layers), "the outputs, though no single layer differs")
                raise SelfCheckError(
                    f"fastISM's predictions of output {name!r} differ from the model's own by {error:.1e} of their "
                    f"scale, first at layer {layer!r}; nothing was returned. Please report the model; standard_ism "
                    "gives exact results meanwhile"
                )

    def _first_diverging_layer(self, edit: Edit, tolerance: float) -> str | None:
        unmutated = UnmutatedActivations(self.plan, self._inputs(np.array([edit.sequence])))
        window = Window(edit.position, self.plan.stride, edit.width)
        mutation = self._mutated(unmutated, [edit], (1, 1, 1), window)
        return first_divergence_of(self.plan, unmutated, mutation, tolerance)

    def _inputs(self, sequences: NDArray[np.int64]) -> dict[str, torch.Tensor]:
        return graph_inputs(self.source, self.request, self.plan, sequences)

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
