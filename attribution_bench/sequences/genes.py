"""Genes of a genome: their strands, extents and exons, from a table as SpliceAI has it."""

import hashlib
import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from attribution_bench.errors import SequenceError
from attribution_bench.sequences.genome import Genome

GeneStrand = Literal["+", "-"]
COLUMNS = ("#NAME", "CHROM", "STRAND", "TX_START", "TX_END", "EXON_START", "EXON_END")
GTF_COLUMNS = 9
"""Columns of a GTF or GFF file, of which the fourth and the fifth are numbers."""
INTRON_ENDS = {"+": ("GT", "AG"), "-": ("CT", "AC")}
"""Strand -> what introns begin and end with on the strand ``+``."""


@dataclass(frozen=True)
class Gene:
    """A gene's transcript on a contig."""

    name: str
    contig: str
    """As the table names it."""
    strand: GeneStrand
    start: int
    """0-based."""
    end: int
    """Half-open."""
    exons: tuple[tuple[int, int], ...]
    """Half-open ranges, ascending."""

    @property
    def introns(self) -> list[tuple[int, int]]:
        """Half-open ranges between the exons."""
        return [(before[1], after[0]) for before, after in itertools.pairwise(self.exons)]

    def nearest_exon_boundary(self, position: int) -> int | None:
        """Return the first or last letter of an exon that is nearest to a position, the left one of two; 0-based.

        None where the table has no exons of the gene.
        """
        boundaries = sorted(place for start, end in self.exons for place in (start, end - 1))
        return min(boundaries, key=lambda place: abs(place - position), default=None)


class Genes:
    """Genes of a genome, found by position. ``chr1`` and ``1`` are the same contig.

    Parameters
    ----------
    path
        Tab-separated table with the columns ``#NAME``, ``CHROM``, ``STRAND``, ``TX_START``, ``TX_END``, ``EXON_START``
        and ``EXON_END``, a gene a line; starts are 0-based, ranges half-open, those of exons lists with commas.
    name
        What they are called where a reader is told which genes were used; by default the file's name.

    Raises
    ------
    SequenceError
        The file cannot be read, or is no such table; the message names the line.
    """

    def __init__(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.name if name is None else name
        try:
            data = self.path.read_bytes()
            lines = data.decode().splitlines()
        except FileNotFoundError as error:
            raise SequenceError(f"there is no file {self.path}; give a table of genes") from error
        except (OSError, UnicodeDecodeError) as error:
            raise SequenceError(f"cannot read {self.path} as a table of genes: {error}") from error
        self.digest = hashlib.sha256(data).hexdigest()
        """SHA-256 of the file."""
        by_contig = defaultdict(list)
        for gene in _genes(lines, self.path):
            by_contig[_bare(gene.contig)].append(gene)
        self._genes = dict(by_contig)
        self._ranges = {
            contig: np.array([(gene.start, gene.end) for gene in genes]).T for contig, genes in by_contig.items()
        }

    def __repr__(self) -> str:
        return f"Genes({str(self.path)!r}: {sum(map(len, self._genes.values()))} genes)"

    def at(self, contig: str, position: int) -> list[Gene]:
        """Return the genes that have a 0-based position of a contig, in the order of the table."""
        genes = self._genes.get(_bare(contig), [])
        if not genes:
            return []
        starts, ends = self._ranges[_bare(contig)]
        return [genes[index] for index in np.flatnonzero((starts <= position) & (position < ends))]

    def share_of_splice_sites(self, genome: Genome, most: int = 200) -> float | None:
        """Return the share of introns that begin and end as introns do in a genome; None where none can be looked at.

        It is near 1 for the genes of that genome, and near 1/250 for those of another one. At most `most` introns are
        looked at, spread over what the genome has; where it has N, none is.
        """
        found = [
            (contig, gene.strand, start, end)
            for contig, length in genome.contigs.items()
            for gene in self._genes.get(_bare(contig), [])
            for start, end in gene.introns
            if start + 2 <= end - 2 and end <= length
        ]
        step = max(1, -(-len(found) // most))
        seen = right = 0
        for contig, strand, start, end in found[::step]:
            ends = genome.fetch(contig, start, start + 2), genome.fetch(contig, end - 2, end)
            if "N" not in "".join(ends):
                seen, right = seen + 1, right + (ends == INTRON_ENDS[strand])
        return right / seen if seen else None


def _bare(contig: str) -> str:
    return contig.removeprefix("chr")


def _genes(lines: Sequence[str], path: Path) -> Iterator[Gene]:
    header = lines[0].split("\t") if lines else []
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        lacks = f"it lacks the column {missing[0]} of {', '.join(COLUMNS)}"
        raise SequenceError(f"{path} is no table of genes: {_other_form(lines) or lacks}")
    places = [header.index(column) for column in COLUMNS]
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            fields = line.split("\t")
            if len(fields) <= max(places):
                raise ValueError(f"it has {len(fields)} columns, and the header {len(header)}")
            name, contig, strand, start, end, starts, ends = (fields[place] for place in places)
            firsts, lasts = _numbers(starts), _numbers(ends)
            if len(firsts) != len(lasts):
                raise ValueError(f"EXON_START has {len(firsts)} numbers, but EXON_END {len(lasts)}")
            exons = tuple(zip(firsts, lasts, strict=True))
            if strand not in get_args(GeneStrand) or not 0 <= int(start) < int(end):
                raise ValueError(f"{strand} {start} {end} is no strand with a range")
            yield Gene(name, contig, cast("GeneStrand", strand), int(start), int(end), exons)
        except ValueError as error:
            raise SequenceError(f"{path} is no table of genes at line {number}: {error}") from error


def _other_form(lines: Sequence[str]) -> str | None:
    """Return what a text is that is no table of genes, and what makes a table of it; None for one of no known kind."""
    if lines and set(COLUMNS) <= set(lines[0].replace(",", " ").split()):
        return "its columns are not separated by tabs; write it tab-separated"
    fields = next((line for line in lines if line.strip() and not line.startswith("#")), "").split("\t")
    if len(fields) == GTF_COLUMNS and fields[3].isdecimal() and fields[4].isdecimal():
        return "it is a GTF or GFF file, which is not read; docs/variants.md has the lines that make a table of one"
    return None


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]
