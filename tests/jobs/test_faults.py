"""Faults: a job that is killed, out of disk, interrupted or started twice ends with the same bytes."""

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import filelock
import pytest

import numpy_jobs
from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.jobs import run as run_module
from attribution_bench.jobs.events import Caution, ShardDone
from attribution_bench.jobs.grid import Task
from attribution_bench.jobs.interruption import stopping
from attribution_bench.jobs.lock import locked
from attribution_bench.jobs.manifest import Manifest
from attribution_bench.jobs.member import Members
from attribution_bench.jobs.run import run
from attribution_bench.jobs.runner import InProcess, ShardError
from attribution_bench.jobs.shard_work import ShardWork
from attribution_bench.jobs.shards import Shard
from attribution_bench.storage import durable, zarr_store
from attribution_bench.storage.places import remove_tree
from attribution_bench.storage.zarr_store import ZarrStore
from numpy_jobs import numpy_job

PAUSE = "0.02"
"""Seconds of a sequence, so that kills hit computing as well as writing."""


def started(fasta: Path, store: Path, pause: str = PAUSE) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(numpy_jobs.__file__).parent)])}
    command = [sys.executable, numpy_jobs.__file__, str(fasta), str(store), pause]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def killed_at(fasta: Path, store: Path, seed: int, kills: int) -> int:
    """Start a job again and again, and kill it at random moments; returns how many kills met a running job."""
    generator = random.Random(seed)
    met = 0
    for _ in range(kills):
        with started(fasta, store) as process:
            deadline = time.monotonic() + 30
            # The moments count from the first file on, since starting Python takes longer than the job.
            while not store.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(generator.uniform(0, 0.8))
            met += process.poll() is None
            process.send_signal(signal.SIGKILL)
    return met


def check_kills(fasta: Path, tmp_path: Path, bytes_of, *, seed: int, kills: int) -> None:
    assert killed_at(fasta, tmp_path / "killed", seed, kills) > 0
    for store in ("killed", "at once"):
        with started(fasta, tmp_path / store) as process:
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    found = bytes_of(tmp_path / "killed")
    assert found == bytes_of(tmp_path / "at once")
    assert not list((tmp_path / "killed").rglob("*.partial"))


def test_a_job_that_is_killed_ends_with_the_same_bytes(fasta, tmp_path, bytes_of):
    check_kills(fasta, tmp_path, bytes_of, seed=1, kills=3)


@pytest.mark.long
def test_a_job_that_is_killed_twenty_times_ends_with_the_same_bytes(fasta, tmp_path, bytes_of):
    check_kills(fasta, tmp_path, bytes_of, seed=2, kills=20)


def test_a_kill_at_any_write_loses_at_most_a_shard(fasta, tmp_path, bytes_of, monkeypatch):
    """Every file operation of the store in turn is the last one that the process lives to see."""

    class Killed(BaseException):
        pass

    run(numpy_job(fasta), tmp_path / "whole")
    whole = bytes_of(tmp_path / "whole")
    steps = {"count": 0, "last": None}

    def counted(function):
        def step(*arguments, **named):
            steps["count"] += 1
            if steps["count"] == steps["last"]:
                raise Killed
            return function(*arguments, **named)

        return step

    for module, name in ((zarr_store, "sync_file"), (zarr_store, "file_digest"), (durable.os, "replace")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    run(numpy_job(fasta), tmp_path / "counted")
    total, seen = steps["count"], set()
    for last in range(1, total + 1, 19):
        store = tmp_path / f"killed at {last}"
        steps.update(count=0, last=last)
        with pytest.raises(Killed):
            run(numpy_job(fasta), store)
        steps["last"] = None
        seen.add(run(numpy_job(fasta), store).resumed_from)
        assert bytes_of(store) == whole
    assert seen > {0, 4, 8}


def test_markers_that_a_killed_run_left_half_written_go(fasta, tmp_path):
    store = tmp_path / "store"
    run(numpy_job(fasta), store, stop=iter([None, signal.SIGTERM]).__next__)
    (store / "markers/000001.json.0a.partial").write_text("{")
    assert run(numpy_job(fasta), store).complete
    assert not list(store.rglob("*.partial"))


class Unwatched:
    """Watches no task."""

    def part(self, share: float) -> None: ...

    def caution(self, kind: str, caution: Caution) -> None: ...


@pytest.mark.parametrize("array", ["weights_scores", "sequence_name"])
def test_a_shard_that_another_process_finishes_first_is_done(fasta, tmp_path, bytes_of, monkeypatch, array):
    """As a worker does whose client was killed: it removes temporary files of the shard, those of the next run too."""
    run(numpy_job(fasta), tmp_path / "whole")
    store = tmp_path / "store"
    run(numpy_job(fasta), store, stop=iter([None, signal.SIGTERM]).__next__)
    task, digest = Task(Shard(1, 4, 8), range(1), 1), Manifest.read(store).shards[1]
    replace, met = Path.replace, []

    def replace_late(path: Path, target: Path) -> Path:
        if not met and f"{array}/c/1" in Path(target).as_posix():
            met.append(path)
            ShardWork(numpy_job(fasta), store, {}, Unwatched()).do(task, digest, None)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_late)
    record = ShardWork(numpy_job(fasta), store, {}, Unwatched()).do(task, digest, None)
    assert met
    assert (record.shard, record.is_written) == (1, True)
    assert not list(store.rglob("*.partial"))
    assert run(numpy_job(fasta), store).resumed_from == 8
    assert bytes_of(store) == bytes_of(tmp_path / "whole")


