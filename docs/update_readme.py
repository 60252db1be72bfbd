"""Write what README.md says of measurements, from their records: ``make readme``.

Each part stands between two comments, ``<!-- name -->`` and ``<!-- /name -->``, with blank lines around it. A sentence
that the records do not bear out any more stops the script: it has to be written anew, by hand.
"""

import csv
import re
import runpy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attribution_bench.benchmark.results import load_records
from attribution_bench.reporting.comparison import Comparison, Row, compare
from attribution_bench.reporting.conditions import cores_text
from attribution_bench.reporting.faithfulness.texts import listed
from attribution_bench.reporting.labels import architecture_label, method_label, seconds_text
from attribution_bench.reporting.ratio_tables import first_rows, ratio_markdown
from attribution_bench.reporting.roles import baseline
from attribution_bench.reporting.verdict import span, verdict_sentence

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "reports" / "reproduce-paper"
GALLERY = ROOT / "docs" / "gallery"
PICTURE = "docs/gallery/first-picture"
WIDTH = 720
"""Pixels of the picture on a wide page."""


def answer() -> str:
    """Return which method to use, why, and what it costs: three sentences, from the records of the paper's table."""
    records = load_records(REPORT)
    comparison = compare(records)
    rows, fast, slow = first_rows(comparison), comparison.reference, baseline(records)
    assert fast is not None
    assert slow is not None
    slower = [ratio for _, ratio in ratios(comparison, rows, slow)]
    assert min(slower) > 1, "fastISM is not faster on every line; the first sentence has to be written anew"
    checks = [r.check.largest_difference for r in records if r.workload.method == fast and r.check]
    differences = [found for found in checks if found is not None]
    taken = sorted(seconds_each(rows, fast), key=lambda found: found[0])
    least, most = (f"{seconds_text(seconds, 2)} s ({model(row)})" for seconds, row in (taken[0], taken[-1]))
    machine = cores_text(next(r.machine for r in records if r.workload.method == fast))
    return "\n".join(
        (
            "- **Use fastISM.** Its scores are those of in-silico mutagenesis (ISM): the model's own answers to every "
            "mutation of a letter.",
            f"- **Why:** it is {span(slower)} times as fast as standard ISM, and as exact: predictions differ by at "
            f"most {max(differences):.0e} of the largest.",
            f"- **Cost:** {least} to {most} a sequence on {machine}; {cheaper_sentence(comparison, rows)}",
        )
    )


def cheaper_sentence(comparison: Comparison, rows: Sequence[Row]) -> str:
    """Say which methods take less than fastISM on some model; those that are exact are not expected there."""
    cheaper = [m for m in comparison.methods if any(ratio < 1 for _, ratio in ratios(comparison, rows, m))]
    exact = {
        cell.method for row in rows for cell in row.cells if cell.record and cell.record.tags and cell.record.tags.exact
    }
    assert not exact & set(cheaper), "an exact method takes less than fastISM; the last sentence has to be written anew"
    names = listed([comparison.labels[method] for method in cheaper])
    if not names:
        return "no other method here takes less."
    return f"only {names}, which {'is' if len(cheaper) == 1 else 'are'} approximate, can take less."


def picture() -> str:
    """Return the picture for light and dark pages, with what it shows in words, and a line on what was measured."""
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_first_picture.py"))["timing"]()
    return "\n".join(
        (
            "<picture>",
            f'  <source media="(prefers-color-scheme: dark)" srcset="{PICTURE}/dark.svg">',
            f'  <img src="{PICTURE}/light.svg" width="{WIDTH}" alt="{drawn.alternative}">',
            "</picture>",
            "",
            drawn.caption,
        )
    )


def table1() -> str:
    """Return the table of ratios, and the sentence on whether the paper is reproduced."""
    comparison = compare(load_records(REPORT))
    return f"{ratio_markdown(comparison).strip()}\n\n{verdict_sentence(comparison)}"


def agreement() -> str:
    """Return how far each approximate method agrees with exact ISM on the demonstration model."""
    with (GALLERY / "metrics.csv").open(encoding="utf-8", newline="") as file:
        found = {line["method"]: float(line["mean"]) for line in csv.DictReader(file) if line["metric"] == "pearson"}
    approximate = {name: value for name, value in found.items() if value < 0.9995}
    said = [
        f"{method_label(name)} {value:.2f}" for name, value in sorted(approximate.items(), key=lambda item: -item[1])
    ]
    return f"Pearson's r with exact ISM on the demonstration model: {listed(said)}; on another model they differ."


def model(row: Row) -> str:
    """Name a model and its length in few words."""
    return f"{architecture_label(row.architecture).partition(' (')[0]}, {row.length} letters"


def seconds_each(rows: Sequence[Row], method: str) -> Iterator[tuple[float, Row]]:
    """Yield the seconds a sequence of every row, with the row."""
    for row in rows:
        for cell in row.cells:
            if cell.method == method and cell.seconds is not None:
                yield cell.seconds / 100, row


def ratios(comparison: Comparison, rows: Sequence[Row], method: str) -> Iterator[tuple[Row, float]]:
    """Yield each row with the method's ratio to fastISM's seconds."""
    for row in rows:
        for cell in row.cells:
            if cell.method == method and cell.ratio is not None:
                yield row, cell.ratio


BLOCKS: dict[str, Callable[[], str]] = {
    "answer": answer,
    "picture": picture,
    "table1": table1,
    "agreement": agreement,
}


def block(name: str) -> re.Pattern[str]:
    """Return what finds the text between the two comments of a name."""
    return re.compile(rf"(?<=<!-- {name} -->\n\n).*?(?=\n\n<!-- /{name} -->)", re.DOTALL)


def main() -> None:
    """Write every part anew."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, write in BLOCKS.items():
        said = write()
        text, count = block(name).subn(lambda _, said=said: said, text)
        assert count == 1, name
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
