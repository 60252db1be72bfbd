"""Tables of a terminal: at every width each word is there whole, and nothing is wider than the terminal."""

import io
import re

import pytest
from rich.console import Console

from attribution_bench.reporting.terminal_tables import Column, TerminalLine, TerminalTable

NAMES = ("stem.0: conv1d", "add", "encoder.blocks.11.attention.query_projection: linear_47", "x" * 90)
COLUMNS = (Column("layer", right=False), *map(Column, ("positions reached", "MMAC standard", "MMAC fast", "kB")))
LINES = tuple(TerminalLine((name, "1000 of 2000", "12.3", "0.307", "[red]6.91")) for name in NAMES)


def printed(table: TerminalTable, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, markup=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120, 300])
def test_words_are_whole_at_every_width(width: int) -> None:
    text = printed(TerminalTable(COLUMNS, LINES), width)
    assert max(map(len, text.splitlines())) <= width
    words = {word for column in COLUMNS for word in column.heading.split()} | {
        "1000",
        "of",
        "2000",
        "12.3",
        "[red]6.91",
    }
    assert words <= set(text.split())


@pytest.mark.parametrize("width", [24, 40, 80, 300])
def test_long_names_break_at_their_joints_and_lose_nothing(width: int) -> None:
    table = TerminalTable((COLUMNS[0],), tuple(TerminalLine(line.cells[:1]) for line in LINES), keys=0)
    lines = [line.strip() for line in printed(table, width).splitlines()]
    assert re.sub(r"\s|─", "", "".join(lines)) == "layer" + re.sub(r"\s", "", "".join(NAMES))
    name = NAMES[2]
    parts = [line for line in lines if line and line in name]
    assert all(part == name or part[-1] in "._:" or name.endswith(part) or name[name.index(part) :][len(part)] in " ._:"
               for part in parts)  # fmt: skip


def test_figures_stay_on_one_line_while_names_break() -> None:
    text = printed(TerminalTable(COLUMNS, LINES), 70)
    assert text.count("1000 of 2000") == len(LINES)


def test_columns_that_do_not_fit_go_on_below_with_the_first_ones() -> None:
    columns = (Column("mean of", right=False), *(Column(f"method_number_{number}") for number in range(9)))
    lines = (TerminalLine(("Pearson", *(f"0.{number}" for number in range(9)))),)
    text = printed(TerminalTable(columns, lines, "A title"), 60)
    assert text.startswith("A title")
    assert text.count("A title") == 1
    assert text.count("Pearson") == text.count("mean of") == 3
    for number in range(9):
        assert len(re.findall(rf"\bmethod_number_{number}\b", text)) == 1
        assert len(re.findall(rf"\b0\.{number}\b", text)) == 1


def test_a_table_of_keys_alone_and_one_of_no_lines_are_drawn() -> None:
    assert "model" in printed(TerminalTable((Column("model"),), ()), 40)
    assert printed(TerminalTable((Column("a"), Column("b")), (TerminalLine(("1", "2")),)), 40).split()[-2:] == [
        "1",
        "2",
    ]