def test_a_shard_that_cannot_be_written_is_not_done_because_another_run_did_it_before(fasta, tmp_path, monkeypatch):
    store = tmp_path / "store"
    run(numpy_job(fasta), store, stop=iter([None, signal.SIGTERM]).__next__)

    def full(path: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        ShardWork(numpy_job(fasta), store, {}, Unwatched()).do(
            Task(Shard(1, 4, 8), range(1), 1), Manifest.read(store).shards[1], None
        )


def test_a_temporary_file_that_another_process_removes_first_is_no_matter(fasta, tmp_path, bytes_of, monkeypatch):
    run(numpy_job(fasta), tmp_path / "whole")
    unlink, met = Path.unlink, []

    def unlink_late(path: Path, missing_ok: bool = False) -> None:
        if path.name.endswith(".0a.partial"):
            met.append(path)
            unlink(path)
        unlink(path, missing_ok)

    store = tmp_path / "store"
    run(numpy_job(fasta), store, stop=iter([None, signal.SIGTERM]).__next__)
    for name in ("weights_scores/c/1/0/0", "sequence_name/c/1"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / f"{name}.0a.partial").write_text("torn")
    monkeypatch.setattr(Path, "unlink", unlink_late)
    assert run(numpy_job(fasta), store).complete
    assert len(met) == 2
    assert bytes_of(store) == bytes_of(tmp_path / "whole")


def test_the_description_of_a_store_is_on_the_disk_before_its_shards(fasta, tmp_path, monkeypatch):
    synced = []

    @contextlib.contextmanager
    def durable_file(path):
        with durable.durable_file(path) as file:
            yield file
        synced.append(path)

    monkeypatch.setattr(zarr_store, "durable_file", durable_file)
    monkeypatch.setattr(zarr_store, "write_durable", lambda path, content: synced.append(path))
    store = tmp_path / "store"
    with pytest.raises(OutputError, match="6 are gone"):
        run(numpy_job(fasta), store)
    assert synced.index(store / "zarr.json") < synced.index(store / "markers/000000.json")


def test_a_full_disk_is_one_error_and_the_job_goes_on(fasta, tmp_path, bytes_of, monkeypatch):
    import zarr.storage._local as local

    run(numpy_job(fasta), tmp_path / "whole")
    put, writes = local._put, []

    def full(path, value, *further, **named):
        writes.append(path)
        if len(writes) > 30:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"torn")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(path, value, *further, **named)

    monkeypatch.setattr(local, "_put", full)
    with pytest.raises(OutputError, match=r"No space left on device.*finished shards are kept"):
        run(numpy_job(fasta), tmp_path / "store")
    monkeypatch.undo()
    summary = run(numpy_job(fasta), tmp_path / "store")
    assert summary.resumed_from > 0
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 400 kB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("this process may not mount a tmpfs")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_small_disk_that_is_full_and_grows(fasta, tmp_path, bytes_of, small_disk):
    run(numpy_job(fasta), tmp_path / "whole")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    with pytest.raises(OutputError, match="No space left on device"):
        run(numpy_job(fasta), small_disk / "store")
    ballast.unlink()
    run(numpy_job(fasta), small_disk / "store")
    assert bytes_of(small_disk / "store") == bytes_of(tmp_path / "whole")


