"""One call of the engine that is answered on windows: what its runs share, and the arrays that they fill."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from attribution_bench.request import Request
from attribution_bench_plugins.fastism.capture.source import Source
from attribution_bench_plugins.fastism.execution.group_run import GroupRun
from attribution_bench_plugins.fastism.execution.interpreter import Observer
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.sizes import Sizer
from attribution_bench_plugins.fastism.precision import products_in
from attribution_bench_plugins.fastism.values.window import Positions
from attribution_bench_plugins.fastism.values.windowed import Windowed

Selected = Mapping[str, NDArray[np.floating]]
"""Selection's name -> values (..., *selected)."""


@dataclass(frozen=True, eq=False)
class Call:
    """A request with the model as the call finds it, its plan, and the sizes of the work."""

    source: Source
    request: Request
    sizer: Sizer
    observer: Observer | None = None

    @property
    def plan(self) -> Plan:
        """The plan of the model."""
        return self.sizer.plan

    def unmutated(self, sequences: slice | NDArray[np.int64]) -> UnmutatedActivations:
        """Run the unmutated pass of some sequences of the request."""
        return UnmutatedActivations(self.plan, self.source.graph_inputs(self.plan.graph, self.request, sequences))

    def select(self, output: str, value: Tensor) -> Selected:
        """Return the selected part of an output (rows, *output)."""
        chosen = (selection for selection in self.request.selections if selection.name == output)
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
        group = GroupRun(self.sizer, unmutated, workers, self.observer)
        with products_in(self.source.matmul_precision, self.source.device):
            for emission in group.run(blocks, alternatives, mutated, progress):
                axes, rows = emission.values.shape[:3], emission.values.flatten(0, 2)
                selected = self.select(emission.output, rows)
                shaped = {name: values.reshape(*axes, *values.shape[1:]) for name, values in selected.items()}
                write(np.asarray(emission.positions), shaped)


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
