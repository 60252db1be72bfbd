"""Tables of effects written block by block: a run that was stopped goes on, and what is there is not done again."""

import contextlib
import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attribution_bench.errors import (
    AttributionBenchError,
    InvalidInputError,
    OutputError,
    SequenceError,
    SetAsideError,
)
from attribution_bench.files import write_whole
from attribution_bench.sequences.variants import SetAside, Variant, VariantReason, VariantRecord
from attribution_bench.variants.identity import check_settings, write_settings
from attribution_bench.variants.rows import Row, header_line, is_table, parsed_row, read_effects, row_line
from attribution_bench.variants.score import Numbered, VariantScore, VariantScorer, ends_block
from attribution_bench.variants.summary import Summary

Allele = Numbered | VariantScore
"""One that is to be scored, or the score that a complete table has of it."""
Blocks = Callable[[Iterable[Allele]], Iterator[list[VariantScore]]]
"""Takes alleles, and yields the scores of those of each block, in order."""
PREDICTED = (None, VariantReason.NOT_FINITE, VariantReason.NOT_COMPUTED)
"""Reasons of rows whose alleles the model was asked for, as far as they have one."""


def write_effects(
    scorer: VariantScorer,
    records: Iterable[Variant | VariantRecord],
    path: Path,
    settings: Mapping[str, Any],
    *,
    restart: bool = False,
    fatal: Sequence[VariantReason] = (),
    progress: Callable[[Summary], None] | None = None,
    finish: Callable[[Path], None] | None = None,
    blocks: Blocks | None = None,
) -> Summary:
    """Score variants into a table of tab-separated values, which gets its name once it is complete.

    Until then its blocks stand in ``PATH.partial``. The settings that they depend on stand in ``PATH.json``, which
    stays. The same call after one that was stopped goes on after the last whole block, and ends with the same bytes.

    A complete table is not computed again: of the same variants and a few more between or after them, only these are
    scored. They are predicted together with other variants than in a table that is made at once, so that their last
    digits may differ from it.

    Parameters
    ----------
    scorer
        What scores them.
    records
        Variants, or records of a VCF file, the same ones when a run goes on; gone through twice where there is a table.
    path
        The table.
    settings
        What the numbers depend on, JSON-able.
    restart
        Begin anew: a table that is there, complete or not, is removed. Any other file is kept.
    fatal
        Reasons that end the run instead of setting an allele aside.
    progress
        Called after each block.
    finish
        Called with the file of all rows before it gets its name: what is to be made of them belongs to the run, which
        goes on if it fails.
    blocks
        What scores the blocks; the scorer by default, in this process.

    Raises
    ------
    InvalidInputError
        The table is of other settings, which the message shows, or has variants that are none of the records.
    SequenceError
        The variants are others than those of the run that was stopped.
    SetAsideError
        A variant is set aside for a fatal reason.
    OutputError
        The table cannot be written; what stands there goes on later. With `restart`, another file stands there.
    """
    partial = path.with_name(path.name + ".partial")
    header = header_line(scorer.columns)
    with _locked(path), _writing(path):
        if restart:
            _remove(partial, path)
        begun = path.exists() or partial.exists()
        if begun:
            check_settings(path, settings)
        if path.exists():
            counted = _Counted(scorer, Summary(), fatal)
            new = 0
            for allele in _alleles(scorer, records, path):
                if isinstance(allele, Numbered):
                    new += 1
                else:
                    counted.scored(allele)
                    counted.summary.kept += 1
            if not new:
                if finish is not None:
                    finish(path)
                return counted.summary
        if not begun:
            write_settings(path, settings)
        if not partial.exists():
            write_whole(partial, header)
        counted = _Counted(scorer, Summary(), fatal)
        alleles = _go_on(partial, header, _alleles(scorer, records, path), counted)
        _append(scorer, blocks or scorer.blocks, alleles, partial, counted, progress)
        if finish is not None:
            finish(partial)
        os.replace(partial, path)
    return counted.summary


@dataclass(frozen=True)
class _Counted:
    """Counts the alleles of a run, and ends it where one is set aside for a fatal reason."""

    scorer: VariantScorer
    summary: Summary
    fatal: Sequence[VariantReason]

    def __post_init__(self) -> None:
        self.summary.masked = 0 if self.scorer.options.needs_exons else None

    def scored(self, score: VariantScore) -> None:
        self._count(score.variant, score.set_aside, score.normalised)
        if self.summary.masked is not None:
            self.summary.masked += self.scorer.masked_scores(score)

    def resumed(self, row: Row) -> None:
        if self.summary.masked is not None:
            try:
                self.summary.masked += self.scorer.masked_scores(row.score(self.scorer.columns))
            except ValueError as error:
                raise OutputError(
                    f"the table that was begun is damaged at {row.variant}: {error}; --restart"
                ) from error
        self._count(row.variant, None if row.reason is None else SetAside(row.reason), row.normalised)
        self.summary.resumed += 1

    def _count(self, variant: Variant, set_aside: SetAside | None, form: Variant | str | None) -> None:
        if set_aside is not None and set_aside.reason in self.fatal:
            detail = f" ({set_aside.detail})" if set_aside.detail else ""
            raise SetAsideError(f"variant {variant}: {set_aside.reason}{detail}; whole blocks before it are kept")
        self.summary.count(None if set_aside is None else set_aside.reason, None if form is None else str(form))
        if set_aside is not None and set_aside.detail:
            where = f"{variant.contig}:{variant.position + 1}"
            self.summary.examples.setdefault(set_aside.reason, f"{where}: {set_aside.detail}")


