"""Tables of effects: a row for each allele, written block by block, so that a run that was stopped goes on."""

import contextlib
import itertools
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attribution_bench.errors import AttributionBenchError, InvalidInputError, OutputError, SequenceError
from attribution_bench.files import write_whole
from attribution_bench.sequences.variants import Variant, VariantReason
from attribution_bench.variants.effects import Column
from attribution_bench.variants.score import VariantScore, VariantScorer, ends_block

ALLELE_COLUMNS = ("chromosome", "position", "id", "ref", "alt", "variant", "set_aside")
"""Position is 1-based; ``variant`` is the normal form, ``set_aside`` the reason where there are no effects."""
NOTHING, MISSING = ".", "NA"


@dataclass
class Summary:
    """What became of the alleles of one run."""

    scored: int = 0
    resumed: int = 0
    """Alleles that were found in the table of a run that was stopped, set aside or not."""
    set_aside: Counter[VariantReason] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Alleles in the table."""
        return self.scored + self.set_aside.total()

    @property
    def seconds_per_100(self) -> float | None:
        """Seconds per 100 alleles of this run; None where it had none."""
        done = self.total - self.resumed
        return 100 * self.seconds / done if done else None

    def count(self, reason: VariantReason | None) -> None:
        """Count an allele."""
        if reason is None:
            self.scored += 1
        else:
            self.set_aside[reason] += 1


def write_effects(
    scorer: VariantScorer,
    variants: Iterable[Variant],
    path: Path,
    settings: Mapping[str, Any],
    *,
    restart: bool = False,
    fatal: Sequence[VariantReason] = (),
    progress: Callable[[Summary], None] | None = None,
    finish: Callable[[Path], None] | None = None,
) -> Summary:
    """Score variants into a table of tab-separated values, which gets its name once it is complete.

    Until then its blocks stand in ``PATH.partial``, and the settings that they depend on in ``PATH.json``, which stays.
    The same call after one that was stopped goes on after the last whole block, and ends with the same bytes.

    Parameters
    ----------
    scorer
        What scores them.
    variants
        The alleles, the same ones when a run goes on.
    path
        The table.
    settings
        What the numbers depend on, JSON-able.
    restart
        Begin anew, whatever a run that was stopped has left.
    fatal
        Reasons that end the run instead of setting an allele aside.
    progress
        Called after each block.
    finish
        Called with the file of all rows before it gets its name: what is to be made of them belongs to the run, which
        goes on if it fails.

    Raises
    ------
    InvalidInputError
        A run with other settings was stopped here; the message shows the difference.
    SequenceError
        The variants are others than those of the run that was stopped, or one is set aside for a fatal reason.
    OutputError
        The table cannot be written; what stands there goes on later.
    """
    partial = path.with_name(path.name + ".partial")
    header = "\t".join((*ALLELE_COLUMNS, *(column.name for column in scorer.columns))) + "\n"
    alleles, summary = iter(variants), Summary()
    with _locked(partial):
        settings_path = path.with_name(path.name + ".json")
        if not restart and partial.exists():
            _check_settings(settings_path, settings)
            _go_on(partial, header, alleles, summary)
        else:
            write_whole(settings_path, json.dumps(settings, indent=2) + "\n")
            write_whole(partial, header)
        _append(scorer, alleles, partial, summary, fatal, progress)
        if finish is not None:
            finish(partial)
        os.replace(partial, path)
    return summary


@dataclass(frozen=True)
class Row:
    """One allele in a table."""

    variant: Variant
    normalised: str | None
    reason: VariantReason | None
    effects: tuple[str, ...]
    """Numbers as they are written; ``NA`` where one does not exist."""


def read_effects(path: Path) -> Iterator[Row]:
    """Yield the rows of a table that `write_effects` wrote.

    Raises
    ------
    OutputError
        The file cannot be read or is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            next(file, None)
            for line in file:
                yield _parsed(line)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot read {path} as a table of effects: {error}") from error


def number_text(value: float, column: Column) -> str:
    """Return a number as tables write it: every digit, ``NA`` where there is none."""
    if not math.isfinite(value):
        return MISSING
    return str(int(value)) if column.kind == "Integer" else repr(value)


