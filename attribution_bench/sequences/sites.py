"""Sites: stretches of sequences that are known to matter, such as planted motifs."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from attribution_bench.errors import InvalidInputError, SequenceError
from attribution_bench.files import write_whole
from attribution_bench.sequences.bed import BedLine, read_bed
from attribution_bench.sequences.fasta import Sequences
from attribution_bench.sequences.interval import Strand
from attribution_bench.sequences.text_files import quoted

NAME = re.compile(r"[^\t\r\n\0\ud800-\udfff]+")
"""Names that a column of a BED file can hold."""


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
    strand: Strand = "."
    effect: Literal[1, -1] = 1
    """1 where the site raises the prediction, -1 where it lowers it."""


def read_sites(path: str | os.PathLike[str], sequences: Sequences) -> tuple[Site, ...]:
    """Read sites from a BED file, plain or gzipped, whose first column names the sequence.

    The columns are name of the sequence, start and stop (0-based, half-open), and optionally what stands there, a
    score and a strand. A score below 0 marks a site that lowers the prediction. What is passed over is said in
    `bed_lines`; a line of a sequence that is given never is.

    Raises
    ------
    SequenceError
        The file cannot be read, a line is no BED line, names no sequence or several, or reaches beyond its sequence.
    """
    found: dict[str, list[int]] = {}
    for index, name in enumerate(sequences.names):
        found.setdefault(name, []).append(index)
    sites = tuple(_site(line, found.get(line.chromosome, []), sequences.length) for line in read_bed(path, found))
    if not sites:
        raise SequenceError(f"{os.fspath(path)} holds no site; give at least one line: sequence, start, stop")
    return sites


def write_sites(path: str | os.PathLike[str], sites: Sequence[Site], sequences: Sequences) -> Path:
    """Write sites as `read_sites` takes them, whole or not at all; returns the path.

    Raises
    ------
    SequenceError
        A sequence's or a site's name holds a tab, an end of line or what is no Unicode.
    OutputError
        The file cannot be written.
    """
    for name in {name for site in sites for name in (sequences.names[site.sequence], site.name)}:
        if not NAME.fullmatch(name):
            raise SequenceError(f"a BED file cannot hold the name {quoted(name)}; leave out tabs and ends of lines")
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


def _site(line: BedLine, found: Sequence[int], length: int) -> Site:
    if len(found) != 1:
        raise SequenceError(
            f"{line.where}: {len(found)} sequences are named {line.chromosome!r}; a site needs exactly one"
        )
    if not line.start < line.end <= length:
        raise SequenceError(
            f"{line.where}: {line.start} to {line.end} is not within the {length} letters of {line.chromosome}"
        )
    lowers = line.score is not None and line.score < 0
    return Site(found[0], line.start, line.end, line.name or "site", line.strand, -1 if lowers else 1)