def test_a_mount_that_is_lost_is_one_error(fasta, tmp_path, bytes_of):
    lost = iter([None, None, "lost"])

    def stop():
        if next(lost):
            (tmp_path / "store").rename(tmp_path / "elsewhere")
            (tmp_path / "store").write_text("not a folder")

    with pytest.raises(OutputError, match="finished shards are kept"):
        run(numpy_job(fasta), tmp_path / "store", stop=stop)
    (tmp_path / "store").unlink()
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    assert run(numpy_job(fasta), tmp_path / "store").resumed_from == 8
    run(numpy_job(fasta), tmp_path / "whole")
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")


@dataclass(frozen=True)
class GivenUp:
    """A runner that gives up some shards, whose tries come to their end all the same."""

    runner: InProcess
    given_up: tuple[int, ...]

    def begin(self, begun):
        return self.runner.begin(begun)

    def run(self, todo, manifest, stopped):
        for task, record in self.runner.run(todo, manifest, stopped):
            yield task, ShardError(record.shard, "not done in time") if record.shard in self.given_up else record


def test_the_scores_of_a_try_that_was_given_up_but_ended_stay(fasta, tmp_path, bytes_of):
    run(numpy_job(fasta), tmp_path / "whole")
    events = []
    runner = GivenUp(InProcess(time.perf_counter), (2, 5))
    summary = run(numpy_job(fasta), tmp_path / "store", runner=runner, observer=events.append)
    assert (summary.scored, summary.left, summary.failed_shards) == (22, 0, {})
    assert [event.shard for event in events if isinstance(event, ShardDone)] == list(range(6))
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")


def at_shard(number, action):
    """Return an observer that does something once, as so many shards are done."""
    done = []

    def observer(event):
        if isinstance(event, ShardDone):
            done.append(event.shard)
            if len(done) == number:
                action()

    return observer


def test_a_process_that_lays_the_store_out_late_destroys_nothing(fasta, tmp_path, bytes_of, monkeypatch):
    create, given = ZarrStore.create, []

    def noted(*arguments, **named):
        given.append((arguments, named))
        return create(*arguments, **named)

    def again():
        ((arguments, named),) = given
        create(*arguments, **named)

    run(numpy_job(fasta), tmp_path / "whole")
    monkeypatch.setattr(ZarrStore, "create", noted)
    summary = run(numpy_job(fasta), tmp_path / "store", observer=at_shard(3, again))
    assert (summary.complete, summary.scored) == (True, 22)
    assert ZarrStore.open(tmp_path / "store").finished() == frozenset(range(6))
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole")
    assert (tmp_path / "store/zarr.json").read_bytes() == (tmp_path / "whole/zarr.json").read_bytes()


@pytest.mark.parametrize("stop", [6, 4])
def test_shards_that_are_gone_at_the_end_are_told_and_done_again(fasta, tmp_path, bytes_of, stop):
    run(numpy_job(fasta), tmp_path / "whole")
    store, asked = tmp_path / "store", iter([None] * stop + [signal.SIGTERM])

    def lose():
        for shard in (1, 2):
            (store / f"markers/{shard:06d}.json").unlink()

    with pytest.raises(OutputError, match=r"2 are gone, the first of them shard 1: .* same command does them again"):
        run(numpy_job(fasta), store, observer=at_shard(4, lose), stop=lambda: next(asked, None))
    summary = run(numpy_job(fasta), store)
    assert (summary.resumed_from, summary.complete) == ({6: 14, 4: 8}[stop], True)
    assert bytes_of(store) == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("number", [3, 6])
@pytest.mark.parametrize("models", [1, 2])
def test_a_store_that_is_removed_meanwhile_is_told_and_the_same_job_begins_again(
    fasta, tmp_path, bytes_of, number, models
):
    job, store = numpy_job(fasta, models=models, members=models > 1), tmp_path / "store"
    with pytest.raises(OutputError, match=r"store, or .*zarr\.json in it, is gone: .* the same command begins again"):
        run(job, store, observer=at_shard(number, lambda: shutil.rmtree(store)))
    summary = run(job, store)
    assert (summary.resumed_from, summary.scored) == (0, 22)
    run(job, tmp_path / "whole")
    assert bytes_of(store) == bytes_of(tmp_path / "whole")


