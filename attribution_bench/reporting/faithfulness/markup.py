"""The parts of the page that are plain HTML. Every name in them comes from outside, and is escaped."""

import html
from itertools import groupby

from attribution_bench.evaluation.metrics import Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.benchmark_tables import HEADER, PAPER, caption
from attribution_bench.reporting.comparison import Cell, Comparison, Row, mark
from attribution_bench.reporting.faithfulness import claims, summary
from attribution_bench.reporting.faithfulness.standing import known_metrics, scored, spread_text
from attribution_bench.reporting.faithfulness.texts import DASH, interval_text, number_text
from attribution_bench.reporting.labels import (
    architecture_label,
    framework_label,
    paper_seconds_text,
    seconds_text,
)

ARROWS = {"higher": "↑", "lower": "↓"}


def text(content: str) -> str:
    """Escape text, also for an attribute's value in double quotes."""
    return html.escape(content, quote=True)


GROUPS = {
    "agreement": "Agreement with exact ISM",
    "completeness": "Completeness",
    "curves": "Masking",
    "perturbation": "Random mutations",
    "stability": "Other seeds",
    "recovery": "Known sites",
}
"""Group of metrics -> its heading."""


def failures(evaluation: Evaluation) -> str:
    """Return a paragraph a method without scores; empty where every method has some."""
    return "".join(f'<p class="summary failed">{text(sentence)}</p>' for sentence in claims.failures(evaluation))


def metric_table(evaluation: Evaluation) -> str:
    """Return metrics by methods, each mean with its interval; what has no scores or no value is named below."""
    methods, metrics = scored(evaluation), known_metrics(evaluation)
    header = "".join(f'<th scope="col">{text(evaluation.label(method.method))}</th>' for method in methods)
    seconds = "".join(_seconds_cell(method, methods) for method in methods)
    rows = [
        _line(
            "Seconds per 100 sequences",
            "lower",
            "Wall-clock seconds of one run on all sequences, scaled to 100.",
            seconds,
        )
    ]
    for group, inside in groupby(metrics, key=lambda metric: metric.group):
        rows.append(f'<tr class="group"><th scope="colgroup" colspan="{len(methods) + 1}">{GROUPS[group]}</th></tr>')
        for metric in inside:
            cells = "".join(_metric_cell(evaluation, method, metric) for method in methods)
            rows.append(_line(metric.label, metric.better, metric.definition, cells))
    missing = "".join(
        f'<p class="note missing">{text(evaluation.label(method.method))}: no scores: {text(method.reason)}</p>'
        for method in evaluation.methods
        if method.reason is not None
    )
    missing += "".join(f'<p class="note">{text(note)}</p>' for note in summary.undefined_notes(evaluation))
    return (
        f'<table id="metric-table" class="metrics"><thead><tr><th scope="col">Metric</th>{header}</tr></thead>\n'
        f"<tbody>{''.join(rows)}</tbody></table>{missing}"
    )


def definitions(evaluation: Evaluation) -> str:
    """Return what each metric means, which way is better, and where it comes from."""
    return "\n".join(
        f"<dt>{text(metric.label)} <span class=better>{ARROWS[metric.better]} {metric.better} is better</span></dt>"
        f"<dd>{text(metric.definition)} Undefined where {text(metric.undefined)}. "
        f"<cite>{text(metric.citation)}</cite></dd>"
        for metric in known_metrics(evaluation)
    )


def methods(evaluation: Evaluation) -> str:
    """Return how each method was run, and what a reader of its scores should know."""
    return "\n".join(_method_entry(evaluation, method) for method in evaluation.methods)


def facts(evaluation: Evaluation) -> str:
    """Return settings and versions."""
    return "\n".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in summary.facts(evaluation))


def table_1(comparison: Comparison | None) -> str:
    """Return the benchmark's table as a section; empty where nothing was timed on its own."""
    if comparison is None:
        return ""
    header = "".join(f'<th scope="col">{text(name)}</th>' for name in (*HEADER, *comparison.headings))
    lines = []
    for index, row in enumerate(comparison.rows):
        lines.append(_row(row, framework_label(row.framework), [_cell(comparison, cell) for cell in row.cells]))
        last = index + 1 == len(comparison.rows) or _key(comparison.rows[index + 1]) != _key(row)
        if last and row.paper is not None:
            published = row.paper.seconds_per_100_sequences
            cells = [text(paper_seconds_text(published[m])) if m in published else "" for m in comparison.methods]
            lines.append(_row(row, PAPER, cells))
    notes = "".join(f"<li><sup>{mark(i)}</sup> {text(note)}</li>" for i, note in enumerate(comparison.notes))
    return (
        '<section id="speed"><h2>Speed</h2>\n<div class="wide">'
        f"<table><thead><tr>{header}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>\n"
        f'<p class="note">{text(caption(comparison))}</p><ul class="notes">{notes}</ul></section>'
    )


def _line(label: str, better: str, definition: str, cells: str) -> str:
    arrow = f"<span aria-hidden=true>{ARROWS[better]}</span>"
    return f'<tr><th scope="row" title="{text(definition)}">{text(label)}&nbsp;{arrow}</th>{cells}</tr>'


def _seconds_cell(method: MethodEvaluation, methods: list[MethodEvaluation]) -> str:
    seconds = method.seconds_per_100_sequences
    known = [other.seconds_per_100_sequences for other in methods if other.seconds_per_100_sequences is not None]
    if seconds is None:
        return f"<td>{DASH}</td>"
    shown = {seconds_text(other) for other in known}
    best = ' class="best"' if len(shown) > 1 and seconds_text(seconds) == seconds_text(min(known)) else ""
    return f"<td{best}>{seconds_text(seconds)}</td>"


def _metric_cell(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> str:
    found, marked = method.means.get(metric.name), summary.mark(evaluation, method, metric)
    if marked == summary.REFERENCE:
        return '<td class="reference">reference</td>'
    if marked == summary.UNDEFINED:
        return f'<td class="reference" title="{text(f"undefined where {metric.undefined}")}">{marked}</td>'
    if found is None:
        return f'<td title="does not apply to this method">{DASH}</td>'
    behind = method.behind_best.get(metric.name)
    hint = "" if behind is None else f"difference from the best, sequence by sequence: {interval_text(behind)}"
    kind = ' class="best"' if marked in (summary.BEST, summary.SHARED) else ""
    sign = f" {marked}" if marked else ""
    defined = summary.defined_text(evaluation, method, metric)
    part = f'<span class="interval">{defined}</span>' if defined else ""
    return (
        f'<td{kind} title="{text(hint)}"><span class="mean">{number_text(found.mean)}{sign}</span>'
        f'<span class="interval">{spread_text(method, metric)}</span>{part}</td>'
    )


def _method_entry(evaluation: Evaluation, method: MethodEvaluation) -> str:
    said = [f"No scores: {method.reason}"] if method.reason is not None else []
    said += [] if said else [summary.options_text(method)]
    said += method.cautions
    items = "".join(f"<li>{text(entry)}</li>" for entry in said)
    return f"<dt>{text(evaluation.label(method.method))}</dt><dd><ul>{items}</ul></dd>"


def _key(row: Row) -> tuple[str, int]:
    return row.architecture, row.length


def _row(row: Row, source: str, cells: list[str]) -> str:
    names = (architecture_label(row.architecture), str(row.length), source)
    named = "".join(f"<td>{text(name)}</td>" for name in names)
    return f"<tr>{named}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _cell(comparison: Comparison, cell: Cell) -> str:
    marks = comparison.marks(cell)
    return text(cell.text) + (f"<sup>{marks}</sup>" if marks else "")
