"""`attribution-bench export`: views of a store in the formats of other tools."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attribution_bench.cli.plot import parse_value
from attribution_bench.cli.terminal import note, say
from attribution_bench.errors import InvalidInputError
from attribution_bench.storage.places import beside, store_path

if TYPE_CHECKING:
    from attribution_bench.storage.selected_scores import SelectedScores


class Format(StrEnum):
    """Formats of other tools."""

    modisco = "modisco"
    chrombpnet_h5 = "chrombpnet-h5"
    bigwig = "bigwig"
    tsv = "tsv"
    parquet = "parquet"


class OverlapName(StrEnum):
    """What becomes of a position that several regions cover."""

    mean = "mean"
    max = "max"
    first = "first"


SUFFIXES = {
    Format.modisco: "-modisco",
    Format.chrombpnet_h5: ".h5",
    Format.bigwig: ".bw",
    Format.tsv: ".tsv.gz",
    Format.parquet: ".parquet",
}
"""What the name of a store ends in, in place of its own suffix, where no output is named."""


def export(
    store: Annotated[
        Path, typer.Argument(help="Folder or address that `attribute` wrote.", metavar="STORE", parser=store_path)
    ],
    to: Annotated[
        Format,
        typer.Option(
            help="modisco: a folder with sequences.npz and scores.npz; chrombpnet-h5: chrombpnet's layout; bigwig: "
            "observed scores; tsv, parquet: a row for every position."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="File, or folder for modisco; by default named after the store, beside it.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Method; not needed where the store holds one.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Which value, where scores are of several: an index, an output's name, or output:index."),
    ] = None,
    genome: Annotated[
        Path | None,
        typer.Option(help="bigwig: FASTA with the sizes of contigs; by default those of the genome that was scored."),
    ] = None,
    sizes: Annotated[
        Path | None, typer.Option(help="bigwig: the sizes as a .fai or chrom.sizes file, in place of the genome.")
    ] = None,
    overlaps: Annotated[
        OverlapName,
        typer.Option(help="bigwig: where regions overlap, their mean, the score of largest magnitude, or the first's."),
    ] = OverlapName.mean,
) -> None:
    """Write what a store holds for TF-MoDISco, chrombpnet's tools, a genome browser or a table. Nothing is computed.

    \b
    Examples:
      attribution-bench export scores.zarr --to modisco --output motifs
      attribution-bench export scores.zarr --to bigwig --overlaps max
      attribution-bench export scores.zarr --to parquet --method deepshap

    Exit codes: 0 done, 2 bad input.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.storage.selected_scores import SelectedScores
    from attribution_bench.storage.stored_scores import StoredScores

    stored = StoredScores(store)
    selected = SelectedScores(stored, method, parse_value(target))
    path = output or beside(store, SUFFIXES[to])
    written = _write(selected, to, path, genome, sizes, overlaps)
    if not stored.complete:
        note("caution: the job is not done; what it has scored so far was exported")
    for file in written:
        say(str(file))


def _write(
    selected: "SelectedScores", to: Format, path: Path, genome: Path | None, sizes: Path | None, overlaps: OverlapName
) -> list[Path]:
    from attribution_bench.storage.exports import bigwig, chrombpnet, modisco, tables

    if to is Format.bigwig:
        return bigwig.export_bigwig(selected, path, contig_sizes(genome, sizes), overlaps.value)
    writers = {
        Format.modisco: modisco.export_modisco,
        Format.chrombpnet_h5: chrombpnet.export_chrombpnet,
        Format.tsv: tables.export_tsv,
        Format.parquet: tables.export_parquet,
    }
    return writers[to](selected, path)


def contig_sizes(genome: Path | None, sizes: Path | None) -> dict[str, int] | None:
    """Return contig -> letters from a genome's index or a table of sizes; None where neither is given.

    Raises
    ------
    InvalidInputError
        Both are given, or the table cannot be read.
    SequenceError
        The genome cannot be read.
    """
    from attribution_bench.sequences.genome import Genome
    from attribution_bench.storage.exports.bigwig import read_sizes

    if genome is not None and sizes is not None:
        raise InvalidInputError("the sizes of contigs come from one place; give --genome or --sizes, not both")
    if sizes is not None:
        return read_sizes(sizes)
    if genome is None:
        return None
    with Genome(genome) as opened:
        return dict(opened.contigs)
