"""Indexes of FASTA files, ``.fai`` and for bgzip ``.gzi``: found, checked against the file, made where missing."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from attribution_bench.errors import OutputError, SequenceError
from attribution_bench.sequences.htslib import quiet

GZIP_MAGIC = b"\x1f\x8b"
LONGEST_HEADERS = 1 << 16
"""Bytes between the letters of two contigs beyond which the index does not describe the file."""
MTIME_TOLERANCE = 2.0
"""Seconds by which an index may seem older than its file: file systems round times, and copies shift them."""


@dataclass(frozen=True)
class FastaIndex:
    """Files that index a FASTA file."""

    fai: Path
    gzi: Path | None
    """Index of the compressed blocks; None where the FASTA file is not compressed."""


@dataclass(frozen=True)
class _Contig:
    """One line of a ``.fai`` file."""

    name: str
    length: int
    offset: int
    letters_per_line: int
    bytes_per_line: int

    @property
    def end(self) -> int:
        """Offset after the last letter; the line's end follows."""
        lines, rest = divmod(self.length, self.letters_per_line)
        if rest == 0:
            lines, rest = lines - 1, self.letters_per_line
        return self.offset + lines * self.bytes_per_line + rest


def fasta_index(path: Path) -> FastaIndex:
    """Return the index of a FASTA file, made beside it where there is none that matches.

    Where the folder cannot be written, the index is made in the user's cache folder. Other processes see it whole or
    not at all.

    Raises
    ------
    SequenceError
        The file cannot be indexed: it is missing, no FASTA, compressed with gzip instead of bgzip, has lines of uneven
        length, or a contig's name twice.
    OutputError
        The index can be written neither beside the file nor in the cache folder.
    """
    compressed = _is_compressed(path)
    beside = _named(path, path.name, path.parent, compressed)
    if _matches(path, beside):
        return beside
    if os.access(path.parent, os.W_OK):
        index = beside
    else:
        index = _named(path, _name_in_cache(path), _cache_folder(), compressed)
        if _matches(path, index):
            return index
    _make(path, index)
    if not _matches(path, index):
        raise SequenceError(
            f"{path} holds letters that its index leaves out, as those of a contig whose name occurs twice; "
            "give each contig a name of its own"
        )
    return index


def _is_compressed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == GZIP_MAGIC
    except OSError as error:
        raise SequenceError(
            f"cannot read {path}: {error.strerror or error}; give the path of a FASTA file, plain or bgzip"
        ) from error


def _named(path: Path, name: str, folder: Path, compressed: bool) -> FastaIndex:
    return FastaIndex(folder / f"{name}.fai", folder / f"{name}.gzi" if compressed else None)


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("attribution-bench") / "indexes"


def _name_in_cache(path: Path) -> str:
    """Return a name that another file, and the same file with other contents, does not have."""
    state = path.stat()
    identity = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    return f"{path.name}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _make(path: Path, index: FastaIndex) -> None:
    import pysam.utils

    try:
        index.fai.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=index.fai.parent, prefix=".index-") as folder:
            fai, gzi = Path(folder) / "fai", Path(folder) / "gzi"
            with quiet():
                pysam.faidx(str(path), "--fai-idx", str(fai), "--gzi-idx", str(gzi))
            # Readers look for the .fai file, so that the other one has to be there before it.
            if index.gzi is not None:
                os.replace(gzi, index.gzi)
            os.replace(fai, index.fai)
    except pysam.utils.SamtoolsError as error:
        remedy = "; decompress it, and compress it with bgzip" if index.gzi else ""
        raise SequenceError(
            f"{path} cannot be indexed as FASTA; it needs '>name' before each contig's letters, in lines of one "
            f"length{remedy}"
        ) from error
    except OSError as error:
        raise OutputError(
            f"cannot write the index {index.fai}: {error.strerror or error}; make it elsewhere with `samtools faidx` "
            "and put it beside the file"
        ) from error


def _matches(path: Path, index: FastaIndex) -> bool:
    """Tell whether an index is there and describes the file.

    That of a plain file is held against it: nothing but headers lies between the letters of its contigs. The letters of
    a compressed file cannot be found without the index, so that its index must not be older than it.
    """
    if not index.fai.is_file() or (index.gzi is not None and not index.gzi.is_file()):
        return False
    if index.gzi is not None:
        return index.fai.stat().st_mtime + MTIME_TOLERANCE >= path.stat().st_mtime
    try:
        contigs = [_contig(line) for line in index.fai.read_text("utf-8").split("\n") if line]
    except (OSError, ValueError):
        return False
    size, end = path.stat().st_size, 0
    with path.open("rb") as file:
        for contig in contigs:
            if _last_header(_between(file, end, contig.offset)) != contig.name:
                return False
            end = contig.end
        return bool(contigs) and end <= size and not _between(file, end, size).strip()


def _contig(line: str) -> _Contig:
    """Return a line of a ``.fai`` file; raises ValueError where it is none."""
    name, *numbers = line.split("\t")
    length, offset, letters, width = (int(number) for number in numbers)
    if length < 1 or offset < 1 or not 1 <= letters <= width:
        raise ValueError("a contig has letters, in lines that end")
    return _Contig(name, length, offset, letters, width)


def _between(file: BinaryIO, start: int, stop: int) -> bytes:
    """Return the bytes of a file from `start` to `stop`, or as many as headers may take."""
    file.seek(start)
    return file.read(min(max(0, stop - start), LONGEST_HEADERS))


def _last_header(text: bytes) -> str | None:
    """Return the name in the last of some header lines; None where there is anything else."""
    lines = text.strip().split(b"\n")
    if not all(line.startswith(b">") for line in lines):
        return None
    words = lines[-1][1:].split()
    return words[0].decode("utf-8", "replace") if words else None
