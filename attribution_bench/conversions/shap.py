"""A result as shap takes it: an Explanation whose features are positions, and whose data are letters."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attribution_bench.conversions.one_value import observed_scores
from attribution_bench.errors import InvalidInputError, MissingDependencyError
from attribution_bench.models.targets import OutputSpec, Target, place_of_value

if TYPE_CHECKING:
    from attribution_bench.result import AttributionResult

UNKNOWN = "·"
"""What stands for a letter that is unknown; no alphabet has it."""


def to_shap(result: "AttributionResult", target: Target, base_values: ArrayLike | None) -> Any:
    """Return the scores of the reference letters as `AttributionResult.to_shap` states."""
    values = observed_scores(result, target, "shap").sum(axis=1)
    base = _base_values(result, target, values) if base_values is None else _given(base_values, len(result))
    try:
        import shap
    except ImportError as error:
        raise MissingDependencyError.of("shap", "plots", "an Explanation") from error
    return shap.Explanation(
        values=values,
        base_values=base,
        data=_letters(result),
        feature_names=[f"position {position}" for position in result.positions],
        instance_names=None if result.names is None else list(result.names),
    )


def _base_values(
    result: "AttributionResult", target: Target, values: NDArray[np.floating]
) -> NDArray[np.floating] | None:
    """Return the prediction less the sum of the scores (N,); None where the result does not hold predictions."""
    if not result.reference_predictions:
        return None
    predicted = [result.reference_predictions[name].reshape(len(result), -1) for name in result.predictions]
    outputs = [OutputSpec(output["name"], tuple(output["shape"])) for output in result.metadata["outputs"]]
    base: NDArray[np.floating] = np.concatenate(predicted, axis=1)[:, place_of_value(target, outputs)]
    return np.asarray(base - values.sum(axis=1))


def _given(base_values: ArrayLike, count: int) -> NDArray[np.floating]:
    """Return base values that a caller gave, one for all or one a sequence, as (N,)."""
    try:
        given = np.asarray(base_values, dtype=np.float64)
        return np.broadcast_to(given, (count,)).copy()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"base_values must be a number, or one a sequence ({count}): {error}") from error


def _letters(result: "AttributionResult") -> NDArray[np.str_]:
    """Return the letters (N, P), `UNKNOWN` where there is none."""
    alphabet = np.array([*result.metadata["alphabet"], UNKNOWN])
    known = result.one_hot.any(axis=1)
    return alphabet[np.where(known, result.one_hot.argmax(axis=1), len(alphabet) - 1)]
