"""Trials: a part of a request, run by the kind that calls do not run, for the seconds that it takes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Request
from attribution_bench.mutations import Edit


def part_of_saturation(request: Request, sites: int, reaching: range) -> Request:
    """Return the part of a request with `sites` positions of all its sequences: whole sequences, or some of the first.

    Some of a sequence have the distances that they have in the request. In their middle is that of the positions asked
    for at which mutations can change what is selected, the `reaching` ones, as far as those asked for go.
    """
    count, positions = len(request.one_hot), len(request.positions)
    if sites >= count * positions:
        sequences, chosen = count, request.positions
    elif sites >= positions:
        sequences, chosen = sites // positions, request.positions
    else:
        low, high = np.searchsorted(request.positions, (reaching.start, reaching.stop)).tolist()
        first = min(max(0, (low + high - sites) // 2), positions - sites)
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
