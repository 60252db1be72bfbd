"""A comparison on two processes: the numbers of one, whatever happens to a process, to a method or to the client."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import slow_comparison
from attribution_bench.errors import AttributionBenchError, ClusterError, InvalidInputError, OutputError, TargetError
from attribution_bench.evaluation import Evaluation, evaluate
from attribution_bench.evaluation.finished_stages import FinishedStages
from attribution_bench.jobs import Caution, Retry
from attribution_bench.jobs.distributed import pace, shared_folder
from attribution_bench.jobs.distributed.cluster import Starting
from faulty_jobs import Faulty
from numpy_jobs import NumpyModel, Reversed, Weights
from slow_comparison import SEQUENCES, SETTINGS, slow_methods


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

    def compare(methods, *, observer=None, time_limit=None, results=tmp_path / "results", **further):
        events: list[Any] = []
        stages = FinishedStages(results, "model")
        limited: Future[Any] = Future()
        limited.set_result(replace(cluster, time_limit=time_limit))
        evaluation, results = evaluate(
            NumpyModel(),
            SEQUENCES,
            methods,
            settings=SETTINGS,
            threads=1,
            stages=stages,
            cluster=cluster.client if time_limit is None else Starting(limited),
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


def in_one_process(methods: Mapping[str, Any], **further: Any) -> Evaluation:
    return untimed(evaluate(NumpyModel(), SEQUENCES, methods, settings=SETTINGS, threads=1, **further)[0])


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


def test_a_process_without_the_memory_for_a_method_leaves_it_to_another(compared, tmp_path):
    file = tmp_path / "fault"
    methods = {"weights": Weights, "small": faulty("small", file), "reversed": Reversed}
    whole = in_one_process(methods)
    file.write_text("claim")
    found, events, _ = compared(methods)
    assert found == whole
    errors = [event.error for event in events if isinstance(event, Retry)]
    assert errors
    assert set(errors) == {"memory is too small for one sequence at a time"}


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


LIMIT = 12.0
"""Seconds, in which a new process on a busy machine also imports what the last step needs."""


def test_a_process_that_hangs_is_ended_and_its_stage_done_elsewhere(compared, tmp_path):
    file = tmp_path / "fault"
    methods = {"weights": Weights, "faulty": faulty("hung", file), "reversed": Reversed}
    whole = in_one_process(methods)
    file.write_text("claim")
    found, events, _ = compared(methods, time_limit=LIMIT)
    assert found == whole
    errors = [event.error for event in events if isinstance(event, Retry)]
    assert f"it was not done after {LIMIT:.0f} s, and its process was ended" in errors
    assert len(errors) <= 2  # another piece may wait at the process that is ended


def test_a_process_out_of_memory_is_ended_and_its_stage_done_elsewhere(compared, cluster, tmp_path, monkeypatch):
    for nanny in cluster.client.cluster.workers.values():
        monkeypatch.setattr(nanny.memory_manager, "memory_limit", 500_000_000)
    file = tmp_path / "fault"
    methods = {"weights": Weights, "faulty": faulty("greedy", file), "reversed": Reversed}
    whole = in_one_process(methods)
    file.write_text("claim")
    found, events, _ = compared(methods)
    assert found == whole
    errors = [event.error for event in events if isinstance(event, Retry)]
    assert set(errors) == {"its process died: it was killed, crashed or took too much memory"}
    assert len(errors) <= 2


@pytest.mark.long
@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_a_method_whose_process_always_ends_is_told_with_its_error(compared, tmp_path, fault):
    file = tmp_path / "fault"
    methods = {"weights": Weights, "faulty": faulty(fault, file)}
    file.touch()
    found, _, _ = compared(methods, time_limit=LIMIT if fault == "hung" else None)
    assert {"killed": "its process died", "hung": "it was not done after"}[fault] in found.method("faulty").reason
    assert found.method("weights").reason is None


def check_a_killed_client(results: Path, address: str, pause: float, seed: int) -> None:
    """Kill the client of a comparison once a stage is kept, and a random while later."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(slow_comparison.__file__).parent)])}
    command = [sys.executable, slow_comparison.__file__, str(results), address, str(pause)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        # The first file names the processor.
        while len([*results.glob("unfinished/*.json")]) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        # The further runs that follow pause longer than this, so that it is not done before.
        time.sleep(random.Random(seed).uniform(0, 5 * pause))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


def check_it_goes_on(compared, results: Path, pause: float) -> None:
    found, _, stages = compared(slow_methods(pause))
    assert found == in_one_process(slow_methods(pause))
    assert stages.reused
    stages.clear()
    assert not (results / "unfinished").exists()


def test_a_client_that_is_killed_goes_on(compared, cluster, tmp_path):
    """Its workers may still be at a stage as the next client begins."""
    check_a_killed_client(tmp_path / "results", cluster.address, 0.02, seed=1)
    assert list((tmp_path / "results" / "unfinished").glob("job-*"))
    check_it_goes_on(compared, tmp_path / "results", 0.02)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("own_workers", [True, False])
def test_clients_that_are_killed_at_any_time_go_on(compared, cluster, tmp_path, own_workers, seed):
    check_a_killed_client(tmp_path / "results", "2" if own_workers else cluster.address, 0.1, seed)
    check_it_goes_on(compared, tmp_path / "results", 0.1)


def test_another_client_with_the_same_results_is_refused(compared, tmp_path):
    methods = {"weights": Weights, "reversed": Reversed}
    refused = []

    def observer(text: str, done: int, total: int) -> None:
        stages = FinishedStages(tmp_path / "results", "model")
        for run in (lambda: compared(methods), lambda: in_one_process(methods, stages=stages), stages.clear):
            with pytest.raises(OutputError, match="another run writes"):
                run()
            refused.append(text)

    assert compared(methods, observer=observer)[0] == in_one_process(methods)
    assert len(refused) == 21


def test_what_a_client_left_behind_is_not_taken_for_results(compared, tmp_path):
    methods = {"weights": Weights, "reversed": Reversed}
    compared({"weights": Weights})
    left = tmp_path / "results" / "unfinished"
    for folder in (left, left / f"job-{0:032x}"):
        folder.mkdir(exist_ok=True)
        (folder / "evaluation.json").write_text("{}")
        (folder / "tmp123.partial").write_bytes(b"half")
    found, _, stages = compared(methods)
    assert found == in_one_process(methods)
    assert set(stages.reused) == {"weights: scores", "weights: further runs", "weights: what the model says"}
    stages.clear()
    assert not left.exists()


class Tally:
    """A target that counts its calls, and keeps what it is called with."""

    def __init__(self) -> None:
        self.calls, self.kept = 0, {}

    def __call__(self, outputs):
        self.calls += 1
        self.kept[self.calls] = outputs
        return outputs[:, 0]


def test_a_target_that_keeps_what_it_is_called_with_is_one_target(compared, tmp_path):
    methods = {"weights": Weights, "reversed": Reversed}
    found, _, stages = compared(methods, target=Tally())
    assert found == in_one_process(methods, target=Tally())
    assert not stages.reused
    files = [path.suffix for path in (tmp_path / "results" / "unfinished").iterdir()]
    assert (files.count(".npz"), files.count(".json")) == (2, 6 + 1)  # and the processor
    _, _, stages = compared(methods, target=Tally())
    assert len(stages.reused) == 6


HERE = Path("/proc/self/cwd")
"""A folder that is another one in each process."""


@pytest.fixture
def apart(cluster, tmp_path, monkeypatch) -> Iterator[Path]:
    """A results folder of one name that no process shares; they look for it a short while."""
    if not HERE.exists():
        pytest.skip("folders have the same name in all processes here")
    monkeypatch.chdir(tmp_path)
    before = cluster.client.run(os.getcwd)
    cluster.client.run(look_for, 0.3)
    yield HERE / "results"
    cluster.client.run(look_for, shared_folder.SEEN_SECONDS)
    for worker, folder in before.items():
        cluster.client.run(os.chdir, folder, workers=[worker])


def look_for(seconds: float) -> None:
    shared_folder.SEEN_SECONDS = seconds


def test_a_folder_that_no_worker_shares_is_one_error_at_the_start(compared, apart, tmp_path):
    with pytest.raises(ClusterError, match=r"no worker can do the job: .*give a folder that all machines share"):
        compared({"weights": Weights}, results=apart)
    assert not (tmp_path / "results").exists()


def test_a_worker_that_does_not_share_the_folder_gets_no_work(compared, apart, cluster, tmp_path):
    # The other process is done with looking before all is done here.
    methods = {"weights": partial(Weights, pause=0.1), "reversed": Reversed}
    cluster.client.run(os.chdir, str(tmp_path), workers=[min(cluster.client.nthreads())])
    found, events, stages = compared(methods, results=apart)
    assert found == in_one_process(methods)
    assert not stages.reused
    (caution,) = [event.text for event in events if isinstance(event, Caution)]
    assert "gets no more work" in caution
    assert "give a folder that all machines share" in caution
