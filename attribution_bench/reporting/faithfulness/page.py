"""The page: one HTML file with its style, its script and its data inside, which needs nothing else."""

import base64
import hashlib
from importlib.resources import files
from string import Template

from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.comparison import Comparison
from attribution_bench.reporting.faithfulness import markup, metric_markup, palette
from attribution_bench.reporting.faithfulness.claims import sentences
from attribution_bench.reporting.faithfulness.escaping import text
from attribution_bench.reporting.faithfulness.page_data import embedded, page_data
from attribution_bench.reporting.faithfulness.scores import Scores
from attribution_bench.reporting.faithfulness.summary import marks_text, setting, title

SCRIPTS = (
    "errors.js", "dom.js", "scales.js", "glyphs.js", "theme.js", "colours.js", "state.js", "tooltip.js", "labels.js",
    "numbers.js", "table.js", "plane.js", "matrix.js", "curves.js", "heat_map.js", "sites.js", "sequence_figure.js",
    "browser.js", "browser_input.js", "print.js", "start.js",
)  # fmt: skip
"""Files of the script, in the order in which they run."""


def page(evaluation: Evaluation, scores: Scores | None, table_1: Comparison | None) -> str:
    """Return the page, methods as the evaluation has them; scores and the benchmark's table where they are given."""
    style = palette.style(evaluation.alphabet) + _file("page.css")
    script = '"use strict";\n' + "\n".join(map(_file, SCRIPTS))
    return Template(_file("page.html")).substitute(
        title=text(title(evaluation)),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        setting=text(setting(evaluation)),
        verdict=markup.verdict(evaluation),
        summary=text(" ".join(sentences(evaluation))),
        metric_table=metric_markup.metric_table(evaluation),
        metric_cards=metric_markup.metric_cards(evaluation),
        missing=metric_markup.missing(evaluation),
        differences=metric_markup.differences(evaluation),
        failures=markup.failures(evaluation),
        marks=text(marks_text(evaluation)),
        definitions=markup.definitions(evaluation),
        table_1=markup.table_1(table_1),
        methods=markup.methods(evaluation),
        facts=markup.facts(evaluation),
        data=embedded(page_data(evaluation, scores)),
    )


def _file(name: str) -> str:
    return files(__package__).joinpath("template", name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """Return what the page's policy knows its own script and style by, so that no other one runs."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
