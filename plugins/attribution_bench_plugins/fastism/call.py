"""One call of the engine that is answered on windows: what its runs share, and the arrays that they fill."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench.mutagenesis import DEFAULT_BATCH_SIZE, full_passes, reference_passes
from attribution_bench.mutations import Edit
from attribution_bench.request import Progress, Request
from attribution_bench.timer import CLOCK, Clock
from attribution_bench_plugins.fastism.capture.source import Source
from attribution_bench_plugins.fastism.execution.group_run import GroupRun
from attribution_bench_plugins.fastism.execution.interpreter import Observer
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.segments import read_ranges
from attribution_bench_plugins.fastism.planning.sizes import Sizer
from attribution_bench_plugins.fastism.precision import ProductPrecision, products_in
from attribution_bench_plugins.fastism.values.window import Positions
from attribution_bench_plugins.fastism.values.windowed import Windowed

Selected = Mapping[str, NDArray[np.floating]]
"""Selection's name -> values (..., *selected)."""


@dataclass
class Tally:
    """What a call has run on windows so far, and the seconds that it took; those of a self-check are apart."""

    seconds: float = 0.0
    checked: int = 0
    """Mutations that were compared with full passes."""
    check_seconds: float = 0.0
    halvings: int = 0
    """How often blocks, or batches of full passes, were halved since they did not fit the device's memory."""


