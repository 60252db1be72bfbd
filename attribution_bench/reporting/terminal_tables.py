"""Tables for a terminal of any width, in which no word is cut: columns that do not fit go on in a table below."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table
    from rich.text import Text

    Content = str | Text

GAP = 2
"""Blanks between two columns."""
NARROWEST = 12
"""Characters that a column may take however narrow the terminal is."""
JOINTS = re.compile(r"(?<=[._/:-])")
"""Where a name such as ``tower.0.conv1d_1`` may be broken, if it is wider than its column."""


@dataclass(frozen=True)
class Column:
    """A column's heading, and the side on which its cells stand."""

    heading: str
    right: bool = True


@dataclass(frozen=True)
class TerminalLine:
    """One line of cells."""

    cells: "tuple[Content, ...]"
    first: bool = False
    """Whether a rule is drawn above it."""
    style: str = ""


@dataclass(frozen=True)
class TerminalTable:
    """A table whose cells break between words alone.

    Where the columns do not fit beside each other, each one as wide as its longest word, the rest go on in a further
    table, which repeats the first ones. A word that is wider than a third of the terminal, such as the name of a layer,
    breaks after a dot or an underscore.
    """

    columns: tuple[Column, ...]
    lines: tuple[TerminalLine, ...]
    title: str = ""
    keys: int = 1
    """How many of the first columns say what a line is about."""

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Table]":
        limit = max(NARROWEST, options.max_width // 3)
        contents = [
            [broken(content, limit) for content in (column.heading, *(line.cells[place] for line in self.lines))]
            for place, column in enumerate(self.columns)
        ]
        least = [max(map(widest_word, column)) for column in contents]
        of_cells = [max(map(widest_line, column[1:]), default=0) for column in contents]
        wanted = [max(map(widest_line, column)) for column in contents]
        for number, places in enumerate(parts(least, self.keys, options.max_width)):
            room = options.max_width - GAP * len(places)
            widths = [least[place] for place in places]
            for goal in (of_cells, wanted):  # a heading may break before a figure does
                widths = shared(widths, [goal[place] for place in places], room)
            yield self._table(places, widths, contents, self.title if number == 0 else "")

    def _table(
        self, places: Sequence[int], widths: Sequence[int], contents: "Sequence[Sequence[Text]]", title: str
    ) -> "Table":
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(title) if title else None, title_justify="left", box=SIMPLE_HEAD, show_edge=False,
            pad_edge=False, padding=(0, 1, 0, 0),
        )  # fmt: skip
        for place, width in zip(places, widths, strict=True):
            justify = "right" if self.columns[place].right else "left"
            table.add_column(contents[place][0], width=width, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for number, line in enumerate(self.lines, start=1):
            if line.first:
                table.add_section()
            table.add_row(*(contents[place][number] for place in places), style=line.style)
        return table


def parts(least: Sequence[int], keys: int, width: int) -> Iterator[list[int]]:
    """Yield the columns of each table by their places: the keys, and as many further ones as fit, but at least one."""
    fixed = list(range(keys))
    chosen: list[int] = []
    for place in range(keys, len(least)):
        needed = sum(least[one] + GAP for one in (*fixed, *chosen, place))
        if chosen and needed > width:
            yield [*fixed, *chosen]
            chosen = []
        chosen.append(place)
    yield [*fixed, *chosen]


def shared(widths: Sequence[int], wanted: Sequence[int], room: int) -> list[int]:
    """Return widths of columns with the room that is left, first to those that lack least of what they want.

    So figures stay on one line, and long names break.
    """
    given, spare = list(widths), max(0, room - sum(widths))
    for place in sorted(range(len(given)), key=lambda place: wanted[place] - given[place]):
        more = max(0, min(spare, wanted[place] - given[place]))
        given[place] += more
        spare -= more
    return given


def broken(content: "Content", limit: int) -> "Text":
    """Return a text in which words wider than a limit break at their joints, and elsewhere where they have none."""
    from rich.text import Text

    plain = content if isinstance(content, str) else content.plain
    pieces = [piece for word in re.split(r"(?<=\s)", plain) for piece in _pieces(word, limit)]
    style = "" if isinstance(content, str) else content.style
    return Text("".join(pieces), style=style)


def widest_word(text: "Text") -> int:
    """Return the characters of the widest word."""
    from rich.cells import cell_len

    return max(map(cell_len, text.plain.split()), default=0)


def widest_line(text: "Text") -> int:
    """Return the characters of the widest line."""
    from rich.cells import cell_len

    return max(map(cell_len, text.plain.split("\n")), default=0)


def _pieces(word: str, limit: int) -> Iterator[str]:
    """Yield a word, or its parts with an end of line between them, each within the limit."""
    line = ""
    for piece in JOINTS.split(word) if len(word.rstrip()) > limit else [word]:
        while len(line) + len(piece.rstrip()) > limit:
            if line:
                yield line + "\n"
                line = ""
            else:
                yield piece[:limit] + "\n"
                piece = piece[limit:]
        line += piece
    yield line
