"""A results folder rendered: table, figure, logos and a page that shows them, from its stored JSON alone."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.logo_scores import LogoScores, find_logo_scores
from attribution_bench.benchmark.protocol import EXTRA_SHARE, MOST_ROUNDS
from attribution_bench.benchmark.results import Record, load_records
from attribution_bench.benchmark.rounds import AGREEMENT, FEWEST_ROUNDS, FORETOLD
from attribution_bench.description import plain_label
from attribution_bench.files import write_whole
from attribution_bench.reporting.benchmark_tables import csv_table, markdown_table, markdown_text
from attribution_bench.reporting.comparison import FRAMEWORKS, Comparison, compare, paper_row_of, place
from attribution_bench.reporting.conditions import (
    checks_sentence,
    convergence,
    difference_sentence,
    facts,
    setup_sentence,
)
from attribution_bench.reporting.digits import DIGITS
from attribution_bench.reporting.faithfulness.texts import listed
from attribution_bench.reporting.labels import architecture_label, framework_label
from attribution_bench.reporting.latex_tables import latex_table, ratio_latex
from attribution_bench.reporting.ratio_tables import columns, ratio_markdown
from attribution_bench.reporting.verdict import verdict_points, verdict_sentence

PROTOCOL = (
    "A cell is one method on one model, length and framework. After a warm-up, batch sizes are tried within a share of "
    "the cell's time budget; the best one is timed in rounds, taken in turns with the other methods on the same model. "
    "The figure is the median of the rounds, in seconds per 100 sequences. A cell that does not fit its budget is "
    "measured on a part of the sequences, positions or outputs and scaled up; its footnote says on how much. " + DIGITS
)
ROUNDS = (
    f"There are at least {FEWEST_ROUNDS} rounds, and more while they disagree: until their median is at most "
    f"{AGREEMENT:.0%} above the fastest and {FORETOLD:g} times what the trial of batch sizes foretold, there are "
    f"{MOST_ROUNDS}, or the further ones have taken {EXTRA_SHARE:.0%} of the budget on top of it."
)


def render_report(folder: Path) -> list[Path]:
    """Render a results folder again from ``records/*.json`` and ``logos-*.json``; nothing is measured or computed.

    Writes ``ratios.md``, ``table.md``, ``table.csv``, ``table.tex`` for one column of an article and ``table-full.tex``
    for a page, ``dots.png`` and ``.svg``, ``logos-<framework>.png`` and ``.svg`` where logo scores are stored, and
    ``README.md``, which shows them all. Everything is rendered before the
    first file is written, each file is written whole, and the same records give the same bytes.

    Returns
    -------
    The files written, README.md last.

    Raises
    ------
    InvalidInputError
        The folder holds no records, or one that cannot be read.
    OutputError
        The stored logo scores cannot be read, or the folder cannot be written.
    """
    folder = Path(folder)
    records = load_records(folder)
    logos = sorted(find_logo_scores(folder), key=lambda scores: place(scores.framework, FRAMEWORKS))
    comparison = compare(records)
    contents: dict[str, str | bytes] = {
        "ratios.md": ratio_markdown(comparison),
        "table.md": markdown_table(comparison),
        "table.csv": csv_table(comparison),
        "table.tex": ratio_latex(comparison),
        "table-full.tex": latex_table(comparison, difference_sentence(records)),
        **_figure_files(comparison),
        **_logo_files(logos),
    }
    contents["README.md"] = _page(records, comparison, logos, contents)
    return [write_whole(folder / name, content) for name, content in contents.items()]


def _figure_files(comparison: Comparison) -> dict[str, bytes]:
    from attribution_bench.reporting.figures import figure_files
    from attribution_bench.reporting.ratio_dots import dots_figure, has_dots

    return figure_files("dots", dots_figure(comparison)) if has_dots(comparison) else {}


def _logo_files(logos: Sequence[LogoScores]) -> dict[str, bytes]:
    from attribution_bench.reporting.figures import figure_files
    from attribution_bench.reporting.logos import logo_figure

    files: dict[str, bytes] = {}
    for scores in logos:
        panels = {
            m.label or plain_label(m.method): scores.observed(m) for m in scores.methods if m.hypothetical is not None
        }
        if panels:
            heading = f"{architecture_label(scores.architecture)} in {framework_label(scores.framework)}"
            figure = logo_figure(panels, alphabet=scores.alphabet, start=scores.start, heading=heading)
            files |= figure_files(_logo_name(scores), figure)
    return files


def _logo_name(scores: LogoScores) -> str:
    return f"logos-{scores.framework}"


def _page(
    records: Sequence[Record], comparison: Comparison, logos: Sequence[LogoScores], files: Mapping[str, str | bytes]
) -> str:
    published = any(row.paper for row in comparison.rows)
    parts = [
        "# Table 1 of the fastISM paper, measured here" if published else "# Attribution methods, measured",
        *_opening(records, comparison),
    ]
    if "dots.png" in files:
        parts.append(f"![{markdown_text(_dots_text(comparison))}](dots.png)")
    parts += [
        str(files["ratios.md"]).strip(),
        "## Every figure",
        str(files["table.md"]).strip(),
    ]
    if logos:
        parts += _logo_sections(logos, files)
    parts += [
        "## How it was measured",
        " ".join(_protocol(records)),
        markdown_text(f"{setup_sentence(records)} {checks_sentence(records)}"),
        "\n".join(f"- {name}: {markdown_text(value)}" for name, value in facts(records)),
    ]
    deltas = "; ".join(f"{method} {delta}" for method, delta in convergence(records))
    if deltas:
        parts.append(
            "Largest convergence delta, the difference between the sum of the attributions and what they should sum "
            f"to, in units of the output: {markdown_text(deltas)}. That of a path of finitely many steps, such as "
            "Integrated Gradients takes, is an approximation error of the steps."
        )
    if published:
        parts.append(f"The paper's figures: {markdown_text(paper.CITATION)}")
    parts += [
        "## Files",
        "`records/` holds one JSON file a cell, with the raw durations, the batch sizes tried, memory, machine and "
        "versions; `table.csv` lists the cells with full precision; `table.tex` fits one column of an article, "
        "`table-full.tex` has every figure and note; both need the LaTeX package booktabs. "
        "To render everything again from the records, in this folder:",
        "```bash\nattribution-bench report .\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _opening(records: Sequence[Record], comparison: Comparison) -> list[str]:
    """Return what the page begins with: whether the paper is reproduced, or else where it was measured."""
    sentence = verdict_sentence(comparison)
    if not sentence:
        return [markdown_text(setup_sentence(records))]
    points = (f"- {what}: {markdown_text(said)}" for what, said in verdict_points(comparison))
    return list(filter(None, [f"**{markdown_text(sentence)}**", "\n".join(points)]))


def _dots_text(comparison: Comparison) -> str:
    """Say in words what the figure of dots shows."""
    shown = columns(comparison)
    what = f"Times the seconds of {comparison.labels[shown.seconds[0]]}" if shown.ratios else "Seconds"
    published = ", measured and in the paper" if any(row.paper for row in comparison.rows) else ""
    return f"{what} that each method takes on each model{published}; the table below has the figures"


def _protocol(records: Sequence[Record]) -> Iterator[str]:
    """Yield sentences on how the records were measured, those alone that hold for them."""
    yield PROTOCOL
    measured = [record for record in records if record.durations]
    if measured and min(len(record.durations) for record in measured) >= FEWEST_ROUNDS:
        yield ROUNDS
    published = [record for record in records if paper_row_of(record)]
    if any(record.tags and record.tags.gives_predictions for record in published):
        yield "In-silico mutagenesis means every alternative letter at every position."
    methods = {record.workload.method for record in published}
    yield from (f"{sentence}." for method, sentence in paper.PROTOCOL.items() if method in methods)
    several = [r for r in published if r.asked and r.asked.outputs > 1 and r.tags and not r.tags.gives_predictions]
    if several:
        names = listed(sorted({architecture_label(record.workload.architecture) for record in several}))
        yield f"Methods that take outputs one by one explain every one of {names}."
    if published:
        yield (
            "The weights of these architectures are random, with a fixed seed: what a method costs does not depend on "
            "what a model has learnt."
        )


def _logo_sections(logos: Sequence[LogoScores], files: Mapping[str, str | bytes]) -> list[str]:
    """Return the logos of each framework; what is shown is said once where it is the same for all."""
    shown = dict.fromkeys(_shown(scores) for scores in logos)
    parts = ["## Logos"] if len(shown) != 1 else ["## Logos", *shown]
    for scores in logos:
        where = f"{framework_label(scores.framework)}, device {scores.device}"
        parts.append(markdown_text(f"### {architecture_label(scores.architecture)} in {where}"))
        if len(shown) != 1:
            parts.append(_shown(scores))
        image = f"{_logo_name(scores)}.png"
        if image in files:
            parts.append(f"![One sequence logo a method, below each other]({image})")
        missing = [
            f"- {markdown_text(f'{m.label or plain_label(m.method)}: no logo; {m.reason}')}"
            for m in scores.methods
            if m.hypothetical is None
        ]
        parts += ["\n".join(missing)] if missing else []
    return parts


def _shown(scores: LogoScores) -> str:
    stop = scores.start + len(scores.letters)
    conventions = ", ".join(sorted({m.convention for m in scores.methods if m.convention}))
    return markdown_text(
        f"Scores of the reference letters, at positions {scores.start} to {stop} (0-based, half-open) of "
        f"{scores.sequence_name} ({scores.length} letters), each method with its default options and on its own scale. "
        "The model's weights are random, so the logos show how far the methods agree, not biology."
        + (f" ISM scores are {conventions}." if conventions else "")
    )
