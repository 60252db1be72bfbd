"""Options that several commands share, and how their values are read."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.environment import MOST_THREADS
from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench.models.loading import ModelSource
    from attribution_bench.models.sequence_model import SequenceModel
    from attribution_bench.sequences import Alphabet

DEFAULT_LENGTH = 1000


@dataclass(frozen=True)
class Bounds:
    """The numbers that an option takes, both ends included."""

    least: float
    most: float
    unit: str = ""
    what: str = ""
    """What the number is, for messages; the words of the option's name by default."""

    def __str__(self) -> str:
        return f"{self.least:,} to {self.most:,} {self.unit}".rstrip()

    def check(self, option: str, number: float) -> None:
        """Raise InvalidInputError, which names the option and the bounds, for a number outside of them or no number."""
        if self.least <= number <= self.most:
            return
        side = f"at least {self.least:,}" if number < self.least else f"at most {self.most:,}"
        what = self.what or option.lstrip("-").replace("-", " ")
        raise InvalidInputError(f"{option}: the {what} must be {side}, not {number} ({self})")

    def option(self, text: str, *names: str, **settings: Any) -> Any:
        """Return an option that takes one such number, or none where that is its default; its help says the bounds."""

        def checked(parameter: typer.CallbackParam, value: Any) -> Any:
            if value is not None:
                self.check(parameter.opts[0], value)
            return value

        return typer.Option(*names, help=f"{text} ({self})", callback=checked, **settings)


LETTERS = Bounds(1, 10_000_000)
"""Lengths of a sequence."""
SEEDS = Bounds(0, 2**32 - 1)
"""Seeds that every library takes."""
BATCHES = Bounds(1, 1_000_000)
COUNTS = Bounds(1, 100_000, what="number of sequences")
SECONDS = Bounds(1e-3, 1_000_000)
"""A budget of one cell, up to eleven days."""
THREADS = Bounds(1, MOST_THREADS)
DIMENSIONS = Bounds(1, 10_000_000)


class Framework(StrEnum):
    """Framework of a built-in architecture."""

    torch = "torch"
    keras = "keras"


class LayoutName(StrEnum):
    """Order of the axes that the model takes."""

    NAL = "NAL"
    NLA = "NLA"


MODEL_ARGUMENT = typer.Argument(
    help="A .pt2 (torch.export), .keras or .h5 file, of which nothing is executed; package.module:callable, which "
    "imports and runs code, also from the current folder; or a model that `attribution-bench models` lists, such as "
    "basset or bpnet?length=2000. The last two take ?weights=FILE: .safetensors, or weights alone by torch.save.",
    metavar="MODEL",
)
Model = Annotated[str, MODEL_ARGUMENT]
Architectures = Annotated[list[str] | None, typer.Option(help="Architectures, comma-separated.", metavar="NAMES")]
SequenceCounts = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Numbers of sequences scored at once, comma-separated ({COUNTS}); 1,8,64 by default.", metavar="NUMBERS"
    ),
]
BuiltInFramework = Annotated[Framework, typer.Option(help="Framework of a built-in architecture.")]
ModelLayout = Annotated[
    LayoutName | None,
    typer.Option(help="Axes that the model takes: NAL (PyTorch's default) or NLA (Keras' default)."),
]
SequenceInput = Annotated[
    str | None,
    typer.Option(
        help="Which input of the model the sequence is, by name or place from 0, where several could be.",
        metavar="INPUT",
    ),
]
AlphabetName = Annotated[str, typer.Option(help="DNA, RNA or protein.")]
ModelAlphabet = Annotated[
    str | None, typer.Option(help="DNA, RNA or protein; by default that of a model of other packages, or DNA.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; a GPU where there is one, by default.")]
Budget = Annotated[
    float,
    SECONDS.option(
        "Seconds of measuring a cell; what does not fit is scaled up and marked. Three rounds are timed anyway",
        metavar="SECONDS",
    ),
]
Full = Annotated[bool, typer.Option("--full", help="Measure everything, whatever it takes (hours on a CPU).")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure cells again that this folder holds already.")]
Threads = Annotated[int | None, THREADS.option("CPU threads; every core by default", metavar="NUMBER")]
SequencesFile = Annotated[
    Path | None,
    typer.Option("--sequences", help="FASTA of sequences of one length; 100 windows of phage lambda by default."),
]
Methods = Annotated[
    list[str] | None, typer.Option(help="Methods, comma-separated; see `attribution-bench methods`.", metavar="NAMES")
]
BatchSizes = Annotated[
    list[str] | None,
    typer.Option(
        help=f"Batch sizes to try, comma-separated ({BATCHES}); each method's default and some more by default.",
        metavar="NUMBERS",
    ),
]
Lengths = Annotated[
    list[str] | None,
    typer.Option(help=f"Sequence lengths, comma-separated ({LETTERS}).", metavar="NUMBERS"),
]


def alphabet_of(name: str | None) -> "Alphabet | None":
    """Return the alphabet of a name, None where none is given; raises InvalidInputError where there is none of it."""
    from attribution_bench.sequences import ALPHABETS

    if name is not None and name not in ALPHABETS:
        raise InvalidInputError(f"unknown alphabet {name!r}; choose one of {', '.join(ALPHABETS)}")
    return None if name is None else ALPHABETS[name]


def sequence_input(text: str | None) -> str | int | None:
    """Read the name or the place of an input."""
    return int(text) if text is not None and text.isdecimal() else text


def names(values: list[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    """Split comma-separated values, given once or repeatedly."""
    if not values:
        return default
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


def numbers(values: list[str] | None, default: tuple[int, ...], option: str, bounds: Bounds) -> tuple[int, ...]:
    """Split comma-separated whole numbers, each once; raises InvalidInputError naming the option and the bounds."""
    if not values:
        return default
    found = []
    for part in names(values, ()):
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", part):
            raise InvalidInputError(
                f"{option} takes whole numbers with commas between, such as 1000,2000, not {part[:40]!r} ({bounds})"
            )
        bounds.check(option, int(part))
        found.append(int(part))
    if not found:
        raise InvalidInputError(f"{option} was given without a number; it takes whole numbers from {bounds}")
    return tuple(found)


def chosen_target(source: "ModelSource", given: str | None) -> str | None:
    """Return the target that is given, or else the default one of a catalogued model, which is said; None for none."""
    from attribution_bench.cli.terminal import note

    if given is not None or source.default_target is None:
        return given
    note(f"target {source.default_target}, which is the default of {source.label}; --target chooses another")
    return source.default_target


def stated_length(source: "ModelSource", open_model: "Callable[[], SequenceModel]", option: str = "--length") -> int:
    """Return the length that a model itself states, or an architecture is built for by default.

    Raises
    ------
    InvalidInputError
        The model takes several lengths; the message names the option that gives one.
    """
    if source.kind == "built-in":
        if source.length is not None:
            return source.length
        return DEFAULT_LENGTH if source.default_length is None else source.default_length
    if source.kind == "catalogued":
        stated = source.default_length if source.length is None else source.length
        if stated is not None:
            return stated
    stated = open_model().stated_length
    if stated is None:
        raise InvalidInputError(f"{source.label} does not state the length of its sequences; give it with {option}")
    return stated
