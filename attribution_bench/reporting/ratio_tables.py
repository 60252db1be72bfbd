"""The comparison in few figures of two digits: how many times the fast method's seconds each method takes.

Where no fast method was measured, the figures are seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from attribution_bench.benchmark import paper
from attribution_bench.reporting.benchmark_tables import markdown_line, markdown_text
from attribution_bench.reporting.comparison import Cell, Comparison, Row
from attribution_bench.reporting.digits import significant_digits
from attribution_bench.reporting.faithfulness.texts import listed
from attribution_bench.reporting.labels import architecture_label, framework_label, ratio_text, seconds_text

DIGITS = 2
SCALED = "≈"
"""Sign of a figure that was scaled up from a part of the work."""
NONE = "–"


@dataclass(frozen=True)
class Columns:
    """What the columns hold: ratios first, and the seconds that they are relative to last."""

    ratios: tuple[str, ...]
    """Methods whose ratio is shown; none where there is no method that ratios are relative to."""
    seconds: tuple[str, ...]
    """Methods whose seconds are shown."""

    def __iter__(self) -> Iterator[str]:
        return iter((*self.ratios, *self.seconds))


def columns(comparison: Comparison) -> Columns:
    """Return which methods are shown by ratios and which by seconds."""
    reference = comparison.reference
    if reference is None or all(cell.ratio is None for row in comparison.rows for cell in row.cells):
        return Columns((), comparison.methods)
    return Columns(tuple(method for method in comparison.methods if method != reference), (reference,))


def ratio_markdown(comparison: Comparison) -> str:
    """Write one line a model and length, of the first framework, with the paper's figure in parentheses.

    One sentence above says all that is to be said of the figures.
    """
    shown, rows = columns(comparison), first_rows(comparison)
    headings = [comparison.labels[method] + (" (s)" if method in shown.seconds else "") for method in shown]
    lines = [
        markdown_line(["Model", *map(markdown_text, headings)]),
        markdown_line(["---", *["---:"] * len(headings)]),
    ]
    for row, texts in zip(rows, short_texts(comparison, rows), strict=True):
        published = (paper_text(comparison, row, method) for method in shown)
        cells = (f"{text} ({there})" if there else text for text, there in zip(texts, published, strict=True))
        model = f"{architecture_label(row.architecture)}, {row.length}"
        lines.append(markdown_line([markdown_text(model), *map(markdown_text, cells)]))
    below = outputs_sentence(comparison, rows)
    if below:
        lines += ["", markdown_text(below)]
    return "\n".join([markdown_text(ratio_caption(comparison, rows, "in parentheses")), "", *lines]) + "\n"


def ratio_caption(comparison: Comparison, rows: Sequence[Row], published: str) -> str:
    """Say in one sentence what the figures of some rows are, where the paper's stand, and what the sign means."""
    shown = columns(comparison)
    frameworks = " and ".join(dict.fromkeys(framework_label(row.framework) for row in rows))
    name = comparison.labels[shown.seconds[0]]
    said = f"How many times as long as {name} each method takes" if shown.ratios else "Seconds per 100 sequences"
    said += f" with {frameworks}"
    if any(row.paper for row in rows):
        said += f" ({published}: in the paper, on {paper.DEVICE})"
    if shown.ratios:
        said += f", and in the last column {name}'s seconds per 100 sequences"
    if all(_scaled(comparison, rows)):
        said += "; what was measured here is scaled up from a part of the work"
    elif any(_scaled(comparison, rows)):
        said += f"; {SCALED} is scaled up from a part of the work"
    if any(NONE in texts for texts in short_texts(comparison, rows)):
        said += f"; {NONE} has no figure"
    return f"{said}."


def outputs_sentence(comparison: Comparison, rows: Sequence[Row]) -> str:
    """Say which rows are of several outputs, and which methods take a run for each; empty where none is.

    A method that takes outputs one by one is dear on such a row, and may be the cheapest for one of the outputs.
    """
    asked = [(row, cell.record) for row in rows for cell in row.cells if cell.record and cell.record.asked]
    several = [(row, record) for row, record in asked if record.asked and record.asked.outputs > 1]
    singly = {record.workload.method for _, record in several if record.tags and not record.tags.gives_predictions}
    if not singly:
        return ""
    names = listed(list(dict.fromkeys(architecture_label(row.architecture) for row, _ in several)))
    counts = " or ".join(map(str, sorted({record.asked.outputs for _, record in several if record.asked})))
    methods = listed([comparison.labels[name] for name in comparison.methods if name in singly])
    return f"The figures of {names} are of all outputs ({counts} a sequence), for each of which {methods} take a run."


def first_rows(comparison: Comparison) -> tuple[Row, ...]:
    """Return one row for each model and length: that of the first framework in which it was measured."""
    return tuple(next(group) for _, group in groupby(comparison.rows, key=lambda row: (row.architecture, row.length)))


def short_texts(comparison: Comparison, rows: Sequence[Row]) -> list[list[str]]:
    """Write the cells of some rows with two digits, a list a row: ratios, or seconds where those are shown.

    A cell without a figure is a dash. The sign of what was scaled up stands where some figures are and others are not.
    """
    shown, signed = columns(comparison), not all(_scaled(comparison, rows))
    return [
        [SCALED * (signed and _is_scaled(comparison, row, method)) + _text(comparison, row, method) for method in shown]
        for row in rows
    ]


def paper_text(comparison: Comparison, row: Row, method: str) -> str:
    """Write the paper's figure for a cell with two digits; empty where it has none."""
    if row.paper is None or method not in row.paper.seconds_per_100_sequences:
        return ""
    if method in columns(comparison).seconds:
        return seconds_text(row.paper.seconds_per_100_sequences[method], DIGITS)
    return ratio_text(row.paper.ratio_to_fastism(method), DIGITS)


def _text(comparison: Comparison, row: Row, method: str) -> str:
    cell = _cell(row, method)
    if cell.record is None or cell.seconds is None:
        return NONE
    if method in columns(comparison).seconds:
        return seconds_text(cell.seconds, min(DIGITS, significant_digits(cell.record)))
    return NONE if cell.ratio is None else ratio_text(cell.ratio, min(DIGITS, cell.ratio_digits))


def _scaled(comparison: Comparison, rows: Sequence[Row]) -> Iterator[bool]:
    """Yield of every figure that the rows show whether it was scaled up."""
    for row in rows:
        for method in columns(comparison):
            if _text(comparison, row, method) != NONE:
                yield _is_scaled(comparison, row, method)


def _is_scaled(comparison: Comparison, row: Row, method: str) -> bool:
    """Whether one of the figures that a cell is made of was scaled up."""
    made_of = [_cell(row, method)]
    if method in columns(comparison).ratios:
        made_of.append(_cell(row, columns(comparison).seconds[0]))
    return _cell(row, method).seconds is not None and any(cell.record and cell.record.scaled for cell in made_of)


def _cell(row: Row, method: str) -> Cell:
    return next(cell for cell in row.cells if cell.method == method)
