"""Tracks of the genome as a further input of a job: rows that are read for some records at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.jobs.file_rows import as_rows
from attribution_bench.jobs.track_shapes import channel_axes, shaped
from attribution_bench.models import SequenceModel
from attribution_bench.sequences.source import SequenceSource
from attribution_bench.sequences.tracks import Tracks


@dataclass(frozen=True)
class TrackRows:
    """Values of tracks at the places of a source's records, in their order: what a job asks of an array."""

    tracks: Tracks
    source: SequenceSource
    channel_axis: int | None
    """Axis of a batch that the channels are on; None where there is no such axis."""

    dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Records, then channels and positions as the model takes them."""
        none = np.empty((0, self.tracks.channels, self.source.length), self.dtype)
        return (len(self), *shaped(none, self.channel_axis).shape[1:])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        """Return the rows of some records; a record that is set aside has 0.

        Raises
        ------
        InvalidInputError
            A record has no place in the genome.
        SequenceError
            A file cannot be read.
        """
        start, stop, _ = rows.indices(len(self))
        values = np.zeros((stop - start, self.tracks.channels, self.source.length), self.dtype)
        for row, record in zip(values, self.source.read(start, stop), strict=True):
            if record.sequence is None:
                continue
            if not record.chromosome:
                raise InvalidInputError(
                    f"sequence {record.name!r} has no place in a genome, so that a track has no values for it; score "
                    "regions of a genome"
                )
            found = self.tracks.read(record.chromosome, record.start, record.end)
            row[:] = self.tracks.reverse_complement(found) if record.strand == "-" else found
        return shaped(values, self.channel_axis)

    def other_strand(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return rows of these values as they are for the reverse complements of the sequences."""
        if self.channel_axis is None:
            return values[:, ::-1]
        return shaped(self.tracks.reverse_complement(np.moveaxis(values, self.channel_axis, 1)), self.channel_axis)


def holds_tracks(given: Any) -> bool:
    """Tell whether tracks are among further inputs."""
    several = given.values() if isinstance(given, Mapping) else given if isinstance(given, tuple | list) else (given,)
    return any(isinstance(one, Tracks) for one in several)


def with_tracks(given: Any, source: SequenceSource, model: SequenceModel) -> Any:
    """Return further inputs with tracks as rows of a source's records; without any they are as they were given.

    Raises
    ------
    ModelError
        The model takes the tracks in no shape.
    """
    if not holds_tracks(given):
        return given
    several = given if isinstance(given, tuple | list) else (given,)
    named = given if isinstance(given, Mapping) else {f"input {number}": one for number, one in enumerate(several, 1)}
    inputs = {
        name: one if isinstance(one, Tracks) else as_rows(one, f"the further input {name!r}")
        for name, one in named.items()
    }
    axes, _ = channel_axes(tuple(inputs.values()), model, source.length)
    return {
        name: TrackRows(one, source, axis) if isinstance(one, Tracks) else one
        for (name, one), axis in zip(inputs.items(), axes, strict=True)
    }
