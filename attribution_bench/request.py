"""Requests: one call of an attribution method, validated, and what a method computes for it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.models import OutputSpec, SequenceModel
from attribution_bench.models.targets import Selection
from attribution_bench.sequences import Interval, Sequences

Progress = Callable[[int, int], None]
"""Called with the units of work done and the units asked for; the unit is the method's own."""
Inputs = ArrayLike | Sequence[str] | Sequences
"""Sequences to score: one-hot, as strings, or as `attribution_bench.sequences.read_fasta` returns them."""
Positions = slice | Sequence[int] | NDArray[np.integer]
"""Positions to score: a slice, or 0-based indices."""

MEMORY_HALVINGS = "memory_halvings"
"""Entry of a result's metadata: how often a method halved its own blocks in a call because memory ran out. It is
missing where all fitted. In smaller blocks numbers may round otherwise."""


@dataclass(frozen=True)
class Request:
    """One validated call of `Attribution.attribute`, as methods receive it."""

    one_hot: NDArray[np.floating]
    """(N, A, L), in the model's precision; an unknown letter is an all-zero column."""
    selections: tuple[Selection, ...]
    """What of the model's outputs is asked for; methods treat each in turn, or all at once."""
    outputs: tuple[OutputSpec, ...]
    """The model's outputs at this length."""
    extras: tuple[NDArray[Any], ...]
    """The model's further inputs, each with N rows."""
    positions: NDArray[np.int64]
    """(P,) positions asked for, ascending and each once, in whatever order they were asked for; all by default."""
    batch_size: int | None
    progress: Progress

    @cached_property
    def letters(self) -> NDArray[np.int64]:
        """(N, L) index of the reference letter; -1 where unknown."""
        return np.where(self.one_hot.any(axis=1), self.one_hot.argmax(axis=1), -1)


@dataclass(frozen=True)
class RawAttribution:
    """What a method computes; `Attribution.attribute` adds inputs and metadata.

    A method whose tag says ``gives_predictions`` fills predictions and reference_predictions, any other one scores.
    """

    scores: NDArray[np.floating] | None = None
    """(N, A, P, *selected), several selections flattened and concatenated on the last axis."""
    predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """Selection's name -> (N, A, P, *selected)."""
    reference_predictions: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """Selection's name -> (N, *selected)."""
    convergence_delta: NDArray[np.floating] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def checked_one_hot(inputs: Inputs, model: SequenceModel) -> NDArray[np.floating]:
    """Return the inputs as (N, A, L) once they are known to be one-hot; accepts tensors of either framework."""
    letters = len(model.alphabet)
    if isinstance(inputs, Sequences):
        inputs = inputs.strings
    if isinstance(inputs, str):
        inputs = [inputs]
    if isinstance(inputs, Sequence) and len(inputs) and isinstance(inputs[0], str):
        return model.alphabet.one_hot([str(sequence) for sequence in inputs])
    x = host_array(inputs, "inputs")
    if x.ndim != 3:
        raise InvalidInputError(f"inputs must have three axes (N, {letters}, L), not shape {x.shape}")
    if x.shape[1] != letters:
        hint = "; transpose the last two axes" if x.shape[2] == letters else ""
        raise InvalidInputError(
            f"inputs must be (N, {letters}, L) for the {model.alphabet.name} alphabet, not shape {x.shape}{hint}"
        )
    if 0 in x.shape:
        raise InvalidInputError(f"inputs are empty: shape {x.shape}")
    if not (((x == 0) | (x == 1)).all() and (x.sum(axis=1) <= 1).all()):
        raise InvalidInputError(
            "inputs must be one-hot: 0 and 1, at most one 1 a column (all zero is an unknown letter)"
        )
    return x.astype(np.float64 if x.dtype == np.float64 else np.float32)


