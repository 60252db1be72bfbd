"""Faults of processes, of the cluster and of the client: the rest of a job is done, and ends with the same bytes."""

import io
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster

import faulty_jobs
from attribution_bench.errors import AttributionBenchError, ClusterError, InvalidInputError, OutputError, SetAsideError
from attribution_bench.jobs.distributed import dispatch, known_workers, pace
from attribution_bench.jobs.distributed.cluster import Workers, connected
from attribution_bench.jobs.distributed.dispatch import Dispatch, never_stopped
from attribution_bench.jobs.distributed.first_worker import await_worker
from attribution_bench.jobs.distributed.pieces import Piece
from attribution_bench.jobs.events import Caution, Retry, ShardDone, ShardFailed
from attribution_bench.jobs.events import Cluster as ClusterEvent
from attribution_bench.jobs.run import run
from attribution_bench.sequences import read_fasta
from attribution_bench.storage import StoredScores
from faulty_jobs import await_openings, faulty_job, posted_jobs
from numpy_jobs import numpy_job

NEEDS_SIGSTOP = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes cannot be stopped here")


@pytest.fixture
def whole(fasta, tmp_path, bytes_of):
    """The bytes of a run in one process."""
    run(numpy_job(fasta, threads=1), tmp_path / "whole")
    return bytes_of(tmp_path / "whole")


@pytest.fixture
def on_cluster(cluster):
    """Run a job on the cluster once every worker has tried to open it; returns its summary and its events."""
    from attribution_bench.jobs.distributed.shards import OnCluster

    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again

    def run_on_cluster(job, path, *, observer=None, **settings):
        events = []

        def told(event):
            events.append(event)
            if isinstance(event, ClusterEvent):
                await_openings(cluster.client)
            if observer is not None:
                observer(event)

        run_settings = {key: settings.pop(key) for key in ("strict", "stop", "restart") if key in settings}
        with OnCluster(replace(cluster, **settings)) as runner:
            return run(job, path, runner=runner, observer=told, **run_settings), events

    return run_on_cluster


def first_letters(fasta: Path, index: int) -> str:
    return read_fasta(fasta).strings[index][:12]


def kill_a_worker(cluster, generator: random.Random) -> bool:
    """Kill one of the processes that are at a shard at the moment; returns whether there was one."""
    local = cluster.client.cluster
    at_work = [
        nanny.pid
        for nanny in local.workers.values()
        if (worker := local.scheduler.workers.get(nanny.worker_address))
        and any(task.key.startswith("shard") for task in list(worker.processing))
    ]
    if not at_work:
        return False
    os.kill(generator.choice(at_work), signal.SIGKILL)
    return True


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be blocked here")
def test_ctrl_c_reaches_no_process_of_this_machine_from_its_start(cluster):
    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again
    before = cluster.client.run(signal.pthread_sigmask, signal.SIG_BLOCK, ())
    assert len(before) == 2
    assert all(signal.SIGINT in blocked for blocked in before.values())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_sigterm_that_comes_to_workers_too_loses_no_shard_that_they_are_at(fasta, tmp_path, cluster, on_cluster):
    """As Slurm sends it to every process of a step, and a shell to every one of a group."""
    job, asked = numpy_job(fasta, threads=1, options={"pause": 0.2}), []
    pids = sorted(cluster.client.run(os.getpid).values())

    def observer(event) -> None:
        if isinstance(event, ShardDone) and not asked:
            asked.append(signal.SIGTERM)
            for pid in pids:
                os.kill(pid, signal.SIGTERM)

    summary, events = on_cluster(job, tmp_path / "store", observer=observer, stop=lambda: next(iter(asked), None))
    assert (summary.stopped_by, summary.retries, summary.failed_shards) == ("SIGTERM", 0, {})
    assert 0 < summary.left < 22
    assert [event for event in events if isinstance(event, Retry | ShardFailed)] == []
    assert sorted(cluster.client.run(os.getpid).values()) == pids
    assert on_cluster(job, tmp_path / "store")[0].left == 0


def test_a_process_that_a_worker_starts_ends_at_sigterm_and_the_worker_at_the_second(
    cluster, on_cluster, fasta, tmp_path
):
    def end_of_copy() -> int:
        reading, writing = os.pipe()
        if not (copy := os.fork()):
            os.write(writing, b"runs")
            time.sleep(30)
            os._exit(0)
        os.read(reading, 4)
        os.kill(copy, signal.SIGTERM)
        return os.waitpid(copy, 0)[1]

    on_cluster(numpy_job(fasta, threads=1), tmp_path / "store")
    assert [*cluster.client.run(end_of_copy).values()] == [signal.SIGTERM] * 2
    first = min(cluster.client.run(os.getpid).values())
    for ends in (False, True):
        os.kill(first, signal.SIGTERM)
        time.sleep(0.5)
        cluster.client.wait_for_workers(2, timeout=60)
        assert (first not in cluster.client.run(os.getpid).values()) == ends


