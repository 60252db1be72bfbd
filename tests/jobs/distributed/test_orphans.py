"""Tasks that outlive their client write nothing into the store that another job has begun at the same path."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.jobs import open_models
from attribution_bench.jobs.distributed.shards import OpenedShards, SentModel, ShardOrder, ShardParcel
from attribution_bench.jobs.grid import Task
from attribution_bench.jobs.job import Job, own_code
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.member import Members
from attribution_bench.jobs.open_models import NamedModel
from attribution_bench.jobs.run import run
from attribution_bench.jobs.shards import Shard
from attribution_bench.jobs.stored_sums import StoredSums
from attribution_bench.storage import zarr_store
from attribution_bench.storage.identity import manifest_digest
from attribution_bench.storage.places import is_remote, remove_tree, store_path
from attribution_bench.storage.zarr_store import ZarrStore
from numpy_jobs import NumpyModel, numpy_job

ADDRESSES = ["{}/store.zarr", "memory://{}/store.zarr"]
STOP_AFTER = 3


def contents(store: Path) -> dict[str, bytes]:
    """Return the bytes of what is in a store, but for its lock."""
    found = {str(path).removeprefix(str(store)): path for path in store.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.endswith(".lock")}


def jobs(fasta: Path, **asked: Any) -> tuple[Job, Job]:
    """Return two jobs whose models have other weights, and whose arrays have the same names and shapes."""
    job = numpy_job(fasta, threads=1, **asked)
    others = [NamedModel(NumpyModel(10 + place), f"other {place}") for place in range(len(job.models))]
    return job, replace(job, models=others)


def begun(job: Job, store: Path) -> None:
    """Do the first shards of a job."""
    asked = iter([None] * STOP_AFTER)
    run(job, store, stop=lambda: next(asked, signal.SIGTERM))


def orphan(job: Job, store: Path, models: range) -> tuple[OpenedShards, ShardOrder]:
    """Return a job as it is open on a worker, and a task of its last shard."""
    manifest = Manifest.read(store)
    assert manifest is not None
    sent = tuple(SentModel.of(named) for named in job.models)
    parcel = ShardParcel(
        replace(job, models=(), extras={}), sent, {}, store, {}, "numpy", 1, False, None, own_code(job)
    )
    opened = parcel.open()
    options, arithmetic = opened.facts()
    task = Task(Shard(5, 20, 22), models, len(job.models))
    return opened, ShardOrder(task, manifest.shards[5], options, arithmetic, manifest_digest(store))


def late(patch: pytest.MonkeyPatch, where: Any, name: str, count: int, action: Callable[[], None]) -> None:
    """Do something once, after a call of so many."""
    calls, done = [], getattr(where, name)

    def called(*given: Any, **named: Any) -> Any:
        calls.append(name)
        found = done(*given, **named)
        if len(calls) == count:
            patch.undo()
            action()
        return found

    patch.setattr(where, name, called)


@pytest.fixture(params=ADDRESSES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param.startswith("memory"):
        pytest.importorskip("upath")
    place = store_path(request.param.format(tmp_path))
    yield place
    remove_tree(place)


@pytest.mark.parametrize(
    ("of", "models"),
    [(1, range(1)), (2, range(2)), (2, range(1)), (2, range(1, 2))],
    ids=["one model", "both models", "the first of two models", "the second of two models"],
)
@pytest.mark.parametrize(
    ("where", "name", "count"),
    [(Members, "score", 1), (zarr_store, "sync_file", 7), (zarr_store, "file_digest", 10)],
    ids=["as it scores", "as it writes", "before its marker"],
)
def test_a_task_writes_nothing_into_the_store_of_another_job(
    fasta, tmp_path, monkeypatch, store, of, models, where, name, count
):
    if name != "score" and models.stop < of:
        pytest.skip("sums are one file, and not of Zarr")
    job, another = jobs(fasta, models=of, members=of > 1)
    begun(job, store)
    if models.start:
        opened, order = orphan(job, store, range(1))
        opened.prepare(order)
        assert not opened.do(order).is_written
    opened, order = orphan(job, store, models)
    opened.prepare(order)
    found = {}

    def begin_anew() -> None:
        if is_remote(store):
            remove_tree(store)
        run(another, store, restart=not is_remote(store))
        found.update(contents(store))

    with monkeypatch.context() as patch:
        late(patch, where, name, count, begin_anew)
        with pytest.raises((OutputError, InvalidInputError), match="was begun anew by another run"):
            opened.do(order)
    assert found
    assert contents(store) == found
    assert len(ZarrStore.open(store).finished()) == 6


def test_a_task_that_would_lay_a_store_out_leaves_the_one_of_another_job(fasta, tmp_path, monkeypatch):
    """Its client was killed before there was a store; what the other job has is its manifest, and then a store."""
    job, another = jobs(fasta)
    run(job, tmp_path / "first")
    manifest, store = Manifest.read(tmp_path / "first"), tmp_path / "store"
    for step in ("manifest", "store"):
        run(another, tmp_path / "other")
        opened, order = orphan(job, tmp_path / "first", range(1))
        parcel = replace(opened._parcel, path=store)
        opened = parcel.open()
        order = replace(order, manifest=manifest, identity=manifest.digest())
        if step == "manifest":
            store.mkdir()
            shutil.copy(tmp_path / "other/manifest.json", store)
        else:
            shutil.rmtree(store)
            shutil.copytree(tmp_path / "other", store)
        before = contents(store)
        opened.prepare(order)
        with pytest.raises((OutputError, InvalidInputError), match=r"was begun anew by another run|holds another job"):
            opened.do(order)
        assert contents(store) == before


def test_what_was_written_for_another_job_counts_as_not_done(fasta, store, tmp_path):
    """A process that stood still between its last look and its marker writes late."""
    job, another = jobs(fasta)
    run(another, tmp_path / "another")
    run(job, store)
    whole = contents(store)
    for name, content in contents(tmp_path / "another").items():
        if name.endswith(("/000002.json", "/c/2", "/c/2/0/0")):
            (store / name.lstrip("/")).write_bytes(content)
    assert ZarrStore.open(store).finished() == frozenset({0, 1, 3, 4, 5})
    assert run(job, store).resumed_from == 18
    assert contents(store) == whole


def test_shards_of_earlier_versions_are_done_again(fasta, store):
    run(numpy_job(fasta), store)
    whole = contents(store)
    marker = store / "markers/000002.json"
    content = json.loads(marker.read_text())
    del content["manifest"]
    marker.write_text(json.dumps(content))
    assert run(numpy_job(fasta), store).resumed_from == 18
    assert contents(store) == whole


def test_sums_of_another_job_are_none(fasta, store, monkeypatch):
    monkeypatch.setattr(open_models, "MOST_OPEN", 1)
    job, another = jobs(fasta, models=2)
    asked = iter([None] * 5)
    run(job, store, stop=lambda: next(asked, signal.SIGTERM))
    left = {path.name: path.read_bytes() for path in (store / "sums").iterdir()}
    assert left
    asked = iter([None] * 5)
    remove_tree(store)
    run(another, store, stop=lambda: next(asked, signal.SIGTERM))
    own = {path.name: path.read_bytes() for path in (store / "sums").iterdir()}
    assert [name[:13] for name in sorted(own)] == [name[:13] for name in sorted(left)]
    counts = {shard: StoredSums(store).counts(shard) for shard in range(6)}
    for name, content in left.items():
        (store / "sums" / name).write_bytes(content)
    assert {path.name: path.read_bytes() for path in (store / "sums").iterdir()} == left | own
    assert {shard: StoredSums(store).counts(shard) for shard in range(6)} == counts
    assert StoredSums(store).begun(range(6)) == {shard: count[-1] for shard, count in counts.items() if count}
