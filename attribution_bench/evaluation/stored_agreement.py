"""Agreement of stored scores: methods of one store or of several, on the sequences that all of them have scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError
from attribution_bench.evaluation.agreement import cosine, pearson, spearman
from attribution_bench.storage.selected_scores import SelectedScores

MEASURES = {"Spearman": spearman, "Pearson": pearson, "cosine": cosine}
"""Name -> agreement of two sets of observed scores, sequence by sequence."""


@dataclass(frozen=True, eq=False)
class StoredAgreement:
    """How far the observed scores of two methods agree."""

    first: str
    second: str
    records: NDArray[np.int64]
    """(n,) indices of the records that both have scored."""
    values: Mapping[str, NDArray[np.float64]]
    """Measure -> (n,); nan where it is not defined."""

    def mean(self, measure: str) -> float:
        """Return the mean of a measure over the sequences where it is defined; nan where there are none."""
        defined = self.values[measure][np.isfinite(self.values[measure])]
        return float(defined.mean()) if len(defined) else float("nan")


def stored_agreements(scores: Mapping[str, SelectedScores]) -> list[StoredAgreement]:
    """Return the agreement of every two of some stored scores, reading a stretch of records at a time.

    Parameters
    ----------
    scores
        Label -> scores of one value of a method.

    Raises
    ------
    InvalidInputError
        There are fewer than two, or they are not of the same sequences.
    """
    if len(scores) < 2:
        raise InvalidInputError("agreement takes two methods; there is one. Score several, or give two stores")
    (first_label, first), *others = scores.items()
    for label, other in others:
        for what in ("number of records", "length", "alphabet"):
            here, there = (_facts(selected)[what] for selected in (first, other))
            if here != there:
                raise InvalidInputError(
                    f"{first_label} and {label} are not of the same sequences: the {what} is {here} and {there}"
                )
    return [_agreement(pair, scores) for pair in combinations(scores, 2)]


def _agreement(labels: tuple[str, str], scores: Mapping[str, SelectedScores]) -> StoredAgreement:
    one, other = (scores[label] for label in labels)
    found: dict[str, list[NDArray[np.float64]]] = {name: [np.zeros(0)] for name in MEASURES}
    size = one.store.shard_size
    records = np.intersect1d(one.records, other.records)
    for start in np.unique(records // size * size).tolist():
        parts = [selected.part(start, min(start + size, len(one.store))) for selected in (one, other)]
        both = np.intersect1d(parts[0].records, parts[1].records)
        rows = [np.searchsorted(part.records, both) for part in parts]
        letters = [part.one_hot[chosen] for part, chosen in zip(parts, rows, strict=True)]
        if not np.array_equal(letters[0], letters[1]):
            raise InvalidInputError(f"{labels[0]} and {labels[1]} are of other sequences at records {start} and beyond")
        observed = [part.observed[chosen] for part, chosen in zip(parts, rows, strict=True)]
        for name, measure in MEASURES.items():
            found[name].append(measure(*observed))
    return StoredAgreement(*labels, records, {name: np.concatenate(values) for name, values in found.items()})


def _facts(selected: SelectedScores) -> dict[str, object]:
    store = selected.store
    return {"number of records": len(store), "length": store.length, "alphabet": store.alphabet}
