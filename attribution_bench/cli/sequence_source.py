"""Sequences as the command line names them: a FASTA file, regions of a genome, or one locus."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attribution_bench.cli.options import LETTERS
from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench.sequences import Alphabet
    from attribution_bench.sequences.source import SequenceSource


class OverhangName(StrEnum):
    """What happens to a window that reaches beyond its contig."""

    drop = "drop"
    pad = "pad"


class AnchorName(StrEnum):
    """What stands in the middle of a window."""

    centre = "centre"
    summit = "summit"


GenomeFile = Annotated[
    Path | None,
    typer.Option(help="Genome as FASTA, plain or bgzip; SEQUENCES are then regions: BED, narrowPeak or - for stdin."),
]
Locus = Annotated[
    str | None,
    typer.Option(
        "--regions",
        help="One locus of the genome in place of SEQUENCES, written as in samtools and genome browsers: 1-based, both "
        "ends included.",
        metavar="chr1:1000-2000",
    ),
]
WindowLength = Annotated[
    int | None,
    LETTERS.option(
        "Letters of a sequence: regions are resized to it, FASTA records of other lengths set aside; by default what "
        "the model states, or the first record's",
        metavar="NUMBER",
    ),
]
Anchor = Annotated[
    AnchorName | None,
    typer.Option(
        help="Middle of the windows; by default the summit (column 10) in files named .narrowPeak, else the centre."
    ),
]
Overhang = Annotated[
    OverhangName, typer.Option(help="Windows that reach beyond their contig: set aside, or filled with N.")
]
Stranded = Annotated[bool, typer.Option("--stranded", help="Regions on the strand - give their reverse complement.")]


def region_source(
    sequences: str | None,
    locus: str | None,
    genome: Path,
    length: int,
    *,
    anchor: AnchorName | None,
    overhang: OverhangName,
    stranded: bool,
    alphabet: "Alphabet",
) -> "SequenceSource":
    """Open regions of a genome.

    Raises
    ------
    SequenceError
        A file cannot be read, holds no region, or the locus is none.
    """
    from attribution_bench.sequences.genome import Genome
    from attribution_bench.sequences.regions import RegionSource, Windows, parse_locus, read_regions

    windows = Windows(length, None if anchor is None else anchor.value, overhang.value, stranded)
    opened = Genome(genome)
    if locus is not None:
        return RegionSource([parse_locus(locus)], opened, windows, label=locus, alphabet=alphabet)
    return read_regions(str(sequences), opened, windows, alphabet)


def check_sequences(sequences: str | None, locus: str | None, genome: Path | None) -> None:
    """Raise InvalidInputError unless sequences are named in one of the forms that there are."""
    if (sequences is None) == (locus is None):
        raise InvalidInputError("give SEQUENCES, or one locus with --regions")
    if genome is None and (locus is not None or sequences == "-"):
        raise InvalidInputError("regions need their genome; give its FASTA with --genome")
    if genome is None and str(sequences).lower().removesuffix(".gz").endswith((".bed", ".narrowpeak")):
        raise InvalidInputError(f"{sequences} holds regions; give the FASTA of their genome with --genome")
