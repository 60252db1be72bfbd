"""Stages of an interrupted comparison: used again where nothing differs, computed again otherwise."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

import attribution_bench as ab
from attribution_bench.attribution import RawAttribution, Request
from attribution_bench.errors import OutputError, TargetError
from attribution_bench.evaluation import Evaluation, Settings, evaluate
from attribution_bench.evaluation.finished_stages import FinishedStages
from attribution_bench.models.torch_model import TorchSequenceModel
from attribution_bench.sequences import Sequences, lambda_windows
from attribution_bench.sequences.sites import Site
from broken_methods import RandomScores

LENGTH = 24
SEQUENCES = lambda_windows(LENGTH, 4)
SETTINGS = Settings(mutations=4, shuffles=2, repeats=2, repeated_sequences=2, steps=3)


class Counted(RandomScores):
    """Noise that counts how often it runs, and is interrupted when told to be."""

    runs: ClassVar[int] = 0

    def _attribute(self, request: Request) -> RawAttribution:
        Counted.runs += 1
        # What interrupts it is no part of its code, by which a stage is known.
        if str(Counted.runs) == os.environ.get("INTERRUPTED_AT"):
            raise KeyboardInterrupt
        return super()._attribute(request)


@pytest.fixture(autouse=True)
def uncounted() -> Iterator[None]:
    Counted.runs = 0
    yield
    Counted.runs = 0


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv1d(4, 4, 5, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(4 * LENGTH, 1))


def rescaled() -> nn.Sequential:
    """Return a network that predicts the same with other weights."""
    model = network()
    with torch.no_grad():
        model[0].weight.mul_(2)
        model[0].bias.mul_(2)
        model[3].weight.div_(2)
    return model


def compared(stages: FinishedStages | None, **changed: Any) -> Evaluation:
    given: dict[str, Any] = {
        "model": network(),
        "sequences": SEQUENCES,
        "methods": {"first": Counted, "second": Counted},
        "settings": SETTINGS,
        "threads": 1,
        **changed,
    }
    model = ab.as_sequence_model(given.pop("model"))
    evaluation, _ = evaluate(model, given.pop("sequences"), given.pop("methods"), stages=stages, **given)
    methods = tuple(replace(method, seconds_per_100_sequences=None) for method in evaluation.methods)
    return replace(evaluation, date="", methods=methods)


def runs_of(stages: FinishedStages | None, **changed: Any) -> int:
    Counted.runs = 0
    compared(stages, **changed)
    return Counted.runs


def test_whenever_it_stops_the_results_are_those_of_one_run(tmp_path: Path, monkeypatch: Any) -> None:
    expected = compared(None)
    whole, Counted.runs = Counted.runs, 0
    for stop in range(1, whole + 1):
        folder = tmp_path / str(stop)
        Counted.runs = 0
        monkeypatch.setenv("INTERRUPTED_AT", str(stop))
        with pytest.raises(KeyboardInterrupt):
            compared(FinishedStages(folder, "model"))
        monkeypatch.delenv("INTERRUPTED_AT")
        Counted.runs = 0
        stages = FinishedStages(folder, "model")
        assert compared(stages) == expected
        # Scoring takes two runs of a method, further runs six: what was finished is not run again.
        finished = sum(length for length in (2, 4) if stop > length)
        assert Counted.runs <= whole - (2 if stop > 2 else 0) - (2 if finished > 4 else 0)
        assert all(stage.startswith(("first: ", "second: ")) for stage in stages.reused)
        assert bool(stages.reused) == (stop > 2)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    compared(FinishedStages(tmp_path, "model"))
    return tmp_path


def test_nothing_runs_again_where_nothing_differs(finished: Path) -> None:
    stages = FinishedStages(finished, "model")
    assert runs_of(stages) == 0
    assert len(stages.reused) == stages.kept == 6


@pytest.mark.parametrize(
    "changed",
    [
        {"model": network(1)},
        {"model": network().double()},
        {"model": rescaled()},
        {"sequences": lambda_windows(LENGTH, 5)},
        {"sequences": Sequences(SEQUENCES.names, SEQUENCES.strings[::-1], "turned")},
        {"settings": replace(SETTINGS, seed=1)},
        {"settings": replace(SETTINGS, mutations=5)},
        {"target": 0},
        {"sites": (Site(0, 1, 5, "x"),)},
        {"threads": 2},
        {"methods": {"third": Counted, "fourth": Counted}},
        {"methods": {"first": lambda model, seed=0: Counted(model, seed=7), "second": lambda model: Counted(model)}},
    ],
)
def test_what_differs_runs_again(finished: Path, changed: dict[str, Any]) -> None:
    expected = runs_of(None, **changed)
    kept = 4 if callable(changed.get("methods", {}).get("second")) and "third" not in changed["methods"] else 0
    stages = FinishedStages(finished, "model")
    assert runs_of(stages, **changed) >= expected - kept
    assert not [stage for stage in stages.reused if stage.startswith("first")]


def test_another_precision_of_products_runs_again(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchSequenceModel, "precision_state", lambda self: {"tf32": True})
    assert runs_of(FinishedStages(finished, "model")) == runs_of(None)


def test_a_function_as_target_is_known_by_what_it_does(tmp_path: Path) -> None:
    assert runs_of(FinishedStages(tmp_path, "model"), target=lambda output: output[:, 0]) > 0
    assert runs_of(FinishedStages(tmp_path, "model"), target=lambda output: output[:, 0]) == 0
    assert runs_of(FinishedStages(tmp_path, "model"), target=lambda output: output[:, 0] * 2) > 0


def test_another_model_file_runs_again(finished: Path) -> None:
    assert runs_of(FinishedStages(finished, "another")) == runs_of(None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"[" * 100_000, b'{"predictions": 1}', b"\xff"])
def test_a_damaged_stage_runs_again(finished: Path, content: bytes) -> None:
    expected = compared(None)
    for path in (finished / "unfinished").iterdir():
        path.write_bytes(content)
    stages = FinishedStages(finished, "model")
    assert compared(stages) == expected
    assert not stages.reused
    assert runs_of(FinishedStages(finished, "model")) == 0


def test_damaged_scores_run_again(finished: Path) -> None:
    for path in (finished / "unfinished").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-50])
    stages = FinishedStages(finished, "model")
    assert compared(stages) == compared(None)
    assert not [stage for stage in stages.reused if stage.endswith("scores")]


def test_a_method_that_fails_as_it_runs_again_leaves_the_others() -> None:
    class Tired(RandomScores):
        def _attribute(self, request: Request) -> RawAttribution:
            if len(request.one_hot) == SETTINGS.repeats * SETTINGS.repeated_sequences:
                raise ZeroDivisionError("too tired")
            return super()._attribute(request)

    found = compared(None, methods={"first": Counted, "tired": Tired})
    assert found.method("tired").reason == "ZeroDivisionError: too tired"
    assert found.method("first").means.keys() == compared(None).method("first").means.keys()
    assert Counted.runs > 0


def test_scores_that_cannot_be_kept_are_no_failure_of_the_method(tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OutputError("cannot write: no space")

    monkeypatch.setattr(ab.AttributionResult, "save", full)
    with pytest.raises(OutputError, match="no space"):
        compared(FinishedStages(tmp_path, "model"))


class Tally:
    """A target that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return output[:, 0]


