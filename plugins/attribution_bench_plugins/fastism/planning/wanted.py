"""Wanted positions: those of each output that a call selects."""

from collections.abc import Mapping, Sequence

import numpy as np

from attribution_bench.models.targets import Selection
from attribution_bench_plugins.fastism.graph.layout import Layout
from attribution_bench_plugins.fastism.planning.plan import Plan


def wanted_positions(plan: Plan, selections: Sequence[Selection]) -> Mapping[str, range]:
    """Return output -> the half-open range of its positions that is selected; other outputs are missing.

    A reducer takes all positions of its output, since what it reads is not known.
    """
    wanted: dict[str, range] = {}
    for selection in selections:
        layout = plan.steps[plan.graph.outputs[selection.name]].layout
        wanted[selection.name] = range(1) if layout is None else _selected(layout, selection.index or ())
    return wanted


def _selected(layout: Layout, index: Sequence[int]) -> range:
    """Return the positions of an output at an index into its axes, the batch axis aside."""
    for labels, place in zip(layout.axes[1:], index, strict=False):
        if "p" in labels:
            sizes = [layout.length if label == "p" else dict(layout.channel_sizes)[label] for label in labels]
            position = int(np.unravel_index(place, sizes)[labels.index("p")])
            return range(position, position + 1)
    return range(layout.length)
