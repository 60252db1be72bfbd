"""Shapes in which a model takes tracks of the genome, found by trying."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import ModelError
from attribution_bench.models import OutputSpec, SequenceModel
from attribution_bench.sequences.tracks import Tracks


def channel_axes(
    inputs: "Sequence[NDArray[Any] | Tracks]", model: SequenceModel, length: int
) -> tuple[tuple[int | None, ...], tuple[OutputSpec, ...]]:
    """Return of each further input the axis of its channels, and the model's outputs with these inputs.

    Tracks are (n, channels, length) for a model in the layout ``NAL``, (n, length, channels) in ``NLA``; a model that
    takes neither is given those of one channel as (n, length), and their axis is None. So it is for arrays, which have
    n rows and are given as they are.

    Raises
    ------
    ModelError
        The model takes none of these.
    """
    channels = 1 if model.layout == "NAL" else 2
    choices: list[tuple[int | None, ...]] = [
        (None,) if not isinstance(one, Tracks) else (channels, None) if one.channels == 1 else (channels,)
        for one in inputs
    ]
    first: ModelError | None = None
    for axes in itertools.product(*choices):
        try:
            return axes, _outputs(model, length, tuple(_example(inputs, axes, length)))
        except ModelError as error:
            first = first or error
    assert first is not None
    raise first


def shaped(values: NDArray[Any], channel_axis: int | None) -> NDArray[Any]:
    """Return values (n, channels, positions) with channels on another axis, or without it."""
    return values[:, 0] if channel_axis is None else np.ascontiguousarray(np.moveaxis(values, 1, channel_axis))


def _outputs(model: SequenceModel, length: int, extras: tuple[NDArray[Any], ...]) -> tuple[OutputSpec, ...]:
    if not extras:
        return model.outputs(length)
    # Rows are looked at one by one: inputs of a wrong shape may pass by broadcasting, and mix them.
    letters = model.alphabet.letters * (length // len(model.alphabet) + 1)
    with model.inference():
        return model.checked_outputs(
            model.alphabet.one_hot([letters[shift : shift + length] for shift in (0, 1)]), extras
        )


def _example(
    inputs: "Sequence[NDArray[Any] | Tracks]", axes: Sequence[int | None], length: int
) -> Iterator[NDArray[Any]]:
    """Yield two rows of each input."""
    for one, axis in zip(inputs, axes, strict=True):
        if isinstance(one, Tracks):
            yield shaped(np.random.default_rng(0).random((2, one.channels, length), np.float32), axis)
        else:
            yield np.repeat(one[:1], 2, axis=0)