def below(folder: Path) -> dict[str, bytes | None]:
    """Return what is in a folder, and the bytes of its files."""
    found = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in found}


@pytest.mark.parametrize("step", ["sync_file", "file_digest", "write_durable"])
@pytest.mark.parametrize("count", [14, 15])
def test_a_store_that_is_removed_while_a_shard_is_written_is_not_made_anew(fasta, tmp_path, monkeypatch, step, count):
    """No folder is made where the store was, so that nothing is in the way of the same job."""
    store, done, calls = tmp_path / "store", getattr(zarr_store, step), []

    def late(path, *given):
        calls.append(path)
        if len(calls) == (2 if step == "write_durable" else count):
            shutil.rmtree(store)
        return done(path, *given)

    monkeypatch.setattr(zarr_store, step, late)
    with pytest.raises(OutputError, match=r"is gone: .* the same command begins again"):
        run(numpy_job(fasta), store)
    assert not store.exists()
    assert run(numpy_job(fasta), store).scored == 22


def test_what_is_written_as_the_store_is_removed_is_told_and_never_taken_for_a_store(fasta, tmp_path, monkeypatch):
    import zarr.storage._local as local

    put, calls, store = local._put, [], tmp_path / "store"

    def late(path, *given, **named):
        calls.append(path)
        if len(calls) == 15:
            shutil.rmtree(store)
        return put(path, *given, **named)

    monkeypatch.setattr(local, "_put", late)
    with pytest.raises(OutputError, match=r"is gone: .* remove what may be left of it, and the same command begins"):
        run(numpy_job(fasta), store)
    left = below(store)
    assert [name for name, content in left.items() if content is not None] == [calls[14].relative_to(store).as_posix()]
    for restart in (False, True):
        with pytest.raises(OutputError, match="holds other files, and no job"):
            run(numpy_job(fasta, methods=("reversed",)), store, restart=restart)
        assert below(store) == left
    shutil.rmtree(store)
    assert run(numpy_job(fasta), store).scored == 22


@pytest.mark.parametrize("models", [1, 2])
def test_a_store_of_which_shards_are_left_is_told_and_kept(fasta, tmp_path, models):
    """As by a removal that comes to the description first, and to the manifest last."""
    job, store = numpy_job(fasta, models=models), tmp_path / "store"
    with pytest.raises(OutputError, match=r"zarr\.json in it, is gone"):
        run(job, store, observer=at_shard(3, (store / "zarr.json").unlink))
    with pytest.raises(OutputError, match=r"holds shards, but .* begin anew with --restart"):
        run(job, store)
    assert run(job, store, restart=True).scored == 22
    assert (tmp_path / "store.old-1/markers/000002.json").exists()


@pytest.mark.parametrize(
    "names",
    [
        ("project/c/film.partial",),
        ("project/c/0.0123456789abcdef.partial",),
        ("plots/", "logs/"),
        ("plots/c/",),
        ("sums/",),
        ("sums/000003-000001.npz",),
        ("markers/000001.json",),
        ("weights_scores/c/3/0/0",),
        ("manifest.json.film.partial",),
        ("zarr.json.0123456789abcdef.partial",),
    ],
)
def test_a_folder_that_looks_like_what_is_left_of_a_store_is_refused_and_left_alone(fasta, tmp_path, names):
    store = tmp_path / "store"
    for name in names:
        path = store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_text("of a user")
    before = below(store)
    for restart in (False, True):
        with pytest.raises(OutputError, match="holds other files, and no job"):
            run(numpy_job(fasta), store, restart=restart)
        assert below(store) == before


def test_two_runs_into_one_store_are_refused_and_a_dead_one_is_not_in_the_way(fasta, tmp_path):
    with started(fasta, tmp_path / "store", "0.05") as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "store/markers").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(OutputError, match="another run"):
            run(numpy_job(fasta), tmp_path / "store")
        process.send_signal(signal.SIGKILL)
    with started(fasta, tmp_path / "store", "0.05") as process:
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(ZarrStore.open(tmp_path / "store").finished()) == 8


