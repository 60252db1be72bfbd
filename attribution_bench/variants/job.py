"""The job of a VCF file: its alleles scored into a table, and the file annotated with them."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attribution_bench.errors import InvalidInputError, OutputError, SequenceError
from attribution_bench.sequences.variants import VariantReason, VariantRecord
from attribution_bench.variants.annotate import annotate, check_annotated_path
from attribution_bench.variants.identity import identity_of
from attribution_bench.variants.rows import read_effects
from attribution_bench.variants.score import BLOCK, VariantScorer
from attribution_bench.variants.summary import Summary
from attribution_bench.variants.table import Blocks, write_effects
from attribution_bench.variants.vcf import STDIN, VcfFile

COUNTED_BLOCKS = 64
"""Blocks that are counted at most before a run."""


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
    blocks: Blocks | None = None,
) -> Summary:
    """Score the alleles of a VCF file into a table; memory does not grow with their number.

    A run that was stopped goes on with the same call, and a table that is complete is not computed again: of a file
    with more variants only these are, see `write_effects`.

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
        standard input is kept in a temporary file beside the table until then.
    chromosome
        Score the records of this contig only; with the file's index the others are not read.
    settings
        What the numbers depend on, JSON-able; a table is gone on with only with the same ones. By default
        `identity_of` the scorer.
    restart, fatal, progress, blocks
        As for `write_effects`.

    Raises
    ------
    InvalidInputError
        The annotated file's name ends otherwise, a file that is written is another of the files, or the table is of
        other settings or other variants.
    SequenceError
        The variants or the genome cannot be read, or the genome has no such chromosome.
    SetAsideError
        A variant is set aside for a fatal reason.
    OutputError
        A file cannot be written.
    """
    path, target = Path(table), None if annotated is None else Path(annotated)
    _check_distinct(vcf, path, target)
    if target is not None:
        check_annotated_path(target)
        _check_writable(target)
    if chromosome is not None:
        scorer.genome.length(chromosome)
    read_again = target is not None or path.exists()
    with _readable(vcf, path.parent if read_again else None) as source, _Records(source, chromosome) as records:

        def finish(rows: Path) -> None:
            if target is not None:
                with VcfFile(source, chromosome=chromosome, samples=True) as records:
                    annotate(records, read_effects(rows), scorer.columns, target)

        return write_effects(
            scorer,
            records,
            path,
            identity_of(scorer) if settings is None else settings,
            restart=restart,
            fatal=fatal,
            progress=progress,
            finish=finish,
            blocks=blocks,
        )


def most_blocks(vcf: str | os.PathLike[str]) -> int | None:
    """Return the most blocks that the alleles of a VCF file make together.

    None where these are many, or not known: what is no regular file, such as a pipe, can be read only once, and
    `score_vcf` tells what cannot be read.
    """
    if os.fspath(vcf) == STDIN or not os.path.isfile(vcf):
        return None
    alleles = 0
    with contextlib.suppress(SequenceError), VcfFile(vcf) as file:
        for record in file.records():
            alleles += max(1, len(record.alts or ()))
            if alleles > COUNTED_BLOCKS * BLOCK:
                return None
        return max(1, -(-alleles // BLOCK))
    return None


def _check_distinct(vcf: str | os.PathLike[str], table: Path, annotated: Path | None) -> None:
    """Raise InvalidInputError where a file that is to be written is one that is read, or the other one."""
    taken = {} if os.fspath(vcf) == STDIN else {Path(vcf).resolve(): "the file of variants"}
    for path, what in ((table, "the table"), (annotated, "the annotated file")):
        if path is not None:
            other = taken.setdefault(path.resolve(), what)
            if other != what:
                raise InvalidInputError(f"{path} cannot be {what}, since it is {other}; choose another name")


def _check_writable(path: Path) -> None:
    """Raise OutputError where a file's folder cannot be written, before the work that goes into the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write") from error


class _Records:
    """Records of a file, read from its beginning each time; what is no VCF file is told as this is made."""

    def __init__(self, source: str | os.PathLike[str], chromosome: str | None) -> None:
        self._source, self._chromosome = source, chromosome
        # Standard input can be opened only once, so that the first reading goes on with what was opened here.
        self._opened: VcfFile | None = VcfFile(source, chromosome=chromosome)

    def __enter__(self) -> "_Records":
        return self

    def __exit__(self, *error: object) -> None:
        if self._opened is not None:
            self._opened.__exit__(*error)

    def __iter__(self) -> Iterator[VariantRecord]:
        file, self._opened = self._opened or VcfFile(self._source, chromosome=self._chromosome), None
        with file:
            yield from file.records()


@contextlib.contextmanager
def _readable(vcf: str | os.PathLike[str], folder: Path | None) -> Iterator[str | os.PathLike[str]]:
    """Yield the name of what can be read: standard input is copied into a folder where it is to be read again."""
    if os.fspath(vcf) != STDIN or folder is None:
        yield vcf
        return
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            copy = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix=".standard-input-"))
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
        except OSError as error:
            raise OutputError(f"cannot keep standard input in {folder}: {error.strerror or error}") from error
        yield copy.name
