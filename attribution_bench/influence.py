"""Influence of input positions on output positions, from the predictions that a run of mutagenesis has anyway."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import as_numbers
from attribution_bench.errors import InvalidInputError, UnsupportedError
from attribution_bench.result import AttributionResult

Statistic = Literal["largest", "mean"]
"""What is kept of the changes by all other letters: that of the largest size, with its sign, or their mean."""


def influence_map(
    result: AttributionResult, output: str | None = None, *, sequence: int = 0, statistic: Statistic = "largest"
) -> NDArray[np.floating]:
    """Return how a mutation of each input position changes each output position, (T, P).

    Parameters
    ----------
    result
        Of a method that predicts mutations, with a whole output as its target (``"all"``, or the output's name).
    output
        Name of the output; not needed where only one has positions. Its longest axis is taken for its T positions;
        along the others, as those of strands, the statistic is taken too.
    sequence
        Index of the sequence.
    statistic
        ``largest`` for the change of the largest size, with its sign; ``mean`` for the mean change by the letters that
        are not there.

    Raises
    ------
    UnsupportedError
        The result holds no predictions of mutations.
    InvalidInputError
        There is no such output, sequence or statistic, it is open which output is meant, or it has no positions.
    """
    if statistic not in get_args(Statistic):
        raise InvalidInputError(f"unknown statistic {statistic!r}; choose one of {', '.join(get_args(Statistic))}")
    if not 0 <= sequence < len(result):
        raise InvalidInputError(f"the sequence must be an index from 0 to {len(result) - 1}, not {sequence}")
    name = _output(result, output)
    predicted = as_numbers(result.predictions[name][sequence])
    change = predicted - as_numbers(result.reference_predictions[name][sequence])
    axis = 2 + int(np.argmax(change.shape[2:]))
    # (A, others, T, P): the reference letter changes nothing.
    last = np.moveaxis(np.moveaxis(change, axis, -1), 1, -1)
    ordered = last.reshape(len(change), -1, *last.shape[-2:])
    if statistic == "mean":
        letters = (1 - result.one_hot[sequence]).sum(axis=0)
        mean: NDArray[np.floating] = ordered.mean(axis=1).sum(axis=0) / letters
        return mean
    return largest_of(ordered.reshape(-1, *ordered.shape[2:]))


def largest_of(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the values of the largest size along the first axis, with their signs."""
    place = np.abs(values).argmax(axis=0)
    chosen: NDArray[np.floating] = np.take_along_axis(values, place[None], axis=0)[0]
    return chosen


def _output(result: AttributionResult, output: str | None) -> str:
    """Return the name of the output with positions that is meant."""
    if not result.predictions:
        raise UnsupportedError(
            f"an influence map is made of predictions of mutations, which the result of {result.metadata['method']!r} "
            "does not hold; a method of mutagenesis gives them where its target is a whole output: for a store, "
            "`attribution-bench attribute ... --store predictions,reference_predictions --target profile`"
        )
    shapes = {name: values.shape[1:] for name, values in result.reference_predictions.items()}
    described = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    profiles = [name for name, shape in shapes.items() if max(shape, default=1) > 1]
    if output is not None and output not in shapes:
        raise InvalidInputError(f"the result has no output {output!r}; its outputs are {described}")
    if (output is not None and output not in profiles) or not profiles:
        raise InvalidInputError(f"an influence map needs an output with positions; the result has {described}")
    if output is None and len(profiles) > 1:
        raise InvalidInputError(f"several outputs have positions; name one of {described}")
    return output or profiles[0]
