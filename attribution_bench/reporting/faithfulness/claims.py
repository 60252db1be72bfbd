"""The paragraph that says what was compared and what came out: every sentence follows from the numbers, or is left out.

A method is best only among several that have a value; several may share the best mean as it is shown; and what lies
within the interval of another is not clearly better.
"""

from collections.abc import Iterable, Sequence

from attribution_bench.evaluation.metrics import METRICS, Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.faithfulness.standing import (
    CHANCE,
    RECOVERY,
    best,
    clearly_above,
    close_to_best,
    contestants,
    goodness,
    headline,
    known_metrics,
    mean_text,
    pareto_front,
    scored,
)
from attribution_bench.reporting.faithfulness.texts import counted, listed, number_text
from attribution_bench.reporting.labels import framework_label, ratio_text, seconds_text, short

REASON_LENGTH = 200
"""Characters of a reason that the summary keeps; the list of methods has all of it."""
NAMED_SITES = 3


def failures(evaluation: Evaluation) -> list[str]:
    """Return a sentence a method without scores, with the first line of its reason."""
    return [
        f"No scores from {evaluation.label(method.method)}: {_first_line(method.reason)}."
        for method in evaluation.methods
        if method.reason is not None
    ]


def sentences(evaluation: Evaluation) -> list[str]:
    """Return what was compared and what came out; methods that failed are those of `failures`."""
    said = (_setting, _silent, _unread, _closest, _recovery, _cheapest, _front)
    return [sentence for say in said if (sentence := say(evaluation))]


def _first_line(reason: str) -> str:
    lines = reason.strip().splitlines()
    return short(lines[0], REASON_LENGTH).removesuffix(".") if lines else "no reason was recorded"


def _setting(evaluation: Evaluation) -> str:
    methods = scored(evaluation)
    lengths = sorted({len(string) for string in evaluation.strings})
    letters = " to ".join(map(str, dict.fromkeys((lengths[0], lengths[-1])))) if lengths else "0"
    who = "No attribution method could explain"
    if methods:
        labels = _labels(evaluation, (method.method for method in methods))
        who = f"{counted(len(methods), 'attribution method')} ({labels}) explained"
    return (
        f"{who} what {evaluation.model} ({framework_label(evaluation.framework)}, {evaluation.device}) predicts as "
        f"{evaluation.target} for {counted(len(evaluation.names), 'sequence')} of {letters} letters."
    )


def _silent(evaluation: Evaluation) -> str:
    read = evaluation.readable
    if read is None or not read.silent:
        return ""
    return (
        f"In {len(read.silent)} of {counted(len(evaluation.names), 'sequence')} no single substitution changes the "
        f"prediction by more than rounding ({evaluation.label(read.method)}): as far as that shows, the target ignores "
        "its input there, and agreement with exact ISM is undefined."
    )


def _unread(evaluation: Evaluation) -> str:
    read = evaluation.readable
    if read is None or not read.unread_sites:
        return ""
    sites = [evaluation.sites[index] for index in read.unread_sites]
    names = [f"{site.name} in {evaluation.names[site.sequence]}" for site in sites[:NAMED_SITES]]
    names += [f"{len(sites) - NAMED_SITES} more"] if len(sites) > NAMED_SITES else []
    return (
        f"The target cannot read {len(sites)} of {counted(len(evaluation.sites), 'known site')} ({listed(names)}), "
        "which therefore do not count as sites: no single substitution there changes the prediction by more than "
        f"rounding ({evaluation.label(read.method)})."
    )


def _closest(evaluation: Evaluation) -> str:
    metric = headline(evaluation)
    if metric is None:
        return "No metric is defined for any method." if scored(evaluation) and known_metrics(evaluation) else ""
    if metric.group != "agreement" or evaluation.truth is None:
        return _best(evaluation, metric)
    exact, rivals, leaders = (
        f"exact ISM ({evaluation.label(evaluation.truth)})", contestants(evaluation, metric), best(evaluation, metric)
    )  # fmt: skip
    value = _value(evaluation, metric, leaders)
    if len(rivals) == 1:
        return f"{_labels(evaluation, leaders)} has {metric.label} {value} with {exact}."
    if not any(clearly_above(evaluation.method(name), metric, 0) for name in leaders):
        return (
            f"No method agrees clearly with {exact}: the highest {metric.label} is {value}, "
            f"of {_labels(evaluation, leaders)}."
        )
    text = (
        f"The closest to {exact} {_are(leaders)} {_labels(evaluation, leaders)}, {metric.label} {value}"
        f"{_not_clearly(evaluation, metric)}"
    )
    inexact = [method for method in rivals if not method.exact]
    if inexact and all(evaluation.method(name).exact for name in leaders):
        text += f"; {_nearest(evaluation, metric, inexact)}"
    return text + "."


