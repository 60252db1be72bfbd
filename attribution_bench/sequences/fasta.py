"""Sequences read from a FASTA file."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import SequenceError
from attribution_bench.files import write_whole
from attribution_bench.sequences.alphabet import DNA, Alphabet
from attribution_bench.sequences.interval import Interval
from attribution_bench.sequences.text_files import quoted, text_lines, unreadable

BLANKS = " \t\v\f"
"""Characters that end a name, and may stand around a line."""
WITHOUT_BLANKS = str.maketrans("", "", " \t")
NAME = re.compile(r"[^ \t\v\f\r\n\0\ud800-\udfff]+")
"""Names that are read back as they were written."""


@dataclass(frozen=True)
class Sequences:
    """Named sequences of one length, and where they came from."""

    names: tuple[str, ...]
    """Names of the sequences; they may repeat."""
    strings: tuple[str, ...]
    """Sequences in upper-case letters."""
    source: str
    """Origin of the sequences, in words for a report."""
    alphabet: Alphabet = DNA
    intervals: tuple[Interval, ...] | None = None
    """Genomic interval of each sequence, where known."""

    def __len__(self) -> int:
        return len(self.strings)

    @property
    def length(self) -> int:
        """Letters in each sequence."""
        return len(self.strings[0])

    @property
    def sha256(self) -> str:
        """Digest of the letters, one sequence a line, so that it does not depend on how a file wraps or compresses."""
        return hashlib.sha256("\n".join(self.strings).encode()).hexdigest()

    def one_hot(self) -> NDArray[np.float32]:
        """Return the sequences as (N, A, L); an unknown letter is an all-zero column."""
        return self.alphabet.one_hot(self.strings)


def read_fasta(path: str | os.PathLike[str], alphabet: Alphabet = DNA) -> Sequences:
    """Read sequences of one length from a FASTA file, gzipped or not; letters of either case, wrapped at any width.

    A sequence's name is the first word of its header; what follows may be in any encoding. Blanks and tabs between
    letters are passed over.

    Raises
    ------
    SequenceError
        The file is missing, empty or no FASTA text, or holds a record without letters, a letter outside the alphabet,
        or sequences of several lengths; or it exceeds a bound of `text_lines`.
    """
    path = Path(path)
    names: list[str] = []
    strings: list[str] = []
    for name, letters in _records(path, alphabet):
        names.append(name)
        strings.append(letters)
        record = f"record {len(names)} ({name}) of {path}"
        if not letters:
            raise SequenceError(f"{record} has no letters; remove it or add its sequence")
        if len(letters) != len(strings[0]):
            raise SequenceError(
                f"{record} has {len(letters)} letters, but the first one ({names[0]}) has {len(strings[0])}; sequences "
                f"must have one length: crop them, or pad them with {alphabet.unknown[0]}"
            )
    if not names:
        raise SequenceError(f"{path} is empty; give a FASTA file with at least one sequence")
    source = f"{path.name} ({len(names)} sequences of {len(strings[0])} letters)"
    return Sequences(tuple(names), tuple(strings), source, alphabet)


def write_fasta(path: str | os.PathLike[str], sequences: Sequences) -> Path:
    """Write sequences as FASTA, a line each, whole or not at all; returns the path.

    Raises
    ------
    SequenceError
        A name is empty or holds a blank, an end of line or what is no Unicode, so that it would not be read back.
    OutputError
        The file cannot be written.
    """
    for name in sequences.names:
        if not NAME.fullmatch(name):
            raise SequenceError(f"a FASTA file cannot hold the name {quoted(name)}; give one word")
    records = zip(sequences.names, sequences.strings, strict=True)
    return write_whole(Path(path), "".join(f">{name}\n{letters}\n" for name, letters in records))


def _records(path: Path, alphabet: Alphabet) -> Iterator[tuple[str, str]]:
    """Yield the name and the upper-case letters of each record."""
    known = alphabet.letters + alphabet.unknown
    foreign = re.compile(f"[^{re.escape(known.upper() + known.lower())}]")
    count, name, parts = 0, "", list[str]()
    for number, line in enumerate(text_lines(path, "FASTA file"), 1):
        text = line.strip(BLANKS)
        where = f"line {number} of {path}"
        if text.startswith(">"):
            if count:
                yield name, "".join(parts)
            count, name, parts = count + 1, _name(text, where), []
        elif text and not count:
            raise SequenceError(f"{where} comes before any header; a FASTA record starts with '>name'")
        elif text:
            letters = text.translate(WITHOUT_BLANKS)
            if found := foreign.search(letters):
                if unreadable(found.group()):
                    raise SequenceError(f"{where} is not text; give a FASTA file, plain or gzipped")
                raise SequenceError(
                    f"record {count} ({name}) of {path} holds {found.group()!r} at position "
                    f"{sum(map(len, parts)) + found.start()} (0-based), which is not in the {alphabet.name} "
                    f"alphabet ({alphabet.letters}); write unknown letters as {alphabet.unknown[0]}"
                )
            parts.append(letters.upper())
    if count:
        yield name, "".join(parts)


def _name(header: str, where: str) -> str:
    """Return the first word of a header."""
    words = re.split(f"[{BLANKS}]", header[1:].lstrip(BLANKS), maxsplit=1)
    if not words[0]:
        raise SequenceError(f"{where} is a header without a name; write one after '>'")
    if unreadable(words[0]):
        raise SequenceError(f"{where}: the name {quoted(words[0])} is not UTF-8 text; save the file as UTF-8")
    return words[0]
