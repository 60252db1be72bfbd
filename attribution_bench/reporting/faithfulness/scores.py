"""The stored scores of a comparison's methods, as the page draws them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import ResultError
from attribution_bench.evaluation.results import SCORES, Evaluation, MethodEvaluation
from attribution_bench.files import reading
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
        A file cannot be read, is not of the method that it is named after, or does not hold one finite score for each
        letter of the evaluation's sequences.
    """
    results: dict[str, AttributionResult] = {}
    for method in evaluation.methods:
        path = folder / SCORES / f"{method.method}.npz"
        if method.reason is None and path.exists():
            result = AttributionResult.load(path)
            with reading(path, "does not belong to the evaluation beside it"):
                _check_method(result, method, evaluation)
                _check_sequences(result, evaluation)
            result.check("shown")
            results[method.method] = result
    if not results:
        return None
    positions = next(iter(results.values())).positions
    for name, result in results.items():
        if not np.array_equal(result.positions, positions):
            raise ResultError(f"the scores of {name!r} are at other positions than those of {next(iter(results))!r}")
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


def _check_method(result: AttributionResult, method: MethodEvaluation, evaluation: Evaluation) -> None:
    """Check that a result is that of the method that it is stored under; raises ValueError."""
    found = result.metadata["method"]
    # Evaluations of earlier releases do not record which class a name stood for.
    others = {other.method for other in evaluation.methods} - {method.method}
    if found != method.result_method if method.result_method else found in others:
        raise ValueError(f"its scores are of {found!r}, not of {method.result_method or method.method!r}")
    for what, mine, stored in (
        ("options", _plain_names(result.metadata.get("options") or {}), _plain_names(method.options)),
        ("convention", result.metadata.get("convention"), method.convention),
    ):
        if mine != stored:
            raise ValueError(f"the method was compared with the {what} {stored!r}, but its scores have {mine!r}")


def _plain_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they are called since numbers of things begin with ``n_``, and were before."""
    return {name.removeprefix("n_"): value for name, value in options.items()}


def _check_sequences(result: AttributionResult, evaluation: Evaluation) -> None:
    """Check that a result is of the evaluation's sequences, letter by letter, and of one output; raises ValueError."""
    one_hot, alphabet, length = result.one_hot, evaluation.alphabet, len(evaluation.strings[0])
    if len(one_hot) != len(evaluation.names) or one_hot.shape[1] != len(alphabet):
        raise ValueError(
            f"it holds scores of shape {one_hot.shape}, but the evaluation has {len(evaluation.names)} sequences over "
            f"{len(alphabet)} letters; give the scores that were saved with it"
        )
    if result.metadata["alphabet"] != alphabet:
        raise ValueError(f"its alphabet is {result.metadata['alphabet']}, that of the evaluation {alphabet}")
    if result.metadata.get("length", length) != length or (result.positions >= length).any():
        raise ValueError(f"it scores positions beyond the {length} letters of the evaluation's sequences")
    if result.names is not None and result.names != evaluation.names:
        raise ValueError("its sequences have other names than those of the evaluation")
    for index, string in enumerate(evaluation.strings):
        letters = np.array(list(string.upper()))[result.positions]
        if (one_hot[index].astype(bool) != (letters == np.array(list(alphabet))[:, None])).any():
            raise ValueError(f"its sequence {index} has other letters than the evaluation's")
    if result.observed.size != len(one_hot) * len(result.positions):
        raise ValueError("it holds scores of several outputs; the report shows those of one")


def _scalar(values: NDArray[np.floating], axes: int) -> NDArray[np.floating]:
    """Drop the axes of a target that has one number."""
    return values.reshape(values.shape[:axes])
