"""tangermeme's arrays as a result: one-hot letters and attributions, each (N, A, L)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from attribution_bench.bridges.given_scores import result_of_scores
from attribution_bench.request import host_array
from attribution_bench.result import AttributionResult
from attribution_bench.sequences import Interval


def from_tangermeme(
    sequences: Any,
    attributions: Any,
    *,
    method: str = "tangermeme",
    alphabet: str = "ACGT",
    names: Sequence[str] | None = None,
    intervals: Sequence[Interval] | None = None,
) -> AttributionResult:
    """Return what tangermeme's ``deep_lift_shap`` or ``saturation_mutagenesis`` gave as a result.

    Parameters
    ----------
    sequences
        (N, A, L) one-hot letters, an array or a tensor.
    attributions
        (N, A, L): of every letter (``hypothetical=True`` there), or zero beside the letters that are there.
    method
        What the scores are called in tables and figures.
    alphabet
        The A letters, in the order of the rows.
    names, intervals
        A name, and where in a genome it comes from, for each sequence.

    Raises
    ------
    InvalidInputError
        Arrays that do not fit together, are not one-hot, or not finite.
    """
    letters = np.asarray(host_array(sequences, "sequences"), dtype=np.float32)
    scores = host_array(attributions, "attributions")
    return result_of_scores(letters, scores, method, alphabet, names, intervals)
