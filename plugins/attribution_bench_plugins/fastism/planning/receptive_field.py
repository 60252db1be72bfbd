"""Receptive fields: the positions of each node that the wanted part of the outputs reads, followed backwards."""

from bisect import bisect_left
from collections.abc import Mapping

from attribution_bench_plugins.fastism.ops.base import Operation
from attribution_bench_plugins.fastism.planning.step import Step
from attribution_bench_plugins.fastism.values.window import Window


def receptive_fields(steps: Mapping[str, Step], wanted: Mapping[str, range]) -> dict[str, range]:
    """Return node -> the positions that wanted positions of some nodes depend on; nodes that do not matter are missing.

    They are found by the rules' windows alone: an output position reads an input position where a mutation of that
    input position affects it. A node without positions, or one that runs in full, has ``range(1)`` or its length.

    Parameters
    ----------
    steps
        The steps of a plan, in order.
    wanted
        Node -> half-open range of its positions, in the engine's order.
    """
    fields: dict[str, range] = {}

    def read(name: str, positions: range) -> None:
        source = steps[name].alias_of
        if steps[source].mode == "constant" or not positions:
            return
        known = fields.get(source, positions)
        fields[source] = range(min(known.start, positions.start), max(known.stop, positions.stop))

    for name, positions in wanted.items():
        read(name, positions)
    for name, step in reversed(list(steps.items())):
        if step.alias_of != name or name not in fields:
            continue
        for place, operand in enumerate(step.node.inputs):
            source = steps[steps[operand].alias_of]
            length = _length(source)
            if step.operation is None or source.layout is None or not source.layout.positional:
                read(operand, range(length))
            elif source.mode != "constant":
                read(operand, read_by(step.operation, place, fields[name], length))
    return fields


def _length(step: Step) -> int:
    """Return the positions of a node; 1 where they could not be followed."""
    return step.layout.length if step.layout is not None else 1


def read_by(operation: Operation, place: int, positions: range, length: int) -> range:
    """Return the positions of an operand that some positions of an operation's output read.

    The more positions of the operand are mutated, the more of the output is affected: the end of the shortest beginning
    that affects the wanted positions, and the start of the shortest rest that does, are found by bisection.
    """

    def affects(start: int, stop: int) -> bool:
        mutated = Window(start, 0, stop - start)
        windows = [mutated if i == place else None for i in range(len(operation.operands))]
        window = operation.window(windows).shared(1, operation.layout.length)
        return window.start < positions.stop and positions.start < window.start + window.width

    low = bisect_left(range(length), True, key=lambda last: affects(0, last + 1))
    high = bisect_left(range(length), True, key=lambda first: not affects(first, length))
    return range(low, high)
