"""The verdict of a comparison: which method to use, which is faster, and what to take care of.

Each row has one number and one reason that follow from the stored means and intervals. A method counts as clearly worse
than another only by the interval of their paired difference, and a row says so where the numbers decide nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attribution_bench.evaluation.metrics import METRICS, Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.faithfulness.standing import (
    CHANCE,
    RECOVERY,
    best,
    clearly_above,
    clearly_behind,
    close_to_best,
    contestants,
    goodness,
    headline,
    mean_text,
    scored,
    spread_text,
)
from attribution_bench.reporting.faithfulness.texts import DASH, counted, listed, number_text, rounded
from attribution_bench.reporting.labels import ratio_text, seconds_text

USE, FASTER, CARE = "Use", "Faster", "Take care"
NOBODY = "no method"
UNTIMED = "not timed"
AGREEMENT = "pearson"
"""Agreement that tells whether two exact methods give the same scores."""


@dataclass(frozen=True)
class Advice:
    """One row of the verdict: what about, about whom, one number with its unit, and one reason."""

    heading: str
    subject: str
    number: str
    reason: str


def verdict(evaluation: Evaluation) -> tuple[Advice, Advice, Advice]:
    """Return the rows `USE`, `FASTER` and `CARE`."""
    method = recommended(evaluation)
    return _use(evaluation, method), _faster(evaluation, method), next(_cautions(evaluation, method))


def exact_methods(evaluation: Evaluation) -> list[MethodEvaluation]:
    """Return the methods that give exact ISM's scores: the truth, and the exact ones that equal it."""
    truth = evaluation.truth
    alive = scored(evaluation)
    if truth not in {method.method for method in alive}:
        return []
    return [
        method
        for method in alive
        if method.method == truth
        or (method.exact and AGREEMENT in method.means and rounded(method.means[AGREEMENT].mean) == 1)
    ]


def recommended(evaluation: Evaluation) -> MethodEvaluation | None:
    """Return the fastest exact method; without one the fastest that is not clearly behind the best, if there is a best.

    There is no best where a model ignores its input, nothing is measured, or no method finds the known sites clearly
    better than chance.
    """
    if _all_silent(evaluation):
        return None
    if exact := exact_methods(evaluation):
        return _fastest(exact)
    metric = headline(evaluation)
    if metric is None:
        return None
    leaders = [evaluation.method(name) for name in best(evaluation, metric)]
    if metric.name == RECOVERY and not any(clearly_above(leader, metric, CHANCE) for leader in leaders):
        return None
    close = [method for method in contestants(evaluation, metric) if close_to_best(evaluation, method, metric)]
    return _fastest([*leaders, *(method for method in close if method not in leaders)])


def _use(evaluation: Evaluation, method: MethodEvaluation | None) -> Advice:
    if method is None:
        return _use_none(evaluation)
    name, exact = evaluation.label(method.method), exact_methods(evaluation)
    if method in exact:
        reason = "Exact: it asks the model for every mutation."
        truth = evaluation.method(evaluation.truth or "")
        if method is not truth:
            shared = number_text(method.means[AGREEMENT].mean)
            reason += f" {METRICS[AGREEMENT].label} {shared} with {evaluation.label(truth.method)}"
            reason += f", which takes {longer} times as long." if (longer := _ratio(truth, method)) else "."
        return Advice(USE, name, _seconds(method), reason)
    metric = headline(evaluation)
    assert metric is not None
    rivals = contestants(evaluation, metric)
    number = f"{metric.label} {number_text(method.means[metric.name].mean)}"
    if len(rivals) == 1:
        return Advice(USE, name, number, f"The only method with a {metric.label}: nothing to compare it with.")
    leaders = best(evaluation, metric)
    if method.method in leaders:
        reason = f"The best of {len(rivals)} methods" if len(leaders) == 1 else "It shares the best mean"
        reason += f" ({spread_text(method, metric)})"
    else:
        reason = f"Not clearly behind the best, {_labels(evaluation, leaders)}"
        if faster := _ratio(evaluation.method(leaders[0]), method):
            reason += f", and {faster} times as fast"
    return Advice(USE, name, number, f"{reason}; {_seconds(method)}.")


