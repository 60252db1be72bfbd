"""Segments of a sequence: the unmutated activations that the mutations of some of its positions read."""

from collections.abc import Iterator, Sequence

from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.receptive_field import read_by
from attribution_bench_plugins.fastism.values.window import Positions, Window

SLACK = 64
"""Positions on either side that are kept besides: windows of a block are as wide as the widest of its mutations."""


def segments(positions: Sequence[int], letters: int) -> Iterator[list[int]]:
    """Yield ascending positions in parts, each of which lies within some letters."""
    part: list[int] = []
    for position in positions:
        if part and position - part[0] >= letters:
            yield part
            part = []
        part.append(position)
    if part:
        yield part


def read_ranges(plan: Plan, mutated: range) -> dict[str, range]:
    """Return node -> the positions of its unmutated activation that mutations of a range of the sequence read.

    These are the node's own window, and what those of its readers depend on. Missing are nodes that are read as a
    whole: by operations that run in full or leave no positions, or since blocks have read them so before.
    """
    wide = plan.windows(Positions(mutated.start, plan.stride, 1), len(mutated))
    lengths = {
        step.node.name: step.layout.length
        for step in plan.body
        if step.operation is not None and step.layout is not None and {"n", "p"} <= set(step.layout.labels)
    }
    found = {name: _within(wide[name], length) for name, length in lengths.items()}
    for step in (*plan.body, *plan.head):
        operation = step.operation
        for place, operand in enumerate(step.node.inputs):
            source = plan.aliases[operand]
            if source not in found:
                continue
            if operation is None or not operation.layout.positional:
                del found[source]
                continue
            window = _within(wide[step.node.name], operation.layout.length)
            read = read_by(operation, place, window, lengths[source]) if window else window
            if read:
                known = found[source] or read
                found[source] = range(min(known.start, read.start), max(known.stop, read.stop))
    slack = {
        name: range(max(0, part.start - SLACK), min(lengths[name], part.stop + SLACK)) for name, part in found.items()
    }
    return {
        name: part for name, part in slack.items() if len(part) < lengths[name] and name not in plan.read_as_a_whole
    }


def _within(window: Window, length: int) -> range:
    """Return the positions of one mutation's window within a node."""
    return range(max(0, window.start), min(length, window.start + window.width))
