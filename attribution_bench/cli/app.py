"""The application: its commands, and how errors reach the user."""

import os
import sys

import typer

from attribution_bench.cli.benchmark import benchmark
from attribution_bench.cli.compare import compare
from attribution_bench.cli.demo import demo
from attribution_bench.cli.engine import engine
from attribution_bench.cli.explain import explain
from attribution_bench.cli.methods import methods
from attribution_bench.cli.plot import plot
from attribution_bench.cli.report import report
from attribution_bench.cli.reproduce_paper import reproduce_paper
from attribution_bench.errors import AttributionBenchError

BAD_INPUT = 2

app = typer.Typer(
    name="attribution-bench",
    help="Attribution for neural networks on DNA, RNA and protein sequences: which letters a prediction rests on.",
    epilog="Exit codes: 0 done, 1 some cells failed, 2 bad input or nothing could be done, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(methods)
app.command("reproduce-paper")(reproduce_paper)
app.command()(benchmark)
app.command()(engine)
app.command()(explain)
app.command()(compare)
app.command()(demo)
app.command()(plot)
app.command()(report)


def main() -> None:
    """Run the command line. An error that the suite raises on purpose is one line on stderr, and exit code 2."""
    # TensorFlow's notes on how it was built; what goes wrong comes as an exception all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app(prog_name="attribution-bench")
    except AttributionBenchError as error:
        print(f"attribution-bench: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(BAD_INPUT)
