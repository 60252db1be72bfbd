"""Ensembles on a cluster: pairs of models and shards on several processes, with the bytes of one process."""

import contextlib
import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from attribution_bench import DNA, RawAttribution, Request, Tags
from attribution_bench.errors import ModelError
from attribution_bench.jobs import ModelByRecipe, open_models
from attribution_bench.jobs.events import Caution, ModelsAdded, Retry, ShardDone, ShardFailed
from attribution_bench.jobs.run import run
from attribution_bench.jobs.scoring import Choice
from attribution_bench.sequences import read_fasta
from attribution_bench.storage import StoredScores
from faulty_jobs import FAULTS, Faulty, is_here
from numpy_jobs import NumpyModel, Weights, numpy_job, write_random_fasta

MODELS = 3


class FaultyPair(Faulty):
    """As `Faulty`, for one model alone."""

    name: ClassVar[str] = "weights"
    tags: ClassVar[Tags] = Tags(frozenset({"numpy"}), needs_references=True)

    def __init__(self, model, *, fault, file, at, seed):
        super().__init__(model, fault=fault, file=file, at=at)
        self.options["seed"] = seed

    def _attribute(self, request: Request) -> RawAttribution:
        met = any(text.startswith(self.options["at"]) for text in DNA.decode(request.one_hot))
        if met and self.model.seed == self.options["seed"] and is_here(Path(self.options["file"])):
            FAULTS[self.options["fault"]]()
        return Weights._attribute(self, request)


@pytest.fixture
def fasta(tmp_path):
    """Ten sequences, in shards of 4, 4 and 2."""
    return write_random_fasta(tmp_path / "sequences.fa", 10, 20)


@pytest.fixture
def job(fasta, monkeypatch):
    """A job of pairs: one model at a time."""
    monkeypatch.setattr(open_models, "MOST_OPEN", 1)
    return numpy_job(fasta, models=MODELS, members=True, contents=("scores", "observed"), threads=1)


@pytest.fixture
def whole(job, tmp_path, bytes_of):
    """The bytes of a run in one process."""
    run(job, tmp_path / "whole")
    return bytes_of(tmp_path / "whole")


@pytest.fixture
def on_cluster(cluster):
    """Run a job on the cluster; returns its summary and its events."""
    from attribution_bench.jobs.distributed.shards import OnCluster

    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again

    def run_on_cluster(job, path, *, observer=None, stop=None, **settings: Any):
        events = []

        def told(event):
            events.append(event)
            if observer is not None:
                observer(event)

        given = {} if stop is None else {"stop": stop}
        with OnCluster(replace(cluster, **settings)) as runner:
            return run(job, path, runner=runner, observer=told, **given), events

    return run_on_cluster


def faulty(job, fasta: Path, file: Path, fault: str):
    """Return the job with a fault that meets the second model on the second shard."""
    options = {"fault": fault, "file": str(file), "at": read_fasta(fasta).strings[5][:12], "seed": 1}
    return replace(job, methods={"weights": Choice(FaultyPair, options)})


def pairs(events) -> list[tuple[int, int]]:
    return sorted((event.shard, event.models) for event in events if isinstance(event, ModelsAdded))


def test_two_processes_give_the_bytes_of_one_and_go_on_with_what_either_began(
    job, tmp_path, bytes_of, on_cluster, whole
):
    summary, events = on_cluster(job, tmp_path / "store")
    assert (summary.scored, summary.left) == (10, 0)
    assert pairs(events) == [(shard, models) for shard in range(3) for models in (1, 2, 3)]
    assert bytes_of(tmp_path / "store") == whole
    assert not (tmp_path / "store" / "sums").exists()
    mixed = tmp_path / "mixed"
    asked = iter([None] * 4 + [signal.SIGTERM] * 2)
    run(job, mixed, stop=lambda: next(asked), observer=lambda event: None)
    seen = []
    on_cluster(job, mixed, observer=seen.append, stop=lambda: signal.SIGTERM if len(pairs(seen)) >= 2 else None)
    run(job, mixed, observer=lambda event: None)
    assert bytes_of(mixed) == whole


def test_a_single_shard_goes_through_every_model_on_several_processes(job, tmp_path, bytes_of, on_cluster):
    one = replace(job, shard_size=100)
    run(one, tmp_path / "one process")
    _, events = on_cluster(one, tmp_path / "store")
    assert [event.models for event in events if isinstance(event, ModelsAdded)] == [1, 2, 3]
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "one process")


