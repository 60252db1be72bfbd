"""One call of the engine that is answered on windows: what its runs share, and the arrays that they fill."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench.request import Request
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

    mutations: int = 0
    blocks: int = 0
    groups: int = 0
    seconds: float = 0.0
    checked: int = 0
    """Mutations that were compared with full passes."""
    check_seconds: float = 0.0


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
        if any(callable(selection.reducer) for selection in chosen):
            # A caller's function may write into what it is given, and blocks read the unmutated output.
            value = value.clone()
        return {selection.name: self.source.select(value, selection) for selection in chosen}

    def unmutated_predictions(self, unmutated: UnmutatedActivations) -> Selected:
        """Return the unmutated predictions of a group, (sequences, *selected)."""
        outputs = self.plan.graph.outputs.items()
        return {k: v for output, name in outputs for k, v in self.select(output, unmutated.output(name)).items()}

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
    ) -> None:
        """Run blocks of a group's mutations; see `GroupRun.run`.

        Parameters
        ----------
        write
            Takes positions and their predictions (sequences, positions, alternatives, *selected).
        """
        start, blocks = self.clock(), list(blocks)
        group = GroupRun(self.sizer, unmutated, workers, self.observer)
        with products_in(self.source.matmul_precision, self.source.device):
            for emission in group.run(blocks, alternatives, mutated, progress):
                axes, rows = emission.values.shape[:3], emission.values.flatten(0, 2)
                selected = self.select(emission.output, rows)
                shaped = {name: values.reshape(*axes, *values.shape[1:]) for name, values in selected.items()}
                write(np.asarray(emission.positions), shaped)
        self.tally.mutations += unmutated.count * alternatives * sum(block.count for block in blocks)
        self.tally.blocks += len(blocks)
        self.tally.seconds += self.clock() - start


class Predictions:
    """Arrays (*shape, *selected) of predictions by the names of selections, as they fill up."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.arrays: dict[str, NDArray[np.floating]] = {}

    def write(self, index: Any, values: Selected, axes: int = 1) -> None:
        """Store values, the first `axes` axes of which an index into the leading axes of the arrays takes."""
        for name, part in values.items():
            if name not in self.arrays:
                self.arrays[name] = np.empty((*self.shape, *part.shape[axes:]), part.dtype)
            self.arrays[name][index] = part

    def without_number(self, index: Any, axes: int) -> NDArray[np.bool_]:
        """Return which predictions hold NaN: those of an index, whose first `axes` axes are kept.

        Where activations are infinite, windows give NaN for the difference of two of them, and the model may not.
        """
        parts = [array[index] for array in self.arrays.values()]
        found = np.zeros(parts[0].shape[:axes], bool)
        for part in parts:
            # The smallest of some numbers is NaN where any is; mostly none is, and this takes no memory.
            if part.size and np.isnan(part.min()):
                found |= np.isnan(part).any(axis=tuple(range(axes, part.ndim)))
        return found