def test_processes_of_this_machine_keep_freed_memory(cluster):
    """Dask has them give back what is beyond 64 KiB at once, so that scoring takes a quarter more time."""
    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again
    limits = cluster.client.run(os.getenv, "MALLOC_TRIM_THRESHOLD_")
    assert len(limits) == 2
    assert "65536" not in limits.values()


def check_kills_of_workers(cluster, on_cluster, job, path, seed: int, kills: int) -> tuple[int, int]:
    """Kill workers at random moments of one job; returns how many were, and how many tries failed."""
    generator, stop = random.Random(seed), threading.Event()
    killed = 0

    def kill() -> None:
        nonlocal killed
        for _ in range(kills):
            if stop.wait(generator.uniform(0.3, 1.0)):
                return
            while not kill_a_worker(cluster, generator):
                if stop.wait(0.02):
                    return
            killed += 1

    killer = threading.Thread(target=kill)

    def observer(event) -> None:
        if isinstance(event, ShardDone) and killer.ident is None:
            killer.start()

    try:
        summary, events = on_cluster(job, path, observer=observer, tries=kills + 1)
    finally:
        stop.set()
        killer.join()
    assert (summary.scored, summary.left, summary.failed_shards) == (22, 0, {})
    return killed, len([event for event in events if isinstance(event, Retry)])


def test_a_worker_that_is_killed_is_no_matter(fasta, tmp_path, bytes_of, cluster, on_cluster, whole):
    job = numpy_job(fasta, threads=1, options={"pause": 0.1})
    assert check_kills_of_workers(cluster, on_cluster, job, tmp_path / "store", seed=1, kills=1) == (1, 1)
    assert bytes_of(tmp_path / "store") == whole


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_workers_that_are_killed_are_no_matter(fasta, tmp_path, bytes_of, cluster, on_cluster, whole, seed):
    job = numpy_job(fasta, threads=1, options={"pause": 0.5})
    killed, retries = check_kills_of_workers(cluster, on_cluster, job, tmp_path / "store", seed, kills=3)
    assert 0 < retries <= killed
    assert bytes_of(tmp_path / "store") == whole


@pytest.mark.parametrize("fault", ["killed later", "broken", "full disk"])
def test_a_shard_that_always_fails_is_set_aside_and_tried_again_by_the_next_run(
    fasta, tmp_path, bytes_of, on_cluster, whole, fault
):
    file, store = tmp_path / "fault", tmp_path / "store"
    file.touch()
    job = faulty_job(fasta, fault, file, at=first_letters(fasta, 9))
    summary, events = on_cluster(job, store, tries=2)
    assert (summary.scored, summary.left, summary.retries) == (18, 0, 1)
    (error,) = summary.failed_shards.values()
    assert {"killed later": "its process died", "broken": "ZeroDivisionError", "full disk": "No space left"}[
        fault
    ] in error
    assert [event.shard for event in events if isinstance(event, ShardFailed)] == [2]
    assert [event.work for event in events if isinstance(event, Retry)] == ["shard 2"]
    stored = StoredScores(store)
    assert [row for row, reason in enumerate(stored.set_aside) if reason] == [8, 9, 10, 11]
    assert {*stored.set_aside} == {"", "every try to compute it failed"}
    found = bytes_of(store)
    assert {name for name, content in found.items() if content != whole[name]} == {
        name for name in whole if name.split("/")[2] == "2" and name.startswith(("weights", "set_aside"))
    }
    file.unlink()
    summary, _ = on_cluster(job, store)
    assert (summary.scored, summary.resumed_from, summary.set_aside) == (22, 18, {})
    assert bytes_of(store) == whole


@pytest.mark.parametrize("fault", ["hung", pytest.param("stopped", marks=NEEDS_SIGSTOP)])
def test_a_shard_that_hangs_is_ended_and_done_elsewhere(
    fasta, tmp_path, bytes_of, on_cluster, whole, fault, monkeypatch
):
    monkeypatch.setattr(dispatch, "FROZEN_SECONDS", 1.0)
    file = tmp_path / "fault"
    file.write_text("claim")
    job = faulty_job(fasta, fault, file, at=first_letters(fasta, 9))
    summary, events = on_cluster(job, tmp_path / "store", time_limit=6.0)
    assert (summary.scored, summary.failed_shards) == (22, {})
    assert [event.error for event in events if isinstance(event, Retry)] == [
        "it was not done after 6 s, and its process was ended"
    ]
    assert bytes_of(tmp_path / "store") == whole


