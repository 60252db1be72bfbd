"""`attribution-bench reproduce-paper`: Table 1 of the fastISM paper, measured here."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attribution_bench.cli import options

BUDGET = 6.0


class Frameworks(StrEnum):
    """Frameworks to measure in."""

    torch = "torch"
    keras = "keras"
    both = "both"


def reproduce_paper(
    framework: Annotated[
        Frameworks | None, typer.Option(help="Framework of the models; every one that is installed by default.")
    ] = None,
    device: options.Device = None,
    architectures: Annotated[
        list[str] | None,
        typer.Option(help="Architectures, comma-separated: basset, factorized_basset, bpnet.", metavar="NAMES"),
    ] = None,
    lengths: options.Lengths = None,
    methods: options.Methods = None,
    sequences: options.SequencesFile = None,
    budget: options.Budget = BUDGET,
    output: Annotated[Path, typer.Option(help="Results folder.")] = Path("reports/reproduce-paper"),
    full: options.Full = False,
    fresh: options.Fresh = False,
    threads: options.Threads = None,
) -> None:
    """Measure Table 1 of the fastISM paper on this machine and set it beside the paper's figures.

    Three architectures, two lengths, five methods; seconds per 100 sequences. Writes one JSON record a cell as it
    ends, then tables, a figure and logos. The same command goes on after an interruption.

    \b
    Examples:
      attribution-bench reproduce-paper
      attribution-bench reproduce-paper --framework torch --lengths 1000 --budget 2
      attribution-bench reproduce-paper --architectures basset,bpnet --methods fastism,standard_ism
      attribution-bench reproduce-paper --full --device cuda --output results

    Exit codes: 0 done, 1 some cells failed (the table names them), 2 bad input, 130 interrupted, 143 stopped.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.benchmark import paper
    from attribution_bench.benchmark.devices import default_batch_sizes, resolve_device
    from attribution_bench.benchmark.protocol import Settings
    from attribution_bench.benchmark.reproduction import paper_rows
    from attribution_bench.benchmark.runner import prepare_folder
    from attribution_bench.cli.measure import exit_code, measure, render
    from attribution_bench.environment import announce_threads
    from attribution_bench.sequences import read_fasta

    thread_count = announce_threads(threads)
    frameworks = _frameworks(framework)
    given = read_fasta(sequences) if sequences else None
    chosen = options.names(methods, paper.METHODS)
    rows = paper_rows(
        options.names(architectures, paper.ARCHITECTURES),
        options.numbers(lengths, (given.length,) if given else paper.LENGTHS, "--lengths", options.LETTERS),
        frameworks,
        chosen,
        device=device,
        sequences=given,
    )
    batch_sizes = default_batch_sizes(resolve_device(frameworks[0], device))
    settings = Settings(budget=budget, batch_sizes=batch_sizes, full=full)
    prepare_folder(output)
    records = measure(rows, output, settings, target="all", device=device, threads=thread_count, fresh=fresh)
    _logos(chosen, frameworks, device, output)
    render(records, output)
    raise typer.Exit(exit_code(records))


def _frameworks(choice: Frameworks | None) -> tuple[str, ...]:
    from attribution_bench.benchmark.reproduction import installed_frameworks

    if choice is None:
        return installed_frameworks()
    return (Frameworks.torch.value, Frameworks.keras.value) if choice is Frameworks.both else (choice.value,)


def _logos(methods: tuple[str, ...], frameworks: tuple[str, ...], device: str | None, output: Path) -> None:
    """Score one sequence by every method for the logos; without them the report lacks a picture, nothing else."""
    from attribution_bench.benchmark.devices import resolve_device
    from attribution_bench.benchmark.logo_scores import measure_logo_scores
    from attribution_bench.cli.terminal import note
    from attribution_bench.errors import AttributionBenchError

    for framework in frameworks:
        note(f"scoring one sequence for the logos ({framework})")
        try:
            measure_logo_scores(methods, framework, resolve_device(framework, device)).save(output)
        except AttributionBenchError as error:
            note(f"no logos for {framework}: {error}")
