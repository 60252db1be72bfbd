"""Tracks of a genome: bigWig files as a model's further input, numbers for every letter of a window."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, MissingDependencyError, SequenceError
from attribution_bench.sequences.genome import Genome

SUFFIXES = (".bw", ".bigwig")
STRANDS = 2
"""Files of one input that stand for the strands + and -, in this order."""


class Tracks:
    """One further input of a model from bigWig files, each of which is a channel.

    A position without a value is 0, also where a file has nothing of a contig, and beyond the contig's ends.

    Parameters
    ----------
    paths
        The files. Two of them stand for the strands ``+`` and ``-``, which change places on the other strand.
    genome
        The genome that they belong to.

    Raises
    ------
    InvalidInputError
        There is no file, one cannot be read, or it belongs to another genome: it shares no contig with this one, or a
        contig has another length.
    MissingDependencyError
        pybigtools is not installed.
    """

    def __init__(self, paths: "Sequence[str | os.PathLike[str]] | str | os.PathLike[str]", genome: Genome) -> None:
        self.paths = tuple(map(Path, [paths] if isinstance(paths, str | os.PathLike) else paths))
        if not self.paths:
            raise InvalidInputError("there is no bigWig file; give at least one")
        self._genome = genome
        self._files = [_opened(path) for path in self.paths]
        self._contigs = [_contigs(path, file) for path, file in zip(self.paths, self._files, strict=True)]
        for path, contigs in zip(self.paths, self._contigs, strict=True):
            _check_genome(path, contigs, genome)

    def __reduce__(self) -> tuple[type["Tracks"], tuple[tuple[Path, ...], Genome]]:
        """Let another process open the same files."""
        return Tracks, (tuple(path.absolute() for path in self.paths), self._genome)

    @property
    def channels(self) -> int:
        """Number of files."""
        return len(self.paths)

    @property
    def digests(self) -> dict[str, str]:
        """Name of each file -> SHA-256 of its bytes; two files of one name are told apart by their numbers.

        Raises
        ------
        SequenceError
            A file cannot be read.
        """
        return {f"{number} {path.name}": _digest(path) for number, path in enumerate(self.paths)}

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader of the numbers should know: contigs of the genome that a file has nothing of."""
        found = []
        for path, contigs in zip(self.paths, self._contigs, strict=True):
            lacking = [contig for contig in self._genome.contigs if contig not in contigs]
            if lacking:
                shown = ", ".join(lacking[:3]) + f" and {len(lacking) - 3} more contigs" * (len(lacking) > 3)
                found.append(f"{path.name} has no values of {shown}: 0 there")
        return tuple(found)

    def read(self, contig: str, start: int, end: int) -> NDArray[np.float32]:
        """Return the values of a stretch that may reach beyond its contig, (channels, end - start).

        Raises
        ------
        SequenceError
            A file is damaged there.
        """
        values = np.zeros((self.channels, end - start), np.float32)
        for channel, (path, file, contigs) in enumerate(zip(self.paths, self._files, self._contigs, strict=True)):
            first, last = max(0, start), min(end, contigs.get(contig, 0))
            if first >= last:
                continue
            try:
                for begins, ends, value in file.records(contig, first, last):
                    values[channel, max(begins, first) - start : min(ends, last) - start] = value
            except Exception as error:  # errors of its Rust code come under many names
                raise SequenceError(f"{path} cannot be read at {contig}:{first}-{last}: {error}") from error
        return np.nan_to_num(values, copy=False, nan=0.0)

    def reverse_complement(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values (..., channels, positions) as they are on the other strand."""
        turned = values[..., ::-1]
        return turned[..., ::-1, :] if self.channels == STRANDS else turned


def is_track(name: str) -> bool:
    """Tell by its name whether a file is a bigWig."""
    return name.lower().endswith(SUFFIXES)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SequenceError(f"cannot read {path}: {error.strerror or error}") from error


def _opened(path: Path) -> Any:
    try:
        import pybigtools
    except ImportError as error:
        raise MissingDependencyError.of("pybigtools", "genomics", "a bigWig file") from error
    if not path.is_file():
        raise InvalidInputError(f"there is no bigWig file {path}")
    try:
        file = pybigtools.open(str(path))
    except Exception as error:  # errors of its Rust code come under many names
        raise InvalidInputError(f"{path} cannot be read as a bigWig ({error}); give a .bw file") from error
    if not file.is_bigwig:
        raise InvalidInputError(f"{path} is a bigBed, which has no values; give a bigWig")
    return file


def _contigs(path: Path, file: Any) -> dict[str, int]:
    try:
        return dict(file.chroms())
    except Exception as error:  # errors of its Rust code come under many names
        raise InvalidInputError(f"the contigs of {path} cannot be read ({error}); give a .bw file") from error


def _check_genome(path: Path, contigs: dict[str, int], genome: Genome) -> None:
    shared = [contig for contig in contigs if contig in genome.contigs]
    if not shared:
        named = f": {genome.without(next(iter(contigs)))}" if contigs else ""
        raise InvalidInputError(f"{path.name} has no contig of the genome{named}; give a track of this genome")
    for contig in shared:
        if contigs[contig] != genome.contigs[contig]:
            raise InvalidInputError(
                f"{path.name} is of another genome: its {contig} has {contigs[contig]} letters, that of "
                f"{genome.path.name} {genome.contigs[contig]}"
            )
