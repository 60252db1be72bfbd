"""What `make repeatability` says of three runs, from records made by hand."""

import importlib.util
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from attribution_bench.benchmark import runner
from attribution_bench.benchmark.protocol import Settings
from attribution_bench.benchmark.results import Record
from attribution_bench.benchmark.runner import run_benchmark
from attribution_bench.benchmark.workloads import Row

SCRIPT = Path(__file__).parents[1] / "speed" / "repeatability.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("repeatability", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def record(
    make_method: Any, clock: Any, model: Any, sequences: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Record:
    method = make_method("fake", lambda n, p, s, b: 1e-3 * n, predicts=False)
    monkeypatch.setattr(runner, "get_method", lambda name: method)
    row = Row("tiny", 40, "torch", lambda: model, sequences, ("fake",))
    (found,) = run_benchmark([row], tmp_path, Settings(10.0), device="cpu", threads=1, clock=clock)
    return found


def _said(script: ModuleType, records: list[Record]) -> tuple[int, str]:
    runs: Iterator[Record] = iter(records)
    written = io.StringIO()
    arguments = script.parsed(["--runs", str(len(records))])
    return script.run(arguments, lambda: next(runs), Console(file=written, width=200)), written.getvalue()


@pytest.mark.parametrize(("factors", "code", "text"), [((1, 1.1, 1.05), 0, "10.0% apart"), ((1, 1, 1.2), 1, "20.0%")])
def test_figures_further_apart_than_15_per_cent_fail(
    script: ModuleType, record: Record, factors: tuple[float, ...], code: int, text: str
) -> None:
    runs = [replace(record, durations=tuple(d * factor for d in record.durations)) for factor in factors]
    found, said = _said(script, runs)
    assert found == code
    assert text in said


def test_a_run_without_a_figure_fails_with_its_reason(script: ModuleType, record: Record) -> None:
    failed = replace(record, status="failed", error="MemoryError: too large", durations=(), done=None)
    code, said = _said(script, [record, failed])
    assert code == 1
    assert "a run has no figure: MemoryError: too large" in said
