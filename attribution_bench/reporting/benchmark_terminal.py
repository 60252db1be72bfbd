"""What a terminal shows of a benchmark: whether the paper is reproduced, the table, its footnotes, and where it ran."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attribution_bench.benchmark.results import Record
from attribution_bench.reporting.benchmark_tables import HEADER, PAPER, table_lines
from attribution_bench.reporting.comparison import compare, mark
from attribution_bench.reporting.conditions import setup_sentence
from attribution_bench.reporting.terminal_tables import Column, TerminalLine, TerminalTable
from attribution_bench.reporting.verdict import verdict_lines

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal_table(records: Sequence[Record]) -> "RenderableType":
    """Return what is reproduced, the table, its footnotes and where it was measured, for ``rich``; raises as `compare`.

    Where no record is of the paper's table there is nothing to say of reproducing it.
    """
    from rich.console import Group
    from rich.text import Text

    comparison = compare(records)
    relative_to = comparison.relative_to
    columns = [Column(name, right=name == "Length") for name in HEADER]
    columns += [Column(heading) for heading in comparison.headings]
    lines = []
    for line in table_lines(comparison):
        figures = (text + (f" [{marks}]" if marks else "") for text, marks in line.figures)
        cells = (line.architecture, line.length, line.source, *figures)
        lines.append(TerminalLine(cells, line.first, "dim" if line.source == PAPER else ""))
    title = "Seconds per 100 sequences" + (f" (times {relative_to}'s)" if relative_to else "")
    table = TerminalTable(tuple(columns), tuple(lines), title, keys=len(HEADER))
    notes = [Text(f"[{mark(index)}] {note}", style="dim") for index, note in enumerate(comparison.notes)]
    verdict = [Text(line) for line in verdict_lines(comparison)]
    return Group(*verdict, *[Text()] * bool(verdict), table, Text(), *notes, Text(setup_sentence(records)))