def _use_none(evaluation: Evaluation) -> Advice:
    alive, metric = scored(evaluation), headline(evaluation)
    if not alive:
        return Advice(USE, NOBODY, f"0 of {counted(len(evaluation.methods), 'method')}", "None gave scores.")
    if _all_silent(evaluation):
        return Advice(
            USE, NOBODY, f"{len(evaluation.names)} of {counted(len(evaluation.names), 'sequence')}",
            "No single substitution changes the prediction by more than rounding: there is nothing to explain.",
        )  # fmt: skip
    if metric is None:
        return Advice(USE, NOBODY, counted(len(alive), "method"), "No metric is defined that tells them apart.")
    leaders = best(evaluation, metric)
    return Advice(
        USE, NOBODY, f"{metric.label} {number_text(evaluation.method(leaders[0]).means[metric.name].mean)}",
        f"The highest, of {_labels(evaluation, leaders)}, is not clearly better than chance, {CHANCE}.",
    )  # fmt: skip


def _faster(evaluation: Evaluation, method: MethodEvaluation | None) -> Advice:
    if method is None:
        return Advice(FASTER, NOBODY, DASH, "Speed says nothing without a method to use.")
    name, seconds = evaluation.label(method.method), method.seconds_per_100_sequences
    others = [
        other
        for other in scored(evaluation)
        if other.seconds_per_100_sequences is not None and other.method != method.method
    ]
    if seconds is None or not others:
        missing = name if seconds is None else "no other method"
        return Advice(FASTER, NOBODY, UNTIMED, f"Nothing to compare: {_was_not(missing)} timed.")
    faster = [other for other in others if _takes_less(other, method)]
    if not faster:
        following = _fastest(others)
        reason = "None of the others takes less time"
        if longer := _ratio(following, method):
            reason += f": the next, {evaluation.label(following.method)}, takes {longer} times as long"
        return Advice(FASTER, NOBODY, f"0 of {counted(len(others), 'other')}", f"{reason}.")
    metric = headline(evaluation)
    measured = [] if metric is None else [other for other in faster if other in contestants(evaluation, metric)]
    if metric is None or not measured:
        other = _fastest(faster)
        return Advice(
            FASTER, evaluation.label(other.method), _times(method, other), "How faithful it is was not found."
        )
    most = max(goodness(metric, other.means[metric.name].mean) for other in measured)
    leaders = [other for other in measured if goodness(metric, other.means[metric.name].mean) == most]
    other = _fastest(leaders)
    reason = f"{metric.label}{_compared(evaluation, metric)} {mean_text(other, metric)}"
    if metric.group == "agreement" and not clearly_above(other, metric, 0):
        reason += ", which is not clearly above 0"
    elif len(measured) > 1 and len(leaders) == 1:
        reason += f", the best of the {len(measured)} that are faster"
    return Advice(FASTER, evaluation.label(other.method), _times(method, other), f"{reason}.")


def _cautions(evaluation: Evaluation, method: MethodEvaluation | None) -> Iterator[Advice]:
    """Yield what to take care of, the most important first; there is always something."""
    read, count = evaluation.readable, len(evaluation.names)
    alive, metric = scored(evaluation), headline(evaluation)
    if not alive:
        yield Advice(CARE, "the model", counted(len(evaluation.methods), "method"), "Every one of them failed.")
    if read is not None and read.silent:
        yield Advice(
            CARE, "the target", f"{len(read.silent)} of {counted(count, 'sequence')}",
            "No single substitution changes the prediction there by more than rounding.",
        )  # fmt: skip
    if read is not None and read.unread_sites:
        yield Advice(
            CARE, "known sites", f"{len(read.unread_sites)} of {counted(len(evaluation.sites), 'known site')}",
            "No single substitution there changes the prediction by more than rounding, so they do not count.",
        )  # fmt: skip
    if count == 1:
        yield Advice(CARE, "the means", "1 sequence", "Values of one sequence have no interval: nothing is clear.")
    by_sites = metric is not None and metric.name == RECOVERY and not exact_methods(evaluation)
    if method is not None and not by_sites:
        yield from _site_cautions(evaluation, method)
    if metric is not None:
        yield from _weakest(evaluation, metric)
    yield Advice(
        CARE, "the means", counted(count, "sequence"),
        f"They are of one model, {evaluation.model}: another may put methods in another order.",
    )  # fmt: skip


