"""Options that several commands share, and how their values are read."""

from pathlib import Path
from typing import Annotated

import typer

from attribution_bench.errors import InvalidInputError

Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; a GPU where there is one, by default.")]
Budget = Annotated[float, typer.Option(help="Seconds of measuring a cell; what does not fit is scaled up and marked.")]
Full = Annotated[bool, typer.Option("--full", help="Measure everything, whatever it takes (hours on a CPU).")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure cells again that this folder holds already.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; every core by default.", min=1)]
SequencesFile = Annotated[
    Path | None,
    typer.Option("--sequences", help="FASTA of sequences of one length; 100 windows of phage lambda by default."),
]
Methods = Annotated[
    list[str] | None, typer.Option(help="Methods, comma-separated; see `attribution-bench methods`.", metavar="NAMES")
]
Lengths = Annotated[list[str] | None, typer.Option(help="Sequence lengths, comma-separated.", metavar="NUMBERS")]


def names(values: list[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Split comma-separated values, given once or repeatedly."""
    if not values:
        return default
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def numbers(values: list[str] | None, default: tuple[int, ...], option: str) -> tuple[int, ...]:
    """Split comma-separated whole numbers; raises InvalidInputError naming the option."""
    try:
        return tuple(int(part) for part in names(values, tuple(str(n) for n in default)))
    except ValueError as error:
        raise InvalidInputError(
            f"{option} takes whole numbers with commas between, such as 1000,2000: {error}"
        ) from error
