"""Genomes: the contigs of an indexed FASTA file, read a stretch at a time."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType

from attribution_bench.errors import SequenceError
from attribution_bench.sequences.fasta_index import fasta_index
from attribution_bench.sequences.htslib import check_installed, quiet

UNKNOWN = "N"
BASES = str.maketrans({**dict.fromkeys("RYSWKMBDHVX", UNKNOWN), "U": "T"})
"""What letters of the IUPAC code become: those that stand for several bases are unknown to models."""
DNA_LETTERS = re.compile("[ACGTN]*")
OTHER_NAMES = {"M": "MT", "MT": "M"}


class Genome:
    """Contigs of a FASTA file, plain or compressed with bgzip, of any size: only what is asked for is read.

    Positions are 0-based and ranges half-open. Letters come in upper case, and those that stand for several bases
    (R, Y ...) as N, U as T. Contigs go by the names that the file gives them: ``chr1`` is not ``1``.

    Parameters
    ----------
    path
        The file. Its index (``.fai``, and ``.gzi`` for bgzip) is made beside it where it is missing, or in the user's
        cache folder where that folder cannot be written.

    Raises
    ------
    SequenceError
        The file cannot be read or indexed.
    OutputError
        The index cannot be written.
    MissingDependencyError
        pysam is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_installed("a genome in a FASTA file")
        import pysam

        self.path = Path(path)
        index = fasta_index(self.path)
        try:
            with quiet():
                self._fasta = pysam.FastaFile(
                    str(self.path),
                    filepath_index=str(index.fai),
                    filepath_index_compressed=None if index.gzi is None else str(index.gzi),
                )
        except (OSError, ValueError) as error:
            raise SequenceError(
                f"{self.path} cannot be read with its index {index.fai} ({error}); remove the index"
            ) from error
        self.contigs: Mapping[str, int] = MappingProxyType(
            dict(zip(self._fasta.references, self._fasta.lengths, strict=True))
        )
        """Name -> number of letters, in the order of the file."""

    def __enter__(self) -> "Genome":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[type["Genome"], tuple[Path]]:
        """Let another process open the same file."""
        return Genome, (self.path.absolute(),)

    def __repr__(self) -> str:
        return f"Genome({str(self.path)!r}: {len(self.contigs)} contigs, {sum(self.contigs.values())} letters)"

    def close(self) -> None:
        """Close the file."""
        self._fasta.close()

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, which are read through.

        Raises
        ------
        SequenceError
            The file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SequenceError(f"cannot read {self.path}: {error.strerror or error}") from error

    def length(self, contig: str) -> int:
        """Return the number of letters of a contig.

        Raises
        ------
        SequenceError
            The genome has no such contig; the message names the one that is probably meant.
        """
        if contig not in self.contigs:
            raise SequenceError(self.without(contig))
        return self.contigs[contig]

    def without(self, contig: str) -> str:
        """Say that the genome has no contig of a name, and which it has instead."""
        bare = contig.removeprefix("chr")
        spellings = {name for base in (bare, OTHER_NAMES.get(bare, bare)) for name in (base, f"chr{base}")}
        found = [name for name in self.contigs if name in spellings]
        if found:
            return f"contig {contig!r} is not in {self.path.name}, which has {found[0]!r}; use one name for both"
        first = ", ".join(list(self.contigs)[:3])
        return f"contig {contig!r} is not in {self.path.name}, which has {first}{' ...' * (len(self.contigs) > 3)}"

    def fetch(self, contig: str, start: int, end: int) -> str:
        """Return the letters of a stretch.

        Raises
        ------
        SequenceError
            The genome has no such contig, the stretch reaches beyond it, or the file does not hold letters there.
        """
        length = self.length(contig)
        if not 0 <= start <= end <= length:
            raise SequenceError(f"{start} to {end} is not within contig {contig!r}, which has {length} letters")
        if start == end:
            return ""
        try:
            letters = self._fasta.fetch(contig, start, end)
        except (OSError, ValueError) as error:
            raise SequenceError(f"{self.path} cannot be read at {contig}:{start}-{end}: {error}") from error
        letters = letters.upper().translate(BASES)
        if len(letters) != end - start or not DNA_LETTERS.fullmatch(letters):
            raise SequenceError(
                f"{self.path} does not hold {end - start} letters of DNA at {contig}:{start}-{end}; if its index is "
                "older than the file, remove the index"
            )
        return letters

    def fetch_padded(self, contig: str, start: int, end: int) -> str:
        """Return the letters of a stretch that may reach beyond its contig, where they are N; raises as `fetch`."""
        length = self.length(contig)
        first, last = (min(max(place, 0), length) for place in (start, end))
        before = min(max(0, -start), end - start)
        inside = self.fetch(contig, first, last)
        return UNKNOWN * before + inside + UNKNOWN * (end - start - before - len(inside))
