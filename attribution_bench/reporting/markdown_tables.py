"""Tables of the engine's page in Markdown, their cells escaped and aligned by what their columns hold."""

from collections.abc import Iterable, Sequence

from attribution_bench.reporting.benchmark_tables import markdown_text

OF_WORDS = ("Method", "Model", "Framework", "Heaviest steps", "Request", "Worst request", "Beside")
"""Columns that hold words; all others hold numbers, and are set to the right."""


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table with a line for each of `lines`, which have a cell for each column of the header."""
    rule = ["---" if name in OF_WORDS else "---:" for name in header]
    rows = [header, *lines]
    text = [f"| {' | '.join(map(markdown_text, row))} |" for row in rows]
    return "\n".join([text[0], f"| {' | '.join(rule)} |", *text[1:]])