@dataclass(frozen=True, eq=False)
class Call:
    """A request with the model as the call finds it, its plan, and the sizes of the work."""

    source: Source
    request: Request
    sizer: Sizer
    observer: Observer | None = None
    clock: Clock = CLOCK
    tally: Tally = field(default_factory=Tally)

    @property
    def plan(self) -> Plan:
        """The plan of the model."""
        return self.sizer.plan

    def unmutated(self, sequences: slice | NDArray[np.int64], mutated: range | None = None) -> UnmutatedActivations:
        """Run the unmutated pass of some sequences of the request, for mutations of a range or of any position.

        Where all that is read might not fit the budget, what mutations of the range read is kept alone.
        """
        start = self.clock()
        inputs = self.source.graph_inputs(self.plan.graph, self.request, sequences)
        is_divided = mutated is not None and self.sizer.segment_letters is not None
        ranges = read_ranges(self.plan, mutated) if mutated and is_divided else {}
        precision = None if self.source.matmul_precision is None else ProductPrecision.now(self.source.device)
        found = UnmutatedActivations(self.plan, inputs, ranges, precision)
        self.tally.seconds += self.clock() - start
        return found

    def select(self, output: str, value: Tensor) -> Selected:
        """Return the selected part of an output (rows, *output)."""
        chosen = [selection for selection in self.request.selections if selection.name == output]
        if self._is_read_by_a_function(output):
            # A caller's function may write into what it is given, and blocks read the unmutated output.
            value = value.clone()
        return {selection.name: self.source.select(value, selection) for selection in chosen}

    def _is_read_by_a_function(self, output: str) -> bool:
        """Whether a caller's function is asked of an output; it may make a number of NaN."""
        return any(callable(selection.reducer) and selection.name == output for selection in self.request.selections)

    def unmutated_predictions(self, unmutated: UnmutatedActivations) -> Selected:
        """Return the unmutated predictions of a group, (sequences, *selected)."""
        outputs = self.plan.graph.outputs.items()
        return {k: v for output, name in outputs for k, v in self.select(output, unmutated.output(name)).items()}

    def full_passes(self, edits: Sequence[Edit], progress: Progress) -> Selected:
        """Return the predictions (len(edits), *selected) of some mutations by full passes.

        Where a batch does not fit the device's memory, they are taken again in smaller ones.
        """
        model = self.source.model
        return self._in_fitting_batches(len(edits), lambda request: full_passes(model, request, edits, progress))

    def reference_passes(self, sequences: Sequence[int]) -> Selected:
        """Return the predictions (len(sequences), *selected) of sequences as they are, the same way."""
        model = self.source.model
        return self._in_fitting_batches(len(sequences), lambda request: reference_passes(model, request, sequences))

    def _in_fitting_batches(self, rows: int, predict: Callable[[Request], Selected]) -> Selected:
        """Return what full passes of the request give, in batches half as large wherever memory runs out."""
        request = self.request
        while True:
            try:
                return predict(request)
            except torch.OutOfMemoryError:
                size = min(request.batch_size or DEFAULT_BATCH_SIZE, rows)
                if size == 1:
                    raise
            request = replace(request, batch_size=size // 2)
            self.tally.halvings += 1

    @cached_property
    def reaches(self) -> NDArray[np.bool_]:
        """(positions asked for,) Whether a mutation there can change what is selected."""
        positions, reaching = self.request.positions, self.plan.reaching
        return (positions >= reaching.start) & (positions < reaching.stop)

    def run(
        self,
        unmutated: UnmutatedActivations,
        workers: Workers,
        blocks: Iterable[Positions],
        alternatives: int,
        mutated: Callable[[Positions], Windowed],
        progress: Callable[[int], None],
        write: Callable[[NDArray[np.int64], Selected], None],
        lose: Callable[[NDArray[np.int64], NDArray[np.bool_]], None],
    ) -> None:
        """Run blocks of a group's mutations; see `GroupRun.run`.

        Parameters
        ----------
        write
            Takes positions and their predictions (sequences, positions, alternatives, *selected).
        lose
            Takes positions, and which mutations there (sequences, positions, alternatives) are to take full passes:
            windows had no number for something that their predictions are made of, which these do not show.
        """
        start = self.clock()
        group = GroupRun(self.sizer, unmutated, workers, self.observer)
        with products_in(self.source.matmul_precision, self.source.device):
            for emission in group.run(blocks, alternatives, mutated, progress):
                axes, rows = emission.values.shape[:3], emission.values.flatten(0, 2)
                if self._is_read_by_a_function(emission.output):
                    group.lost.append((emission.positions, rows.reshape(len(rows), -1).sum(1).isnan().reshape(axes)))
                selected = self.select(emission.output, rows)
                shaped = {name: values.reshape(*axes, *values.shape[1:]) for name, values in selected.items()}
                write(np.asarray(emission.positions), shaped)
            for positions, lost in group.lost:
                lose(np.asarray(positions), lost.cpu().numpy())
        self.tally.seconds += self.clock() - start


class Predictions:
    """Arrays (*shape, *selected) of predictions by the names of selections, as they fill up."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.arrays: dict[str, NDArray[np.floating]] = {}
        self._lost: NDArray[np.bool_] | None = None
        """(*shape) What `lose` was told; None before it was told of any."""

    def write(self, index: Any, values: Selected, axes: int = 1) -> None:
        """Store values, the first `axes` axes of which an index into the leading axes of the arrays takes."""
        for name, part in values.items():
            if name not in self.arrays:
                self.arrays[name] = np.empty((*self.shape, *part.shape[axes:]), part.dtype)
            self.arrays[name][index] = part

    def lose(self, index: Any, lost: NDArray[np.bool_]) -> None:
        """Remember which predictions of an index are wrong, although they are numbers."""
        if lost.any():
            if self._lost is None:
                self._lost = np.zeros(self.shape, bool)
            self._lost[index] |= lost

    def lost(self, index: Any) -> NDArray[np.bool_]:
        """Return which predictions of an index are known to be wrong."""
        if self._lost is None:
            return np.asarray(np.broadcast_to(False, self.shape)[index])
        return np.asarray(self._lost[index])

    def missing(self, index: Any, axes: int) -> NDArray[np.bool_]:
        """Return which predictions windows have not given: those of an index, whose first `axes` axes are kept.

        These are the lost ones, and those of numbers that are not finite: where activations are infinite, or as large
        as their type allows, the difference of two of them may be NaN or infinite, and the model's numbers may not.
        """
        found = self.lost(index)
        for part in (array[index] for array in self.arrays.values()):
            with np.errstate(over="ignore", invalid="ignore"):
                # The sum is not finite where any number is not. Mostly all are, and nothing large is written.
                suspicious = not np.isfinite(part.sum())
            if suspicious:
                found = found | ~np.isfinite(part).all(axis=tuple(range(axes, part.ndim)))
        return found
