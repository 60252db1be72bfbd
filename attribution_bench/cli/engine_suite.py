"""`attribution-bench benchmark --suite engine`: fastISM beside its alternatives, and what its time is made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from attribution_bench.benchmark.workloads import Row


def measure_engine(
    architectures: Sequence[str],
    lengths: Sequence[int],
    counts: Sequence[int],
    methods: Sequence[str],
    framework: str,
    output: Path,
    *,
    batch_sizes: tuple[int, ...],
    device: str | None,
    budget: float,
    full: bool,
    fresh: bool,
    threads: int,
) -> NoReturn:
    """Profile fastISM on each model, measure every cell, render the folder; ends the command with its exit code."""
    from attribution_bench.benchmark.devices import default_batch_sizes, resolve_device
    from attribution_bench.benchmark.engine_suite import engine_rows
    from attribution_bench.benchmark.protocol import Settings
    from attribution_bench.benchmark.runner import prepare_folder
    from attribution_bench.cli.measure import check_folder, exit_code, measure, render

    rows = engine_rows(architectures, lengths, counts, methods, framework=framework, device=device)
    where = resolve_device(framework, device)
    settings = Settings(budget=budget, batch_sizes=batch_sizes or default_batch_sizes(where), full=full)
    prepare_folder(output)
    check_folder(rows, output)
    if "fastism" in methods:
        _profile(rows, output, budget=budget, device=where, threads=threads, fresh=fresh)
    records = measure(rows, output, settings, target="all", device=where, threads=threads, fresh=fresh)
    render(records, output)
    raise typer.Exit(exit_code(records))


def _profile(rows: "Sequence[Row]", output: Path, *, budget: float, device: str, threads: int, fresh: bool) -> None:
    """Profile fastISM once a model; without a profile the report lacks its lines, nothing else."""
    from rich.console import Console

    from attribution_bench.benchmark.engine_profile import measure_profile
    from attribution_bench.cli.measure import INTERRUPTED

    console = Console(stderr=True, highlight=False)
    models = {(row.architecture, row.length): row for row in reversed(rows)}
    for (architecture, length), row in reversed(models.items()):
        console.print(f"profiling fastISM on {architecture} {length}", markup=False)
        try:
            measure_profile(row, output, budget=budget, device=device, threads=threads, fresh=fresh)
        except KeyboardInterrupt as interruption:
            console.print("interrupted; the same command goes on")
            raise typer.Exit(INTERRUPTED) from interruption
        except Exception as error:  # a model may fail in any way, as the cells of fastISM will then say
            text = f"no profile of {architecture} {length}: {type(error).__name__}: {error}"
            console.print(text, markup=False, soft_wrap=True)
