"""Sites: stretches of sequences that are known to matter, such as planted motifs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, SequenceError
from attribution_bench.files import write_whole
from attribution_bench.sequences.fasta import Sequences


@dataclass(frozen=True)
class Site:
    """A stretch of one sequence that raises or lowers what is predicted."""

    sequence: int
    """Index of the sequence."""
    start: int
    stop: int
    """0-based, half-open."""
    name: str
    """What stands there, such as ``GATA1``."""
    strand: Literal["+", "-", "."] = "."
    effect: Literal[1, -1] = 1
    """1 where the site raises the prediction, -1 where it lowers it."""


def read_sites(path: str | os.PathLike[str], sequences: Sequences) -> tuple[Site, ...]:
    """Read sites from a BED file whose first column names the sequence.

    The columns are name of the sequence, start and stop (0-based, half-open), and optionally what stands there, a
    score and a strand. A score below 0 marks a site that lowers the prediction.

    Raises
    ------
    SequenceError
        The file cannot be read, a line is no BED line, names no sequence or several, or reaches beyond its sequence.
    """
    path = Path(path)
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SequenceError(f"cannot read {path}: {error}; give a BED file of sites") from error
    sites = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        sites.append(_site(line, f"line {number} of {path}", sequences))
    if not sites:
        raise SequenceError(f"{path} holds no site; give at least one line: sequence, start, stop")
    return tuple(sites)


def write_sites(path: str | os.PathLike[str], sites: Sequence[Site], sequences: Sequences) -> Path:
    """Write sites as `read_sites` takes them, whole or not at all; returns the path.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    lines = (f"{sequences.names[s.sequence]}\t{s.start}\t{s.stop}\t{s.name}\t{s.effect}\t{s.strand}\n" for s in sites)
    return write_whole(Path(path), "".join(lines))


def site_effects(sites: Sequence[Site], count: int, length: int) -> NDArray[np.int8]:
    """Return (count, length): 1 and -1 in sites that raise and lower the prediction, 0 elsewhere.

    Raises
    ------
    InvalidInputError
        A site lies beyond the sequences.
    """
    effects = np.zeros((count, length), dtype=np.int8)
    for site in sites:
        if not (0 <= site.sequence < count and 0 <= site.start < site.stop <= length):
            raise InvalidInputError(f"{site} lies beyond {count} sequences of {length} letters")
        effects[site.sequence, site.start : site.stop] = site.effect
    return effects


def _site(line: str, where: str, sequences: Sequences) -> Site:
    columns = line.split("\t") if "\t" in line else line.split()
    try:
        chromosome, start, stop = columns[0], int(columns[1]), int(columns[2])
        lowers = len(columns) > 4 and columns[4] != "." and float(columns[4]) < 0
    except (IndexError, ValueError) as error:
        raise SequenceError(f"{where} is no BED line (sequence, start, stop, name, score, strand): {line!r}") from error
    found = [index for index, name in enumerate(sequences.names) if name == chromosome]
    if len(found) != 1:
        raise SequenceError(f"{where}: {len(found)} sequences are named {chromosome!r}; a site needs exactly one")
    if not 0 <= start < stop <= sequences.length:
        raise SequenceError(f"{where}: {start} to {stop} is not within the {sequences.length} letters of {chromosome}")
    strand: Literal["+", "-", "."] = "."
    if len(columns) > 5:
        if columns[5] not in ("+", "-", "."):
            raise SequenceError(f"{where}: the strand must be +, - or ., not {columns[5]!r}")
        strand = columns[5]  # type: ignore[assignment]
    return Site(found[0], start, stop, columns[3] if len(columns) > 3 else "site", strand, -1 if lowers else 1)
