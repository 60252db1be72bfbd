"""Liveness: after which step each value is read for the last time, planned once for each order of steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attribution_bench_plugins.fastism.planning.step import Step


@dataclass(frozen=True, eq=False)
class Schedule:
    """Steps in the order in which one interpreter runs them, with the last use of every value."""

    steps: tuple[Step, ...]
    last_uses: Mapping[str, frozenset[str]]
    """Step -> the values that nothing reads after it: the interpreter drops them, and the step may overwrite them."""
    live_out: frozenset[str]
    """Values that outlive the last step: outputs, and what other schedules read."""


def schedule(steps: Sequence[Step], alias_of: Mapping[str, str], live_out: frozenset[str]) -> Schedule:
    """Return the schedule of steps in this order.

    Parameters
    ----------
    alias_of
        Node -> the node whose tensors it shares, which is what lives and dies.
    live_out
        Values that must not be dropped or overwritten by any of the steps.
    """
    last_uses: dict[str, frozenset[str]] = {}
    live = set(live_out)
    for step in reversed(steps):
        name = step.node.name
        # A result that nothing reads is dropped after the step that gives it.
        read = {alias_of[operand] for operand in step.node.inputs} | {name}
        last_uses[name] = frozenset(read - live)
        live |= read
    return Schedule(tuple(steps), last_uses, live_out)


def overwritable(step: Step, alias_of: Mapping[str, str], last_uses: frozenset[str]) -> frozenset[str]:
    """Return the operands that a step may overwrite: it is the last to read them, and reads them once."""
    reads = [alias_of[operand] for operand in step.node.inputs]
    return frozenset([name for name in reads if name in last_uses and reads.count(name) == 1])
