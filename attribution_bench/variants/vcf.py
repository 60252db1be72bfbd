"""VCF and BCF files as records, one after the other."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from attribution_bench.errors import SequenceError
from attribution_bench.sequences.htslib import check_installed, quiet

if TYPE_CHECKING:
    import pysam

STDIN = "-"
INDEXES = (".tbi", ".csi")
READING_ERRORS = (OSError, ValueError, NotImplementedError, TypeError)
"""What pysam raises on files that it cannot read; a TypeError where it cannot name an open file in its own message."""


class VcfFile:
    """An open VCF or BCF file, plain, bgzip or gzip, or standard input (``-``).

    Parameters
    ----------
    path
        The file.
    chromosome
        Only the records of this contig: found by the file's index where there is one, or else by reading all of it.
    samples
        Whether the records' samples are read; without them records take less time.

    Raises
    ------
    SequenceError
        The file cannot be read, or is none.
    MissingDependencyError
        pysam is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], *, chromosome: str | None = None, samples: bool = False) -> None:
        check_installed("a VCF file")
        import pysam

        self._path, self._chromosome = os.fspath(path), chromosome
        self.name = "standard input" if self._path == STDIN else self._path
        indexed = chromosome is not None and any(os.path.exists(self._path + suffix) for suffix in INDEXES)
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(quiet())
        try:
            source: str | BinaryIO = self._path
            if not indexed and self._path != STDIN:
                # pysam reads gzip that is not bgzip from an open file only.
                source = self._stack.enter_context(Path(self._path).open("rb"))  # noqa: SIM115 - the stack closes it
            self._file = self._stack.enter_context(pysam.VariantFile(source, drop_samples=not samples))
        except READING_ERRORS as error:
            self._stack.close()
            reason = (isinstance(error, OSError) and error.strerror) or "it is no VCF file, or damaged"
            raise SequenceError(
                f"cannot read {self.name}: {reason}; give a VCF or BCF file with its header, plain or compressed"
            ) from error
        self._indexed = indexed

    def __enter__(self) -> "VcfFile":
        return self

    def __exit__(self, *error: object) -> None:
        # What pysam finds wrong here was found at the last record, or an error is on its way already.
        with contextlib.suppress(*READING_ERRORS):
            self._stack.close()

    @property
    def header(self) -> str:
        """Header of the file as text, with ends of lines; raises SequenceError where it is not UTF-8."""
        return self._text(self._file.header, "its header")

    def line(self, record: "pysam.VariantRecord") -> str:
        """Return a record as a line of a VCF file, with its end; raises SequenceError where it is not UTF-8."""
        return self._text(record, f"the record {record.contig}:{record.pos}")

    def _text(self, part: object, name: str) -> str:
        try:
            return str(part)
        except ValueError as error:
            raise SequenceError(f"{self.name}: {name} is not UTF-8 text; save the file as UTF-8") from error

    def records(self) -> "Iterator[pysam.VariantRecord]":
        """Yield the records, in the order of the file.

        Raises
        ------
        SequenceError
            A record is none, or the file ends within one; the message names the last one that could be read.
        """
        before = "its header"
        records = self._records()
        while True:
            try:
                record = next(records, None)
                if record is None:
                    # What is wrong with the end of a file, such as a checksum, is found when it is closed.
                    self._file.close()
                    return
                before = f"{record.contig}:{record.pos}"
                # Text that is not UTF-8 is found here.
                _ = record.alts, record.id, record.ref
            except READING_ERRORS as error:
                raise SequenceError(
                    f"{self.name} cannot be read after {before}: {error}; the file is cut off, or the next line is no "
                    "record"
                ) from error
            if self._chromosome in (None, record.contig):
                yield record

    def _records(self) -> "Iterator[pysam.VariantRecord]":
        if not self._indexed:
            return iter(self._file)
        try:
            return self._file.fetch(self._chromosome)
        except ValueError:  # The index has no records of that contig.
            return iter(())