@contextlib.contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Hold a table while it is written; a process that ends in any way lets go of it.

    Raises
    ------
    OutputError
        Another run writes it, or the folder cannot be written.
    """
    import filelock

    path = partial.with_name(partial.name + ".lock")
    with _writing(partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout as error:
            raise OutputError(f"another run writes {partial}; wait for it, or choose another output") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.release()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise what goes wrong while a table is written as one OutputError."""
    try:
        yield
    except AttributionBenchError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; the same command goes on where this one stopped"
        ) from error


def _append(
    scorer: VariantScorer,
    alleles: Iterable[Variant],
    partial: Path,
    summary: Summary,
    fatal: Sequence[VariantReason],
    progress: Callable[[Summary], None] | None,
) -> None:
    """Write the rows of alleles, a block at a time."""
    started = time.monotonic()
    with partial.open("a", encoding="utf-8", newline="\n") as file:
        for block in scorer.blocks(alleles):
            for score in block:
                _check_fatal(score, fatal)
                summary.count(None if score.set_aside is None else score.set_aside.reason)
            file.write("".join(_row(score, scorer.columns) for score in block))
            file.flush()
            summary.seconds = time.monotonic() - started
            if progress is not None:
                progress(summary)


def _row(score: VariantScore, columns: Sequence[Column]) -> str:
    variant = score.variant
    fixed = (
        variant.contig,
        str(variant.position + 1),
        variant.name or NOTHING,
        variant.reference,
        variant.alternative,
        NOTHING if score.normalised is None else str(score.normalised),
        NOTHING if score.set_aside is None else score.set_aside.reason.value,
    )
    numbers = (
        MISSING if score.set_aside is not None else number_text(score.effects[column.name], column)
        for column in columns
    )
    return "\t".join((*fixed, *numbers)) + "\n"


def _parsed(line: str) -> Row:
    """Return a line of a table; raises ValueError where it is none."""
    if not line.endswith("\n"):
        raise ValueError("its last line has no end")
    contig, position, name, reference, alternative, form, reason, *effects = line[:-1].split("\t")
    variant = Variant(contig, int(position) - 1, reference, alternative, "" if name == NOTHING else name)
    return Row(
        variant,
        None if form == NOTHING else form,
        None if reason == NOTHING else VariantReason(reason),
        tuple(effects),
    )


def _check_fatal(score: VariantScore, fatal: Sequence[VariantReason]) -> None:
    if score.set_aside is not None and score.set_aside.reason in fatal:
        detail = f" ({score.set_aside.detail})" if score.set_aside.detail else ""
        raise SequenceError(f"variant {score.variant}: {score.set_aside.reason}{detail}")


def _check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Check that a run that was stopped had the same settings."""
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        before = {}
    now = json.loads(json.dumps(settings))
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        shown = "; ".join(f"{name}: {before.get(name)!r} then, {now.get(name)!r} now" for name in names)
        raise InvalidInputError(
            f"a run with other settings was stopped at {path.with_suffix('')} ({shown}); finish it with those, or "
            "begin anew with restart"
        )


def _go_on(partial: Path, header: str, alleles: Iterator[Variant], summary: Summary) -> None:
    """Cut the table of a run that was stopped after its last whole block, and pass over its alleles."""
    whole, rows = _whole_blocks(partial, header)
    if rows == 0:
        write_whole(partial, header)
        return
    os.truncate(partial, whole)
    for row, variant in itertools.zip_longest(
        itertools.islice(read_effects(partial), rows), itertools.islice(alleles, rows)
    ):
        if row is None or variant is None or row.variant != variant:
            raise SequenceError(
                f"the run that was stopped scored {row and row.variant} where there is {variant} now; give the same "
                "variants in the same order, or begin anew with restart"
            )
        summary.count(row.reason)
        summary.resumed += 1


def _whole_blocks(partial: Path, header: str) -> tuple[int, int]:
    """Return the bytes of a table up to the end of its last whole block, and the rows until there."""
    rows = alleles = predicted = 0
    with partial.open("rb") as file:
        first = file.readline()
        if not header.encode().startswith(first):
            raise OutputError(f"{partial} is no table of the effects asked for; begin anew with restart")
        whole = read = len(first)
        for line in file:
            read += len(line)
            try:
                row = _parsed(line.decode("utf-8"))
            except ValueError:
                break
            alleles += 1
            predicted += row.reason in (None, VariantReason.NOT_FINITE)
            if ends_block(predicted, alleles):
                whole, rows, alleles, predicted = read, rows + alleles, 0, 0
    return whole, rows
