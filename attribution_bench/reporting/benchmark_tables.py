"""The comparison with every figure and footnote: as Markdown and CSV, and line by line for other forms."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.results import Record
from attribution_bench.reporting.comparison import Cell, Comparison, Row, mark
from attribution_bench.reporting.csv_text import csv_text
from attribution_bench.reporting.labels import architecture_label, framework_label, paper_seconds_text, ratio_text

HEADER = ("Model", "Length", "Source")
PAPER = "paper"
CSV_COLUMNS = (
    "architecture", "length", "framework", "method", "status", "seconds_per_100_sequences", "ratio",
    "paper_seconds_per_100_sequences", "paper_ratio_to_fastism", "scaled", "measured_fraction", "rounds", "spread",
    "batch_size", "device", "threads", "peak_memory_bytes", "check_passed", "largest_difference", "convergence_delta",
    "error",
)  # fmt: skip
"""``ratio`` is written as ``ratio_to_<method>`` where there is a method that ratios are relative to."""


def caption(comparison: Comparison) -> str:
    """Say what the figures are, whose seconds the ratios are relative to, and what the paper's are."""
    if comparison.relative_to is None:
        return "Seconds per 100 sequences."
    published = any(row.paper for row in comparison.rows)
    ratios = f"in parentheses how many times {comparison.relative_to}'s seconds on the same line"
    if published and comparison.relative_to != paper.REFERENCE_LABEL:
        ratios += f", on the paper's lines {paper.REFERENCE_LABEL}'s"
    amortised = f" The paper's are amortised over up to {paper.AT_ONCE} sequences at once." if published else ""
    return f"Seconds per 100 sequences; {ratios}.{amortised}"


def markdown_table(comparison: Comparison) -> str:
    """Write the table for GitHub's Markdown, the footnotes as lines below it."""
    header = [*HEADER, *comparison.headings]
    rule = ["---", "---:", "---", *["---:"] * len(comparison.methods)]
    lines = [markdown_line(map(markdown_text, header)), markdown_line(rule)]
    for line in table_lines(comparison):
        names = map(markdown_text, (line.architecture, line.length, line.source))
        figures = [markdown_text(text) + (f" <sup>{marks}</sup>" if marks else "") for text, marks in line.figures]
        lines.append(markdown_line([*names, *figures]))
    notes = [f"<sup>{mark(index)}</sup> {markdown_text(note)}" for index, note in enumerate(comparison.notes)]
    return (
        "\n".join([*lines, "", markdown_text(caption(comparison)), *(["", "  \n".join(notes)] if notes else [])]) + "\n"
    )


def markdown_text(text: str) -> str:
    """Escape what Markdown would read as markup, a cell's border included."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))


def csv_table(comparison: Comparison) -> str:
    """Write one line a cell that was run, with full precision, times in seconds; what is not known is left empty."""
    ratio = "ratio" if comparison.reference is None else f"ratio_to_{comparison.reference}"
    header = [ratio if name == "ratio" else name for name in CSV_COLUMNS]
    lines = (
        _csv_line(row, cell, cell.record) for row in comparison.rows for cell in row.cells if cell.record is not None
    )
    return csv_text(header, ([line[name] for name in CSV_COLUMNS] for line in lines))


@dataclass(frozen=True)
class Line:
    """One printed line of the table."""

    architecture: str
    """Empty, as the length is, where it repeats the line above."""
    length: str
    source: str
    """Framework, or the paper."""
    figures: tuple[tuple[str, str], ...]
    """(text, footnote marks) of each method."""
    first: bool
    """Whether an architecture and length begin here."""


def table_lines(comparison: Comparison) -> Iterator[Line]:
    """Yield the frameworks' lines of one architecture and length, and the paper's below them."""
    for (architecture, length), group in groupby(comparison.rows, key=lambda row: (row.architecture, row.length)):
        rows = list(group)
        for row in rows:
            first = row is rows[0]
            names = (architecture_label(architecture), str(length)) if first else ("", "")
            figures = tuple((cell.text, comparison.marks(cell)) for cell in row.cells)
            yield Line(*names, framework_label(row.framework), figures, first)
        if rows[0].paper is not None:
            yield Line("", "", PAPER, tuple((_paper_text(rows[0], m), "") for m in comparison.methods), False)


def _paper_text(row: Row, method: str) -> str:
    if row.paper is None or method not in row.paper.seconds_per_100_sequences:
        return ""
    seconds = paper_seconds_text(row.paper.seconds_per_100_sequences[method])
    return seconds if method == paper.REFERENCE else f"{seconds} ({ratio_text(row.paper.ratio_to_fastism(method))})"


def _csv_line(row: Row, cell: Cell, record: Record) -> dict[str, object]:
    in_paper = row.paper if row.paper and cell.method in row.paper.seconds_per_100_sequences else None
    check = record.check
    return {
        "architecture": row.architecture,
        "length": row.length,
        "framework": row.framework,
        "method": cell.method,
        "status": record.status,
        "seconds_per_100_sequences": cell.seconds,
        "ratio": cell.ratio,
        "paper_seconds_per_100_sequences": in_paper and in_paper.seconds_per_100_sequences[cell.method],
        "paper_ratio_to_fastism": in_paper.ratio_to_fastism(cell.method)
        if in_paper and cell.method != paper.REFERENCE
        else None,
        "scaled": record.scaled if record.status == "ok" else None,
        "measured_fraction": record.measured_fraction,
        "rounds": len(record.durations) or None,
        "spread": record.spread,
        "batch_size": record.batch_size,
        "device": record.device,
        "threads": record.threads,
        "peak_memory_bytes": record.peak_memory_bytes,
        "check_passed": check and check.passed,
        "largest_difference": check and check.largest_difference,
        "convergence_delta": check and check.convergence_delta,
        "error": record.error,
    }


def markdown_line(cells: Iterable[str]) -> str:
    """Return the line of a table."""
    return f"| {' | '.join(cells)} |"
