"""Further inputs of a model as the command line names them: files of arrays, and bigWig tracks of the genome."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench.sequences.genome import Genome

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        help="The model's further inputs, once for each file and in the model's order: .npz or .npy with a row for "
        "every record; or bigWig tracks of the genome, as control.bw, NAME=control.bw, or NAME=plus.bw,minus.bw for "
        "both strands. A position without a value is 0.",
        metavar="FILE",
    ),
]


def further_inputs(values: "list[str] | None", genome: "Genome | None") -> dict[str, Any]:
    """Read further inputs, by name and in order: arrays, and `Tracks`.

    Raises
    ------
    InvalidInputError
        A file cannot be read, a track is of another genome, there is no genome, or two inputs have one name.
    """
    from attribution_bench.jobs.further_inputs import read_further_inputs
    from attribution_bench.sequences.tracks import Tracks, is_track

    found: dict[str, Any] = {}
    for value in values or ():
        name, _, given = value.rpartition("=")
        files = given.split(",")
        if all(map(is_track, files)):
            if genome is None:
                raise InvalidInputError(f"--inputs {value}: a bigWig needs regions of a genome; give --genome")
            one: dict[str, Any] = {name or Path(files[0]).stem: Tracks(files, genome)}
        elif name and given.endswith(".npy"):
            (array,) = read_further_inputs(given).values()
            one = {name: array}
        else:
            one = read_further_inputs(value)
        twice = next((each for each in one if each in found), None)
        if twice is not None:
            raise InvalidInputError(f"--inputs {value}: there is an input {twice!r} already; give NAME=FILE")
        found |= one
    return found
