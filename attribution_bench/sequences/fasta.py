"""Sequences read from a FASTA file."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import SequenceError
from attribution_bench.files import write_whole
from attribution_bench.sequences.alphabet import DNA, Alphabet
from attribution_bench.sequences.fasta_records import FastaRecord, fasta_records
from attribution_bench.sequences.interval import Interval
from attribution_bench.sequences.text_files import quoted, unreadable

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
    for number, record in enumerate(fasta_records(path), 1):
        _check(record, number, path, alphabet)
        names.append(record.name)
        strings.append(record.letters)
        if len(record.letters) != len(strings[0]):
            raise SequenceError(
                f"record {number} ({record.name}) of {path} has {len(record.letters)} letters, but the first one "
                f"({names[0]}) has {len(strings[0])}; sequences must have one length: crop them, or pad them with "
                f"{alphabet.unknown[0]}"
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


def _check(record: FastaRecord, number: int, path: Path, alphabet: Alphabet) -> None:
    """Raise SequenceError where a record's name is no text, or a letter is not in the alphabet."""
    if unreadable(record.name):
        raise SequenceError(f"{record.where}: the name {quoted(record.name)} is not UTF-8 text; save the file as UTF-8")
    where = f"record {number} ({record.name}) of {path}"
    known = set(alphabet.letters + alphabet.unknown)
    if not record.letters:
        raise SequenceError(f"{where} has no letters; remove it or add its sequence")
    if known.issuperset(record.letters):
        return
    place, letter = next((place, letter) for place, letter in enumerate(record.letters) if letter not in known)
    if unreadable(letter):
        raise SequenceError(f"{where} is not text; give a FASTA file, plain or gzipped")
    raise SequenceError(
        f"{where} holds {letter!r} at position {place} (0-based), which is not in the {alphabet.name} alphabet "
        f"({alphabet.letters}); write unknown letters as {alphabet.unknown[0]}"
    )
