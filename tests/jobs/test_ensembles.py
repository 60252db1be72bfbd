"""Ensembles: many models over many shards, added up model after model, held against jobs of one model each."""

import errno
import gc
import os
import shutil
import signal
import time
import tracemalloc
import warnings
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray

from attribution_bench import RawAttribution, Request
from attribution_bench.errors import (
    ConvergenceWarning,
    FallbackWarning,
    InvalidInputError,
    OutputError,
    SetAsideError,
)
from attribution_bench.jobs import ModelByRecipe, grid, layout, open_models
from attribution_bench.jobs.contents import Values
from attribution_bench.jobs.events import Caution, ModelsAdded, ShardDone, Started, Working
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.open_models import OpenModels, model_groups
from attribution_bench.jobs.run import run
from attribution_bench.jobs.scoring import Choice
from attribution_bench.jobs.shard_work import ShardWork
from attribution_bench.jobs.shards import Shard
from attribution_bench.jobs.stored_sums import StoredSums
from attribution_bench.jobs.sums import Sum, Sums
from attribution_bench.storage import StoredScores
from attribution_bench.storage.identity import manifest_digest
from attribution_bench.storage.places import store_path
from numpy_jobs import NumpyModel, Weights, numpy_job, write_random_fasta

ASKED = {"contents": ("observed", "convergence_delta"), "methods": ("weights", "reversed")}


class Unwatched:
    """Watches no task."""

    def part(self, share: float) -> None: ...

    def caution(self, kind: str, caution: Caution) -> None: ...


@dataclass
class FakeRecipes:
    """Recipes of models, and which of these are open."""

    opened: list[int] = field(default_factory=list)
    alive: list[Any] = field(default_factory=list)
    most: int = 0

    def model(self, seed: int) -> ModelByRecipe:
        recipes = self

        class Recipe:
            def open(self) -> NumpyModel:
                model = NumpyModel(seed)
                recipes.opened.append(seed)
                recipes.alive = [one for one in (*recipes.alive, weakref.ref(model)) if one() is not None]
                recipes.most = max(recipes.most, len(recipes.alive))
                return model

        return ModelByRecipe(Recipe(), f"numpy {seed}", "", Recipe())


def ensemble(fasta: Path, models: int = 3, **further: Any):
    """Return a job over models that are opened when they are needed, and their recipes."""
    recipes = FakeRecipes()
    job = numpy_job(fasta, models=models, **further)
    return replace(job, models=OpenModels([recipes.model(seed) for seed in range(models)])), recipes


@pytest.fixture
def fasta(tmp_path):
    """Ten sequences, in shards of 4, 4 and 2."""
    return write_random_fasta(tmp_path / "sequences.fa", 10, 20)


def opened(store: Path) -> xarray.Dataset:
    with xarray.open_zarr(store) as dataset:
        return dataset.load()


@pytest.fixture
def few_open(monkeypatch):
    """Set how many models a process opens at once, and how many shards a group has."""

    def limit(models: int, group: int = 64) -> None:
        monkeypatch.setattr(open_models, "MOST_OPEN", models)
        monkeypatch.setattr(grid, "SHARD_GROUP", group)

    # Looking for what is not used any more among all objects of the tests takes longer than a whole job here.
    gc.freeze()
    yield limit
    gc.unfreeze()


