"""Stores at addresses of other file systems end like those of this one, resume, and are locked."""

import asyncio
import importlib.util
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from typer.testing import CliRunner

from attribution_bench.cli.app import app
from attribution_bench.errors import InvalidInputError, MissingDependencyError, OutputError
from attribution_bench.jobs.events import ShardDone
from attribution_bench.jobs.lease import Lease
from attribution_bench.jobs.lock import LOCK, locked
from attribution_bench.jobs.run import run
from attribution_bench.reporting.score_panels import read_score_panels
from attribution_bench.storage import StoredScores
from attribution_bench.storage.places import beside, check_lasting, store_path, zarr_place
from attribution_bench.storage.zarr_store import ZarrStore, is_store
from numpy_jobs import numpy_job

pytest.importorskip("upath")
SERVED = all(importlib.util.find_spec(name) for name in ("moto", "s3fs", "flask"))
BEATS = {"beat": 0.05, "patience": 1.0}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of a server on the loopback that speaks S3."""
    if not SERVED:
        pytest.skip("moto's server and s3fs are not installed")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            patch.setenv(f"AWS_{name}", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("scores")
        yield "s3://scores"
        from zarr.core import sync

        for system in list(s3fs.S3FileSystem._cache.values()):
            if system._s3 is not None:
                # Those that Zarr opened have no loop of their own, but its.
                closing = system._s3.__aexit__(None, None, None)
                asyncio.run_coroutine_threadsafe(closing, system.loop or sync.loop[0]).result(10)
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["memory", "local", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address of a store that is not there yet."""
    name = f"{uuid.uuid4().hex}.zarr"
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{name}"
    return f"memory://scores/{name}" if request.param == "memory" else f"local://{tmp_path}/{name}"


def files(store: Path) -> dict[str, bytes]:
    """Return the bytes of every array's files and of the markers, by their names in the store."""
    found = {str(path).removeprefix(str(store)): path for path in store.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes() for name, path in found.items() if name.startswith("/markers") or name.count("/") > 1
    }


def test_a_store_elsewhere_has_the_bytes_of_one_here(fasta: Path, address: str, tmp_path: Path) -> None:
    there = store_path(address)
    assert not is_store(there)
    summary = run(numpy_job(fasta), there)
    here = tmp_path / "here"
    run(numpy_job(fasta), here)
    assert summary.complete
    assert {name for name in files(there) if "zarr.json" not in name} >= {
        "/markers/000000.json",
        "/weights_scores/c/0/0/0",
    }
    assert files(there) == files(here)
    dataset, same = xarray.open_zarr(zarr_place(there)), xarray.open_zarr(here)
    xarray.testing.assert_identical(dataset.load(), same.load())
    stored = StoredScores(address)
    assert np.array_equal(stored.one("weights", 2).scores, StoredScores(here).one("weights", 2).scores)


def test_scores_of_a_store_elsewhere_are_drawn(fasta: Path, address: str, tmp_path: Path) -> None:
    run(numpy_job(fasta), store_path(address))
    here = tmp_path / "here.zarr"
    run(numpy_job(fasta), here)
    expected = read_score_panels([here], sequence="2")
    for place in (address, store_path(address)):
        found = read_score_panels([place], sequence="2")
        (title,) = found.hypothetical
        np.testing.assert_array_equal(found.hypothetical[title], expected.hypothetical[title])
    drawn = CliRunner().invoke(app, ["plot", address, str(here), "--output", str(tmp_path / "both.svg")])
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "both.svg").is_file()
    with pytest.raises(OutputError, match=r"there is no store .*absent|absent.* is no attribution result"):
        read_score_panels([f"{address.rpartition('/')[0]}/absent.zarr"])


def test_what_is_missing_or_damaged_is_computed_again(fasta: Path, address: str) -> None:
    store = store_path(address)
    run(numpy_job(fasta), store)
    whole = files(store)
    (store / "markers" / "000001.json").unlink()
    (store / "weights_scores" / "c" / "3" / "0" / "0").write_bytes(b"half of it")
    assert ZarrStore.open(store).finished() == frozenset({0, 2, 4, 5})
    summary = run(numpy_job(fasta), store)
    assert summary.resumed_from == 14
    assert summary.complete
    assert files(store) == whole
    with pytest.raises(InvalidInputError, match="holds another job"):
        run(numpy_job(fasta, shard_size=5), store)