def _site_cautions(evaluation: Evaluation, method: MethodEvaluation) -> Iterator[Advice]:
    """Yield where known sites say something else than the metric by which the method was chosen."""
    metric, leaders = METRICS[RECOVERY], best(evaluation, METRICS[RECOVERY])
    if not leaders:
        return
    leader = evaluation.method(leaders[0])
    number = f"{metric.label} {number_text(leader.means[RECOVERY].mean)}"
    if not any(clearly_above(evaluation.method(name), metric, CHANCE) for name in leaders):
        yield Advice(CARE, "known sites", number, f"The highest, not clearly better than chance, {CHANCE}.")
    elif RECOVERY in method.means and clearly_behind(evaluation, method, metric):
        own = f"{evaluation.label(method.method)} has {number_text(method.means[RECOVERY].mean)}"
        reason = f"The known sites are found clearly better than by the method to use: {own}."
        yield Advice(CARE, _labels(evaluation, leaders), number, reason)


def _weakest(evaluation: Evaluation, metric: Metric) -> Iterator[Advice]:
    """Yield the least faithful method, where it is clearly so, or that the sequences tell no two methods apart."""
    rivals = contestants(evaluation, metric)
    weakest = min(rivals, key=lambda other: goodness(metric, other.means[metric.name].mean))
    mean, name = weakest.means[metric.name].mean, evaluation.label(weakest.method)
    number, compared = f"{metric.label} {number_text(mean)}", _compared(evaluation, metric)
    if metric.group == "agreement" and not clearly_above(weakest, metric, 0):
        yield Advice(CARE, name, number, f"Not clearly above 0{compared} ({spread_text(weakest, metric)}).")
    elif len(rivals) == 1 and compared and weakest not in exact_methods(evaluation):
        reason = f"Its scores are not those of exact ISM: this is how far they agree ({spread_text(weakest, metric)})."
        yield Advice(CARE, name, number, reason)
    elif len(rivals) > 1 and clearly_behind(evaluation, weakest, metric):
        lowest = "lowest" if metric.better == "higher" else "highest"
        share = [o for o in rivals if rounded(o.means[metric.name].mean) == rounded(mean)]
        what = f"{lowest} agreement{compared}" if metric.group == "agreement" else lowest
        who = f"The {what} of {len(rivals)} methods" if len(share) == 1 else f"The {what}"
        yield Advice(CARE, _labels(evaluation, [o.method for o in share]), number, f"{who}, clearly behind the best.")
    elif len(rivals) > 1 and not any(clearly_behind(evaluation, rival, metric) for rival in rivals):
        yield Advice(
            CARE, "the order", counted(len(evaluation.names), "sequence"),
            f"They do not show that any of the methods is clearly behind another in {metric.label}.",
        )  # fmt: skip


def _compared(evaluation: Evaluation, metric: Metric) -> str:
    return " with exact ISM" if metric.group == "agreement" and evaluation.truth is not None else ""


def _all_silent(evaluation: Evaluation) -> bool:
    return evaluation.readable is not None and len(evaluation.readable.silent) == len(evaluation.names)


def _fastest(methods: Sequence[MethodEvaluation]) -> MethodEvaluation:
    """Return the method that takes the least time; the first of them where none was timed."""
    timed = [method for method in methods if method.seconds_per_100_sequences is not None]
    return min(timed, key=lambda method: method.seconds_per_100_sequences or 0.0, default=methods[0])


def _takes_less(one: MethodEvaluation, other: MethodEvaluation) -> bool:
    """Whether a timed method takes less time than another as both are shown."""
    less, more = one.seconds_per_100_sequences, other.seconds_per_100_sequences
    return less is not None and more is not None and less < more and seconds_text(less) != seconds_text(more)


def _ratio(slow: MethodEvaluation, fast: MethodEvaluation) -> str:
    """Write how many times as long the first method takes; empty where that is not known, or not longer."""
    taken = fast.seconds_per_100_sequences
    if not taken or slow.seconds_per_100_sequences is None or not _takes_less(fast, slow):
        return ""
    return ratio_text(slow.seconds_per_100_sequences / taken)


def _times(slow: MethodEvaluation, fast: MethodEvaluation) -> str:
    ratio = _ratio(slow, fast)
    return f"{ratio} times as fast" if ratio else _seconds(fast)


def _seconds(method: MethodEvaluation) -> str:
    taken = method.seconds_per_100_sequences
    return UNTIMED if taken is None else f"{seconds_text(taken)} s per 100 sequences"


def _was_not(name: str) -> str:
    return f"{name} was" if name.startswith("no ") else f"{name} was not"


def _labels(evaluation: Evaluation, names: Sequence[str]) -> str:
    return listed([evaluation.label(name) for name in names])
