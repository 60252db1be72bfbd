"""Contents of a store: which arrays of a result are kept, under which names, and how several results become one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.request import MEMORY_HALVINGS
from attribution_bench.result import AttributionResult
from attribution_bench.sequences.strands import reverse_complement
from attribution_bench.storage.record_arrays import array_name

CONTENTS = ("scores", "observed", "predictions", "reference_predictions", "convergence_delta")
"""What can be kept: hypothetical scores, the scores of the reference letters, the predictions of every mutation, those
of the sequences themselves (both of ISM methods), and the convergence deltas of methods with references."""
DEFAULT_CONTENTS = ("scores",)
DTYPES = ("float32", "float16")
PER_CALL = ("convergence", MEMORY_HALVINGS)
"""Entries of a result's metadata that sum up one call, and say nothing of a whole job."""


def check_contents(contents: Sequence[str], dtype: str) -> None:
    """Raise InvalidInputError unless every content and the type of numbers is one of those there are."""
    unknown = [content for content in contents if content not in CONTENTS]
    if unknown or not contents:
        named = ", ".join(map(repr, unknown)) or "nothing"
        raise InvalidInputError(f"cannot store {named}; choose among {', '.join(CONTENTS)}")
    if dtype not in DTYPES:
        raise InvalidInputError(f"numbers are stored as {' or '.join(DTYPES)}, not {dtype!r}")


@dataclass(frozen=True)
class Values:
    """One array of a method's result."""

    content: str
    """One of `CONTENTS`."""
    array: NDArray[Any]
    """(n, *axes)."""
    axes: tuple[str, ...]
    """Names of the axes after the first."""


def values_of(method: str, result: AttributionResult, contents: Sequence[str]) -> dict[str, Values]:
    """Return those of the contents that a method's result has, by the name of their array."""
    # The axes of several outputs are one in the scores, so that it needs a name that none of them has.
    selected = "+".join(output["name"] for output in result.metadata["outputs"])
    found: dict[str, Values] = {}

    def add(content: str, name: str, array: NDArray[Any], axes: tuple[str, ...], rest: str) -> None:
        further = tuple(f"{rest}_{i}" for i in range(array.ndim - 1 - len(axes)))
        found[array_name(method, name)] = Values(content, array, (*axes, *further))

    # Observed scores of several models or strands come from their mean scores, so that these are needed for them.
    if "scores" in contents or "observed" in contents:
        add("scores", "scores", result.scores, ("letter", "position"), selected)
    if "predictions" in contents:
        for output, array in result.predictions.items():
            add("predictions", f"predictions_{output}", array, ("letter", "position"), output)
    if "reference_predictions" in contents:
        for output, array in result.reference_predictions.items():
            add("reference_predictions", f"reference_predictions_{output}", array, (), output)
    if "convergence_delta" in contents and result.convergence_delta is not None:
        # The number of references is a method's own.
        add("convergence_delta", "convergence_delta", result.convergence_delta, (), f"{method}_convergence")
    return found


def on_forward_strand(values: Mapping[str, Values]) -> dict[str, Values]:
    """Return what was computed of reverse complements in the places of the sequences themselves."""
    return {
        name: Values(
            one.content,
            reverse_complement(one.array) if one.axes[:2] == ("letter", "position") else one.array,
            one.axes,
        )
        for name, one in values.items()
    }


def mean_of(several: Sequence[Mapping[str, Values]]) -> dict[str, Values]:
    """Return the mean of several results of the same arrays; that of one is itself, bit for bit."""
    first = several[0]
    if len(several) == 1:
        return dict(first)
    return {
        name: Values(
            one.content, np.stack([values[name].array for values in several]).mean(axis=0, dtype=np.float64), one.axes
        )
        for name, one in first.items()
    }


def with_observed(values: Mapping[str, Values], one_hot: NDArray[Any], method: str) -> dict[str, Values]:
    """Add the scores of the reference letters (n, P, ...), 0 where those are unknown."""
    scores = values[array_name(method, "scores")]
    observed = np.einsum("nap...,nap->np...", scores.array, one_hot)
    added = Values("observed", observed, ("position", *scores.axes[2:]))
    return {**values, array_name(method, "observed"): added}


def narrowed(name: str, array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return an array in the type that is stored.

    Raises
    ------
    InvalidInputError
        A number is too large for it.
    """
    with np.errstate(over="ignore"):
        stored = array.astype(dtype)
    if (np.isinf(stored) & np.isfinite(array)).any():
        largest = np.abs(array[np.isfinite(array)]).max()
        raise InvalidInputError(f"{name} holds {largest:.3g}, which is too large for {dtype}; store float32")
    return stored