@pytest.mark.parametrize("content", [b"", b'{"attributes": {}}', None], ids=["empty", "not complete", "missing"])
def test_a_store_whose_description_is_damaged_is_kept(fasta: Path, address: str, content: bytes | None) -> None:
    store = store_path(address)
    run(numpy_job(fasta), store)
    group, before = store / "zarr.json", files(store)
    whole = group.read_bytes()
    group.unlink() if content is None else group.write_bytes(content)
    with pytest.raises(OutputError, match=r"zarr\.json, which describes them, is damaged or missing; .* --restart"):
        run(numpy_job(fasta), store)
    assert files(store) == before
    group.write_bytes(whole)
    assert run(numpy_job(fasta), store).resumed_from == 22


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "I/O error"), TimeoutError()])
def test_a_store_that_cannot_be_read_at_the_moment_is_kept(
    fasta: Path, address: str, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    store = store_path(address)
    run(numpy_job(fasta), store)
    before, read = files(store), type(store).read_text

    def failing(path: Any, *given: Any, **named: Any) -> str:
        if path.name == "zarr.json":
            raise error
        return read(path, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "read_text", failing)
        with pytest.raises(OutputError, match=r"cannot read .*zarr\.json: .*the same command goes on"):
            run(numpy_job(fasta), store)
    assert files(store) == before
    assert run(numpy_job(fasta), store).resumed_from == 22


def test_what_names_no_file_is_no_store() -> None:
    assert not is_store(Path("bpnet?" + 300 * "x"))
    assert not is_store(Path(__file__))


def test_a_second_run_is_refused_and_the_lock_is_given_back(fasta: Path, address: str, monkeypatch: Any) -> None:
    store = store_path(address)
    monkeypatch.setattr("attribution_bench.jobs.lock.Lease", lambda path: Lease(path, **BEATS))
    with locked(store), pytest.raises(OutputError, match=r"^another run writes into"):
        run(numpy_job(fasta), store)
    assert run(numpy_job(fasta), store).complete


def test_begin_anew_names_what_would_do(fasta: Path) -> None:
    store = store_path(f"memory://scores/{uuid.uuid4().hex}.zarr")
    run(numpy_job(fasta), store)
    with pytest.raises(OutputError, match="give another --output, or remove it"):
        run(numpy_job(fasta), store, restart=True)


@pytest.fixture(params=["memory", "s3"])
def remote(request: pytest.FixtureRequest) -> Any:
    top = request.getfixturevalue("bucket") if request.param == "s3" else "memory://scores"
    return store_path(f"{top}/{uuid.uuid4().hex}") / LOCK


def test_a_lease_that_a_dead_process_left_is_taken_over(remote: Any) -> None:
    left = json.dumps({"holder": "a machine that is gone", "renewed": 7}).encode()
    remote.write_bytes(left)
    lease = Lease(remote, **BEATS)
    assert remote.read_bytes() != left
    lease.check()
    lease.release()
    assert not remote.exists()


def test_a_lease_that_is_renewed_is_not_taken_over(remote: Any) -> None:
    first = Lease(remote, **BEATS)
    with pytest.raises(OutputError, match="another run writes into"):
        Lease(remote, **BEATS)
    first.check()
    first.release()


def test_who_lost_a_lease_stops(fasta: Path, remote: Any) -> None:
    lease = Lease(remote, **BEATS)
    remote.write_bytes(b'{"holder": "another run"}')
    lease._heart.join(5)
    with pytest.raises(OutputError, match="another run has taken over"):
        lease.check()
    lease.release()
    assert remote.read_bytes() == b'{"holder": "another run"}'


class NetworkError(Exception):
    """An error of what reads addresses, as botocore's, that is none of the operating system."""


def unreachable(*_: Any, **__: Any) -> Any:
    raise NetworkError("Could not connect to the endpoint")


def test_a_lease_outlasts_a_gap_of_the_network(remote: Any) -> None:
    lease = Lease(remote, **BEATS)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("cat_file", "pipe_file"):
            patch.setattr(type(remote.fs), name, unreachable)
        time.sleep(5 * BEATS["beat"])
        lease.check()
    before = remote.read_bytes()
    deadline = time.monotonic() + 10
    while remote.read_bytes() == before and time.monotonic() < deadline:
        time.sleep(BEATS["beat"])
    assert remote.read_bytes() != before
    lease.check()
    lease.release()
    assert not remote.exists()


def test_who_cannot_renew_a_lease_for_long_stops_until_it_can(remote: Any) -> None:
    lease = Lease(remote, **BEATS)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("cat_file", "pipe_file"):
            patch.setattr(type(remote.fs), name, unreachable)
        time.sleep(2 * BEATS["patience"])
        with pytest.raises(OutputError, match=r"has not been reached for .* same command goes on .*Could not connect"):
            lease.check()
    remote.write_bytes(b'{"holder": "another run"}')
    lease._heart.join(10)
    with pytest.raises(OutputError, match="another run has taken over"):
        lease.check()
    lease.release()
    assert remote.read_bytes() == b'{"holder": "another run"}'


def test_a_lease_at_an_address_that_cannot_be_reached_is_one_error(remote: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(remote.fs), "pipe_file", unreachable)
    with pytest.raises(OutputError, match=r"cannot lock .*Could not connect"):
        Lease(remote, **BEATS)


@pytest.mark.parametrize(
    ("first", "number"),
    [("pipe_file", 1), ("pipe_file", 5), ("cat_file", 1), ("cat_file", 6), ("info", 3), ("info", 6), ("ls", 6)],
)
def test_a_gap_of_the_network_during_a_job_is_one_error(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, number: int
) -> None:
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
    from fsspec.implementations.memory import MemoryFileSystem

    store, calls = store_path(f"memory://scores/{uuid.uuid4().hex}.zarr"), ("pipe_file", "cat_file", "info", "ls")
    away: list[str] = []
    done: list[ShardDone] = []

    def fragile(name: str) -> Any:
        call = getattr(MemoryFileSystem, name)

        def called(*given: Any, **named: Any) -> Any:
            if away and (name == first or len(away) > 1):
                away.append(name)
                unreachable()
            return call(*given, **named)

        return called

    def observer(event: Any) -> None:
        if isinstance(event, ShardDone):
            done.append(event)
            away.extend(["the network"] * (len(done) == number))

    with monkeypatch.context() as patch:
        for name in (*calls, "exists", "_open"):
            patch.setattr(MemoryFileSystem, name, fragile(name))
        AsyncFileSystemWrapper.clear_instance_cache()
        with pytest.raises(OutputError, match="Could not connect"):
            run(numpy_job(fasta), store, observer=observer)
    AsyncFileSystemWrapper.clear_instance_cache()
    (store / LOCK).unlink(missing_ok=True)
    assert run(numpy_job(fasta), store).complete
    run(numpy_job(fasta), tmp_path / "here")
    assert files(store) == files(tmp_path / "here")


def test_of_runs_that_take_over_at_once_one_wins(remote: Any) -> None:
    remote.write_bytes(b"left")

    def overtaken(seconds: float) -> None:
        if seconds < BEATS["patience"]:
            remote.write_bytes(b'{"holder": "another run"}')

    with pytest.raises(OutputError, match="has just begun"):
        Lease(remote, **BEATS, sleep=overtaken)


def test_addresses_that_nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="no address that fsspec knows"):
        store_path("nowhere://scores.zarr")
    monkeypatch.setitem(__import__("sys").modules, "upath", None)
    with pytest.raises(MissingDependencyError, match="remote"):
        store_path("memory://scores.zarr")


def test_a_store_that_ends_with_the_process_is_refused(fasta: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="gone when this process ends"):
        check_lasting(store_path("memory://scores.zarr"))
    check_lasting(store_path(tmp_path / "scores.zarr"))
    arguments = ["attribute", "demo_classifier", str(fasta), "--output", "memory://scores.zarr"]
    ran = CliRunner().invoke(app, arguments)
    assert isinstance(ran.exception, InvalidInputError)


def test_what_is_made_of_a_store_elsewhere_goes_to_the_working_folder(tmp_path: Path) -> None:
    assert beside(store_path("memory://scores/peaks.zarr"), ".bw") == Path("peaks.bw")
    assert beside(tmp_path / "peaks.zarr", ".bw") == tmp_path / "peaks.bw"