def test_a_process_that_is_killed_in_a_pair_is_no_matter(job, fasta, tmp_path, bytes_of, on_cluster, whole):
    (tmp_path / "fault").write_text("claim")
    summary, events = on_cluster(faulty(job, fasta, tmp_path / "fault", "killed"), tmp_path / "store")
    assert (summary.scored, summary.failed_shards) == (10, {})
    assert [event.work for event in events if isinstance(event, Retry)] == ["shard 1, model 1 of 3"]
    assert bytes_of(tmp_path / "store") == whole


@pytest.mark.parametrize("members", [False, True])
def test_a_pair_that_always_fails_sets_its_shard_aside_with_the_model(
    job, fasta, tmp_path, bytes_of, on_cluster, members
):
    file, store = tmp_path / "fault", tmp_path / "store"
    job = replace(job, asked=replace(job.asked, members=members))
    run(job, tmp_path / "whole")
    file.touch()
    failing = faulty(job, fasta, file, "broken")
    summary, events = on_cluster(failing, store, tries=2)
    assert (summary.scored, summary.left, summary.retries) == (6, 0, 1)
    assert summary.failed_shards == {1: "ZeroDivisionError: the method divided by zero; model 1 (numpy 1)"}
    assert [event.shard for event in events if isinstance(event, ShardFailed)] == [1]
    assert [row for row, reason in enumerate(StoredScores(store).set_aside) if reason] == [4, 5, 6, 7]
    file.unlink()
    summary, events = on_cluster(failing, store)
    # Sums over the models before stay, but for stores that hold each model's own values, which are blank then.
    assert pairs(events) == [(1, models) for models in ([1, 2, 3] if members else [2, 3])]
    assert (summary.scored, summary.resumed_from, summary.set_aside) == (10, 6, {})
    assert bytes_of(store) == bytes_of(tmp_path / "whole")


@dataclass(frozen=True)
class LacksAModel:
    """Opens a model, but in the first process that is not the one that made this."""

    seed: int
    file: str
    here: int

    def open(self) -> NumpyModel:
        if self.seed == 1 and os.getpid() != self.here:
            with contextlib.suppress(FileExistsError), open(self.file, "x") as file:
                file.write(str(os.getpid()))
            if Path(self.file).read_text() == str(os.getpid()):
                raise ModelError("there is no model file fold1.pt2")
        return NumpyModel(self.seed)


def test_a_process_that_lacks_a_model_gets_no_more_work(job, tmp_path, bytes_of, on_cluster, whole):
    recipes = [LacksAModel(seed, str(tmp_path / "claim"), os.getpid()) for seed in range(MODELS)]
    models = [ModelByRecipe(one, f"numpy {one.seed}", "", one) for one in recipes]
    summary, events = on_cluster(replace(job, models=models), tmp_path / "store")
    assert (summary.scored, summary.failed_shards) == (10, {})
    (caution,) = [event.text for event in events if isinstance(event, Caution)]
    assert caution.endswith("gets no more work: there is no model file fold1.pt2")
    assert bytes_of(tmp_path / "store") == whole


@dataclass(frozen=True)
class OpensSlowly:
    """Opens a model, but takes its time for one of them in other processes than the one that made this."""

    seed: int
    here: int

    def open(self) -> NumpyModel:
        if self.seed == 1 and os.getpid() != self.here:
            time.sleep(4)
        return NumpyModel(self.seed)


def test_a_process_that_opens_a_model_is_not_taken_for_hung(job, tmp_path, bytes_of, on_cluster, whole):
    recipes = [OpensSlowly(seed, os.getpid()) for seed in range(MODELS)]
    models = [ModelByRecipe(one, f"numpy {one.seed}", "", one) for one in recipes]
    summary, _ = on_cluster(replace(job, models=models), tmp_path / "store", time_limit=3.0)
    assert (summary.scored, summary.retries) == (10, 0)
    assert bytes_of(tmp_path / "store") == whole


def test_kills_of_processes_between_models_are_no_matter(job, tmp_path, bytes_of, cluster, on_cluster, whole):
    killed = []

    def observer(event):
        if isinstance(event, ModelsAdded) and len(killed) < 2 and event.models == len(killed) + 1:
            alive = [nanny.pid for nanny in cluster.client.cluster.workers.values() if nanny.pid is not None]
            killed.append(alive[0])
            with contextlib.suppress(ProcessLookupError):
                os.kill(alive[0], signal.SIGKILL)

    summary, events = on_cluster(job, tmp_path / "store", observer=observer, tries=5)
    assert (summary.scored, summary.failed_shards, len(killed)) == (10, {}, 2)
    assert len([event for event in events if isinstance(event, ShardDone)]) == 3
    assert bytes_of(tmp_path / "store") == whole
