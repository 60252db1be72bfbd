"""One value's scores of a result, checked for what other packages ask of them."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import PROJECTED, REFERENCE_AT_ZERO
from attribution_bench.errors import InvalidInputError, TargetError
from attribution_bench.models.targets import OutputSpec, Target, place_of_value

if TYPE_CHECKING:
    from attribution_bench.result import AttributionResult


def hypothetical_scores(result: "AttributionResult", target: Target, purpose: str) -> NDArray[np.floating]:
    """Return what each letter would contribute to one value, (N, A, P).

    Parameters
    ----------
    target
        Which value, where the scores are of several: an index, an output's name, or (name, index).
    purpose
        Who takes the scores, for messages: ``logomaker``.

    Raises
    ------
    TargetError
        There is no such value, or it is open which is meant.
    InvalidInputError
        Only the scores of the reference letters are known.
    """
    if result.metadata.get(PROJECTED):
        raise InvalidInputError(
            f"{purpose} was to get hypothetical scores (of every letter), but the result holds those of the reference "
            "letters only"
        )
    return _of_value(result, target)


def observed_scores(result: "AttributionResult", target: Target, purpose: str) -> NDArray[np.floating]:
    """Return the scores of the reference letters for one value, (N, A, P), zero at every other letter.

    Parameters and errors are those of `hypothetical_scores`; besides, InvalidInputError is raised of a convention by
    which every reference letter scores zero.
    """
    convention = result.metadata.get("convention")
    if convention in REFERENCE_AT_ZERO:
        raise InvalidInputError(
            f"{purpose} takes the scores of the reference letters, which are all zero by the convention "
            f"{convention!r}; use result.with_convention('centred')"
        )
    return _of_value(result, target) * result.one_hot


def check_without_gaps(result: "AttributionResult", purpose: str) -> None:
    """Raise InvalidInputError unless the positions scored follow each other."""
    if (np.diff(result.positions) != 1).any():
        raise InvalidInputError(
            f"{purpose} takes stretches without gaps; attribute every position of a range, in ascending order"
        )


def _of_value(result: "AttributionResult", target: Target) -> NDArray[np.floating]:
    scores = result.scores
    if scores.ndim == 3:
        if target is not None:
            raise TargetError(f"the result has one score a letter, and no {target!r}; leave out the target")
        return scores
    outputs = [OutputSpec(output["name"], tuple(output["shape"])) for output in result.metadata["outputs"]]
    chosen: NDArray[np.floating] = scores.reshape(*scores.shape[:3], -1)[..., place_of_value(target, outputs)]
    return chosen
