"""A comparison on two processes: the numbers of one, whatever happens to a process, to a method or to the client."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.errors import AttributionBenchError, InvalidInputError, OutputError, TargetError
from attribution_bench.evaluation import Evaluation, Settings, evaluate
from attribution_bench.evaluation.finished_stages import FinishedStages
from attribution_bench.jobs import Caution, Retry
from attribution_bench.jobs.distributed import pace
from attribution_bench.sequences import lambda_windows
from faulty_jobs import Faulty
from numpy_jobs import NumpyModel, Reversed, Weights

SEQUENCES = lambda_windows(24, 5)
SETTINGS = Settings(mutations=4, shuffles=2, repeats=2, repeated_sequences=2, steps=3)


class Refusing(Weights):
    """Refuses every model."""

    def _attribute(self, request):
        raise InvalidInputError("this model is not for it")


class Unwritable(Weights):
    """Ends as scores do for which the disk has no room."""

    def _attribute(self, request):
        raise OutputError("cannot write scores: No space left on device")


class Tired(Weights):
    """Scores the sequences, and fails as it runs again on their mutations."""

    def _attribute(self, request):
        if len(request.one_hot) == SETTINGS.repeats * SETTINGS.repeated_sequences:
            raise InvalidInputError("more sequences than it takes")
        return super()._attribute(request)


@pytest.fixture
def compared(cluster, tmp_path) -> Callable[..., tuple[Evaluation, list[Any], FinishedStages]]:
    """Compare methods on two processes; returns the evaluation without what is timed, events, and the stages."""
    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again

    def compare(methods, *, observer=None, **further):
        events: list[Any] = []
        stages = FinishedStages(tmp_path / "results", "model")
        evaluation, results = evaluate(
            NumpyModel(),
            SEQUENCES,
            methods,
            settings=SETTINGS,
            threads=1,
            stages=stages,
            cluster=cluster.client,
            tell=events.append,
            observer=observer,
            **further,
        )
        assert list(results) == [method.method for method in evaluation.methods if method.reason is None]
        assert evaluation.processes == 2
        for result in results.values():
            assert result.names == SEQUENCES.names
        return untimed(replace(evaluation, processes=1)), events, stages

    return compare


def in_one_process(methods: Mapping[str, Any]) -> Evaluation:
    return untimed(evaluate(NumpyModel(), SEQUENCES, methods, settings=SETTINGS, threads=1)[0])


def untimed(evaluation: Evaluation) -> Evaluation:
    methods = tuple(replace(method, seconds_per_100_sequences=None) for method in evaluation.methods)
    return replace(evaluation, date="", methods=methods)


def faulty(fault: str, file: Path) -> Callable[..., Faulty]:
    return partial(Faulty, fault=fault, file=str(file), at="")


def test_a_process_that_is_killed_changes_no_number(compared, tmp_path):
    file = tmp_path / "fault"
    methods = {"weights": Weights, "faulty": faulty("killed", file), "reversed": Reversed}
    whole = in_one_process(methods)
    file.write_text("claim")
    found, events, _ = compared(methods)
    assert found == whole
    # While the other process still opens the model, another piece may wait at the one that is killed.
    retries = {event.work: event.tries for event in events if isinstance(event, Retry)}
    assert retries["faulty: scores"] == 1
    assert set(retries.values()) == {1}
    assert len(retries) <= 2


def test_a_method_that_always_fails_leaves_the_others(compared, tmp_path):
    file = tmp_path / "fault"
    file.touch()
    broken = [faulty(fault, file) for fault in ("broken", "full disk", "broken", "broken")]
    methods = {"refusing": Refusing, **{f"broken {index}": one for index, one in enumerate(broken)}, "weights": Weights}
    methods["tired"] = Tired
    found, events, _ = compared(methods)
    assert found == in_one_process(methods)
    assert found.method("refusing").reason == "this model is not for it"
    assert found.method("tired").reason == "more sequences than it takes"
    assert found.method("broken 0").reason == "ZeroDivisionError: the method divided by zero"
    assert not [event for event in events if isinstance(event, Retry) and "refusing" in event.work]
    assert {event.tries for event in events if isinstance(event, Retry)} == {1, 2}
    with pytest.raises(AttributionBenchError, match="no method could score: refusing: this model is not for it"):
        compared({"refusing": Refusing})


def test_results_that_cannot_be_written_are_no_failure_of_a_method(compared):
    methods = {"weights": Weights, "unwritable": Unwritable, "reversed": Reversed}
    for compare in (compared, in_one_process):
        with pytest.raises(OutputError, match="cannot write scores: No space left on device"):
            compare(methods)


def test_a_comparison_that_was_interrupted_goes_on(compared):
    methods = {"weights": Weights, "reversed": Reversed}

    def interrupt(text: str, done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(methods, observer=interrupt)
    found, events, stages = compared(methods)
    assert found == in_one_process(methods)
    assert len(stages.reused) >= 2
    assert stages.kept == 6
    assert not [event for event in events if isinstance(event, Caution)]


def test_a_method_that_takes_longer_than_the_others_is_not_taken_for_hung(compared, monkeypatch):
    monkeypatch.setattr(pace, "LEAST_SECONDS", 0.2)
    found, events, _ = compared({"weights": Weights, "slow": partial(Weights, pause=0.1), "reversed": Reversed})
    assert found.method("slow").reason is None
    assert not [event for event in events if isinstance(event, Retry)]


def test_what_cannot_be_compared_is_told_as_in_one_process(cluster, tmp_path):
    told: list[Any] = []
    given = {"target": 7, "stages": FinishedStages(tmp_path, "model"), "cluster": cluster.client, "tell": told.append}
    with pytest.raises(TargetError, match="index 7"):
        evaluate(NumpyModel(), SEQUENCES, {"weights": Weights}, settings=SETTINGS, **given)
    assert not told
    with pytest.raises(InvalidInputError, match=r"stages=FinishedStages\(folder\)"):
        evaluate(NumpyModel(), SEQUENCES, {"weights": Weights}, cluster=cluster.client)
