"""`attribution-bench report`: render stored results again."""

from pathlib import Path
from typing import Annotated

import typer

from attribution_bench.cli.terminal import say
from attribution_bench.errors import InvalidInputError
from attribution_bench.storage.places import beside, store_path


def report(
    results: Annotated[
        Path,
        typer.Argument(
            help="Folder that reproduce-paper, benchmark or compare wrote, or a store that `attribute` wrote.",
            metavar="RESULTS",
            parser=store_path,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="Of a store: folder of the report; by default beside it, <name>-report.")
    ] = None,
) -> None:
    """Render tables, figures, logos and pages again from a results folder, or from a store. Nothing is measured.

    \b
    Examples:
      attribution-bench report reports/reproduce-paper
      attribution-bench report scores.zarr
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.benchmark import load_records
    from attribution_bench.cli.measure import render
    from attribution_bench.evaluation.results import FILE, Evaluation
    from attribution_bench.storage.zarr_store import is_store

    if is_store(results):
        from attribution_bench.reporting.store_report import render_store

        folder = output or beside(results, "-report")
        for path in render_store(results, folder):
            say(str(path))
    elif output is not None:
        raise InvalidInputError("--output names the report of a store; other results are rendered where they are")
    elif (results / FILE).exists():
        from attribution_bench.cli.compare import render_comparison

        render_comparison(Evaluation.load(results), results)
    else:
        render(load_records(results), results)