def host_array(value: Any, name: str) -> NDArray[Any]:
    """Return an array, a tensor of either framework on any device, or nested sequences of numbers, as an array.

    Numbers of half precision become single, as NumPy lacks some of their types.

    Raises
    ------
    InvalidInputError
        It is none of these; the message names the argument.
    """
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if value.is_floating_point() and value.dtype.itemsize <= 2:
                value = value.float()
        array = np.asarray(value)
    except Exception as error:  # tensors of other kinds (sparse, quantised, meta) and ragged lists fail in many ways
        raise InvalidInputError(f"{name} cannot be read as an array: {type(error).__name__}: {error}") from error
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype.kind not in "biufc":
        raise InvalidInputError(f"{name} must hold numbers, not {array.dtype} ({type(value).__name__})")
    return array


def checked_names(inputs: Inputs, names: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    """Return the names of the sequences, (N,): those given, or else those that the inputs carry; None without any."""
    if names is None:
        return inputs.names if isinstance(inputs, Sequences) else None
    if isinstance(names, str) or len(names) != count:
        raise InvalidInputError(f"names must be one a sequence ({count}), not {names!r}")
    return tuple(str(name) for name in names)


def checked_intervals(
    inputs: Inputs, intervals: Sequence[Interval] | None, shape: tuple[int, ...]
) -> tuple[Interval, ...] | None:
    """Return the genomic intervals of sequences (N, A, L): those given, or else those that the inputs carry."""
    if intervals is None:
        intervals = inputs.intervals if isinstance(inputs, Sequences) else None
    if intervals is None:
        return None
    count, _, length = shape
    if len(intervals) != count:
        raise InvalidInputError(f"intervals must be one a sequence ({count}), but there are {len(intervals)}")
    for index, interval in enumerate(intervals):
        if not isinstance(interval, Interval):
            raise InvalidInputError(f"intervals[{index}] must be an Interval, not {interval!r}")
        if len(interval) != length:
            raise InvalidInputError(
                f"intervals[{index}] is {interval}, of {len(interval)} positions, but its sequence has {length} letters"
            )
    return tuple(intervals)


def further_inputs(arguments: Any) -> tuple[NDArray[Any], ...]:
    """Return a model's inputs beside the sequences, given alone or as a tuple, tensors or arrays, as arrays."""
    if arguments is None:
        return ()
    arguments = arguments if isinstance(arguments, tuple | list) else (arguments,)
    return tuple(host_array(argument, f"additional_forward_args[{i}]") for i, argument in enumerate(arguments))


def checked_further_inputs(arguments: Any, count: int) -> tuple[NDArray[Any], ...]:
    """Return a model's further inputs as arrays, each checked to have one row a sequence."""
    extras = further_inputs(arguments)
    for index, extra in enumerate(extras):
        if extra.ndim == 0 or len(extra) != count:
            raise InvalidInputError(
                f"additional_forward_args[{index}] must have one row a sequence ({count}), but has shape {extra.shape}"
            )
    return extras


def checked_positions(positions: Positions | None, length: int) -> NDArray[np.int64]:
    """Return the positions asked for, (P,), in that order and as often; every one when None."""
    every = np.arange(length)
    if positions is None:
        return every
    if isinstance(positions, slice):
        chosen = every[positions]
    else:
        given = np.asarray(positions)
        if given.ndim > 1:
            raise InvalidInputError(f"positions must have one axis, not shape {given.shape}; give a list of indices")
        if given.size and not np.issubdtype(given.dtype, np.integer):
            raise InvalidInputError(f"positions must be a slice or 0-based indices, not {positions!r}")
        chosen = given.reshape(-1).astype(np.int64)
        if len(chosen) and (chosen.min() < 0 or chosen.max() >= length):
            raise InvalidInputError(f"positions must lie in [0, {length}), but span {chosen.min()} to {chosen.max()}")
    if not len(chosen):
        raise InvalidInputError(f"positions are empty; give a slice or indices in [0, {length})")
    return chosen


@contextlib.contextmanager
def progress_callback(progress: bool | Progress, title: str) -> Iterator[Progress]:
    """Yield the function that a method reports progress to; a progress bar is drawn while it is held if asked for."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda done, total: None
    else:
        from rich.progress import Progress as Bar

        with Bar(transient=True) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