def test_shards_without_anything_to_score_are_no_measure_of_others(tmp_path, on_cluster, monkeypatch):
    monkeypatch.setattr(pace, "LEAST_SECONDS", 0.4)
    fasta = tmp_path / "some.fa"
    texts = ["N" * 28 if 4 <= row < 32 else "ACGTGCA" * 4 for row in range(40)]
    fasta.write_text("".join(f">{row}\n{text}\n" for row, text in enumerate(texts)))
    job = numpy_job(fasta, threads=1, options={"pause": 0.3})
    run(job, tmp_path / "store", stop=iter([None, None, signal.SIGTERM, signal.SIGTERM]).__next__)
    summary, events = on_cluster(job, tmp_path / "store")
    assert [event for event in events if isinstance(event, Retry)] == []
    assert summary.scored == 12


def test_a_worker_out_of_memory_is_ended_and_its_shard_done_elsewhere(
    fasta, tmp_path, bytes_of, cluster, on_cluster, whole, monkeypatch
):
    for nanny in cluster.client.cluster.workers.values():
        monkeypatch.setattr(nanny.memory_manager, "memory_limit", 500_000_000)
    file = tmp_path / "fault"
    file.write_text("claim")
    summary, events = on_cluster(faulty_job(fasta, "greedy", file, at=first_letters(fasta, 9)), tmp_path / "store")
    assert (summary.scored, summary.failed_shards) == (22, {})
    assert [event.error for event in events if isinstance(event, Retry)] == [
        "its process died: it was killed, crashed or took too much memory"
    ]
    assert bytes_of(tmp_path / "store") == whole


def test_a_poisoned_sequence_is_set_aside_as_in_one_process(fasta, tmp_path, bytes_of, on_cluster):
    job = numpy_job(fasta, options={"poison": first_letters(fasta, 9)}, threads=1)
    summary, _ = on_cluster(job, tmp_path / "store")
    assert summary.set_aside == {"scores or predictions are not finite": 1}
    run(job, tmp_path / "one process")
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "one process")


def test_a_worker_whose_disk_is_full_gets_no_more_work(fasta, tmp_path, bytes_of, on_cluster, whole):
    file = tmp_path / "fault"
    file.write_text("claim")
    summary, events = on_cluster(faulty_job(fasta, "full disk", file), tmp_path / "store")
    assert (summary.scored, summary.failed_shards) == (22, {})
    (caution,) = [event.text for event in events if isinstance(event, Caution)]
    assert "gets no more work: OSError: [Errno 28] No space left on device" in caution
    assert bytes_of(tmp_path / "store") == whole


