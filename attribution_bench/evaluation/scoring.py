"""One method run on every sequence: its scores, how long they took, and what a reader of them should know."""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import Attribution, AttributionResult
from attribution_bench.description import describe, plain_label
from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.completeness import completeness_error
from attribution_bench.evaluation.ties import constant, settled
from attribution_bench.models import SequenceModel, Target
from attribution_bench.timer import Clock, timed

RELATIVE_TO = {
    "centred": ": relative to the mean of all letters at the same position",
    "centred-alternatives": ": relative to the mean of the other letters at the same position",
    "delta": ": relative to the reference letter, whose own score is 0",
}
"""Score convention -> what that means for a score, in words."""
Method = Callable[..., Attribution]
"""Called with a SequenceModel, and with ``seed=`` where it takes one."""


@dataclass(frozen=True)
class ScoredMethod:
    """Scores of one method for every sequence, and the time that they took."""

    method: Attribution
    result: AttributionResult
    seconds: float
    cautions: tuple[str, ...]
    """Sentences that a reader of the scores should know."""
    noise: NDArray[np.float64]
    """(N,): scores up to this are rounding of the predictions that they are differences of; 0 for other methods."""

    @property
    def settled(self) -> NDArray[np.float64]:
        """(N, L) scores of the reference letters without what rounding made of equal ones."""
        return settled(self.observed, self.noise)

    @property
    def observed(self) -> NDArray[np.float64]:
        """(N, L) scores of the reference letters."""
        return observed_scores(self.result)


def score(
    method: Method,
    model: SequenceModel,
    one_hot: NDArray[Any],
    target: Target,
    seed: int,
    clock: Clock,
    rounding: NDArray[np.float64],
) -> ScoredMethod:
    """Run a method on every sequence, timed, after a run on two that captures, traces and warms up.

    `rounding` (N,) is how far equal predictions of each sequence may differ.
    """
    bound = bind(method, model, seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bound.attribute(one_hot[:2], target=target)
        caught.clear()
        done = timed(clock, partial(bound.attribute, one_hot, target=target))
    result = done.value
    if not np.isfinite(result.scores).all():
        raise InvalidInputError("its scores are not all finite")
    result.check("stored")
    said = dict.fromkeys(str(warning.message) for warning in caught)
    noise = rounding if result.predictions else np.zeros(len(one_hot))
    flat = int(constant(observed_scores(result), noise).sum())
    equal = (f"Scores are equal within rounding at every position of {flat} of {len(one_hot)} sequences.",) * bool(flat)
    return ScoredMethod(bound, result, done.seconds, (*said, *_cautions(result, rounding), *equal), noise)


def bind(method: Method, model: SequenceModel, seed: int) -> Attribution:
    """Return a method bound to a model, with a seed where it takes one."""
    return method(model, seed=seed) if takes_seed(method) else method(model)


def method_label(name: str, method: Method | Attribution) -> str:
    """Return the name of a method that people read; a function that binds one is known by the name it was given."""
    if isinstance(method, Attribution) or (isinstance(method, type) and issubclass(method, Attribution)):
        return describe(name, method).label
    return plain_label(name)


def takes_seed(method: Method) -> bool:
    """Tell whether a method is called with ``seed=``."""
    return "seed" in inspect.signature(method).parameters


def observed_scores(result: AttributionResult) -> NDArray[np.float64]:
    """Return the scores of the reference letters, (N, L)."""
    return result.observed.reshape(result.observed.shape[:2]).astype(np.float64, order="C")


def hypothetical_scores(result: AttributionResult) -> NDArray[np.float64]:
    """Return the scores of every letter, (N, A, L)."""
    return result.scores.reshape(result.scores.shape[:3]).astype(np.float64, order="C")


def _cautions(result: AttributionResult, rounding: NDArray[np.float64]) -> list[str]:
    """Say what a reader of the scores should know, from what the result says of itself."""
    said = []
    metadata = result.metadata
    if "convention" in metadata:
        said.append(f"Scores are {metadata['convention']}{RELATIVE_TO.get(metadata['convention'], '')}.")
    if metadata.get("fallback"):
        said.append(f"Every mutation took a full pass: {metadata['fallback']}.")
    if result.convergence_delta is not None:
        delta = result.convergence_delta
        if delta.ndim > 1:
            said.append(f"Scores are relative to {delta.shape[1]} references a sequence, and depend on them.")
        error = completeness_error(observed_scores(result).sum(axis=1), delta, rounding)
        error = error[np.isfinite(error)]
        if len(error):
            said.append(f"Median completeness error {np.median(error):.2g}, largest {error.max():.2g}.")
    return said
