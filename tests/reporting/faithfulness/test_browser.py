"""The page in a real browser: its script runs to its end, and draws what the data say."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.evaluation.results import Evaluation
from attribution_bench.reporting.faithfulness import render_evaluation
from attribution_bench.reporting.faithfulness.page import page
from attribution_bench.reporting.faithfulness.scores import load_scores

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
SECONDS = 120


def _dom(folder: Path, fragment: str = "", width: int = 1200) -> str:
    """Return the page as the browser has it once its script has run."""
    assert BROWSER
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=10000",
        f"--window-size={width},900", f"--user-data-dir={folder / 'browser'}",
    ]  # fmt: skip
    address = (folder / "index.html").as_uri() + fragment
    ran = subprocess.run([BROWSER, *options, address], capture_output=True, text=True, timeout=SECONDS, check=True)
    head = ran.stdout[: ran.stdout.index("<head>")]
    assert 'data-ready="true"' in head, head
    assert "data-errors" not in head, head
    assert "data-owned" not in head, head
    return ran.stdout


def _written(folder: Path) -> Path:
    """Write the page alone; the figures are slower and are tested elsewhere."""
    evaluation = Evaluation.load(folder)
    (folder / "index.html").write_text(page(evaluation, load_scores(folder, evaluation), None))
    return folder


def _glyphs(dom: str) -> int:
    return dom.count('class="glyph"')


def _positions(dom: str) -> list[int]:
    return [int(text) for text in re.findall(r'class="tick position"[^>]*>(\d+)<', dom)]


def test_every_figure_is_drawn(comparison_folder: Path) -> None:
    dom = _dom(_written(comparison_folder))
    assert _glyphs(dom) == 5 * 120
    assert dom.count('class="cell"') == 5 * 5
    assert dom.count('class="front"') == 1
    assert dom.count('class="curve"') == 5 + 2 * 5
    assert dom.count('class="heat"') == 1
    assert dom.count('class="site-label"') == 3
    assert (_positions(dom)[0], _positions(dom)[-1]) == (0, 110)


def test_a_permalink_shows_a_range_of_a_sequence(comparison_folder: Path) -> None:
    dom = _dom(_written(comparison_folder), "#sequence=3&range=20-60")
    assert _glyphs(dom) == 5 * 40
    assert all(20 <= position < 60 for position in _positions(dom))
    assert "sequence 2: positions 20 to 60 of 120 letters" in dom


@pytest.mark.parametrize("fragment", ["#sequence=99&range=5-5", "#sequence=x&range=7", "#range=100-9999", "#plane"])
def test_a_permalink_may_be_wrong(comparison_folder: Path, fragment: str) -> None:
    assert _glyphs(_dom(_written(comparison_folder), fragment)) > 0


def test_a_protein_on_a_phone(synthetic: Callable[..., Any], tmp_path: Path) -> None:
    made = synthetic(3, 80, alphabet="ACDEFGHIKLMNPQRSTVWY", sites=False)
    folder = _written(made.save(tmp_path))
    assert _glyphs(_dom(folder, "#sequence=2&range=10-30", width=500)) == 5 * 20


def test_one_method_without_truth_scores_or_sites(synthetic: Callable[..., Any], tmp_path: Path) -> None:
    folder = synthetic(3, 40, sites=False).save(tmp_path, ("deepshap",))
    dom = _dom(_written(folder))
    assert _glyphs(dom) == 40
    assert "Agreement takes two methods with scores" in dom
    (folder / "scores" / "deepshap.npz").unlink()
    assert "No scores are stored beside this evaluation" in _dom(_written(folder))


def test_names_are_never_run(synthetic: Callable[..., Any], tmp_path: Path) -> None:
    hostile = "</script><script>document.documentElement.dataset.owned = 1</script><img src=x onerror=alert(1)>"
    made = synthetic(3, 60)
    evaluation = made.evaluation()
    sites = tuple(replace(site, name=hostile) for site in evaluation.sites)
    failed = replace(
        evaluation.methods[0], method=hostile, label=hostile, reason=hostile, means={}, values={}, curves={}
    )
    methods = (failed, *evaluation.methods[1:])
    folder = made.save(tmp_path, names=(hostile,) * 3, sites=sites, model=hostile, methods=methods)
    render_evaluation(folder)
    assert "<img" not in _dom(folder)
