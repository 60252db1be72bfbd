"""FASTA files as a source of sequences: read as a stream, plain, gzip or bgzip."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attribution_bench.errors import SequenceError
from attribution_bench.sequences.alphabet import DNA, Alphabet
from attribution_bench.sequences.fasta_records import FastaRecord, fasta_records
from attribution_bench.sequences.source import Reason, SourceRecord
from attribution_bench.sequences.text_files import quoted, readable


class FastaSource:
    """The records of a FASTA file, of which memory holds one stretch at a time.

    Letters may be of either case and wrapped at any width; a sequence's name is the first word of its header. A record
    without letters, with a letter outside the alphabet, or of another length is set aside.

    Parameters
    ----------
    path
        The file; gzip and bgzip are known by its first bytes.
    alphabet
        Alphabet of the letters.
    length
        Letters of the sequences to keep; those of the first record by default.

    Raises
    ------
    SequenceError
        The file is missing, damaged or no FASTA text, or holds no record with letters.
    """

    def __init__(self, path: str | os.PathLike[str], alphabet: Alphabet = DNA, length: int | None = None) -> None:
        self.path, self.alphabet = Path(path), alphabet
        self._table = frozenset(alphabet.letters + alphabet.unknown)
        self._stream: Iterator[FastaRecord] | None = None
        self._position = 0
        """Index of the record that the stream yields next."""
        digest = hashlib.sha256()
        first, count = 0, 0
        for record in fasta_records(self.path):
            first, count = first or len(record.letters), count + 1
            digest.update(f">{record.name}\n{record.letters}\n".encode("utf-8", "surrogateescape"))
        if not first:
            holds = "holds no record with letters" if count else "is empty"
            raise SequenceError(f"{self.path} {holds}; give a FASTA file with at least one sequence")
        self.length = length or first
        self._count = count
        # Of names and letters, so that a file that is wrapped or compressed anew is the same source.
        self._digest = digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: it opens the same file, and starts at its beginning."""
        return {**self.__dict__, "path": self.path.absolute(), "_stream": None, "_position": 0}

    @property
    def description(self) -> Mapping[str, Any]:
        """What decides the records; see `SequenceSource`."""
        return {
            "kind": "FASTA",
            "sha256 of names and letters": self._digest,
            "records": self._count,
            "length": self.length,
            "alphabet": self.alphabet.letters,
        }

    @property
    def label(self) -> str:
        """Origin of the sequences, in words for a report."""
        return f"{self.path.name} ({self._count} sequences of {self.length} letters)"

    def __len__(self) -> int:
        return self._count

    def read(self, start: int, stop: int) -> list[SourceRecord]:
        """Return the records [start, stop); see `SequenceSource.read`."""
        if self._stream is None or start < self._position or self._position == 0:
            self._stream, self._position = fasta_records(self.path), 0
        found: list[SourceRecord] = []
        while self._position < stop:
            entry = next(self._stream, None)
            if entry is None:
                raise SequenceError(f"{self.path} has changed: it had {self._count} records, now {self._position}")
            if self._position >= start:
                found.append(self._record(readable(entry.name), entry.letters))
            self._position += 1
        return found

    def _record(self, name: str, letters: str) -> SourceRecord:
        if not letters:
            return SourceRecord(name, None, reason=Reason.EMPTY)
        if len(letters) != self.length:
            detail = f"{len(letters)} letters, not {self.length}"
            return SourceRecord(name, None, reason=Reason.OTHER_LENGTH, detail=detail)
        if not self._table.issuperset(letters):
            position = next(i for i, letter in enumerate(letters) if letter not in self._table)
            detail = f"{quoted(letters[position])} at position {position}"
            return SourceRecord(name, None, reason=Reason.OTHER_LETTERS, detail=detail)
        return SourceRecord(name, letters)
