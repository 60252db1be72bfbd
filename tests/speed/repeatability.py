"""One cell of the benchmark run several times in a row: ``make repeatability``, on a machine that does nothing else.

Prints the figure of each run with its rounds, and how far the figures lie apart. Exits with 1 where the highest is more
than 15% above the lowest, or a run failed.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.devices import default_batch_sizes, resolve_device
from attribution_bench.benchmark.protocol import Settings
from attribution_bench.benchmark.reproduction import paper_rows
from attribution_bench.benchmark.results import Record
from attribution_bench.benchmark.runner import run_benchmark
from attribution_bench.cli.reproduce_paper import BUDGET
from attribution_bench.environment import announce_threads

MOST_APART = 0.15


def apart(records: Sequence[Record]) -> float:
    """Return the highest figure over the lowest, minus 1.

    Raises
    ------
    ValueError
        A run has no figure.
    """
    figures = [record.seconds_per_100_sequences for record in records]
    missing = [record.error or record.status for record in records if record.seconds_per_100_sequences is None]
    if missing:
        raise ValueError(f"a run has no figure: {missing[0]}")
    known = [figure for figure in figures if figure is not None]
    return max(known) / min(known) - 1


def measure(arguments: argparse.Namespace, threads: int) -> Record:
    """Run the cell once, in a process that has imported and traced whatever the runs before it have."""
    rows = paper_rows(
        [arguments.architecture], [arguments.length], [arguments.framework], [arguments.method], device=arguments.device
    )
    device = resolve_device(arguments.framework, arguments.device)
    settings = Settings(budget=arguments.budget, batch_sizes=default_batch_sizes(device))
    with tempfile.TemporaryDirectory() as folder:
        (record,) = run_benchmark(rows, folder, settings, device=arguments.device, threads=threads, fresh=True)
    return record


def report(records: Sequence[Record]) -> Table:
    """Return a line a run: its figure, its rounds and their spread, the part measured and the batch size."""
    table = Table("Run", "Seconds per 100", "Rounds (s)", "Spread", "Agree", "Measured", "Batch size")
    for number, record in enumerate(records, 1):
        table.add_row(
            str(number),
            f"{record.seconds_per_100_sequences or float('nan'):.4g}",
            ", ".join(f"{seconds:.3g}" for seconds in record.durations) or record.error or "",
            "" if record.spread is None else f"{record.spread:.1%}",
            {True: "yes", False: "no", None: ""}[record.rounds_agree],
            "" if record.measured_fraction is None else f"{record.measured_fraction:.2g}",
            "default" if record.batch_size is None else str(record.batch_size),
        )
    return table


def run(arguments: argparse.Namespace, measured: Callable[[], Record], console: Console) -> int:
    """Measure and print; returns the exit code."""
    records = [measured() for _ in range(arguments.runs)]
    console.print(report(records))
    try:
        found = apart(records)
    except ValueError as error:
        console.print(str(error), markup=False)
        return 1
    console.print(f"the figures of {len(records)} runs lie {found:.1%} apart; at most {MOST_APART:.0%} is allowed")
    return int(found > MOST_APART)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; by default the cell on which one round once misled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="bpnet", choices=paper.ARCHITECTURES)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--framework", default="torch", choices=("torch", "keras"))
    parser.add_argument("--method", default="deepshap")
    parser.add_argument("--device", default=None)
    parser.add_argument("--budget", type=float, default=BUDGET)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--runs", type=int, default=3)
    return parser.parse_args(arguments)


def main() -> int:
    """Run the cell that the command line names."""
    arguments = parsed(sys.argv[1:])
    threads = announce_threads(arguments.threads)
    return run(arguments, lambda: measure(arguments, threads), Console())


if __name__ == "__main__":
    sys.exit(main())
