"""The parts of the page that are plain HTML. Every name in them comes from outside, and is escaped."""

from attribution_bench.evaluation.results import Evaluation, MethodEvaluation
from attribution_bench.reporting.benchmark_tables import HEADER, PAPER, caption
from attribution_bench.reporting.comparison import Cell, Comparison, Row, mark
from attribution_bench.reporting.faithfulness import claims, summary
from attribution_bench.reporting.faithfulness.escaping import text
from attribution_bench.reporting.faithfulness.metric_markup import ARROWS
from attribution_bench.reporting.faithfulness.standing import known_metrics
from attribution_bench.reporting.faithfulness.verdict import verdict as rows
from attribution_bench.reporting.labels import architecture_label, framework_label, paper_seconds_text


def failures(evaluation: Evaluation) -> str:
    """Return a paragraph a method without scores; empty where every method has some."""
    return "".join(f'<p class="summary failed">{text(sentence)}</p>' for sentence in claims.failures(evaluation))


def verdict(evaluation: Evaluation) -> str:
    """Return the rows of the verdict, each with its number and its reason."""
    return "\n".join(
        f'<li><span class="what">{text(row.heading)}</span> <strong class="subject">{text(row.subject)}</strong> '
        f'<span class="number">{text(row.number)}</span> <span class="reason">{text(row.reason)}</span></li>'
        for row in rows(evaluation)
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
