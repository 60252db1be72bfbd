"""The parts of the page that are plain HTML. Every name in them comes from outside, and is escaped."""

import html

from attribution_bench.evaluation.metrics import Metric
from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.comparison import Cell, Comparison, Row, mark
from attribution_bench.reporting.faithfulness import summary
from attribution_bench.reporting.faithfulness.standing import known_metrics
from attribution_bench.reporting.faithfulness.texts import DASH, interval_text, number_text, range_text
from attribution_bench.reporting.labels import (
    architecture_label,
    framework_label,
    method_label,
    paper_seconds_text,
    seconds_text,
)
from attribution_bench.reporting.tables import CAPTION, HEADER, PAPER

ARROWS = {"higher": "↑", "lower": "↓"}


def text(content: str) -> str:
    """Escape text, also for an attribute's value in double quotes."""
    return html.escape(content, quote=True)


def metric_table(evaluation: Evaluation) -> str:
    """Return methods by metrics, each mean with its interval, the columns sortable by the page's script."""
    metrics = known_metrics(evaluation)
    header = [
        '<th scope="col"><button type="button" class="sort" data-sort="label">Method</button></th>',
        _column("Seconds per 100 sequences", "lower", "Wall-clock seconds, scaled to 100 sequences."),
        *(_column(metric.label, metric.better, metric.definition) for metric in metrics),
    ]
    rows = "\n".join(_method_row(evaluation, method, metrics) for method in evaluation.methods)
    return (
        f'<table id="metric-table" class="metrics"><thead><tr>{"".join(header)}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table>"
    )


def definitions(evaluation: Evaluation) -> str:
    """Return what each metric means, which way is better, and where it comes from."""
    return "\n".join(
        f"<dt>{text(metric.label)} <span class=better>{ARROWS[metric.better]} {metric.better} is better</span></dt>"
        f"<dd>{text(metric.definition)} <cite>{text(metric.citation)}</cite></dd>"
        for metric in known_metrics(evaluation)
    )


def methods(evaluation: Evaluation) -> str:
    """Return how each method was run, and what a reader of its scores should know."""
    return "\n".join(_method_entry(method) for method in evaluation.methods)


def facts(evaluation: Evaluation) -> str:
    """Return settings and versions."""
    return "\n".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in summary.facts(evaluation))


def table_1(comparison: Comparison | None) -> str:
    """Return the benchmark's table as a section; empty where nothing was timed on its own."""
    if comparison is None:
        return ""
    header = "".join(f'<th scope="col">{text(name)}</th>' for name in (*HEADER, *map(method_label, comparison.methods)))
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
        f'<p class="note">{text(CAPTION)}</p><ul class="notes">{notes}</ul></section>'
    )


def _column(label: str, better: str, definition: str) -> str:
    return (
        f'<th scope="col" title="{text(definition)}"><button type="button" class="sort" data-better="{better}">'
        f"{text(label)}&nbsp;<span aria-hidden=true>{ARROWS[better]}</span></button></th>"
    )


def _method_row(evaluation: Evaluation, method: MethodEvaluation, metrics: list[Metric]) -> str:
    name = f'<th scope="row">{text(method_label(method.method))}</th>'
    if method.reason is not None:
        return f'<tr class="missing">{name}<td colspan="{len(metrics) + 1}">no scores: {text(method.reason)}</td></tr>'
    seconds = method.seconds_per_100_sequences
    shown = DASH if seconds is None else seconds_text(seconds)
    cells = [f"<td{_value(seconds)}>{shown}</td>", *(_metric_cell(evaluation, method, metric) for metric in metrics)]
    return f"<tr>{name}{''.join(cells)}</tr>"


def _metric_cell(evaluation: Evaluation, method: MethodEvaluation, metric: Metric) -> str:
    found, marked = method.means.get(metric.name), summary.mark(evaluation, method, metric)
    value = _value(None if found is None else found.mean)
    if marked == summary.REFERENCE:
        return f'<td{value} class="reference">reference</td>'
    if found is None:
        return f'<td title="not defined for this method">{DASH}</td>'
    behind = method.behind_best.get(metric.name)
    hint = "" if behind is None else f"difference from the best, sequence by sequence: {interval_text(behind)}"
    kind = ' class="best"' if marked == summary.BEST else ""
    sign = f" {marked}" if marked else ""
    return (
        f'<td{value}{kind} title="{text(hint)}"><span class="mean">{number_text(found.mean)}{sign}</span>'
        f'<span class="interval">{range_text(found)}</span></td>'
    )


def _value(number: float | None) -> str:
    return "" if number is None else f' data-value="{number!r}"'


def _method_entry(method: MethodEvaluation) -> str:
    said = [f"No scores: {method.reason}"] if method.reason is not None else []
    said += [] if said else [summary.options_text(method)]
    said += method.cautions
    items = "".join(f"<li>{text(entry)}</li>" for entry in said)
    return f"<dt>{text(method_label(method.method))}</dt><dd><ul>{items}</ul></dd>"


def _key(row: Row) -> tuple[str, int]:
    return row.architecture, row.length


def _row(row: Row, source: str, cells: list[str]) -> str:
    names = (architecture_label(row.architecture), str(row.length), source)
    named = "".join(f"<td>{text(name)}</td>" for name in names)
    return f"<tr>{named}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _cell(comparison: Comparison, cell: Cell) -> str:
    marks = comparison.marks(cell)
    return text(cell.text) + (f"<sup>{marks}</sup>" if marks else "")
