"""`attribution-bench report`: render stored results again."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    results: Annotated[
        Path, typer.Argument(help="Folder that reproduce-paper, benchmark or compare wrote.", metavar="RESULTS")
    ],
) -> None:
    """Render tables, figures, logos and pages again from a results folder. Nothing is measured.

    \b
    Example:
      attribution-bench report reports/reproduce-paper
    """  # noqa: D301 - \b is the control character that keeps the examples' lines apart
    from attribution_bench.benchmark import load_records
    from attribution_bench.cli.measure import render
    from attribution_bench.evaluation.results import FILE, Evaluation

    if (results / FILE).exists():
        from attribution_bench.cli.compare import render_comparison

        render_comparison(Evaluation.load(results), results)
    else:
        render(load_records(results), results)
