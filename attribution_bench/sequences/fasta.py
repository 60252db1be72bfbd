"""Sequences read from a FASTA file."""

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import SequenceError
from attribution_bench.files import write_whole
from attribution_bench.sequences.alphabet import DNA, Alphabet
from attribution_bench.sequences.interval import Interval

GZIP_MAGIC = b"\x1f\x8b"


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

    A sequence's name is the first word of its header.

    Raises
    ------
    SequenceError
        The file is missing, empty or no FASTA text, or holds a record without letters, a letter outside the alphabet,
        or sequences of several lengths.
    """
    path = Path(path)
    records = list(_records(_text(path), path))
    if not records:
        raise SequenceError(f"{path} is empty; give a FASTA file with at least one sequence")
    table = {ord(letter) for letter in alphabet.letters + alphabet.unknown}
    (first_name, first), *_ = records
    for number, (name, letters) in enumerate(records, 1):
        record = f"record {number} ({name}) of {path}"
        if not letters:
            raise SequenceError(f"{record} has no letters; remove it or add its sequence")
        for position, letter in enumerate(letters if set(map(ord, letters)) - table else ""):
            if ord(letter) not in table:
                raise SequenceError(
                    f"{record} holds {letter!r} at position {position} (0-based), which is not in the {alphabet.name} "
                    f"alphabet ({alphabet.letters}); write unknown letters as {alphabet.unknown[0]}"
                )
        if len(letters) != len(first):
            raise SequenceError(
                f"{record} has {len(letters)} letters, but the first one ({first_name}) has {len(first)}; sequences "
                f"must have one length: crop them, or pad them with {alphabet.unknown[0]}"
            )
    names, strings = zip(*records, strict=True)
    return Sequences(names, strings, f"{path.name} ({len(records)} sequences of {len(first)} letters)", alphabet)


def write_fasta(path: str | os.PathLike[str], sequences: Sequences) -> Path:
    """Write sequences as FASTA, a line each, whole or not at all; returns the path.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    records = zip(sequences.names, sequences.strings, strict=True)
    return write_whole(Path(path), "".join(f">{name}\n{letters}\n" for name, letters in records))


def _text(path: Path) -> str:
    """Return the whole file as text; gzip is known by its first bytes, not by the file's name."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SequenceError(f"cannot read {path}: {error.strerror or error}; give the path of a FASTA file") from error
    try:
        data = gzip.decompress(data) if data.startswith(GZIP_MAGIC) else data
    except (OSError, EOFError, zlib.error) as error:
        raise SequenceError(f"{path} is a damaged gzip file ({error}); fetch or compress it again") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SequenceError(f"{path} is not text; give a FASTA file, plain or gzipped") from error


def _records(text: str, path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the upper-case letters of each record."""
    name: str | None = None
    parts: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith(">"):
            if name is not None:
                yield name, "".join(parts)
            words = line[1:].split()
            if not words:
                raise SequenceError(f"line {number} of {path} is a header without a name; write one after '>'")
            name, parts = words[0], []
        elif line and name is None:
            raise SequenceError(f"line {number} of {path} comes before any header; a FASTA record starts with '>name'")
        elif line:
            parts.append("".join(line.split()).upper())
    if name is not None:
        yield name, "".join(parts)
