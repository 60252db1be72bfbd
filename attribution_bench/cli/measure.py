"""What the commands that measure have in common: run with a progress bar, render, and the exit code."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from attribution_bench.cli.progress import BenchmarkProgress
from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench.benchmark.protocol import Settings
    from attribution_bench.benchmark.results import Record
    from attribution_bench.benchmark.workloads import Row
    from attribution_bench.models import Target

INTERRUPTED = 130
SOME_FAILED = 1


def measure(
    rows: "Sequence[Row]",
    output: Path,
    settings: "Settings",
    *,
    target: "Target",
    device: str | None,
    threads: int,
    fresh: bool,
) -> "list[Record]":
    """Run the benchmark with a progress bar; an interruption says what is kept, and exits with 130.

    Raises
    ------
    InvalidInputError
        The folder holds records that no table has beside these.
    """
    from attribution_bench.benchmark.runner import run_benchmark

    check_folder(rows, output)
    with BenchmarkProgress(sum(len(row.methods) for row in rows)) as progress:
        try:
            return run_benchmark(
                rows,
                output,
                settings,
                target=target,
                device=device,
                threads=threads,
                fresh=fresh,
                observer=progress,
            )
        except KeyboardInterrupt as interruption:
            progress.console.print(
                f"interrupted: {progress.ended} finished cells are kept in {output}; the same command goes on",
                soft_wrap=True,
            )
            raise typer.Exit(INTERRUPTED) from interruption


def check_folder(rows: "Sequence[Row]", output: Path) -> None:
    """Raise InvalidInputError unless both the folder's records and the rows are of the engine suite, or neither."""
    from attribution_bench.benchmark import load_records

    stored: list[Record] = []
    with contextlib.suppress(InvalidInputError):  # none, or damaged ones, which the report will name
        stored = load_records(output)
    if any((record.workload.sequences is not None) != row.counted for record in stored for row in rows):
        others = "other benchmarks" if rows[0].counted else "the engine suite"
        raise InvalidInputError(
            f"{output} holds records of {others}, which no table has beside these; choose another folder with --output"
        )


def render(records: "list[Record]", output: Path) -> None:
    """Render the results folder, print the table and what was written."""
    from attribution_bench.cli.terminal import console, say
    from attribution_bench.reporting import (
        engine_terminal_table,
        of_engine_suite,
        render_engine_report,
        render_report,
        terminal_table,
    )

    engine = of_engine_suite(records)
    written = render_engine_report(output) if engine else render_report(output)
    console().print(engine_terminal_table(records) if engine else terminal_table(records))
    for path in written:
        say(str(path))


def exit_code(records: "list[Record]") -> int:
    """Return 1 when a cell failed; a combination that is known not to work is no failure."""
    return SOME_FAILED if any(record.status == "failed" for record in records) else 0
