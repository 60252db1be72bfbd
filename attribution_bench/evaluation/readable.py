"""What of the sequences a target reads at all, as far as exact ISM can tell."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attribution_bench.evaluation.results import Readable
from attribution_bench.result import AttributionResult
from attribution_bench.sequences.sites import Site


def readable(
    method: str, result: AttributionResult, sites: Sequence[Site], rounding: NDArray[np.float64]
) -> Readable | None:
    """Return the sequences and sites in which no single substitution changes the prediction by more than rounding.

    Parameters
    ----------
    method
        Name of the exact method.
    result
        What it gave for N sequences and every position, of one number of the output.
    sites
        Known sites of the sequences.
    rounding
        (N,): changes of the prediction up to this are none.

    Returns
    -------
    None where the method keeps no predictions of mutations.
    """
    if not result.predictions:
        return None
    changes = result.with_convention("delta").scores
    largest = np.abs(changes.reshape(changes.shape[:3])).max(axis=1)
    read = largest > rounding[:, None]
    return Readable(
        method,
        silent=tuple(np.flatnonzero(~read.any(axis=1)).tolist()),
        unread_sites=tuple(
            index for index, site in enumerate(sites) if not read[site.sequence, site.start : site.stop].any()
        ),
    )
