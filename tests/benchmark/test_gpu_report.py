"""The report of a GPU in its short form, on a CPU and with no package but PyTorch and what PyTorch needs."""

import json
import os
import runpy
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.benchmark import load_records
from attribution_bench.benchmark.engine_profile import load_profiles

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "speed" / "gpu_report.py"
NEEDED = (
    "torch",
    "numpy",
    "sympy",
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
    "fsspec",
    "filelock",
    "typing-extensions",
)
"""PyTorch, and what it needs on a CPU."""


@pytest.fixture(scope="module")
def bare_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of PyTorch and what it needs, in the place of the packages that are installed here."""
    folder = tmp_path_factory.mktemp("packages")
    for name in NEEDED:
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(distribution(name).locate_file(top))
    return folder


def test_the_short_form_runs_with_pytorch_alone(bare_packages: Path, tmp_path: Path) -> None:
    arguments = ["--device", "cpu", "--output", str(tmp_path), "--seconds", "3000", "--cell-seconds", "0.01"]
    arguments += ["--architectures", "bpnet", "--lengths", "100", "--sequences", "1", "--rules", "flip"]
    # Without `site`, Python sees the standard library and the paths that are named, and no package that is installed.
    run = subprocess.run(
        [sys.executable, "-S", str(SCRIPT), *arguments],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "plugins", ROOT / "tests/helpers", bare_packages))),
        },
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    compared = json.loads((tmp_path / "parity.json").read_text())
    assert [one["name"] for one in compared] == ["bpnet 100", "bpnet 100", "flip"]
    assert "3 of 3 models agree with full passes" in run.stdout
    records = load_records(tmp_path)
    assert sorted(record.workload.method for record in records) == ["fastism", "standard_ism"]
    assert all(record.status == "ok" and record.check and record.check.passed for record in records)
    assert [profile.architecture for profile in load_profiles(tmp_path)] == ["bpnet"]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT), run_name="gpu_report")


def test_goals_count_as_missed_where_a_row_is_slower_or_was_not_measured(script: dict[str, Any]) -> None:
    goals = script["GOALS"]
    fast = {row: {"fastism": goal, "standard_ism": 10 * goal} for row, goal in goals.items()}
    lines, met = script["goals_text"](fast, [1000, 2000])
    assert met
    assert "basset 1000: 0.15 s per 100 sequences (goal 0.15 s), 10 times as fast as standard ISM" in lines[0]
    assert not script["goals_text"]({**fast, ("bpnet", 2000): {"fastism": 2.51}}, [1000, 2000])[1]
    assert not script["goals_text"]({row: fast[row] for row in list(fast)[1:]}, [1000, 2000])[1]


def test_a_model_that_differs_or_fails_is_told(script: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with script["reported"]("odd", "float64") as found:
        raise RuntimeError("no kernel for it")
    comparison = script["Comparison"]
    differences = [
        comparison("a", "float64", 1e-10),
        comparison("a", "float64", 2e-10),
        comparison("a", "float32", 1e-5),
    ]
    assert [one.passed for one in differences] == [True, False, True]
    assert not comparison("odd", "float64", *found).passed
    assert list(script["told"](iter([comparison("odd", "float64", *found)])))
    assert "FAILED float64 odd: RuntimeError: no kernel for it" in capsys.readouterr().out
