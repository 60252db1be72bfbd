"""`attribution-bench examples`: small files to try the other commands on."""

from pathlib import Path
from typing import Annotated

import typer

from attribution_bench.cli.terminal import say


def examples(
    folder: Annotated[Path, typer.Argument(help="Folder to write them into.", metavar="FOLDER")] = Path("examples"),
) -> None:
    """Write example files: a slice of a genome with its index, regions (BED and narrowPeak) and variants (VCF).

    \b
    Examples:
      attribution-bench examples data
      attribution-bench variants demo_profile data/variants.vcf --genome data/genome.fa --effects profile \\
        --output effects.tsv
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.sequences.examples import write_examples

    for path in write_examples(folder):
        say(str(path))
