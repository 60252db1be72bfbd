"""CSV that a spreadsheet reads as what it is: numbers stay numbers, and no text of a file becomes a formula."""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of what a spreadsheet may compute, the signs of full width too; an end of line may hide one."""


def csv_text(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    r"""Write a header and lines of cells as CSV with full precision; None becomes an empty cell.

    A text that a spreadsheet may take for a formula gets an apostrophe in front, by which it shows as text. A carriage
    return becomes the two characters ``\r``: some readers end a line there even within quotes.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([_cell(value) for value in line] for line in (header, *lines))
    return file.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.replace("\r", r"\r")
    return f"'{text}" if value.lstrip(" ").startswith(FORMULA) else text
