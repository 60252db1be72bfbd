"""Trials: a part of a request, run by the kind that calls do not run, for the seconds that it takes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.mutations import Edit


def part_of_saturation(request: Request, sites: int) -> Request:
    """Return the part of a request with `sites` positions of all its sequences: whole sequences, or some of the first.

    They are in the middle of those asked for, with the distances that they have there.
    """
    count, positions = len(request.one_hot), len(request.positions)
    if sites >= count * positions:
        sequences, chosen = count, request.positions
    elif sites >= positions:
        sequences, chosen = sites // positions, request.positions
    else:
        first = (positions - sites) // 2
        sequences, chosen = 1, request.positions[first : first + sites]
    return replace(_quiet(request, np.arange(sequences)), positions=chosen)


def part_of_list(request: Request, edits: Sequence[Edit], count: int) -> tuple[Request, list[Edit]]:
    """Return the part of a request for `count` of its mutations, from the middle of the list, and those mutations."""
    first = (len(edits) - count) // 2
    chosen = edits[first : first + count]
    sequences = sorted({edit.sequence for edit in chosen})
    place = {sequence: number for number, sequence in enumerate(sequences)}
    own = [replace(edit, sequence=place[edit.sequence]) for edit in chosen]
    return _quiet(request, np.array(sequences)), own


def _quiet(request: Request, sequences: NDArray[np.int64]) -> Request:
    """Return a request for some of the sequences, whose progress nobody sees."""
    extras = tuple(extra[sequences] for extra in request.extras)
    return replace(request, one_hot=request.one_hot[sequences], extras=extras, progress=lambda done, total: None)
