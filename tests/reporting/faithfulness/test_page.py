"""The page as text: one file that needs no other, and holds names as names."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.faithfulness import render_evaluation
from attribution_bench.reporting.faithfulness.page import page
from attribution_bench.reporting.faithfulness.page_data import MOST_NUMBERS, page_data
from attribution_bench.reporting.faithfulness.scores import load_scores

HOSTILE = "</script><script>document.documentElement.dataset.owned = 1</script><img src=x onerror=alert(1)>"
MEGABYTE = 10**6


def _data(content: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', content, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_asks_for_nothing_outside(comparison_folder: Path) -> None:
    render_evaluation(comparison_folder)
    content = (comparison_folder / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', content)
    assert "@import" not in content
    assert not [link for link in re.findall(r"https?://[^\"'\s)]+", content) if "www.w3.org" not in link]
    assert "default-src 'none'" in content
    assert not re.findall(r"\son[a-z]+=", content)


def test_a_hundred_sequences_take_less_than_5_megabytes(synthetic: Callable[..., Any], tmp_path: Path) -> None:
    folder = synthetic(100, 200).save(tmp_path)
    evaluation = Evaluation.load(folder)
    assert len(page(evaluation, load_scores(folder, evaluation), None)) < 5 * MEGABYTE


def test_names_are_never_markup(synthetic: Callable[..., Any], tmp_path: Path) -> None:
    made = synthetic(3, 60)
    evaluation = made.evaluation()
    sites = tuple(replace(site, name=HOSTILE) for site in evaluation.sites)
    hostile = replace(
        evaluation.methods[0], method=HOSTILE, label=HOSTILE, reason=HOSTILE, means={}, values={}, curves={}
    )
    changes = {
        "names": (HOSTILE,) * 3, "sites": sites, "model": HOSTILE, "target": HOSTILE, "sequence_source": HOSTILE,
        "methods": (hostile, *evaluation.methods[1:]), "versions": {HOSTILE: HOSTILE}, "agreements": (),
    }  # fmt: skip
    folder = made.save(tmp_path, **changes)
    render_evaluation(folder)
    content = (folder / "index.html").read_text()
    assert content.count("</script>") == 2
    assert "<img" not in content
    assert _data(content)["names"] == [HOSTILE] * 3
    assert "<script" not in (folder / "README.md").read_text().replace("\\<script", "")


def test_scores_are_rounded_and_the_effects_are_differences(comparison_folder: Path) -> None:
    evaluation = Evaluation.load(comparison_folder)
    scores = load_scores(comparison_folder, evaluation)
    assert scores is not None
    found = page_data(evaluation, scores)
    assert scores.effects_of == "standard_ism"
    assert scores.effects is not None
    there = evaluation.alphabet.index(evaluation.strings[2][5])
    assert found["effects"][2][there][5] == 0
    assert found["methods"][4]["observed"][2][5] == float(f"{scores.observed['deepshap'][2, 5]:.4g}")
    assert len(json.dumps(found["methods"][4]["observed"][2])) < 10 * 120


def test_of_very_many_scores_the_first_are_shown(comparison_folder: Path) -> None:
    evaluation = Evaluation.load(comparison_folder)
    scores = load_scores(comparison_folder, evaluation)
    assert scores is not None
    long = replace(scores, positions=scores.positions.repeat(MOST_NUMBERS // (9 * 120 * 5)))
    found = page_data(evaluation, long)
    assert (found["count"], len(found["names"]), len(found["methods"][0]["observed"])) == (12, 5, 5)
    assert {site["sequence"] for site in found["sites"]} == set(range(5))
