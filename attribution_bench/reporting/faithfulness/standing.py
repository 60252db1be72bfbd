"""Which methods are best at what, and what is not defined of which, by the stored means and values alone."""

from dataclasses import replace

from attribution_bench.evaluation.metrics import METRICS, Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.faithfulness.texts import number_text, range_text, rounded
from attribution_bench.sequences.sites import Site

HEADLINES = ("pearson", "auroc", "insertion", "deletion")
"""Metrics that stand for faithfulness, the first one that is known before the others."""
RECOVERY = "auroc"
CHANCE = 0.5
"""AUROC of scores that know nothing of the sites."""
REPEATED = ("sensitivity", "stability")
"""Metrics that take further runs, and are asked for on some of the sequences."""
REPEATED_SEQUENCES = "repeated_sequences"
"""The setting that says on how many."""


def scored(evaluation: Evaluation) -> list[MethodEvaluation]:
    """Return the methods that have scores."""
    return [method for method in evaluation.methods if method.reason is None]


def in_order(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation with its methods as they are shown: the truth, then by the headline, then the others."""
    metric = headline(evaluation)
    contest = [] if metric is None else contestants(evaluation, metric)

    def place(method: MethodEvaluation) -> tuple[int, float]:
        if method.reason is not None:
            return 3, 0.0
        if method.method == evaluation.truth:
            return 0, 0.0
        if metric is None or method not in contest:
            return 2, 0.0
        return 1, -goodness(metric, method.means[metric.name].mean)

    return replace(evaluation, methods=tuple(sorted(evaluation.methods, key=place)))


def known_metrics(evaluation: Evaluation) -> list[Metric]:
    """Return the metrics that were asked of any method, in the order of the registry; some may be defined nowhere."""
    return [
        metric
        for name, metric in METRICS.items()
        if any(name in method.means or name in method.values for method in evaluation.methods)
    ]


def contestants(evaluation: Evaluation, metric: Metric) -> list[MethodEvaluation]:
    """Return the methods that have a mean of a metric, the reference of the metric left out."""
    return [
        method
        for method in scored(evaluation)
        if metric.name in method.means and not is_reference(evaluation, method, metric)
    ]


def headline(evaluation: Evaluation) -> Metric | None:
    """Return the metric that stands for faithfulness; None when there is nothing to say of any method."""
    known = {metric.name: metric for metric in known_metrics(evaluation) if contestants(evaluation, metric)}
    chosen = next((name for name in HEADLINES if name in known), next(iter(known), None))
    return None if chosen is None else known[chosen]


def is_reference(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> bool:
    """Whether a method is what the metric compares with, so that its own value says nothing."""
    return metric.group == "agreement" and method.method == evaluation.truth


def best(evaluation: Evaluation, metric: Metric) -> tuple[str, ...]:
    """Return the methods with the best mean as it is shown, the reference of the metric left out."""
    means = {
        method.method: goodness(metric, method.means[metric.name].mean) for method in contestants(evaluation, metric)
    }
    return tuple(name for name, value in means.items() if value == max(means.values()))


def close_to_best(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> bool:
    """Whether the interval of the paired difference from the best method holds 0, or there is but one sequence."""
    behind = method.behind_best.get(metric.name)
    if behind is None or is_reference(evaluation, method, metric):
        return False
    compared = (method, *(evaluation.method(name) for name in best(evaluation, metric)))
    return behind.low <= 0 <= behind.high or any(single(one, metric) for one in compared)


def clearly_behind(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> bool:
    """Whether the interval of the paired difference from the best method lies on its worse side."""
    behind = method.behind_best.get(metric.name)
    leaders = best(evaluation, metric)
    if behind is None or metric.name not in method.means or method.method in leaders:
        return False
    worse = behind.high < 0 if metric.better == "higher" else behind.low > 0
    return worse and not any(single(one, metric) for one in (method, *map(evaluation.method, leaders)))


def single(method: MethodEvaluation, metric: Metric) -> bool:
    """Whether a mean is the value of one sequence, which has no interval."""
    return sum(value is not None for value in method.values.get(metric.name, ())) == 1


def clearly_above(method: MethodEvaluation, metric: Metric, level: float) -> bool:
    """Whether the interval of a mean lies above a level; that of one sequence does not say."""
    return method.means[metric.name].low > level and not single(method, metric)


def mean_text(method: MethodEvaluation, metric: Metric) -> str:
    """Write a method's mean with its interval, ``0.871 (0.850 to 0.890)``, or ``0.871 (one sequence)``."""
    return f"{number_text(method.means[metric.name].mean)} ({spread_text(method, metric)})"


def spread_text(method: MethodEvaluation, metric: Metric) -> str:
    """Write the interval of a method's mean, or that there is but one sequence."""
    return "one sequence" if single(method, metric) else range_text(method.means[metric.name])


def undefined_in(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> tuple[int, int]:
    """Return in how many sequences a method's metric is not defined, of how many it was asked for.

    It is (0, 0) of a metric that does not apply to the method, or that is its agreement with itself.
    """
    if metric.name not in method.values or is_reference(evaluation, method, metric):
        return 0, 0
    asked, defined = _asked(evaluation, metric), sum(value is not None for value in method.values[metric.name])
    return max(asked - defined, 0), max(asked, defined)


def _asked(evaluation: Evaluation, metric: Metric) -> int:
    count = len(evaluation.names)
    if metric.name in REPEATED:
        chosen = evaluation.settings.get(REPEATED_SEQUENCES)
        return min(count, chosen) if isinstance(chosen, int) else count
    if metric.group == "recovery":
        return len({site.sequence for site in read_sites(evaluation)})
    return count


def read_sites(evaluation: Evaluation) -> list[Site]:
    """Return the known sites but for those that the target is known not to read."""
    unread = () if evaluation.readable is None else evaluation.readable.unread_sites
    return [site for index, site in enumerate(evaluation.sites) if index not in unread]


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
