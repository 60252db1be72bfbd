"""Which methods are best at what, by the stored means alone."""

from attribution_bench.evaluation.metrics import METRICS, Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.faithfulness.texts import rounded

HEADLINES = ("pearson", "auroc", "insertion", "deletion")
"""Metrics that stand for faithfulness, the first one that is known before the others."""
RECOVERY = "auroc"


def scored(evaluation: Evaluation) -> list[MethodEvaluation]:
    """Return the methods that have scores."""
    return [method for method in evaluation.methods if method.reason is None]


def known_metrics(evaluation: Evaluation) -> list[Metric]:
    """Return the metrics of which any method has a mean, in the order of the registry."""
    return [metric for name, metric in METRICS.items() if any(name in method.means for method in evaluation.methods)]


def headline(evaluation: Evaluation) -> Metric | None:
    """Return the metric that stands for faithfulness; None when nothing was measured."""
    known = {metric.name: metric for metric in known_metrics(evaluation)}
    chosen = next((name for name in HEADLINES if name in known), next(iter(known), None))
    return None if chosen is None else known[chosen]


def is_reference(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> bool:
    """Whether a method is what the metric compares with, so that its own value says nothing."""
    return metric.group == "agreement" and method.method == evaluation.truth


def best(evaluation: Evaluation, metric: Metric) -> tuple[str, ...]:
    """Return the methods with the best mean as it is shown, the reference of the metric left out."""
    means = {
        method.method: goodness(metric, method.means[metric.name].mean)
        for method in scored(evaluation)
        if metric.name in method.means and not is_reference(evaluation, method, metric)
    }
    return tuple(name for name, value in means.items() if value == max(means.values()))


def close_to_best(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> bool:
    """Whether the interval of the paired difference from the best method holds 0."""
    behind = method.behind_best.get(metric.name)
    return behind is not None and behind.low <= 0 <= behind.high and not is_reference(evaluation, method, metric)


def pareto_front(evaluation: Evaluation, metric: Metric) -> tuple[str, ...]:
    """Return the methods that no other one beats in both seconds and the metric, the fastest first."""
    points = [
        (method.seconds_per_100_sequences, -goodness(metric, method.means[metric.name].mean), method.method)
        for method in scored(evaluation)
        if method.seconds_per_100_sequences is not None and metric.name in method.means
    ]
    front: list[str] = []
    reached: float | None = None
    for _, badness, name in sorted(points):
        if reached is None or badness < reached:
            front.append(name)
            reached = badness
    return tuple(front)


def goodness(metric: Metric, value: float) -> float:
    """Return a mean as it is shown, turned so that more is better."""
    return rounded(value) if metric.better == "higher" else -rounded(value)
