"""Options that several commands share, and how their values are read."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench.models.loading import ModelSource
    from attribution_bench.models.sequence_model import SequenceModel

DEFAULT_LENGTH = 1000


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
    "imports and runs code, also from the current folder; or an architecture such as basset or bpnet?length=2000.",
    metavar="MODEL",
)
Model = Annotated[str, MODEL_ARGUMENT]
Architectures = Annotated[list[str] | None, typer.Option(help="Architectures, comma-separated.", metavar="NAMES")]
SequenceCounts = Annotated[
    list[str] | None,
    typer.Option(help="Numbers of sequences scored at once, comma-separated; 1,8,64 by default.", metavar="NUMBERS"),
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
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; a GPU where there is one, by default.")]
Budget = Annotated[
    float,
    typer.Option(
        help="Seconds of measuring a cell; what does not fit is scaled up and marked. Three rounds are timed anyway."
    ),
]
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
BatchSizes = Annotated[
    list[str] | None,
    typer.Option(help="Batch sizes to try, comma-separated; each method's default and some more by default."),
]
Lengths = Annotated[list[str] | None, typer.Option(help="Sequence lengths, comma-separated.", metavar="NUMBERS")]


def sequence_input(text: str | None) -> str | int | None:
    """Read the name or the place of an input."""
    return int(text) if text is not None and text.isdecimal() else text


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


def stated_length(source: "ModelSource", open_model: "Callable[[], SequenceModel]") -> int:
    """Return the length that a model itself states; 1000 for an architecture that takes any."""
    if source.kind == "built-in":
        return source.length or DEFAULT_LENGTH
    model = open_model()
    shape = getattr(model.model, "input_shape", None)
    if isinstance(shape, tuple) and len(shape) == 3:
        length = shape[1 if model.layout == "NLA" else 2]
        if length:
            return int(length)
    raise InvalidInputError(f"{source.label} does not state its length; give one")
