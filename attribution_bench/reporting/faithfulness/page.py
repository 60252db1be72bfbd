"""The page: one HTML file with its style, its script and its data inside, which needs nothing else."""

import base64
import hashlib
from importlib.resources import files
from string import Template

from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.comparison import Comparison
from attribution_bench.reporting.faithfulness import markup
from attribution_bench.reporting.faithfulness.claims import sentences
from attribution_bench.reporting.faithfulness.page_data import embedded, page_data
from attribution_bench.reporting.faithfulness.scores import Scores
from attribution_bench.reporting.faithfulness.summary import marks_text, title

SCRIPTS = (
    "errors.js", "dom.js", "scales.js", "glyphs.js", "theme.js", "tooltip.js", "table.js", "plane.js", "matrix.js",
    "curves.js", "heat_map.js", "browser.js", "start.js",
)  # fmt: skip
"""Files of the script, in the order in which they run."""


def page(evaluation: Evaluation, scores: Scores | None, table_1: Comparison | None) -> str:
    """Return the page; scores are shown where they are given, and the benchmark's table."""
    style = _file("page.css")
    script = '"use strict";\n' + "\n".join(map(_file, SCRIPTS))
    return Template(_file("page.html")).substitute(
        title=markup.text(title(evaluation)),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        summary=markup.text(" ".join(sentences(evaluation))),
        metric_table=markup.metric_table(evaluation),
        failures=markup.failures(evaluation),
        marks=markup.text(marks_text(evaluation)),
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
