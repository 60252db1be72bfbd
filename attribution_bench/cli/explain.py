"""`attribution-bench explain`: what fastISM does with a model, layer by layer, and why."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attribution_bench.cli import options
from attribution_bench.errors import InvalidInputError

if TYPE_CHECKING:
    from attribution_bench_plugins.fastism.explanation import Explanation


def explain(
    model: options.Model,
    length: Annotated[
        int | None, typer.Option(help="Letters of a sequence; by default what the model states.", min=1)
    ] = None,
    framework: options.BuiltInFramework = options.Framework.torch,
    layout: options.ModelLayout = None,
    alphabet: options.AlphabetName = "DNA",
    device: options.Device = None,
    extra_shape: Annotated[
        list[str] | None,
        typer.Option(
            help="Shape of a further input of the model for one sequence, such as 1,1000; once for each of them.",
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
      attribution-bench explain model.keras
      attribution-bench explain my_package.models:build --length 2114 --extra-shape 1,1000

    Exit codes: 0 done, 2 bad input.
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    import numpy as np

    from attribution_bench.models.loading import model_source
    from attribution_bench.sequences import ALPHABETS
    from attribution_bench_plugins.fastism import FastISM

    if alphabet not in ALPHABETS:
        raise InvalidInputError(f"unknown alphabet {alphabet!r}; choose one of {', '.join(ALPHABETS)}")
    source = model_source(model)
    settings: dict[str, Any] = {
        "framework": str(framework),
        "device": device,
        "layout": None if layout is None else layout.value,
        "alphabet": ALPHABETS[alphabet],
    }
    wanted = length or options.stated_length(source, partial(source.open, **settings))
    shapes = [options.numbers([shape], (), "--extra-shape") for shape in extra_shape or ()]
    extras = tuple(np.zeros((1, *shape), dtype=np.float32) for shape in shapes)
    opened = source.open(length=wanted, **settings)
    show(FastISM(opened).explain(wanted, additional_forward_args=extras or None))


def show(explanation: "Explanation") -> None:
    """Draw an explanation as a table, with its summary below."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=False)
    if explanation.layers:
        table = Table()
        for title, justify in (
            ("layer", "left"),
            ("mode", "left"),
            ("reached", "right"),
            ("MMAC standard", "right"),
            ("MMAC fast", "right"),
            ("kB", "right"),
        ):
            table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for layer in explanation.layers:
            table.add_row(
                Text(layer.layer),
                layer.mode,
                layer.extent,
                f"{layer.products_standard / 1e6:.3g}",
                f"{layer.products_fast / 1e6:.3g}",
                f"{layer.bytes / 1e3:.3g}",
            )
        console.print(table)
    for line in (explanation.summary, *explanation.advice):
        console.print(Text(line))
