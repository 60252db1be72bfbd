"""Summits of narrowPeak files, and files that have them without being named so."""

import os
from collections.abc import Iterable, Iterator

from attribution_bench.sequences.bed import NUMBER, POSITION, BedLine

SUMMIT_COLUMN = 10
"""The last one."""
SUFFIXES = (".narrowpeak", ".narrowpeak.gz")


def is_named_narrow_peak(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file's name says that it is narrowPeak."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def summit_of(line: BedLine) -> int | None:
    """Return the position of a line's summit on its contig; None where none was called (-1).

    Raises
    ------
    SequenceError
        The tenth column is absent or no whole number.
    """
    offset = line.whole_number(SUMMIT_COLUMN, "summit")
    return None if offset < 0 else line.start + offset


class SummitsPassedOver:
    """What is lost where windows lie about the centres of regions in a file of no telling name.

    Lines pass through `watched`; afterwards `words` says so if every one of them is of the form of narrowPeak.
    """

    def __init__(self) -> None:
        self._lines, self._elsewhere, self._narrow = 0, 0, True

    def watched(self, lines: Iterable[BedLine]) -> Iterator[BedLine]:
        """Yield the lines as they are, having looked at each."""
        for line in lines:
            self._lines += 1
            self._narrow = self._narrow and _is_narrow_peak(line)
            summit = summit_of(line) if self._narrow else None
            self._elsewhere += summit is not None and summit != (line.start + line.end) // 2
            yield line

    def words(self, name: str) -> tuple[str, ...]:
        """Return in words what the lines of a file had that was passed over; nothing where they had nothing."""
        if not self._narrow or not self._elsewhere:
            return ()
        return (
            f"{name} has the ten columns of narrowPeak, but windows lie about the regions' centres, and "
            f"{self._elsewhere:,} of {self._lines:,} summits elsewhere. Give the anchor summit (--anchor summit) for "
            "windows about summits, or centre where centres are meant",
        )


def _is_narrow_peak(line: BedLine) -> bool:
    """Tell whether a line has narrowPeak's ten columns: numbers from the seventh on, the last a place within it."""
    *numbers, offset = line.columns[3:] or ("",)
    return (
        len(line.columns) == SUMMIT_COLUMN - 3
        and all(NUMBER.fullmatch(text.strip(" ")) for text in numbers)
        and (offset == "-1" or (POSITION.fullmatch(offset) is not None and int(offset) < line.end - line.start))
    )
