"""Further inputs of a model beside the alleles: rows that go with the records, and tracks of the genome."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, UnsupportedError
from attribution_bench.jobs.further_inputs import array_digests, read_further_inputs
from attribution_bench.jobs.track_shapes import channel_axes, shaped
from attribution_bench.models import OutputSpec, SequenceModel
from attribution_bench.request import host_array
from attribution_bench.sequences.tracks import Tracks
from attribution_bench.variants.windows import Alleles

Extras = tuple[NDArray[Any], ...]
"""The model's further inputs of V variants, V rows each."""


@dataclass(frozen=True)
class FurtherInputs:
    """Further inputs of a model, in its order. Both alleles of a variant are given the same ones."""

    named: Mapping[str, "NDArray[Any] | Tracks"]
    """Name for messages -> an array with one row for each record, or tracks of the genome."""

    @property
    def by_record(self) -> bool:
        """Whether some go with the records, so that variants of one window may differ in them."""
        return any(not isinstance(one, Tracks) for one in self.named.values())

    @property
    def description(self) -> dict[str, Any]:
        """What decides them, JSON-able: digests of arrays and of files."""
        found: dict[str, Any] = {}
        for place, (name, one) in enumerate(self.named.items()):
            what = (
                {"files": one.digests} if isinstance(one, Tracks) else array_digests({name: one}, [slice(None)])[name]
            )
            found[name] = {**what, "place": place}
        return found

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader of the numbers should know of them."""
        return tuple(text for one in self.named.values() if isinstance(one, Tracks) for text in one.cautions)

    def check_both_strands(self) -> None:
        """Check that the other strand's inputs are known.

        Raises
        ------
        UnsupportedError
            An array has several numbers for a record.
        """
        for name, one in self.named.items():
            if not isinstance(one, Tracks) and one[:1].size > 1:
                raise UnsupportedError(
                    f"both strands cannot be averaged where the further input {name!r} has several numbers a record, "
                    "whose order on the other strand is not known; score one strand, or give a bigWig"
                )

    def check_record(self, record: int) -> None:
        """Check that there is a row for a record; raises InvalidInputError."""
        for name, one in self.named.items():
            if not isinstance(one, Tracks) and record >= len(one):
                raise InvalidInputError(
                    f"the further input {name!r} has {len(one)} rows, but there are more records; give one row for each"
                )

    def check_end(self, records: int) -> None:
        """Check that there is no row for more records than there are; raises InvalidInputError."""
        for name, one in self.named.items():
            if not isinstance(one, Tracks) and records != len(one):
                raise InvalidInputError(
                    f"the further input {name!r} has {len(one)} rows, but there are {records} records; give one row "
                    "for each"
                )


@dataclass(frozen=True)
class ModelExtras:
    """Further inputs in the shapes that one model takes."""

    inputs: FurtherInputs
    channel_axes: tuple[int | None, ...]
    """Of each input the axis of a batch that channels of tracks are on; None where there is no such axis."""

    def of(self, records: Sequence[int], alleles: Sequence[Alleles], *, turned: bool) -> Extras:
        """Return the inputs of V variants, by their records and the places of their windows, V rows each.

        `turned` says that the model is given the strand ``-``, on which tracks run the other way. Rows of arrays are
        given as they are.

        Raises
        ------
        SequenceError
            A track cannot be read.
        """
        found = []
        for one, axis in zip(self.inputs.named.values(), self.channel_axes, strict=True):
            if not isinstance(one, Tracks):
                found.append(np.asarray(one[np.asarray(records)]))
                continue
            windows: dict[tuple[str, int], NDArray[Any]] = {}
            for allele in alleles:
                if allele.window not in windows:
                    contig, start = allele.window
                    windows[allele.window] = one.read(contig, start, start + len(allele.reference))
            values = np.stack([windows[allele.window] for allele in alleles])
            found.append(shaped(one.reverse_complement(values) if turned else values, axis))
        return tuple(found)


def further_inputs(given: Any) -> FurtherInputs:
    """Return further inputs as they may be given: a file, an array or tracks, or several in the model's order.

    Raises
    ------
    InvalidInputError
        A file cannot be read, or something is neither numbers nor tracks.
    """
    if isinstance(given, FurtherInputs):
        return given
    if isinstance(given, str | os.PathLike):
        given = read_further_inputs(given)
    if given is None:
        given = ()
    if not isinstance(given, Mapping):
        several = given if isinstance(given, tuple | list) else (given,)
        given = {f"input {number}": one for number, one in enumerate(several, 1)}
    named: dict[str, NDArray[Any] | Tracks] = {}
    for name, one in given.items():
        if not isinstance(one, Tracks):
            one = host_array(one, f"the further input {name!r}")
            if one.ndim == 0 or not len(one):
                raise InvalidInputError(f"the further input {name!r} must have one row for each record, not none")
        named[str(name)] = one
    return FurtherInputs(named)


def model_extras(
    inputs: FurtherInputs, model: SequenceModel, length: int
) -> tuple[ModelExtras, tuple[OutputSpec, ...]]:
    """Return further inputs in the shapes that a model takes, and its outputs with them; raises as `channel_axes`."""
    axes, outputs = channel_axes(tuple(inputs.named.values()), model, length)
    return ModelExtras(inputs, axes), outputs