def _nearest(evaluation: Evaluation, metric: Metric, inexact: Sequence[MethodEvaluation]) -> str:
    """Say which of the methods that do not ask the model for every mutation come nearest."""
    nearest = max(goodness(metric, method.means[metric.name].mean) for method in inexact)
    names = [m.method for m in inexact if goodness(metric, m.means[metric.name].mean) == nearest]
    value = _value(evaluation, metric, names)
    if len(inexact) == 1:
        return f"{_labels(evaluation, names)}, which does not ask the model for every mutation, has {value}"
    return f"of the methods that do not ask the model for every mutation, {_labels(evaluation, names)}, {value}"


def _best(evaluation: Evaluation, metric: Metric) -> str:
    leaders = best(evaluation, metric)
    value = _value(evaluation, metric, leaders)
    if len(contestants(evaluation, metric)) == 1:
        return f"{_labels(evaluation, leaders)} has {metric.label} {value}."
    if len(leaders) > 1:
        text = f"{_labels(evaluation, leaders)} share the best {metric.label}, {value}"
    else:
        text = f"{metric.label} is best for {_labels(evaluation, leaders)}: {value}"
    return f"{text}{_not_clearly(evaluation, metric)}."


def _recovery(evaluation: Evaluation) -> str:
    metric, chosen = METRICS[RECOVERY], headline(evaluation)
    leaders = best(evaluation, metric)
    if not leaders or chosen is None or chosen.name == metric.name:
        return ""
    value, labels = _value(evaluation, metric, leaders), _labels(evaluation, leaders)
    if len(contestants(evaluation, metric)) == 1:
        return f"{labels} has {metric.label} {value} on the known sites, where {CHANCE} is chance."
    if not any(clearly_above(evaluation.method(name), metric, CHANCE) for name in leaders):
        return (
            f"No method finds the known sites clearly better than chance, {CHANCE}: the highest {metric.label} is "
            f"{value}, of {labels}."
        )
    how = "best" if len(leaders) == 1 else "best, and equally well,"
    return f"Known sites are found {how} by {labels}, {metric.label} {value}{_not_clearly(evaluation, metric)}."


def _not_clearly(evaluation: Evaluation, metric: Metric) -> str:
    """Name the methods that the best one may be no better than."""
    leaders = best(evaluation, metric)
    close = [
        method.method
        for method in contestants(evaluation, metric)
        if method.method not in leaders and close_to_best(evaluation, method, metric)
    ]
    return f", though not clearly better than {_labels(evaluation, close)}" if close else ""


def _cheapest(evaluation: Evaluation) -> str:
    timed = [
        (method.seconds_per_100_sequences, method.method)
        for method in scored(evaluation)
        if method.seconds_per_100_sequences is not None
    ]
    if not timed:
        return ""
    (least, _), (most, slowest) = min(timed), max(timed)
    names = [name for seconds, name in timed if seconds_text(seconds) == seconds_text(least)]
    took = f"{seconds_text(least)} seconds per 100 sequences"
    if len(names) == len(timed):
        return f"{_labels(evaluation, names)} took {took}{' each' * (len(names) > 1)}, by one timed run."
    text = f"The cheapest {_are(names)} {_labels(evaluation, names)} with {took}"
    if least:
        text += f", {ratio_text(most / least)} times as fast as {evaluation.label(slowest)}"
    return f"{text}, by one timed run of each."


def _front(evaluation: Evaluation) -> str:
    metric = headline(evaluation)
    if metric is None:
        return ""
    placed = [m for m in scored(evaluation) if m.seconds_per_100_sequences is not None and metric.name in m.means]
    if len(placed) < 2:
        return ""
    front = pareto_front(evaluation, metric)
    return f"No method is both faster and better in {metric.label} than {_labels(evaluation, front)}."


def _value(evaluation: Evaluation, metric: Metric, names: Sequence[str]) -> str:
    """Write the mean of a method with its interval; of several that share it, the mean alone."""
    first = evaluation.method(names[0])
    return mean_text(first, metric) if len(names) == 1 else f"{number_text(first.means[metric.name].mean)} each"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _labels(evaluation: Evaluation, names: Iterable[str]) -> str:
    return listed([evaluation.label(name) for name in names])
