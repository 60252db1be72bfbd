"""The stored scores of a comparison's methods, as the page draws them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import OutputError
from attribution_bench.evaluation.results import SCORES, Evaluation
from attribution_bench.result import AttributionResult


@dataclass(frozen=True, eq=False)
class Scores:
    """What the sequence browser shows. Shapes: N sequences, A letters, P positions."""

    positions: NDArray[np.int64]
    """(P,) positions in the sequences."""
    observed: dict[str, NDArray[np.floating]]
    """Method -> (N, P): the score of the reference letter."""
    effects: NDArray[np.floating] | None
    """(N, A, P): what each mutation does to the prediction; 0 at the reference letter."""
    effects_of: str | None
    """The exact method that asked the model."""


def load_scores(folder: Path, evaluation: Evaluation) -> Scores | None:
    """Read ``scores/<method>.npz``; None where no method has one.

    Raises
    ------
    OutputError
        A file cannot be read, or does not hold one score for each letter of the evaluation's sequences.
    """
    results: dict[str, AttributionResult] = {}
    for method in evaluation.methods:
        name = f"{method.method}.npz"
        path = folder / SCORES / name
        # A name with a separator in it would reach outside of the folder.
        if method.reason is None and Path(name).name == name and path.exists():
            results[method.method] = _checked(path, AttributionResult.load(path), evaluation)
    if not results:
        return None
    positions = next(iter(results.values())).positions
    for name, result in results.items():
        if not np.array_equal(result.positions, positions):
            raise OutputError(f"the scores of {name!r} are at other positions than those of {next(iter(results))!r}")
    exact = _exact(evaluation, results)
    return Scores(
        positions,
        {name: _scalar(result.observed, 2) for name, result in results.items()},
        None if exact is None else _scalar(results[exact].with_convention("delta").scores, 3),
        exact,
    )


def _exact(evaluation: Evaluation, results: dict[str, AttributionResult]) -> str | None:
    """Return the method whose predictions the heat map shows: the truth, or else the first exact one that has any."""
    names = [evaluation.truth, *(method.method for method in evaluation.methods if method.exact)]
    return next((name for name in names if name in results and results[name].predictions), None)


def _checked(path: Path, result: AttributionResult, evaluation: Evaluation) -> AttributionResult:
    expected = (len(evaluation.names), len(evaluation.alphabet), len(result.positions))
    if result.one_hot.shape != expected:
        raise OutputError(
            f"{path} holds scores of shape {result.one_hot.shape}, but the evaluation has {expected[0]} sequences over "
            f"{expected[1]} letters; give the scores that were saved with it"
        )
    if result.observed.size != expected[0] * expected[2]:
        raise OutputError(f"{path} holds scores of several outputs; the report shows those of one")
    return result


def _scalar(values: NDArray[np.floating], axes: int) -> NDArray[np.floating]:
    """Drop the axes of a target that has one number."""
    return values.reshape(values.shape[:axes])
