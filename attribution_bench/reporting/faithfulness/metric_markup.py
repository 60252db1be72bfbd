"""The means of every method as HTML: a table on wide screens and paper, a card a method on narrow ones."""

from collections.abc import Iterable
from itertools import groupby

from attribution_bench.evaluation.metrics import Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.faithfulness import summary
from attribution_bench.reporting.faithfulness.escaping import text
from attribution_bench.reporting.faithfulness.standing import contestants, known_metrics, scored, spread_text
from attribution_bench.reporting.faithfulness.texts import DASH, interval_text, number_text
from attribution_bench.reporting.labels import seconds_text

ARROWS = {"higher": "↑", "lower": "↓"}
SECONDS = "Seconds per 100 sequences"
GROUPS = {
    "agreement": "Agreement with exact ISM",
    "completeness": "Completeness",
    "curves": "Masking",
    "perturbation": "Random mutations",
    "stability": "Other seeds",
    "recovery": "Known sites",
}
"""Group of metrics -> its heading."""


def metric_table(evaluation: Evaluation) -> str:
    """Return metrics by methods, each mean with its interval; what has no scores or no value is named below."""
    methods = scored(evaluation)
    rows = [_line(SECONDS, "lower", (_seconds_cell("td", method, methods) for method in methods))]
    for group, inside in groupby(known_metrics(evaluation), key=lambda metric: metric.group):
        rows.append(f'<tr class="group"><th scope="colgroup" colspan="{len(methods) + 1}">{GROUPS[group]}</th></tr>')
        for metric in inside:
            cells = (_metric_cell("td", evaluation, method, metric) for method in methods)
            rows.append(_line(metric.label, metric.better, cells))
    return (
        f'<table id="metric-table" class="metrics"><thead>{_header(evaluation, methods, "Metric")}</thead>\n'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def metric_cards(evaluation: Evaluation) -> str:
    """Return the same means as `metric_table`, one list a method."""
    methods = scored(evaluation)
    return "\n".join(_card(evaluation, method, methods) for method in methods)


def missing(evaluation: Evaluation) -> str:
    """Return what the table lacks: methods without scores, and where metrics are undefined."""
    lines = [
        f'<p class="note missing">{text(evaluation.label(method.method))}: no scores: {text(method.reason)}</p>'
        for method in evaluation.methods
        if method.reason is not None
    ]
    lines += [f'<p class="note">{text(note)}</p>' for note in summary.notes(evaluation)]
    return "".join(lines)


def differences(evaluation: Evaluation) -> str:
    """Return how far each method lies from the best one, paired by sequence, as a table that opens; or nothing."""
    methods, rows = scored(evaluation), []
    for metric in known_metrics(evaluation):
        compared = contestants(evaluation, metric) if len(contestants(evaluation, metric)) > 1 else []
        found = {m.method: m.behind_best[metric.name] for m in compared if metric.name in m.behind_best}
        if found:
            cells = (f"<td>{interval_text(found.get(method.method))}</td>" for method in methods)
            rows.append(_line(metric.label, metric.better, cells))
    if not rows:
        return ""
    return (
        '<details class="numbers"><summary>Differences from the best method, sequence by sequence</summary>'
        '<div class="wide" tabindex="0" role="region" aria-label="Differences from the best method">'
        f'<table class="metrics"><thead>{_header(evaluation, methods, "Metric")}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _header(evaluation: Evaluation, methods: Iterable[MethodEvaluation], corner: str) -> str:
    names = "".join(f'<th scope="col">{text(evaluation.label(method.method))}</th>' for method in methods)
    return f'<tr><th scope="col">{corner}</th>{names}</tr>'


def _line(label: str, better: str, cells: Iterable[str]) -> str:
    return f'<tr><th scope="row">{_labelled(label, better)}</th>{"".join(cells)}</tr>'


def _labelled(label: str, better: str) -> str:
    return f'{text(label)}&nbsp;<span aria-hidden="true">{ARROWS[better]}</span>'


def _card(evaluation: Evaluation, method: MethodEvaluation, methods: list[MethodEvaluation]) -> str:
    entries = [f"<dt>{_labelled(SECONDS, 'lower')}</dt>{_seconds_cell('dd', method, methods)}"]
    entries += [
        f"<dt>{_labelled(metric.label, metric.better)}</dt>{_metric_cell('dd', evaluation, method, metric)}"
        for metric in known_metrics(evaluation)
        if metric.name in method.means or metric.name in method.values
    ]
    inside = "".join(f"<div>{entry}</div>" for entry in entries)
    return f'<article class="card"><h3>{text(evaluation.label(method.method))}</h3><dl>{inside}</dl></article>'


def _seconds_cell(tag: str, method: MethodEvaluation, methods: list[MethodEvaluation]) -> str:
    seconds = method.seconds_per_100_sequences
    known = [other.seconds_per_100_sequences for other in methods if other.seconds_per_100_sequences is not None]
    if seconds is None:
        return f"<{tag}>{DASH}</{tag}>"
    shown = {seconds_text(other) for other in known}
    best = ' class="best"' if len(shown) > 1 and seconds_text(seconds) == seconds_text(min(known)) else ""
    return f"<{tag}{best}>{seconds_text(seconds)}</{tag}>"


def _metric_cell(tag: str, evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> str:
    found, marked = method.means.get(metric.name), summary.mark(evaluation, method, metric)
    if marked in (summary.REFERENCE, summary.UNDEFINED):
        return f'<{tag} class="reference">{marked}</{tag}>'
    if found is None:
        return f"<{tag}>{DASH}</{tag}>"
    kind = ' class="best"' if marked in (summary.BEST, summary.SHARED) else ""
    sign = f" {marked}" if marked else ""
    defined = summary.defined_text(evaluation, method, metric)
    part = f'<span class="interval">{defined}</span>' if defined else ""
    return (
        f'<{tag}{kind}><span class="mean">{number_text(found.mean)}{sign}</span>'
        f'<span class="interval">{spread_text(method, metric)}</span>{part}</{tag}>'
    )
