"""Targets that mean the same on both strands, so that predictions of them can be averaged."""

from collections.abc import Sequence

from attribution_bench.errors import UnsupportedError
from attribution_bench.models.targets import OutputSpec, Target, select


def same_on_both_strands(target: Target, outputs: Sequence[OutputSpec]) -> tuple[str, ...]:
    """Check that a target means the same on both strands; returns what has to be taken for granted, in words.

    Of an output with one axis nobody but the user can tell whether it is of tasks, or of places along the sequence.

    Raises
    ------
    UnsupportedError
        The target picks places of an output with several axes, which lie elsewhere on the other strand.
    TargetError
        The target is none of the outputs.
    """
    assumed = []
    for selection in select(target, outputs):
        shape = outputs[selection.position].shape
        if selection.reducer is not None or outputs[selection.position].size == 1:
            continue
        if len(shape) > 1:
            raise UnsupportedError(
                f"both strands cannot be averaged of single places of output {selection.name!r} {shape}, which lie "
                f"elsewhere on the other strand; give a reducer, such as {selection.name}:sum"
            )
        assumed.append(
            f"both strands: the numbers of output {selection.name!r} {shape} are taken for tasks, each the same on "
            f"both; if they are places along the sequence, give a reducer, such as {selection.name}:sum"
        )
    return tuple(assumed)
