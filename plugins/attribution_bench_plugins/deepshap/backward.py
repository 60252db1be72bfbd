"""The way back from an output to the sequence: every step turns multipliers of its outputs into those of its inputs."""

from collections.abc import Sequence
from typing import Any, Protocol

from attribution_bench_plugins.deepshap.graph import Value
from attribution_bench_plugins.deepshap.planning import Step
from attribution_bench_plugins.deepshap.rules import Arrays, Call, Tensor


class Forward(Protocol):
    """Every value of a model for a batch of pairs of a sequence and a reference."""

    @property
    def arrays(self) -> Arrays:
        """The framework's arrays."""
        ...

    def call(self, step: Step) -> Call:
        """Return what a rule is told of a step."""
        ...

    def pullback(self, step: Step, upstream: Sequence[Tensor | None]) -> Sequence[Tensor]:
        """Return the vector-Jacobian products of a linear step."""
        ...

    def lost(self, call: Call, upstream: Sequence[Tensor | None], multipliers: Sequence[Tensor]) -> Any:
        """Return the largest part of a pair's difference that the multipliers of a step do not hold."""
        ...


def backward(
    steps: Sequence[Step], forward: Forward, output: Value, upstream: Tensor, sequence: Value
) -> tuple[Tensor | None, dict[str, Any]]:
    """Return the multipliers of the sequence, None where no step reaches it, and what each measured operation lost.

    Parameters
    ----------
    steps
        As `plan` returns them, the last one first.
    upstream
        Multipliers of the output.
    """
    collected: dict[Value, Tensor] = {output: upstream}
    lost: dict[str, Any] = {}
    for step in steps:
        given = [collected.pop(Value(step.node, index), None) for index in range(len(step.node.outputs))]
        if all(part is None for part in given):
            continue
        if step.rule is None:
            parts = forward.pullback(step, given)
        else:
            call = forward.call(step)
            parts = step.rule(call, given)
            if step.measured:
                name, amount = str(step), forward.lost(call, given, parts)
                lost[name] = forward.arrays.maximum(lost[name], amount) if name in lost else amount
        for value, part in zip(step.inputs, parts, strict=True):
            collected[value] = collected[value] + part if value in collected else part
    return collected.get(sequence), lost
