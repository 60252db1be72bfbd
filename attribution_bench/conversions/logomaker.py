"""A result as logomaker takes it: a table of heights, a row a position and a column a letter."""

from typing import TYPE_CHECKING, Any

import numpy as np

from attribution_bench.conversions.one_value import hypothetical_scores, observed_scores
from attribution_bench.errors import InvalidInputError, MissingDependencyError
from attribution_bench.models.targets import Target

if TYPE_CHECKING:
    import pandas

    from attribution_bench.result import AttributionResult


def to_logomaker(result: "AttributionResult", sequence: int, target: Target, hypothetical: bool) -> "pandas.DataFrame":
    """Return the scores of one sequence as `AttributionResult.to_logomaker` states."""
    if isinstance(sequence, bool) or not isinstance(sequence, int | np.integer) or not 0 <= sequence < len(result):
        raise InvalidInputError(f"the sequence must be an index from 0 to {len(result) - 1}, not {sequence!r}")
    if len(np.unique(result.positions)) < len(result.positions):
        raise InvalidInputError("logomaker draws each position once, but the result holds some of them repeatedly")
    pandas = import_pandas()
    one = result[int(sequence)]
    scores = (hypothetical_scores if hypothetical else observed_scores)(one, target, "logomaker")
    return pandas.DataFrame(
        np.asarray(scores[0].T, dtype=np.float64),
        index=pandas.Index(result.positions, name="pos"),
        columns=list(result.metadata["alphabet"]),
    )


def import_pandas() -> Any:
    """Return pandas; raises MissingDependencyError where it is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise MissingDependencyError.of("pandas", "plots", "logomaker's table") from error
    return pandas
