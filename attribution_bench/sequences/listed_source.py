"""Sequences in memory as a source, for jobs over what is there already."""

import hashlib
from collections.abc import Mapping
from typing import Any

from attribution_bench.sequences.fasta import Sequences
from attribution_bench.sequences.source import SourceRecord


class ListedSource:
    """Named sequences, as `attribution_bench.sequences.read_fasta` and `lambda_windows` return them."""

    def __init__(self, sequences: Sequences) -> None:
        self._sequences = sequences
        self.alphabet, self.length, self.label = sequences.alphabet, sequences.length, sequences.source

    @property
    def description(self) -> Mapping[str, Any]:
        """What decides the records; see `SequenceSource`."""
        names = hashlib.sha256("\n".join(self._sequences.names).encode("utf-8", "surrogateescape")).hexdigest()
        return {
            "kind": "list",
            "sha256 of letters": self._sequences.sha256,
            "sha256 of names": names,
            "records": len(self),
            "length": self.length,
            "alphabet": self.alphabet.letters,
        }

    def __len__(self) -> int:
        return len(self._sequences)

    def read(self, start: int, stop: int) -> list[SourceRecord]:
        """Return the records [start, stop); see `SequenceSource.read`."""
        return [self._record(index) for index in range(start, stop)]

    def _record(self, index: int) -> SourceRecord:
        name, letters = self._sequences.names[index], self._sequences.strings[index]
        if self._sequences.intervals is None:
            return SourceRecord(name, letters)
        place = self._sequences.intervals[index]
        return SourceRecord(name, letters, place.chromosome, place.start, place.end, place.strand)
