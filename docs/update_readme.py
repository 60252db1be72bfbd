"""Write what README.md says of measurements, from their records: ``make readme``.

Each part stands between two comments, ``<!-- name -->`` and ``<!-- /name -->``, with blank lines around it. A sentence
that the records do not bear out any more stops the script: it has to be written anew, by hand.
"""

import csv
import re
import runpy
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from attribution_bench.benchmark import paper
from attribution_bench.benchmark.results import Record, load_records
from attribution_bench.reporting.comparison import Comparison, compare
from attribution_bench.reporting.conditions import cores_text
from attribution_bench.reporting.engine import EngineRow, compare_engine
from attribution_bench.reporting.faithfulness.texts import listed
from attribution_bench.reporting.labels import architecture_label, method_label, power_text, seconds_text
from attribution_bench.reporting.ratio_tables import ratio_markdown
from attribution_bench.reporting.roles import baseline, fast_method
from attribution_bench.reporting.verdict import span, verdict_sentence

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "reports" / "reproduce-paper"
ENGINE = ROOT / "reports" / "engine"
GALLERY = ROOT / "docs" / "gallery"
AGREEMENT = "demo_classifier"
"""Model that ``make gallery`` compares the methods on."""
PICTURE = "docs/gallery/first-picture"
WIDTH = 720
"""Pixels of the picture on a wide page."""
LENGTH = 1000
"""Letters of the sequences whose cost is said, of models that take them."""


def answer() -> str:
    """Return which method to use, why, and what it costs: three sentences, from the records of both benchmarks."""
    records = [*load_records(REPORT), *load_records(ENGINE)]
    assert all(record.machine.gpu is None for record in records), "a GPU was measured; the sentences say a CPU"
    rows, fast, slow = measured_rows(), fast_method(records), baseline(records)
    assert fast is not None
    assert slow is not None
    slower = [ratio for row in rows if (ratio := row.over(slow, fast)) is not None]
    lengths = [row.length for row in rows]
    assert min(slower) > 1, "fastISM is not faster on every model; the first sentence has to be written anew"
    checks = [r.check.largest_difference for r in records if r.workload.method == fast and r.check]
    differences = [found for found in checks if found is not None]
    return "\n".join(
        (
            "- **Use fastISM.** Its scores are those of in-silico mutagenesis (ISM): the model's own answers to every "
            "mutation of a letter.",
            f"- **Why:** on a CPU (no GPU was measured) it is {span(slower)} times as fast as standard ISM on "
            f"{len({row.architecture for row in rows})} models ({min(lengths)} to {max(lengths)} letters), and as "
            f"exact: predictions differ by at most {power_text(max(differences))} of the largest.",
            f"- **Cost:** {costs(rows, fast)}, on {one_machine(records)}, all outputs at once. "
            f"{cheaper_sentence(rows, fast)}",
        )
    )


def measured_rows() -> list[EngineRow]:
    """Return what was measured of every model and length in both benchmarks, the engine's at its most sequences."""
    table, engine = (compare_engine(load_records(folder), ()) for folder in (REPORT, ENGINE))
    return [*table.rows, *engine.largest]


def one_machine(records: Sequence[Record]) -> str:
    """Name the cores of the machine on which everything was measured."""
    (machine,) = {cores_text(record.machine) for record in records}
    return machine


def costs(rows: Sequence[EngineRow], fast: str) -> str:
    """Write the seconds a sequence: from the least to the most at `LENGTH` letters, and of models that take others."""
    # The engine's rows come last, and replace the table's.
    usual = {row.architecture: row for row in rows if row.framework == "torch" and row.length == LENGTH}
    others = {row.architecture: row for row in rows if row.architecture not in usual}
    in_order = sorted(usual.values(), key=lambda row: row.seconds(fast) or 0)
    least, most = (cost(row, fast) for row in (in_order[0], in_order[-1]))
    more = (f", one of {row.length} letters {cost(row, fast)}" for row in others.values())
    return f"a sequence of {LENGTH} letters takes {least} to {most}{''.join(more)}"


def cost(row: EngineRow, fast: str) -> str:
    """Write the seconds a sequence, with the model."""
    seconds = row.seconds(fast)
    assert seconds is not None
    return f"{seconds_text(seconds, 2)} s ({model(row.architecture)})"


def cheaper_sentence(rows: Sequence[EngineRow], fast: str) -> str:
    """Say which methods take less than fastISM for one output, and of which models; exact ones are not expected."""
    cheaper: dict[str, set[str]] = {}
    for row in rows:
        for method, record in row.records.items():
            share = row.over(method, fast)
            if share is None or share >= 1:
                continue
            assert record.tags is not None
            assert not record.tags.exact, "an exact method takes less than fastISM; write the last sentence anew"
            cheaper.setdefault(method, set()).add(row.architecture)
    alike: dict[str, list[str]] = {}
    for method in sorted(cheaper, key=paper.METHODS.index):
        names = dict.fromkeys(row.architecture for row in rows if method in row.records)
        on = listed([model(name) for name in names if name in cheaper[method]])
        alike.setdefault("wherever measured" if cheaper[method] == set(names) else f"on {on}", []).append(method)
    if not alike:
        return "No other method here takes less."
    parts = [f"{listed(list(map(method_label, methods)))} {where}" for where, methods in alike.items()]
    return f"For one output, approximate methods can take less: {'; '.join(parts)}."


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
    """Return the table of ratios, and whether the paper is reproduced."""
    comparison = compare(load_records(REPORT))
    parts = (ratio_markdown(comparison).strip(), verdict_sentence(comparison), paper_sentence(comparison))
    return "\n\n".join(parts)


def paper_sentence(comparison: Comparison) -> str:
    """Say which methods took less than fastISM in the paper, how much, and on which models."""
    published = {(row.architecture, row.length): row.paper for row in comparison.rows if row.paper}
    found: dict[str, dict[str, list[float]]] = {}
    for (architecture, _), row in published.items():
        for method in row.seconds_per_100_sequences:
            if row.ratio_to_fastism(method) < 1:
                found.setdefault(method, {}).setdefault(architecture, []).append(row.ratio_to_fastism(method))
    parts = [f"{method_label(name)} {span([*chain(*of.values())])}" for name, of in found.items()]
    models = list(dict.fromkeys(name for of in found.values() for name in of))
    assert all(set(of) == set(models) for of in found.values()), "the models differ; write the sentence anew"
    return (
        "Measured on a CPU; a GPU shifts the ratios. On the paper's, these took less than fastISM on "
        f"{listed([model(name) for name in models])} (parts of its time): {listed(parts)}."
    )


def agreement() -> str:
    """Return how far each approximate method agrees with exact ISM on the demonstration model `AGREEMENT`."""
    with (GALLERY / "metrics.csv").open(encoding="utf-8", newline="") as file:
        found = {line["method"]: float(line["mean"]) for line in csv.DictReader(file) if line["metric"] == "pearson"}
    approximate = {name: value for name, value in found.items() if value < 0.9995}
    said = [
        f"{method_label(name)} {value:.2f}" for name, value in sorted(approximate.items(), key=lambda item: -item[1])
    ]
    return (
        f"Pearson's r with exact ISM on the trained model `{AGREEMENT}`: {listed(said)}; on another model they differ."
    )


def model(architecture: str) -> str:
    """Name a model in few words."""
    return architecture_label(architecture).partition(" (")[0]


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
