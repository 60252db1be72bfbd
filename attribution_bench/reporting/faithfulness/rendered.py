"""Everything that a comparison's folder shows, rendered but not yet written."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attribution_bench.benchmark.results import RECORDS, load_records
from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.comparison import Comparison, compare
from attribution_bench.reporting.faithfulness import csv_files
from attribution_bench.reporting.faithfulness.page import page
from attribution_bench.reporting.faithfulness.scores import load_scores
from attribution_bench.reporting.faithfulness.standing import in_order
from attribution_bench.reporting.faithfulness.summary import markdown_summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_KINDS = ("png", "svg")


def rendered(folder: Path) -> dict[str, str | bytes]:
    """Return the content of every file, by name; see `render_evaluation`."""
    evaluation = in_order(Evaluation.load(folder))
    scores = load_scores(folder, evaluation)
    table_1 = _table_1(folder)
    contents: dict[str, str | bytes] = {
        f"{name}.{kind}": content for name, figure in _figures(evaluation) for kind, content in _render(figure).items()
    }
    contents |= {
        "metrics.csv": csv_files.metrics_csv(evaluation),
        "values.csv": csv_files.values_csv(evaluation),
        "agreement.csv": csv_files.agreement_csv(evaluation),
        "curves.csv": csv_files.curves_csv(evaluation),
    }
    contents["README.md"] = markdown_summary(evaluation, table_1, contents)
    contents["index.html"] = page(evaluation, scores, table_1)
    return contents


def _table_1(folder: Path) -> Comparison | None:
    """Return the benchmark's table where the folder holds records."""
    return compare(load_records(folder)) if any((folder / RECORDS).glob("*.json")) else None


def _figures(evaluation: Evaluation) -> Iterator[tuple[str, "Figure"]]:
    from attribution_bench.reporting.faithfulness.curve_figures import curves_figure
    from attribution_bench.reporting.faithfulness.matrix import agreement_figure
    from attribution_bench.reporting.faithfulness.plane import plane_figure

    drawn = {
        "plane": plane_figure(evaluation),
        "agreement": agreement_figure(evaluation),
        "curves": curves_figure(evaluation),
    }
    yield from ((name, figure) for name, figure in drawn.items() if figure is not None)


def _render(figure: "Figure") -> dict[str, bytes]:
    from attribution_bench.reporting.figures import render

    # Laying out takes as long as drawing, so it is done once for all kinds.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return {kind: render(figure, kind) for kind in FIGURE_KINDS}