@contextlib.contextmanager
def _locked(table: Path) -> Iterator[None]:
    """Hold a table while it is written; a process that ends in any way lets go of it.

    The file of the lock stays: where one process removes it, a second may hold the removed one and a third a new one.

    Raises
    ------
    OutputError
        Another run writes it, or the folder cannot be written.
    """
    import filelock

    with _writing(table):
        table.parent.mkdir(parents=True, exist_ok=True)
        path = table.with_name(f".{table.name}.lock")
        # filelock takes a file that cannot be made for one that another process holds.
        path.touch()
        lock = filelock.FileLock(path)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout as error:
            raise OutputError(f"another run writes {table}; wait for it, or choose another --output") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise what goes wrong while a table is written as one OutputError."""
    try:
        yield
    except (AttributionBenchError, BrokenPipeError):  # the pipe is one that progress is written to, as of `| head`
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; the same command goes on where this one stopped"
        ) from error


def _remove(*tables: Path) -> None:
    """Remove tables that are not to be gone on with; raises OutputError where one is another file, and keeps all."""
    there = [table for table in tables if table.exists()]
    for table in there:
        if not is_table(table):
            raise OutputError(f"{table} is no table of effects, and is kept; choose another --output")
    for table in there:
        table.unlink()


def _alleles(scorer: VariantScorer, records: Iterable[Variant | VariantRecord], complete: Path) -> Iterator[Allele]:
    """Yield the alleles of records; of those that a complete table has, in its order, the scores that were computed.

    Raises
    ------
    InvalidInputError
        The table has alleles that the records have not, or not in its order.
    OutputError
        It is no table of the effects asked for.
    """
    rows = _rows(complete, header_line(scorer.columns)) if complete.exists() else iter(())
    row = next(rows, None)
    for allele in scorer.numbered(records):
        if row is None or row.variant != allele.variant:
            yield allele
            continue
        if row.reason == VariantReason.NOT_COMPUTED:
            yield allele
            row = next(rows, None)
            continue
        try:
            yield row.score(scorer.columns)
        except ValueError as error:
            raise OutputError(f"cannot read {complete} as a table of effects at {row.variant}: {error}") from error
        row = next(rows, None)
    if row is not None:
        raise InvalidInputError(
            f"{complete} is complete and has {row.variant}, which is not among the variants, or not in that order; "
            "give the same ones, with new ones between or after them, choose another --output, or --restart to begin "
            "anew, which removes the table"
        )


def _rows(table: Path, header: str) -> Iterator[Row]:
    with table.open("rb") as file:
        first = file.readline()
    if first != header.encode():
        raise OutputError(f"{table} is no table of the effects asked for; begin anew with --restart")
    return read_effects(table)


def _append(
    scorer: VariantScorer,
    blocks: Blocks,
    alleles: Iterable[Allele],
    partial: Path,
    counted: _Counted,
    progress: Callable[[Summary], None] | None,
) -> None:
    """Write the rows of alleles, a block at a time."""
    started, asked = time.monotonic(), False
    # Other processes read alleles far ahead of the blocks that are done.
    known: deque[bool] = deque()

    def noted() -> Iterator[Allele]:
        for allele in alleles:
            known.append(isinstance(allele, VariantScore))
            yield allele

    with partial.open("a", encoding="utf-8", newline="\n") as file:
        for block in blocks(noted()):
            for score in block:
                counted.scored(score)
                counted.summary.kept += known.popleft()
            file.write("".join(row_line(score, scorer.columns) for score in block))
            file.flush()
            counted.summary.seconds = time.monotonic() - started
            if not asked:
                counted.summary.first = counted.summary.new, counted.summary.seconds
                asked = any(score.set_aside is None for score in block)
            if progress is not None:
                progress(counted.summary)


def _go_on(partial: Path, header: str, alleles: Iterator[Allele], counted: _Counted) -> Iterator[Allele]:
    """Cut the table of a run that was stopped after its last whole block; returns the alleles that are left.

    Raises
    ------
    OutputError
        It is no table of the effects asked for.
    SequenceError
        It is one of other variants.
    """
    block: list[tuple[Row, Allele]] = []
    predicted = 0
    with partial.open("rb") as file:
        first = file.readline()
        if not header.encode().startswith(first):
            raise OutputError(f"{partial} is no table of the effects asked for; begin anew with --restart")
        whole = read = len(first)
        for line in file:
            read += len(line)
            try:
                row = parsed_row(line.decode("utf-8"))
            except ValueError:
                break
            allele = next(alleles, None)
            if allele is None or row.variant != allele.variant:
                now = "nothing more" if allele is None else allele.variant
                raise SequenceError(
                    f"the run that was stopped scored {row.variant} where there is {now} now; give the same variants "
                    "in the same order, or begin anew with --restart"
                )
            block.append((row, allele))
            predicted += isinstance(allele, Numbered) and row.reason in PREDICTED
            if ends_block(predicted, len(block)):
                for found, _ in block:
                    counted.resumed(found)
                whole, predicted = read, 0
                block.clear()
    if counted.summary.resumed:
        os.truncate(partial, whole)
    else:
        write_whole(partial, header)
    return itertools.chain((allele for _, allele in block), alleles)