def test_where_every_disk_is_full_the_job_ends_and_goes_on(fasta, tmp_path, bytes_of, on_cluster, whole, monkeypatch):
    monkeypatch.setattr(known_workers, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(known_workers, "MOST_ON_THE_LAST", 2)
    file, job = tmp_path / "fault", faulty_job(fasta, "full disk", tmp_path / "fault")

    def observer(event) -> None:
        if isinstance(event, ShardDone):
            file.touch()

    with pytest.raises(ClusterError, match=r"every worker fails, at last with: OSError.*No space left"):
        on_cluster(job, tmp_path / "store", observer=observer)
    file.unlink()
    assert on_cluster(job, tmp_path / "store")[0].resumed_from >= 4
    assert bytes_of(tmp_path / "store") == whole


def test_bad_shards_do_not_use_up_the_only_worker(fasta, tmp_path, threaded_cluster):
    from attribution_bench.jobs.distributed.shards import OnCluster

    (tmp_path / "fault").touch()
    job = faulty_job(fasta, "broken", tmp_path / "fault", at=("A", "C", "G"), shard_size=1)
    good = [row for row, text in enumerate(read_fasta(fasta).strings) if text[0] in "TN"]
    assert len(good) <= 12
    for _ in range(2):  # again, only bad ones are left, and all of them are tried
        with connected(Workers(address=threaded_cluster.scheduler_address)) as one, OnCluster(one) as runner:
            summary = run(job, tmp_path / "store", runner=runner, observer=lambda event: None)
        assert [row for row in range(22) if row not in summary.failed_shards] == good
        assert summary.scored == len(good)


@pytest.mark.parametrize("others", [1, 0])
def test_no_store_is_laid_out_by_a_shard_without_anything_to_score(tmp_path, bytes_of, on_cluster, others):
    fasta, file, store = tmp_path / "some.fa", tmp_path / "fault", tmp_path / "store"
    texts = ["AC" * 15, "N" * 30, *["GC" * 15] * others]
    fasta.write_text("".join(f">{row}\n{text}\n" for row, text in enumerate(texts)))
    file.touch()
    job = faulty_job(fasta, "broken", file, at="AC", shard_size=1)
    if others:
        summary, events = on_cluster(job, store)
        assert (summary.scored, [*summary.failed_shards]) == (1, [0])
        assert [event.shard for event in events if isinstance(event, ShardDone)] == [2, 1]
    else:
        with pytest.raises(AttributionBenchError, match=r"the first shard could not be computed: .*divided by zero"):
            on_cluster(job, store)
        assert not store.exists()
    file.unlink()
    assert on_cluster(job, store)[0].scored == 1 + others
    run(job, tmp_path / "one process")
    assert bytes_of(store) == bytes_of(tmp_path / "one process")


def test_a_store_that_is_removed_meanwhile_is_one_error_and_the_same_job_begins_again(
    fasta, tmp_path, bytes_of, on_cluster, whole
):
    job, store = numpy_job(fasta, threads=1, options={"pause": 0.02}), tmp_path / "store"

    def observer(event) -> None:
        if isinstance(event, ShardDone) and event.sequences == 8:
            shutil.rmtree(store, ignore_errors=True)

    with pytest.raises(OutputError, match=r"is gone: .* the same command begins again"):
        on_cluster(job, store, observer=observer)
    # What a worker was writing at that moment may be left.
    while store.exists():
        shutil.rmtree(store, ignore_errors=True)
    assert on_cluster(job, store)[0].scored == 22
    assert bytes_of(store) == whole


def test_where_everything_fails_the_job_ends_and_leaves_nothing(fasta, tmp_path, on_cluster):
    (tmp_path / "fault").touch()
    job = faulty_job(fasta, "broken", tmp_path / "fault")
    with pytest.raises(AttributionBenchError, match="divided by zero"):
        on_cluster(job, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_what_ends_a_job_in_one_process_ends_it_on_a_cluster(fasta, tmp_path, on_cluster):
    poisoned = numpy_job(fasta, options={"poison": first_letters(fasta, 9)}, threads=1)
    with pytest.raises(SetAsideError, match=r"sequence 9 .*not finite"):
        on_cluster(poisoned, tmp_path / "store", strict=True)
    with pytest.raises(InvalidInputError, match="cannot take the options colour"):
        on_cluster(numpy_job(fasta, options={"colour": 1}), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def started(fasta: Path, store: Path, address: str, pause: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(faulty_jobs.__file__).parent)])}
    command = [sys.executable, faulty_jobs.__file__, str(fasta), str(store), address, pause]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def check_a_killed_client(fasta: Path, store: Path, address: str, seed: int) -> None:
    with started(fasta, store, address, "0.1") as process:
        deadline = time.monotonic() + 60
        while not list(store.glob("markers/*.json")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random.Random(seed).uniform(0, 0.8))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said.decode()


def test_a_client_that_is_killed_goes_on(fasta, tmp_path, bytes_of, cluster, on_cluster, whole):
    """Its workers may still be at a shard as the next client begins, and have its models until then."""
    check_a_killed_client(fasta, tmp_path / "store", cluster.address, 1)
    assert len(posted_jobs(cluster.client)) == 1
    meanwhile = []
    summary, _ = on_cluster(
        numpy_job(fasta, options={"pause": 0.1}, threads=1),
        tmp_path / "store",
        observer=lambda event: isinstance(event, ShardDone) and meanwhile.append(len(posted_jobs(cluster.client))),
    )
    assert set(meanwhile) == {1}
    assert posted_jobs(cluster.client) == []
    assert summary.scored == 22
    assert summary.resumed_from >= 4
    assert bytes_of(tmp_path / "store") == whole


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_a_client_that_is_killed_with_its_workers_goes_on(fasta, tmp_path, bytes_of, on_cluster, whole, seed):
    check_a_killed_client(fasta, tmp_path / "store", "2", seed)
    summary, _ = on_cluster(numpy_job(fasta, options={"pause": 0.1}, threads=1), tmp_path / "store")
    assert summary.scored == 22
    assert bytes_of(tmp_path / "store") == whole


