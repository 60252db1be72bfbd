"""The application: its commands, and how errors reach the user."""

import atexit
import gc
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from attribution_bench._version import __version__
from attribution_bench.cli.attribute import attribute
from attribution_bench.cli.benchmark import benchmark
from attribution_bench.cli.compare import compare
from attribution_bench.cli.demo import demo
from attribution_bench.cli.engine import engine
from attribution_bench.cli.examples import examples
from attribution_bench.cli.explain import explain
from attribution_bench.cli.export import export
from attribution_bench.cli.interruptions import interruptible
from attribution_bench.cli.methods import methods
from attribution_bench.cli.models import models
from attribution_bench.cli.plot import plot
from attribution_bench.cli.report import report
from attribution_bench.cli.reproduce_paper import reproduce_paper
from attribution_bench.cli.terminal import note, open_stderr, readable_output, say, with_own_stdout
from attribution_bench.cli.variants import variants
from attribution_bench.errors import AttributionBenchError, text_with_notes

BAD_INPUT = 2
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What a wrong command line raises; Typer exports its subclass only, and newer releases bring a click of their own."""

app = typer.Typer(
    name="attribution-bench",
    help="Attribution for neural networks on DNA, RNA and protein sequences: which letters a prediction rests on.",
    epilog="Exit codes: 0 done, 1 some cells failed, 2 bad input or nothing could be done, 130 interrupted (Ctrl-C), "
    "143 stopped (SIGTERM).",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"attribution-bench {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version and end.")
    ] = False,
) -> None:
    """Take what stands before the name of a command."""


COMMANDS: tuple[Callable[..., None], ...] = (
    methods,
    models,
    attribute,
    export,
    reproduce_paper,
    benchmark,
    engine,
    explain,
    compare,
    demo,
    plot,
    report,
    variants,
    examples,
)
for command in COMMANDS:
    app.command(command.__name__.replace("_", "-"))(with_own_stdout(command))


def main() -> None:
    """Run the command line. Bad input is one line on stderr, and exit code 2."""
    # TensorFlow's notes on how it was built; what goes wrong comes as an exception all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Otherwise Python looks through all objects of the libraries before it ends, which takes a second after PyTorch.
    atexit.register(gc.freeze)
    open_stderr()
    with readable_output(), interruptible() as interruptions:
        try:
            code = app(sys.argv[1:] or ["--help"], prog_name="attribution-bench", standalone_mode=False)
        except AttributionBenchError as error:
            note(f"attribution-bench: {' '.join(text_with_notes(error).split())}")
            code = BAD_INPUT
        except UsageError as error:
            note(f"attribution-bench: {_usage(error)}")
            code = BAD_INPUT
    sys.exit(interruptions.exit_code or code)


def _usage(error: Exception) -> str:
    """Say what is wrong with the command line, and where its options are listed."""
    said = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = "attribution-bench" if context is None else context.command_path
    return f"{said.removesuffix('.')}; see: {command} --help"
