"""One value's scores of a store, shard after shard: what every export is a view of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.conventions import UNSIGNED
from attribution_bench.errors import InvalidInputError
from attribution_bench.models.targets import OutputSpec, Target, place_of_value
from attribution_bench.storage.stored_scores import StoredScores


@dataclass(frozen=True)
class Part:
    """Scores of the scored records of one shard."""

    records: NDArray[np.int64]
    """(n,) indices of the records."""
    names: tuple[str, ...]
    one_hot: NDArray[np.float32]
    """(n, A, L)."""
    scores: NDArray[np.float32]
    """(n, A, L): hypothetical, unless only the scores of the reference letters were stored."""

    @property
    def observed(self) -> NDArray[np.float32]:
        """(n, L): the score of the reference letter; 0 where it is unknown."""
        observed: NDArray[np.float32] = np.einsum("nal,nal->nl", self.scores, self.one_hot)
        return observed


class SelectedScores:
    """A method's scores of one value of the target.

    Parameters
    ----------
    store
        The store.
    method
        Name of a method in it; not needed where there is one.
    target
        Which value, where scores are of several: an index, an output's name, or (name, index).

    Raises
    ------
    InvalidInputError
        There is no such method, value or score, or it is open which is meant.
    """

    def __init__(self, store: StoredScores, method: str | None = None, target: Target = None) -> None:
        if method is None:
            if len(store.methods) != 1:
                raise InvalidInputError(
                    f"{store.path} holds several methods; choose one of {', '.join(store.methods)} (--method)"
                )
            (method,) = store.methods
        if method not in store.methods:
            raise InvalidInputError(f"{store.path} holds no {method!r}, but {', '.join(store.methods)}")
        if not {"scores", "observed"} & set(store.contents):
            raise InvalidInputError(f"{store.path} holds no scores, only {', '.join(store.contents)}")
        self.store, self.method = store, method
        self.metadata: dict[str, Any] = store.metadata["methods"][method]
        self.projected = "scores" not in store.contents
        self._place = self._place_of(target)
        store.check_scored()
        self.records = store.scored

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Part]:
        size = self.store.shard_size
        for shard in np.unique(self.records // size).tolist():
            yield self.part(shard * size, min((shard + 1) * size, len(self.store)))

    def part(self, start: int, stop: int) -> Part:
        """Return the scores of the scored records among [start, stop)."""
        low, high = np.searchsorted(self.records, (start, stop))
        result = self.store.result(self.method, start, stop)
        scores = result.scores.reshape(*result.scores.shape[:3], -1)[..., self._place]
        return Part(self.records[low:high], result.names or (), result.one_hot, scores)

    def check_hypothetical(self, purpose: str) -> None:
        """Raise InvalidInputError unless the scores are hypothetical and have a sign."""
        if self.projected:
            raise InvalidInputError(
                f"{purpose} takes hypothetical scores (of every letter), but {self.store.path} holds those of the "
                "reference letters only; run the job with scores stored"
            )
        convention = self.metadata.get("convention")
        if convention in UNSIGNED:
            raise InvalidInputError(f"{purpose} takes scores with a sign, which {convention!r} has not")

    def _place_of(self, target: Target) -> int:
        """Return the place of the value among those of the scores, flattened."""
        if self.metadata.get("convention") in UNSIGNED:
            return 0
        outputs = [OutputSpec(output["name"], tuple(output["shape"])) for output in self.metadata["outputs"]]
        return place_of_value(target, outputs)
