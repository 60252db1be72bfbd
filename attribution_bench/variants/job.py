"""The job of a VCF file: its alleles scored into a table, and the file annotated with them."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attribution_bench.errors import OutputError, SequenceError
from attribution_bench.sequences.variants import Variant, VariantReason, variants_of
from attribution_bench.variants.annotate import annotate, check_annotated_path
from attribution_bench.variants.score import VariantScorer
from attribution_bench.variants.table import Summary, read_effects, write_effects
from attribution_bench.variants.vcf import STDIN, VcfFile


def score_vcf(
    scorer: VariantScorer,
    vcf: str | os.PathLike[str],
    table: str | os.PathLike[str],
    *,
    annotated: str | os.PathLike[str] | None = None,
    chromosome: str | None = None,
    settings: Mapping[str, Any] | None = None,
    restart: bool = False,
    fatal: Sequence[VariantReason] = (),
    progress: Callable[[Summary], None] | None = None,
) -> Summary:
    """Score the alleles of a VCF file into a table; memory does not grow with their number.

    A run that was stopped goes on with the same call, see `write_effects`.

    Parameters
    ----------
    scorer
        From `variant_scorer`.
    vcf
        VCF or BCF file, plain, bgzip or gzip; ``-`` for standard input.
    table
        Where the table of tab-separated values is written.
    annotated
        Where the records are written with their effects: ``.vcf`` or ``.vcf.gz``. They are read a second time for it;
        standard input is kept in a temporary file beside it until then.
    chromosome
        Score the records of this contig only; with the file's index the others are not read.
    settings
        What the numbers depend on, JSON-able; a run that was stopped goes on only with the same ones.
    restart, fatal, progress
        As for `write_effects`.

    Raises
    ------
    InvalidInputError
        The annotated file's name ends otherwise, or a run with other settings was stopped here.
    SequenceError
        The variants or the genome cannot be read, or the genome has no such chromosome.
    OutputError
        A file cannot be written.
    """
    path, target = Path(table), None if annotated is None else Path(annotated)
    if target is not None:
        check_annotated_path(target)
        _check_writable(target)
    if chromosome is not None:
        scorer.genome.length(chromosome)
    with _readable_twice(vcf, target) as source, VcfFile(source, chromosome=chromosome) as file:

        def finish(rows: Path) -> None:
            if target is not None:
                with VcfFile(source, chromosome=chromosome, samples=True) as records:
                    annotate(records, read_effects(rows), scorer.columns, target)

        return write_effects(
            scorer,
            _alleles(file),
            path,
            dict(settings or {}),
            restart=restart,
            fatal=fatal,
            progress=progress,
            finish=finish,
        )


def _check_writable(path: Path) -> None:
    """Raise OutputError where a file's folder cannot be written, before the work that goes into the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write") from error


def _alleles(file: VcfFile) -> Iterator[Variant]:
    for record in file.records():
        yield from variants_of(record)


@contextlib.contextmanager
def _readable_twice(vcf: str | os.PathLike[str], annotated: Path | None) -> Iterator[str | os.PathLike[str]]:
    """Yield the name of what can be read as often as is needed: standard input is copied where that is twice."""
    if os.fspath(vcf) != STDIN or annotated is None:
        yield vcf
        return
    annotated.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=annotated.parent, prefix=".standard-input-") as copy:
        try:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
        except OSError as error:
            raise SequenceError(f"cannot keep standard input for {annotated}: {error.strerror or error}") from error
        yield copy.name