def test_another_client_on_the_same_store_is_refused(fasta, tmp_path, on_cluster):
    job = numpy_job(fasta, threads=1)

    def observer(event) -> None:
        if isinstance(event, ShardDone):
            with pytest.raises(OutputError, match="another run writes"):
                run(job, tmp_path / "store")

    summary, _ = on_cluster(job, tmp_path / "store", observer=observer)
    assert summary.scored == 22


def test_a_scheduler_that_is_lost_is_one_error_and_the_job_goes_on(
    fasta, tmp_path, bytes_of, whole, threaded_cluster, monkeypatch
):
    from attribution_bench.jobs.distributed.shards import OnCluster

    monkeypatch.setattr("attribution_bench.jobs.distributed.cluster.CONNECT_SECONDS", 5)  # it tries to connect again
    job, logged = numpy_job(fasta, threads=1), io.StringIO()
    monkeypatch.setattr(logging.getLogger("distributed.client"), "handlers", [logging.StreamHandler(logged)])
    with connected(Workers(address=threaded_cluster.scheduler_address)) as lost, OnCluster(lost) as runner:

        def observer(event) -> None:
            if isinstance(event, ShardDone):
                threaded_cluster.close()

        with pytest.raises(ClusterError, match="is lost; finished work is kept"):
            run(job, tmp_path / "store", runner=runner, observer=observer)
    assert logged.getvalue() == ""  # Dask says nothing of it beside
    assert run(job, tmp_path / "store").resumed_from >= 4
    assert bytes_of(tmp_path / "store") == whole


@pytest.mark.parametrize("moment", ["as a worker is waited for", "as the job is opened", "as a piece is done"])
def test_a_restart_of_the_cluster_by_others_is_named_as_such(clean_variables, moment):
    def go_on(connection) -> None:
        if moment == "as a worker is waited for":
            await_worker(connection, lambda event: None)
        opening = 2.0 if moment == "as the job is opened" else 0.0
        with Dispatch(connection, faulty_jobs.Steps(opening), {}, lambda event: None) as one:
            one.facts()
            list(one.run([Piece("long", (2.0, ""))], never_stopped))

    with (
        LocalCluster(
            n_workers=0 if moment == "as a worker is waited for" else 1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
        ) as restarted,
        connected(Workers(address=restarted.scheduler_address)) as connection,
        Client(restarted.scheduler_address, set_as_default=False) as other,
    ):
        timer = threading.Timer(0.5, other.restart, kwargs={"wait_for_workers": False})
        timer.start()
        with pytest.raises(ClusterError, match=r"tasks at tcp://.* were cancelled, such as by a restart"):
            go_on(connection)
        timer.join()


@pytest.mark.parametrize("asked", ["for a worker", "for something else"])
def test_a_scheduler_that_is_lost_before_the_job_begins_is_one_error(clean_variables, monkeypatch, asked):
    monkeypatch.setattr("attribution_bench.jobs.distributed.cluster.CONNECT_SECONDS", 2)  # it tries to connect again

    def ask(connection) -> None:
        if asked == "for a worker":
            await_worker(connection, lambda event: lost.close())
        else:
            lost.close()
            connection.client.nthreads()

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as lost,
        pytest.raises(ClusterError, match=r"scheduler at tcp://.* is lost"),
        connected(Workers(address=lost.scheduler_address)) as connection,
    ):
        ask(connection)


def test_an_error_of_the_disk_is_none_of_the_scheduler(threaded_cluster):
    with (
        pytest.raises(OSError, match="no room"),
        connected(Workers(address=threaded_cluster.scheduler_address)),
    ):
        raise OSError("no room")


def test_workers_that_do_not_come_again_are_one_error(fasta, tmp_path, threaded_cluster, monkeypatch):
    from attribution_bench.jobs.distributed.shards import OnCluster

    monkeypatch.setattr(known_workers, "RESTART_SECONDS", 0.5)
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.1)

    def observer(event) -> None:
        if isinstance(event, ShardDone):
            threaded_cluster.scale(0)
            while threaded_cluster.scheduler.workers:
                time.sleep(0.05)

    with (
        connected(Workers(address=threaded_cluster.scheduler_address)) as connection,
        OnCluster(replace(connection, is_local=True)) as runner,
        pytest.raises(ClusterError, match="do not come again; finished work is kept"),
    ):
        run(numpy_job(fasta, threads=1), tmp_path / "store", runner=runner, observer=observer)
    assert run(numpy_job(fasta, threads=1), tmp_path / "store").resumed_from >= 4


def test_no_scheduler_at_an_address_is_one_error(monkeypatch):
    from attribution_bench.jobs.distributed import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with (
        pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        connected(Workers(address="tcp://127.0.0.1:9")),
    ):
        pass
