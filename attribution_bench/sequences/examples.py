"""Example files that come with the package: a slice of a genome, regions of it, and variants."""

import os
from importlib.resources import files
from pathlib import Path

from attribution_bench.files import write_whole

NAMES = ("genome.fa", "genome.fa.fai", "regions.bed", "peaks.narrowPeak", "variants.vcf")


def write_examples(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write the example files into a folder, which is made where it is missing; returns their paths.

    ``genome.fa`` holds the first 12,000 letters of phage lambda, with its index. ``regions.bed`` and
    ``peaks.narrowPeak`` are regions of it, ``variants.vcf`` variants, and some of both cannot be scored: another
    contig's name, no length, a wrong reference allele, a symbolic one.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    source = files("attribution_bench.sequences") / "data" / "examples"
    return tuple(write_whole(Path(folder) / name, (source / name).read_bytes()) for name in NAMES)
