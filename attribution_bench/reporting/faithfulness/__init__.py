"""The report of a comparison of methods: one page, a summary, figures and tables, from stored results alone."""

from pathlib import Path

__all__ = ["render_evaluation"]


def render_evaluation(folder: Path) -> list[Path]:
    """Render a comparison's folder from ``evaluation.json``, ``scores/`` and ``records/``; nothing is computed again.

    Writes ``plane.png``, ``agreement.png`` and ``curves.png`` (each also as ``.svg``, and only where there is something
    to draw), ``metrics.csv``, ``values.csv``, ``agreement.csv``, ``curves.csv``, ``README.md``, and ``index.html``, a
    page that needs no other file. Everything is rendered before the first file is written, each file is written whole,
    and the same results give the same bytes.

    Returns
    -------
    The files written, index.html last.

    Raises
    ------
    OutputError
        The evaluation or the scores of a method cannot be read or do not fit together, or the folder cannot be written.
    InvalidInputError
        The folder holds a benchmark record that cannot be read.
    """
    from attribution_bench.files import write_whole
    from attribution_bench.reporting.faithfulness.rendered import rendered

    folder = Path(folder)
    return [write_whole(folder / name, content) for name, content in rendered(folder).items()]