def test_a_target_that_counts_its_calls_is_one_target(tmp_path: Path) -> None:
    target = Tally()
    assert runs_of(FinishedStages(tmp_path, "model"), target=target) > 0
    assert target.calls > 0
    assert len(list((tmp_path / "unfinished").glob("*.npz"))) == 2
    for again in (target, Tally()):
        assert runs_of(FinishedStages(tmp_path, "model"), target=again) == 0


def test_one_run_at_a_time_uses_the_folder(finished: Path) -> None:
    stages, other = FinishedStages(finished, "model"), FinishedStages(finished, "model")
    with stages.held():
        for run in (lambda: compared(other), other.clear):
            with pytest.raises(OutputError, match=r"another run writes into .*unfinished"):
                run()
        assert runs_of(stages) == 0
    assert runs_of(other) == 0


def test_what_fails_before_anything_is_kept_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="index 7"):
        compared(FinishedStages(tmp_path / "new" / "results"), target=7)
    assert not (tmp_path / "new").exists()


def test_only_stages_are_cleared(finished: Path) -> None:
    mine = finished / "unfinished" / "notes.txt"
    mine.write_text("mine")
    # What was left by processes that were killed.
    for name in ("tmp12345678.partial", "evaluation.json", f"job-{7:032x}/evaluation.json"):
        path = finished / "unfinished" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    FinishedStages(finished).clear()
    assert [path.name for path in (finished / "unfinished").iterdir()] == ["notes.txt"]
    mine.unlink()
    FinishedStages(finished).clear()
    assert not (finished / "unfinished").exists()
    FinishedStages(finished).clear()
    FinishedStages().clear()
