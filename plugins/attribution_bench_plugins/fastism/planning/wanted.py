"""Wanted positions: those of each output that a call selects."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from attribution_bench.models.targets import Reducer, Selection
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.planning.plan import Plan

EXAMPLE_ROWS = 2
"""Rows of the output that a function is followed on: an axis of one would be taken for no batch."""
PositionsRead = Callable[[Reducer, Tensor], range | None]
"""Returns the positions that a function of an output reads, given the position of each of the output's elements
(rows, *output); None where the function cannot be followed."""


def wanted_positions(plan: Plan, selections: Sequence[Selection], read: PositionsRead) -> Mapping[str, range]:
    """Return output -> the half-open range of its positions that is selected; other outputs are missing.

    A function takes those that it reads, as far as that can be followed; the other reducers take all positions.
    """
    wanted: dict[str, range] = {}
    for selection in selections:
        node = plan.graph.outputs[selection.name]
        layout, shape = plan.steps[node].layout, plan.graph.nodes[node].shape
        if layout is None or not layout.positional:
            wanted[selection.name] = range(1)
        elif callable(selection.reducer) and shape is not None:
            found = read(selection.reducer, layout.positions(shape, EXAMPLE_ROWS))
            wanted[selection.name] = range(layout.length) if found is None else found
        else:
            wanted[selection.name] = _selected(layout, selection.index or ())
    return wanted


def _selected(layout: Layout, index: Sequence[int]) -> range:
    """Return the positions of an output at an index into its axes, the batch axis aside."""
    for labels, place in zip(layout.axes[1:], index, strict=False):
        if "p" in labels:
            sizes = [layout.length if label == "p" else dict(layout.channel_sizes)[label] for label in labels]
            position = int(np.unravel_index(place, sizes)[labels.index("p")])
            return range(position, position + 1)
    return range(layout.length)
