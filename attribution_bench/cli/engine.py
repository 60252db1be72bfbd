"""`attribution-bench engine`: the fast method beside its alternatives, and what its time is made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from attribution_bench.cli import options
from attribution_bench.cli.reproduce_paper import BUDGET

if TYPE_CHECKING:
    from attribution_bench.benchmark.workloads import Row

OUTPUT = Path("reports/engine")


def engine(
    architectures: options.Architectures = None,
    lengths: options.Lengths = None,
    sequence_counts: options.SequenceCounts = None,
    methods: options.Methods = None,
    batch_sizes: options.BatchSizes = None,
    framework: options.BuiltInFramework = options.Framework.torch,
    device: options.Device = None,
    budget: options.Budget = BUDGET,
    output: Annotated[Path, typer.Option(help="Results folder.")] = OUTPUT,
    full: options.Full = False,
    fresh: options.Fresh = False,
    threads: options.Threads = None,
) -> None:
    """Measure fastISM beside its alternatives on the built-in architectures, and what its time is made of.

    Several lengths (chrombpnet at its own) and numbers of sequences, with memory, cold start and the time of each step.
    By default the methods are those that ask the model for every mutation, by full passes or faster, and the paper's
    methods that compare with other sequences. The same command goes on after an interruption.

    \b
    Examples:
      attribution-bench engine
      attribution-bench engine --architectures basset,bpnet --sequence-counts 1,64 --budget 2
      attribution-bench engine --methods fastism,standard_ism,tangermeme --output results

    Exit codes: 0 done, 1 some cells failed (the table names them), 2 bad input, 130 interrupted, 143 stopped.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.environment import announce_threads

    measure_engine(
        architectures,
        lengths,
        sequence_counts,
        methods,
        batch_sizes,
        str(framework),
        output,
        device=device,
        budget=budget,
        full=full,
        fresh=fresh,
        threads=announce_threads(threads),
    )


def measure_engine(
    architectures: list[str] | None,
    lengths: list[str] | None,
    sequence_counts: list[str] | None,
    methods: list[str] | None,
    batch_sizes: list[str] | None,
    framework: str,
    output: Path,
    *,
    device: str | None,
    budget: float,
    full: bool,
    fresh: bool,
    threads: int,
) -> NoReturn:
    """Profile the fast method on each model, measure every cell, render the folder; ends the command.

    The lists hold options as they were given, with commas between values.
    """
    from attribution_bench.benchmark.devices import default_batch_sizes, resolve_device
    from attribution_bench.benchmark.engine_suite import (
        ARCHITECTURES,
        COUNTS,
        LENGTHS,
        default_methods,
        engine_rows,
        profiled_method,
    )
    from attribution_bench.benchmark.protocol import Settings
    from attribution_bench.benchmark.runner import prepare_folder
    from attribution_bench.cli.measure import check_folder, exit_code, measure, render

    given_sizes = options.numbers(batch_sizes, (), "--batch-sizes", options.BATCHES)
    chosen = options.names(methods, ()) if methods else default_methods()
    rows = engine_rows(
        options.names(architectures, ARCHITECTURES),
        options.numbers(lengths, LENGTHS, "--lengths", options.LETTERS),
        options.numbers(sequence_counts, COUNTS, "--sequence-counts", options.COUNTS),
        chosen,
        framework=framework,
        device=device,
    )
    where = resolve_device(framework, device)
    settings = Settings(budget=budget, batch_sizes=given_sizes or default_batch_sizes(where), full=full)
    prepare_folder(output)
    check_folder(rows, output)
    profiled = profiled_method(chosen)
    if profiled is not None:
        _profile(rows, output, profiled, budget=budget, device=where, threads=threads, fresh=fresh)
    records = measure(rows, output, settings, target="all", device=where, threads=threads, fresh=fresh)
    render(records, output)
    raise typer.Exit(exit_code(records))


def _profile(
    rows: "Sequence[Row]", output: Path, method: str, *, budget: float, device: str, threads: int, fresh: bool
) -> None:
    """Profile a method once a model; without a profile the report lacks its lines, nothing else."""
    from attribution_bench.benchmark.engine_profile import measure_profile
    from attribution_bench.cli.measure import INTERRUPTED
    from attribution_bench.cli.terminal import note

    models = {(row.architecture, row.length): row for row in reversed(rows)}
    for (architecture, length), row in reversed(models.items()):
        note(f"profiling {method} on {architecture} {length}")
        try:
            measure_profile(row, output, method, budget=budget, device=device, threads=threads, fresh=fresh)
        except KeyboardInterrupt as interruption:
            note("interrupted; the same command goes on")
            raise typer.Exit(INTERRUPTED) from interruption
        except Exception as error:  # a model may fail in any way, as the cells of the method will then say
            note(f"no profile of {architecture} {length}: {type(error).__name__}: {error}")
