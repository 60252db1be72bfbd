"""`attribution-bench explain`: what a fast method does with a model, layer by layer, and why."""

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.cli import options
from attribution_bench.cli.benchmark import parse_target
from attribution_bench.errors import InvalidInputError, PluginError

if TYPE_CHECKING:
    from attribution_bench.attribution import Attribution
    from attribution_bench.explanation import Explanation

UNITS = (
    "layer: in the order of computation, with its number in the model; a maximum pool may come before what it follows "
    "there. reached: positions that one mutation reaches. standard, fast: million multiply-accumulates for one "
    "mutation, in a full pass and as planned. kB: memory of the layer's values for one mutation."
)
"""What the table's columns mean."""


def explain(
    model: options.Model,
    length: Annotated[
        int | None, options.LETTERS.option("Letters of a sequence; by default what the model states", metavar="NUMBER")
    ] = None,
    framework: options.BuiltInFramework = options.Framework.torch,
    layout: options.ModelLayout = None,
    sequence_input: options.SequenceInput = None,
    alphabet: options.ModelAlphabet = None,
    device: options.Device = None,
    method: Annotated[
        str | None, typer.Option(help="Method that explains; not needed where one installed method does.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="What of the outputs is wanted: all, an index, an output, or output:index such as profile:500. What "
            "it does not read is not computed. By default that of a model of `attribution-bench models` that has one, "
            "else all."
        ),
    ] = None,
    extra_shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Shape of a further input of the model for one sequence, such as 1,1000; once for each of them; "
            f"numbers and their product ({options.DIMENSIONS}).",
            metavar="NUMBERS",
        ),
    ] = None,
) -> None:
    """Show fastISM's plan: what of each layer a mutation makes it recompute, what that costs, and why it is not less.

    Nothing is measured: the predicted ratio over standard ISM comes from counted work.

    \b
    Examples:
      attribution-bench explain basset
      attribution-bench explain bpnet --length 2000
      attribution-bench explain bpnet --target profile:500
      attribution-bench explain model.keras
      attribution-bench explain my_package.models:build --length 2114 --extra-shape 1,1000

    Exit codes: 0 done, 2 bad input.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    import numpy as np

    from attribution_bench.explanation import Explains
    from attribution_bench.garbage import collection_paused
    from attribution_bench.models.loading import model_source

    settings: dict[str, Any] = {
        "framework": str(framework),
        "device": device,
        "layout": None if layout is None else layout.value,
        "alphabet": options.alphabet_of(alphabet),
        "sequence_input": options.sequence_input(sequence_input),
    }
    shapes = [options.numbers([shape], (), "--extra-shape", options.DIMENSIONS) for shape in extra_shape or ()]
    for shape in shapes:
        options.DIMENSIONS.check("--extra-shape", math.prod(shape))
    extras = tuple(np.zeros((1, *shape), dtype=np.float32) for shape in shapes)
    with collection_paused():  # large libraries are imported, and little else is made
        explaining, source = explaining_method(method), model_source(model)
        goal = parse_target(options.chosen_target(source, target) or "all")
        wanted = length or options.stated_length(source, partial(source.open, **settings))
        bound = explaining(source.open(length=wanted, **settings))
        if not isinstance(bound, Explains):
            raise PluginError(f"the method {bound.name!r} says that it explains, but lacks the method `explain` for it")
        found = bound.explain(wanted, additional_forward_args=extras or None, target=goal)
    show(found)


def explaining_method(name: str | None) -> "type[Attribution]":
    """Return the method whose tags say that it explains, by name where several do.

    Raises
    ------
    InvalidInputError
        The method does not explain, none does, or several do and none is named.
    """
    from attribution_bench.registry import get_method, working_methods

    if name is not None:
        method = get_method(name)
        if not method.tags.explains:
            raise InvalidInputError(f"the method {name!r} does not explain what it does with a model")
        return method
    found = {name: method for name, method in working_methods().items() if method.tags.explains}
    if len(found) != 1:
        remedy = f"choose one of {', '.join(found)} with --method" if found else "install one"
        raise InvalidInputError(f"{len(found)} installed methods explain what they do with a model; {remedy}")
    return next(iter(found.values()))


def show(explanation: "Explanation") -> None:
    """Draw an explanation as a table, with what its columns mean and its summary below."""
    from attribution_bench.cli.terminal import console
    from attribution_bench.reporting.terminal_tables import Column, TerminalLine, TerminalTable

    if explanation.layers:
        columns = (
            Column("layer", right=False),
            Column("mode", right=False),
            *map(Column, ("reached", "standard", "fast", "kB")),
        )
        lines = (
            TerminalLine(
                (
                    layer.layer,
                    layer.mode,
                    layer.extent,
                    f"{layer.products_standard / 1e6:.3g}",
                    f"{layer.products_fast / 1e6:.3g}",
                    f"{layer.bytes / 1e3:.3g}",
                )
            )
            for layer in explanation.layers
        )
        console().print(TerminalTable(columns, tuple(lines)))
        console().print(UNITS)
    for line in (explanation.summary, *explanation.advice):
        console().print(line)