@pytest.mark.parametrize("both_strands", [False, True])
def test_mean_and_standard_deviation_are_those_of_separate_jobs(fasta, tmp_path, few_open, both_strands):
    few_open(2, group=2)
    job, _ = ensemble(fasta, both_strands=both_strands, members=True, **ASKED)
    assert run(job, tmp_path / "store").complete
    dataset = opened(tmp_path / "store")
    separate = []
    for seed in range(3):
        one = replace(job, models=[job.models[seed]], asked=replace(job.asked, members=False))
        run(one, tmp_path / f"{seed}")
        separate.append(opened(tmp_path / f"{seed}"))
    names = [name for name in separate[0] if name.startswith(("weights", "reversed"))]
    assert len(names) == 3
    for name in names:
        each = np.stack([one[name].values for one in separate]).astype(np.float64)
        np.testing.assert_allclose(dataset[name], each.mean(axis=0), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(dataset[f"{name}_sd"], each.std(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(dataset[f"{name}_models"], each.swapaxes(0, 1).astype(np.float32))


def test_bytes_depend_neither_on_models_at_once_nor_on_the_band(fasta, tmp_path, few_open, bytes_of):
    job, _ = ensemble(fasta, members=True)
    found = []
    for models, group in ((10, 64), (1, 64), (1, 1), (2, 2)):
        few_open(models, group)
        store = tmp_path / f"{models} {group}"
        run(job, store)
        found.append(bytes_of(store))
        assert sorted(path.name for path in store.iterdir() if not (path / "zarr.json").exists()) == [
            ".lock",
            "manifest.json",
            "markers",
            "zarr.json",
        ]
    assert all(one == found[0] for one in found)


def test_one_model_is_open_at_a_time(fasta, tmp_path, few_open):
    few_open(1, group=2)
    job, recipes = ensemble(fasta)
    run(job, tmp_path / "store")
    assert recipes.most == 1
    # All are looked at first; then they are opened once for each of two groups of 2 and 1 shards.
    assert recipes.opened == [*range(3), *range(3), *range(3)]


def test_folds_that_fit_are_opened_once(fasta, tmp_path):
    job, recipes = ensemble(fasta)
    events = []
    run(job, tmp_path / "store", observer=events.append)
    assert recipes.opened == [*range(3)]
    assert not any(isinstance(event, ModelsAdded) for event in events)
    assert len([event for event in events if isinstance(event, ShardDone)]) == 3


def test_models_are_opened_together_as_far_as_their_weights_have_room(monkeypatch):
    monkeypatch.setattr(open_models, "MOST_OPEN", 3)
    monkeypatch.setattr(open_models, "MOST_BYTES", 100)
    assert model_groups([10] * 7) == (range(3), range(3, 6), range(6, 7))
    assert model_groups([60, 60, 30, 200, 10]) == (range(1), range(1, 3), range(3, 4), range(4, 5))
    assert model_groups([200]) == (range(1),)


def test_a_job_that_is_stopped_between_models_goes_on_there(fasta, tmp_path, few_open, bytes_of):
    few_open(1, group=2)
    job, _ = ensemble(fasta, members=True)
    run(job, tmp_path / "at once")
    pairs, events, summary = set(), [], None
    for stop in (1, 2, 4, 100):
        asked = iter([None] * stop + [signal.SIGTERM] * 2)
        summary = run(job, tmp_path / "store", observer=events.append, stop=lambda asked=asked: next(asked))
    assert (summary.left, summary.scored) == (0, 10)
    for event in events:
        if isinstance(event, ModelsAdded):
            assert (event.shard, event.models) not in pairs  # nothing is done twice
            pairs.add((event.shard, event.models))
    assert pairs == {(shard, models) for shard in range(3) for models in (1, 2, 3)}
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "at once")
    assert not (tmp_path / "store" / "sums").exists()


def emptied(store: Path) -> None:
    """Remove what a shell's ``STORE/*`` names, which leaves the lock."""
    for entry in store.glob("[!.]*"):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.mark.parametrize("removed", [shutil.rmtree, emptied])
@pytest.mark.parametrize(("call", "members"), [(2, False), (5, True), (8, False), (9, True)])
def test_a_store_that_is_removed_while_a_method_scores_is_not_made_anew(
    fasta, tmp_path, few_open, monkeypatch, removed, members, call
):
    few_open(1)
    (job, _), store, calls, scored = ensemble(fasta, members=members), tmp_path / "store", [], Weights._attribute

    def attribute(method: Weights, request: Request) -> RawAttribution:
        calls.append(method.model.seed)
        if len(calls) == call:
            removed(store)
        return scored(method, request)

    monkeypatch.setattr(Weights, "_attribute", attribute)
    with pytest.raises(OutputError, match=r"is gone: .* the same command begins again"):
        run(job, store)
    assert len(calls) == call
    assert not store.exists()
    summary = run(job, store)
    assert (summary.resumed_from, summary.scored, summary.complete) == (0, 10, True)


def test_what_is_done_only_grows_and_a_resumed_job_says_what_was_there(fasta, tmp_path, few_open):
    few_open(1)
    job, _ = ensemble(fasta, models=3)
    events = []
    asked = iter([None] * 4 + [signal.SIGTERM] * 2)
    summary = run(job, tmp_path / "store", observer=events.append, stop=lambda: next(asked))
    assert (summary.left, summary.resumed_from) == (10, 0)
    done = [event.sequences for event in events if isinstance(event, ModelsAdded | Working)]
    assert done == sorted(done)
    assert done[-1] == pytest.approx((10 + 4) / 3)
    run(job, tmp_path / "store", observer=events.append)
    started = [event for event in events if isinstance(event, Started)]
    assert [event.begun_sequences for event in started] == pytest.approx([0, (10 + 4) / 3])
    added = [event.sequences for event in events if isinstance(event, ModelsAdded)]
    assert added == sorted(added)
    assert added[-1] == pytest.approx(10)


def test_sums_pass_through_a_store_at_an_address(fasta, tmp_path, few_open):
    pytest.importorskip("upath")
    few_open(1)
    job, _ = ensemble(fasta, members=True)
    run(job, tmp_path / "here")
    place = store_path(f"memory://{tmp_path.name}/store.zarr")
    asked = iter([None] * 5 + [signal.SIGTERM] * 2)
    run(job, place, stop=lambda: next(asked))
    assert len([*(place / "sums").glob("*.npz")]) == 3
    run(job, place)
    assert not (place / "sums").exists()
    for path in (tmp_path / "here").glob("*/c/**/*"):
        if path.is_file():
            assert (place / path.relative_to(tmp_path / "here").as_posix()).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", ["torn", "left over", "half written"])
def test_damaged_sums_are_added_up_anew(fasta, tmp_path, few_open, bytes_of, damage):
    few_open(1)
    job, _ = ensemble(fasta, models=3)
    run(job, tmp_path / "at once")
    asked = iter([None] * 5 + [signal.SIGTERM] * 2)
    store = tmp_path / "store"
    run(job, store, stop=lambda: next(asked))
    mark = manifest_digest(store)[:16]
    assert sorted(path.name for path in (store / "sums").iterdir()) == [
        f"000000-000002-{mark}.npz",
        f"000001-000002-{mark}.npz",
        f"000002-000001-{mark}.npz",
    ]
    sums = store / "sums" / f"000001-000002-{mark}.npz"
    if damage == "torn":
        sums.write_bytes(sums.read_bytes()[:-100])
    elif damage == "left over":  # by a process that was given up, and came to its end later
        sums.with_name(f"000001-000001-{mark}.npz").write_bytes(b"")
    else:
        sums.unlink()
        sums.with_name("tmp.partial").write_bytes(b"PK")
    events = []
    run(job, store, observer=events.append)
    again = [event.models for event in events if isinstance(event, ModelsAdded) and event.shard == 1]
    assert again == ([3] if damage == "left over" else [1, 2, 3])
    assert bytes_of(store) == bytes_of(tmp_path / "at once")
    assert not (store / "sums").exists()


def test_sums_with_any_byte_changed_are_never_taken_for_others(tmp_path):
    sums = Sums(bad={1: "not finite"})
    for value in (1, 4):
        sums.add({"weights_scores": Values("scores", np.full((2, 4), value, np.float32), ("letter",))})
    stored = StoredSums(tmp_path)
    stored.write(0, sums)
    path = tmp_path / "sums" / "000000-000002.npz"
    content = path.read_bytes()
    changed = [content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :] for at in range(0, len(content), 2)]
    read = 0
    for damaged in [*changed, *(content[:size] for size in range(0, len(content), 100))]:
        path.write_bytes(damaged)
        try:
            found = stored.read(0, 2)
        except OutputError as error:
            assert "adds its models up anew" in str(error)  # noqa: PT017 - most of them raise, some need not
            continue
        read += 1  # dates and the like do not matter
        np.testing.assert_array_equal(found.results()["weights_scores"].array, np.full((2, 4), 2.5))
        np.testing.assert_array_equal(found.results()["weights_scores_sd"].array, np.full((2, 4), 1.5))
        assert (found.count, found.bad, found.halvings) == (2, {1: "not finite"}, 0)
    assert 0 < read < len(changed) / 2


def test_sums_that_cannot_be_removed_are_one_error(tmp_path, monkeypatch):
    stored = StoredSums(tmp_path)
    for count in (1, 2):
        sums = Sums(count=count, sums={"a": Sum("scores", ("letter",), np.zeros((2, 4)))})
        stored.write(count, sums)

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", read_only)
    for remove in (lambda: stored.remove(1), lambda: stored.begun({1})):
        with pytest.raises(OutputError, match=r"cannot write .*sums: Read-only file system; .* the same command"):
            remove()


def test_a_process_that_came_before_the_store_finds_what_another_one_did(fasta, tmp_path, few_open):
    few_open(1)
    job, _ = ensemble(fasta)
    early = ShardWork(job, tmp_path / "store", {}, Unwatched())
    asked = iter([None] * 7 + [signal.SIGTERM] * 2)
    run(job, tmp_path / "store", stop=lambda: next(asked))
    found = {}
    for index, place in ((0, 2), (1, 1), (1, 2)):
        record = early.finished(grid.Task(Shard(index, 4 * index, 4 * index + 4), range(place, place + 1), 3))
        found[index, place] = None if record is None else record.is_written
    assert found == {(0, 2): True, (1, 1): False, (1, 2): None}


@pytest.mark.parametrize(("before", "added"), [(7, 2), (3, 1)])
def test_a_task_that_another_process_finishes_first_is_done(fasta, tmp_path, few_open, monkeypatch, before, added):
    """The other one removes the sums that it has added to, as this one is about to read them."""
    few_open(1)
    store = tmp_path / "store"
    asked = iter([None] * before + [signal.SIGTERM] * 2)
    run(ensemble(fasta)[0], store, stop=lambda: next(asked))
    assert StoredSums(store).counts(1) == [added]
    task = grid.Task(Shard(1, 4, 8), range(added, added + 1), 3)
    read, met = StoredSums.read, []

    def read_late(sums: StoredSums, shard: int, count: int) -> Sums:
        if not met:
            met.append(count)
            done()
        return read(sums, shard, count)

    def done() -> bool:
        work = ShardWork(ensemble(fasta)[0], store, {}, Unwatched())
        return work.do(task, Manifest.read(store).shards[1], None).is_written

    monkeypatch.setattr(StoredSums, "read", read_late)
    assert done() == task.is_last
    assert met == [added]


@pytest.mark.parametrize("address", ["{}/store", "memory://{}/store"])
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O error"), TimeoutError()])
def test_sums_that_cannot_be_read_at_the_moment_are_kept(tmp_path, monkeypatch, address, error):
    pytest.importorskip("upath")
    place = store_path(address.format(tmp_path))
    place.mkdir(exist_ok=True)
    stored = StoredSums(place)
    for shard, count in ((1, 2), (2, 3)):
        stored.write(shard, Sums(count=count, sums={"a": Sum("scores", ("letter",), np.zeros((2, 4)))}))
    (place / "sums" / "000001-000001.npz").write_bytes(b"")
    before, opening = sorted(map(str, (place / "sums").iterdir())), type(place).open

    def failing(path, *given, **named):
        if path.name == "000001-000002.npz":
            raise error
        return opening(path, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(type(place), "open", failing)
        for read in (lambda: stored.begun({1, 2}), lambda: stored.read(1, 2)):
            with pytest.raises(OutputError, match=r"cannot read .*000001-000002\.npz: .*the same command goes on"):
                read()
    assert sorted(map(str, (place / "sums").iterdir())) == before
    assert stored.begun({1, 2}) == {1: 2, 2: 3}


def test_sums_that_cannot_be_cleared_at_an_address_are_one_error(tmp_path, monkeypatch):
    upath = pytest.importorskip("upath")
    stored = StoredSums(store_path(f"memory://{tmp_path}/store"))

    def unreachable(*_):
        raise TimeoutError("the bucket does not answer")

    monkeypatch.setattr(upath.UPath, "exists", unreachable)
    with pytest.raises(OutputError, match=r"cannot write .*sums: the bucket does not answer"):
        stored.clear()


class Warns(Weights):
    """Warns of each model for a reason of its kind, and of numbers that are others each time."""

    def _attribute(self, request: Request) -> RawAttribution:
        reason = ["the model cannot be captured", "nothing would be gained"][self.model.seed % 2]
        warnings.warn(f"falls back: {reason}", FallbackWarning, stacklevel=2)
        amount = float(np.abs(request.one_hot).sum() + self.model.seed)
        warnings.warn(f"off by {amount:.3g} of {amount / 7:.2e}", ConvergenceWarning, stacklevel=2)
        return super()._attribute(request)


def test_each_reason_is_told_once_with_the_first_model_that_has_it(fasta, tmp_path):
    job, events = numpy_job(fasta, models=4), []
    run(replace(job, methods={"weights": Choice(Warns)}), tmp_path / "store", observer=events.append)
    fallback, *others = [event.text for event in events if isinstance(event, Caution)]
    assert fallback == "weights on model 0 (numpy 0): falls back: the model cannot be captured"
    assert others[0].startswith("weights on model 0 (numpy 0): off by ")
    assert others[1:] == ["weights on model 1 (numpy 1): falls back: nothing would be gained"]
    events.clear()
    one = replace(job, models=job.models[:1], methods={"weights": Choice(Warns)})
    run(one, tmp_path / "one", observer=events.append)
    cautions = [event.text for event in events if isinstance(event, Caution)]
    assert cautions[0] == "weights: falls back: the model cannot be captured"
    assert len(cautions) == 2


def test_a_model_that_is_given_twice_is_told(fasta, tmp_path):
    job, recipes = ensemble(fasta, models=3)
    events = []
    run(job, tmp_path / "different", observer=events.append)
    twice = replace(job, models=OpenModels([recipes.model(seed) for seed in (4, 5, 4, 5, 4)]))
    run(twice, tmp_path / "twice", observer=events.append)
    (said,) = [event.text for event in events if isinstance(event, Caution)]
    assert said.startswith("same weights: model 2 (numpy 4) as model 0, model 3 (numpy 5) as model 1, model 4")


def test_what_a_killed_layout_left_half_written_goes(fasta, tmp_path, bytes_of):
    job, _ = ensemble(fasta)
    run(job, tmp_path / "whole")
    store = tmp_path / "store"
    store.mkdir()
    (store / "manifest.json").write_bytes((tmp_path / "whole" / "manifest.json").read_bytes())
    (store / "markers").mkdir()
    for name in ("zarr.json", "markers/zarr.json"):
        (store / f"{name}.0123456789abcdef.partial").write_bytes(b"{")
    (store / "film.partial").write_bytes(b"of a user")
    run(job, store)
    assert bytes_of(store) == bytes_of(tmp_path / "whole")
    assert [*store.rglob("*.partial")] == [store / "film.partial"]


def test_memory_holds_neither_models_nor_their_scores(tmp_path, few_open):
    few_open(1)
    fasta = write_random_fasta(tmp_path / "a.fa", 8, 1000)
    peaks = []
    for models in (2, 2, 12, 12):  # the first run imports what the others need
        job, recipes = ensemble(fasta, models=models, members=True, shard_size=8)
        # Threads that earlier tests left may pause the collection of garbage, in which a run's arrays are.
        while not gc.isenabled():
            time.sleep(0.05)
        gc.collect()
        tracemalloc.start()
        run(job, tmp_path / f"{models} {len(peaks)}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert recipes.most == 1
    scores = 8 * 4 * 1000 * 4
    # Holding ten more models' scores would add ten times as much; what Python itself allocates differs by run.
    assert min(peaks[2:]) < peaks[1] + 4 * scores, [peak / scores for peak in peaks]


class PoisonedModel(Weights):
    """As `Weights`, but one model's scores of sequences that start with some letters are no numbers."""

    name: ClassVar[str] = "weights"

    def __init__(self, model, *, at, poisoned):
        super().__init__(model)
        self.options |= {"at": at, "poisoned": poisoned}
        self._poison = at if model.seed == poisoned else None

    def _attribute(self, request: Request) -> RawAttribution:
        self.options["poison"] = self._poison
        return super()._attribute(request)


def test_a_sequence_that_one_model_cannot_score_is_set_aside_with_the_model(fasta, tmp_path, few_open):
    few_open(1)
    job, _ = ensemble(fasta, models=3, members=True)
    first = fasta.read_text().splitlines()[2 * 9 + 1][:12]
    job = replace(job, methods={"weights": Choice(PoisonedModel, {"at": first, "poisoned": 1})})
    summary = run(job, tmp_path / "store")
    assert summary.set_aside == {"scores or predictions are not finite": 1}
    with pytest.raises(InvalidInputError, match=r"weights_scores of model 1 \(numpy 1\)"):
        StoredScores(tmp_path / "store").one("weights", 9)
    dataset = opened(tmp_path / "store")
    for name in ("weights_scores", "weights_scores_sd", "weights_scores_models"):
        finite = np.isfinite(dataset[name].values).reshape(10, -1)
        assert finite.any(axis=1).tolist() == [row != 9 for row in range(10)]
        assert finite.all(axis=1).tolist() == [row != 9 for row in range(10)]
    with pytest.raises(SetAsideError, match=r"sequence 9 .*of model 1 \(numpy 1\)"):
        run(job, tmp_path / "strict", strict=True)


def test_a_store_with_the_models_in_one_file_is_gone_on_with(fasta, tmp_path, few_open, monkeypatch):
    few_open(1)
    job, _ = ensemble(fasta, models=3, members=True)
    run(job, tmp_path / "now")
    specs = layout.score_specs
    with monkeypatch.context() as patch:
        patch.setattr(layout, "score_specs", lambda *given: [replace(spec, chunks=None) for spec in specs(*given)])
        asked = iter([None] * 4 + [signal.SIGTERM] * 2)
        run(job, tmp_path / "before", stop=lambda: next(asked))
    assert run(job, tmp_path / "before").complete
    assert [path.name for path in (tmp_path / "before/weights_scores_models/c/0").iterdir()] == ["0"]
    assert len([*(tmp_path / "now/weights_scores_models/c/0").iterdir()]) == 3
    xarray.testing.assert_equal(opened(tmp_path / "before"), opened(tmp_path / "now"))
    assert run(job, tmp_path / "before").resumed_from == 10


def test_records_that_nobody_can_score_ask_no_model(tmp_path, few_open):
    few_open(1)
    fasta = tmp_path / "a.fa"
    fasta.write_text(">a\nACGT\n>b\nNNNN\n>c\nNNNN\n>d\nACGG\n")
    job, _ = ensemble(fasta, models=3, members=True, shard_size=1)
    events = []
    assert run(job, tmp_path / "store", observer=events.append).set_aside == {"unknown letters only": 2}
    assert [event.shard for event in events if isinstance(event, ShardDone)] == [1, 2, 0, 3]
    members = opened(tmp_path / "store")["weights_scores_models"].values
    assert np.isnan(members).all(axis=(1, 2, 3)).tolist() == [False, True, True, False]


def test_models_that_give_other_arrays_are_refused():
    sums = Sums()
    sums.add({"weights_scores": Values("scores", np.zeros((2, 4, 5)), ("letter", "position"))})
    for name, shape in (("weights_scores", (2, 4, 1)), ("other", (2, 4, 5))):
        with pytest.raises(InvalidInputError, match=r"must give the same arrays, but one gives"):
            sums.add({name: Values("scores", np.zeros(shape), ("letter", "position"))})
    assert sums.count == 1


@pytest.mark.parametrize("value", [0.1, 1e-30, -3.3, 1 / 3])
def test_models_that_agree_have_no_standard_deviation(value):
    sums = Sums()
    for _ in range(50):
        sums.add({"scores": Values("scores", np.full((1, 3), value), ("position",))})
        sums = Sums.unpacked(sums.packed())
    found = sums.results()
    np.testing.assert_allclose(found["scores"].array, value, rtol=1e-15)
    assert 0 <= found["scores_sd"].array.max() < abs(value) * 1e-15


class OtherEachTime:
    """Opens a model with other weights each time."""

    seed = 0

    def open(self) -> NumpyModel:
        self.seed += 1
        return NumpyModel(self.seed)


def test_a_model_with_other_weights_each_time_is_refused(fasta, tmp_path, few_open):
    few_open(1)
    job, _ = ensemble(fasta, models=2)
    other = ModelByRecipe(OtherEachTime(), "unseeded", "", OtherEachTime())
    with pytest.raises(InvalidInputError, match=r"the model unseeded has other weights .*each time it is opened"):
        run(replace(job, models=[job.models[0], other]), tmp_path / "store")
    few_open(10)
    assert run(replace(job, models=[job.models[0], other]), tmp_path / "opened once").complete


def test_a_kill_at_any_write_loses_at_most_a_pair(tmp_path, few_open, bytes_of, monkeypatch):
    """Every third file that gets its name is the last thing that the process lives to see."""

    class Killed(BaseException):
        pass

    few_open(1)
    fasta = write_random_fasta(tmp_path / "a.fa", 2, 8)
    job, _ = ensemble(fasta, models=2, members=True, shard_size=1)
    run(job, tmp_path / "whole")
    whole = bytes_of(tmp_path / "whole")
    rename, steps = os.replace, {"count": 0, "last": None}

    def counted(*arguments):
        steps["count"] += 1
        if steps["count"] == steps["last"]:
            raise Killed
        return rename(*arguments)

    monkeypatch.setattr(os, "replace", counted)
    run(job, tmp_path / "counted")
    total = steps["count"]
    assert total > 30
    for last in range(1, total, 3):
        steps.update(count=0, last=last)
        store = tmp_path / f"{last}"
        with pytest.raises(Killed):
            run(job, store)
        steps["last"] = None
        run(job, store)
        assert bytes_of(store) == whole
        assert not (store / "sums").exists()


def test_a_shard_s_tasks_come_in_order_and_the_next_band_begins_before_anybody_waits(monkeypatch):
    monkeypatch.setattr(grid, "SHARD_GROUP", 1)
    shards = [Shard(index, index, index + 1) for index in range(5)]
    tasks = grid.Grid(shards, {1: 1}, model_groups([1, 1, open_models.MOST_BYTES, 1]), processes=2)
    taken = [tasks.next() for _ in range(4)]
    # Two shards of the first group are in work, then those of the second.
    assert [(task.shard.index, task.models) for task in taken] == [
        (0, range(2)),
        (1, range(1, 2)),
        (2, range(2)),
        (3, range(2)),
    ]
    tasks.done(taken[2], shard_is_written=False)
    tasks.done(taken[1], shard_is_written=False)
    # The first group comes first, and of a group the first models.
    assert [(task.shard.index, task.models.start) for task in (tasks.next(), tasks.next())] == [(1, 2), (2, 2)]
