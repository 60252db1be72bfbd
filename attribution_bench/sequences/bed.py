"""Lines of BED files (BED3 and more columns, narrowPeak too)."""

import math
import os
import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from attribution_bench.errors import SequenceError
from attribution_bench.sequences.interval import STRANDS, Strand
from attribution_bench.sequences.text_files import quoted, readable, text_lines, unreadable

KIND = "BED file"
LONGEST_LINE = 2**22
"""Characters of a line; one of BED12 with ten thousand blocks has fewer than 200,000."""
HEADERS = ("track", "browser")
"""First words of the lines that tell a genome browser how to draw what follows."""
POSITION = re.compile(r"[0-9]{1,18}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class BedLine:
    """One feature of a BED file: 0-based and half-open, with the columns that were given."""

    where: str
    """Line and file, as messages name them: ``line 3 of peaks.bed``."""
    chromosome: str
    start: int
    end: int
    """Equal to the start where the feature has no letters, as that of an insertion; less where the file is wrong."""
    columns: tuple[str, ...] = ()
    """Columns from the fourth on, as they stand in the file."""

    @property
    def name(self) -> str | None:
        """Name of the feature (column 4); None where it is absent, empty or a dot."""
        return self._given(3)

    @property
    def score(self) -> float | None:
        """Score of the feature (column 5), a finite number; None where it is absent, empty or a dot.

        Raises
        ------
        SequenceError
            The column is no number.
        """
        text = self._given(4)
        if text is None:
            return None
        if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            raise SequenceError(
                f"{self.where} is no BED line: its score must be a finite number or a dot, not {quoted(text)}"
            )
        return float(text)

    @property
    def strand(self) -> Strand:
        """Strand of the feature (column 6); a dot where it is absent or empty.

        Raises
        ------
        SequenceError
            The column is none of ``+``, ``-`` and ``.``.
        """
        text = self._given(5) or "."
        for strand in STRANDS:
            if strand == text:
                return strand
        raise SequenceError(f"{self.where}: the strand must be +, - or ., not {quoted(text)}")

    def whole_number(self, column: int, meaning: str) -> int:
        """Return a column that must hold a whole number; columns count from 1, as the specification's do.

        The summit of a narrowPeak is ``line.whole_number(10, "summit")``, -1 where none was called.

        Raises
        ------
        SequenceError
            The column is absent or no whole number.
        """
        text = self._given(column - 1)
        if text is None or not POSITION.fullmatch(text.removeprefix("-")):
            raise SequenceError(f"{self.where} needs a whole number as {meaning} (column {column}), not {text!r}")
        return int(text)

    def _given(self, index: int) -> str | None:
        text = self.columns[index - 3].strip(" ") if index - 3 < len(self.columns) else ""
        return None if text in ("", ".") else text


def read_bed(path: str | os.PathLike[str], names: Container[str] = ()) -> Iterator[BedLine]:
    """Yield the features of a BED file, plain or gzipped, as they are read.

    Parameters
    ----------
    path
        The file.
    names
        Names of sequences that are known, as in `bed_lines`.

    Raises
    ------
    SequenceError
        As `text_lines` and `bed_lines`.
    """
    return bed_lines(text_lines(path, KIND, longest_line=LONGEST_LINE), os.fspath(path), names)


def bed_lines(lines: Iterable[str], source: str, names: Container[str] = ()) -> Iterator[BedLine]:
    """Yield the features among lines of text; comments, blank lines and lines for a genome browser are passed over.

    A comment begins with ``#``; a line for a browser has ``track`` or ``browser`` as its whole first word and no
    numbers as the second and third. Columns stand between tabs, or between blanks where there are no tabs.

    Parameters
    ----------
    lines
        Lines without their ends, such as those of `text_lines`.
    source
        What messages call the file.
    names
        Names of sequences that are known: a line with numbers whose first column is one of them is a feature even
        where it begins with ``#``.

    Raises
    ------
    SequenceError
        A line is no feature; the message names the line and the file.
    """
    for number, line in enumerate(lines, 1):
        columns = _columns(line)
        if not columns:
            continue
        if line.startswith("#") and not (columns[0] in names and _has_numbers(line)):
            continue
        if columns[0] in HEADERS and not _has_numbers(line):
            continue
        yield _feature(line, columns, f"line {number} of {source}")


def _columns(line: str) -> list[str]:
    """Split a line at tabs, or at blanks where that leaves fewer than three columns; a blank line has none."""
    columns = line.split("\t")
    if len(columns) < 3:
        return [column for column in re.split(r"[ \t]+", line) if column]
    columns[:3] = (column.strip(" ") for column in columns[:3])
    return columns if any(column.strip(" ") for column in columns) else []


def _has_numbers(line: str) -> bool:
    """Whether two numbers follow a line's first word; those that are no positions are refused, not passed over."""
    words = line.split()
    return len(words) > 2 and all(NUMBER.fullmatch(word) for word in words[1:3])


def _feature(line: str, columns: list[str], where: str) -> BedLine:
    if len(columns) < 3:
        raise SequenceError(f"{where} is no BED line (chromosome, start, end): {quoted(line)}")
    chromosome = columns[0]
    if not chromosome:
        raise SequenceError(f"{where} is no BED line: its first column, the chromosome, is empty")
    if unreadable(chromosome):
        raise SequenceError(f"{where}: the chromosome {quoted(chromosome)} is not UTF-8 text; save the file as UTF-8")
    for meaning, text in zip(("start", "end"), columns[1:3], strict=True):
        if not POSITION.fullmatch(text):
            raise SequenceError(
                f"{where} is no BED line: its {meaning} must be a whole number from 0, not {quoted(text)}"
            )
    further = tuple(readable(column) for column in columns[3:])
    return BedLine(where, chromosome, int(columns[1]), int(columns[2]), further)
