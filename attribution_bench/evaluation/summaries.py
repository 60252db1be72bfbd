"""The results of an evaluation made of each method's metrics: means, distances from the best, agreement of pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from attribution_bench.evaluation.agreement import mutual_agreements
from attribution_bench.evaluation.bootstrap import mean_interval, paired_difference
from attribution_bench.evaluation.metrics import METRICS
from attribution_bench.evaluation.results import Interval, MethodEvaluation, PairAgreement
from attribution_bench.evaluation.scoring import ScoredMethod, method_label
from attribution_bench.evaluation.settings import Settings


def method_evaluation(
    name: str,
    scored: ScoredMethod,
    values: Mapping[str, NDArray[np.float64]],
    curves: Mapping[str, NDArray[np.float64]],
    settings: Settings,
) -> MethodEvaluation:
    """Return what is stored of a method, of its (N,) values by metric and its (N, S) curves."""
    metadata = scored.result.metadata
    return MethodEvaluation(
        method=name,
        options=metadata["options"],
        seconds_per_100_sequences=scored.seconds * 100 / len(scored.result.one_hot),
        convention=metadata.get("convention"),
        exact=scored.method.tags.exact,
        label=method_label(name, scored.method),
        cautions=scored.cautions,
        values={metric: _plain(values[metric]) for metric in METRICS if metric in values},
        means=_means(values, settings.seed),
        curves={key: tuple(tuple(row) for row in rows.tolist()) for key, rows in curves.items()},
        result_method=metadata["method"],
    )


def with_distance_from_best(
    evaluations: Sequence[MethodEvaluation], seed: int, truth: str | None
) -> Iterator[MethodEvaluation]:
    """Add how far each method is from the one with the best mean, sequence by sequence.

    The method that agreement is measured with is not one of those that agree.
    """
    best: dict[str, MethodEvaluation] = {}
    for name, metric in METRICS.items():
        having = [found for found in evaluations if _competes(found, name, truth)]
        if having:
            choose = max if metric.better == "higher" else min
            best[name] = choose(having, key=lambda found: found.means[name].mean)
    for found in evaluations:
        behind = {}
        for name in found.means:
            if not _competes(found, name, truth):
                continue
            mine, others = (np.array(m.values[name], dtype=float) for m in (found, best[name]))
            if np.isfinite(mine + others).any():
                behind[name] = paired_difference(mine, others, seed=seed)
        yield replace(found, behind_best=behind)


def pair_agreements(scored: Mapping[str, ScoredMethod], settings: Settings, length: int) -> Iterator[PairAgreement]:
    """Yield the agreement of every two methods that have scores for sequences of a length."""
    k = settings.letters(settings.top, length)
    for first, second in combinations(scored, 2):
        values = mutual_agreements(scored[first].settled, scored[second].settled, k)
        yield PairAgreement(
            first, second, {name: _plain(found) for name, found in values.items()}, _means(values, settings.seed)
        )


def _competes(found: MethodEvaluation, metric: str, truth: str | None) -> bool:
    """Whether a method has a mean of a metric that is not its agreement with itself."""
    return metric in found.means and not (METRICS[metric].group == "agreement" and found.method == truth)


def _plain(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(value if np.isfinite(value) else None for value in values.tolist())


def _means(values: Mapping[str, NDArray[np.float64]], seed: int) -> dict[str, Interval]:
    return {
        metric: mean_interval(values[metric], seed=seed)
        for metric in METRICS
        if metric in values and np.isfinite(values[metric]).any()
    }
