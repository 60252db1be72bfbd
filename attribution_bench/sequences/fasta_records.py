"""Records of FASTA files, as they are read: the one parser, whatever becomes of them."""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attribution_bench.errors import SequenceError
from attribution_bench.sequences.text_files import text_lines

KIND = "FASTA file"
BLANKS = " \t\v\f"
"""Characters that end a name, and may stand around a line."""
WITHOUT_BLANKS = str.maketrans("", "", " \t")
CAPITALS = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
"""No other letters have capitals here: that of the dotless i, for one, is an amino acid."""


@dataclass(frozen=True)
class FastaRecord:
    """One record of a FASTA file; bytes of it that are not UTF-8 are surrogates, as in `text_lines`."""

    name: str
    """The first word of the header."""
    letters: str
    """In upper case, without blanks and tabs; whatever else stands there, and possibly nothing."""
    where: str
    """Line of the header and the file, as messages name them."""


def fasta_records(path: Path) -> Iterator[FastaRecord]:
    """Yield the records of a FASTA file, plain or compressed, wrapped at any width.

    Raises
    ------
    SequenceError
        The file cannot be read, is damaged or no FASTA text, or exceeds a bound of `text_lines`.
    """
    name, header, parts = "", "", list[str]()
    for number, line in enumerate(text_lines(path, KIND), 1):
        text = line.strip(BLANKS)
        where = f"line {number} of {path}"
        if text.startswith(">"):
            if header:
                yield FastaRecord(name, "".join(parts), header)
            name, header, parts = _name(text, where), where, []
        elif text and not header:
            raise SequenceError(f"{where} comes before any header; a FASTA record starts with '>name'")
        elif text:
            parts.append(_capitals(text.translate(WITHOUT_BLANKS)))
    if header:
        yield FastaRecord(name, "".join(parts), header)


def _capitals(letters: str) -> str:
    return letters.upper() if letters.isascii() else letters.translate(CAPITALS)


def _name(header: str, where: str) -> str:
    """Return the first word of a header."""
    word = re.split(f"[{BLANKS}]", header[1:].lstrip(BLANKS), maxsplit=1)[0]
    if not word:
        raise SequenceError(f"{where} is a header without a name; write one after '>'")
    return word