@pytest.mark.parametrize("shard", [1, 4, 6])
@pytest.mark.parametrize("begun", ["a lock", "a store"])
@pytest.mark.parametrize("models", [1, 2])
def test_a_run_whose_store_was_removed_writes_nothing_into_the_one_that_another_began_there(
    fasta, tmp_path, monkeypatch, bytes_of, shard, begun, models
):
    """It is the file that is locked, and not its name: a new file of that name is another lock."""
    store, scored, score = tmp_path / "store", [], Members.score
    another = numpy_job(fasta, methods=("reversed",))
    with contextlib.ExitStack() as stack, monkeypatch.context() as patch:

        def late(self, place, *given):
            scored.append(place)
            if len(scored) == shard:
                patch.undo()
                shutil.rmtree(store)
                if begun == "a lock":
                    stack.enter_context(locked(store))
                else:
                    run(another, store)
            return score(self, place, *given)

        patch.setattr(Members, "score", late)
        with pytest.raises(OutputError, match=r"\.lock was removed while|is gone: "):
            run(numpy_job(fasta, models=models, members=models > 1), store)
        assert ([*below(store)] == [".lock"]) == (begun == "a lock")
    assert run(another, store).scored == 22
    run(another, tmp_path / "whole")
    assert bytes_of(store) == bytes_of(tmp_path / "whole")


def test_what_a_failed_run_removes_is_locked_until_it_is_gone(fasta, tmp_path, monkeypatch):
    store, met = tmp_path / "store", []

    def late(path: Path) -> None:
        met.append(path)
        with pytest.raises(OutputError, match="another run writes into"), locked(path):
            pass
        remove_tree(path)

    monkeypatch.setattr(run_module, "remove_tree", late)
    with pytest.raises(InvalidInputError, match="colour"):
        run(numpy_job(fasta, options={"colour": 1}), store)
    assert met == [store]
    assert not store.exists()


def test_a_refused_run_leaves_the_lock_and_the_store_that_was_kept(fasta, tmp_path, monkeypatch):
    """Both look before there is a store, and one gets the lock, whose model takes a while to be opened."""
    job, store, check = numpy_job(fasta), tmp_path / "store", run_module._check_folder
    run(numpy_job(fasta, methods=("reversed",)), store)
    with contextlib.ExitStack() as stack, monkeypatch.context() as patch:

        def late(path: Path) -> None:
            check(path)
            if not path.exists():
                stack.enter_context(locked(path))

        patch.setattr(run_module, "_check_folder", late)
        with pytest.raises(OutputError, match="another run writes into"):
            run(job, store, restart=True)
        assert [*below(store)] == [".lock"]
        with pytest.raises(OutputError, match="another run writes into"):
            run(job, store)
    assert (tmp_path / "store.old-1/manifest.json").exists()
    assert run(job, store).complete


def test_a_lock_that_is_removed_as_another_run_takes_it_is_taken_anew(tmp_path, monkeypatch):
    store, acquire, met = tmp_path / "store", filelock.FileLock.acquire, []

    def late(lock, **named):
        found = acquire(lock, **named)
        if not met:
            met.append(lock)
            shutil.rmtree(store)
        return found

    monkeypatch.setattr(filelock.FileLock, "acquire", late)
    with locked(store) as check_lock:
        check_lock()
        assert [*below(store)] == [".lock"]
        with pytest.raises(OutputError, match="another run writes into"), locked(store):
            pass
    assert met


class Overtaken(InProcess):
    """Another run, which it did not see, begins meanwhile."""

    def begin(self, begun):
        shutil.copytree(begun.path.with_name("another"), begun.path, dirs_exist_ok=True)
        return super().begin(begun)


def test_a_store_that_another_run_begins_as_this_one_gets_ready_is_left(fasta, tmp_path):
    run(numpy_job(fasta, methods=("reversed",)), tmp_path / "another")
    (tmp_path / "another/.lock").unlink()
    with pytest.raises(OutputError, match="another run has begun to write into"):
        run(numpy_job(fasta), tmp_path / "store", runner=Overtaken(time.perf_counter))
    (tmp_path / "store/.lock").unlink()
    assert below(tmp_path / "store") == below(tmp_path / "another")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_ask_once_and_act_the_second_time(number):
    said = []
    former = signal.getsignal(number)
    acted = []
    signal.signal(number, lambda *_: acted.append(True))
    try:
        with stopping(said.append) as stop:
            assert stop() is None
            os.kill(os.getpid(), number)
            assert (stop(), said, acted) == (number, [number], [])
            os.kill(os.getpid(), number)
            assert acted == [True]
        os.kill(os.getpid(), number)
        assert acted == [True, True]
    finally:
        signal.signal(number, former)
