"""Which worker a piece of work is given to, and what a death, a silent scheduler or a missing worker comes to."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event, Timer
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, KilledWorker, LocalCluster

from attribution_bench.errors import AttributionBenchError, ClusterError, InvalidInputError
from attribution_bench.jobs.distributed import (
    departures,
    dispatch,
    known_workers,
    limits,
    opening,
    posting,
    process,
    tasks,
    worker_job,
)
from attribution_bench.jobs.distributed import (
    pieces as pieces_of,
)
from attribution_bench.jobs.distributed.cluster import Cluster, Workers, connected
from attribution_bench.jobs.distributed.deaths import Deaths
from attribution_bench.jobs.distributed.departures import Departures
from attribution_bench.jobs.distributed.dispatch import Dispatch, never_stopped
from attribution_bench.jobs.distributed.pieces import Done, GivenUp, Piece
from attribution_bench.jobs.distributed.posting import PREFIX
from attribution_bench.jobs.distributed.worker_job import Failure, Report, WorkerJob
from attribution_bench.jobs.events import Caution, Retry
from faulty_jobs import Refusing, Steps, posted_jobs

DIED = "its process died: it was killed, crashed or took too much memory"
A, B, C = "tcp://10.0.0.1:1", "tcp://10.0.0.1:2", "tcp://10.0.0.2:1"


class Task:
    """A task of a scheduler that a test plays; it ends as the test says."""

    def __init__(self, key: str, workers: list[str] | None, said: Callable[["Task"], None]) -> None:
        self.key, self.worker, self._said = key, workers[0] if workers else "", said
        self.name = key.partition(f"-{PREFIX}")[0]
        self.status, self._answer = "pending", None

    def add_done_callback(self, told: Callable[["Task"], None]) -> None:
        self._told = told
        self._said(self)

    def end(self, answer: Any) -> None:
        self.status, self._answer = "error" if isinstance(answer, Exception) else "finished", answer
        self._told(self)

    def done(self) -> None:
        self.end(Report(None, self.worker))

    def died(self, *running: "Task", allowed_failures: int = 0) -> None:
        keys = dict.fromkeys([task.key for task in running], 1.0)
        self.end(KilledWorker(self.key, SimpleNamespace(address=self.worker, executing=keys), allowed_failures))

    def exception(self) -> Any:
        return self._answer

    def __await__(self) -> Iterator[None]:
        yield from ()
        return self._answer


class PlayedClient:
    """A client of a scheduler that a test plays."""

    id, status = "Client-played", "running"

    def __init__(self, workers: list[str], said: Callable[[Task], None]) -> None:
        self.workers, self._said = workers, said
        self.loop = self
        self.handed: list[tuple[str, str]] = []

    def submit(self, function: Any, *arguments: Any, key: str, workers: list[str] | None, **settings: Any) -> Task:
        return Task(key, workers, self._said_of)

    def _said_of(self, task: Task) -> None:
        if task.name == "opening":
            task.done()
        else:
            self.handed.append((task.name, task.worker))
            self._said(task)

    def add_callback(self, call: Callable[[Task], Any], task: Task) -> None:
        with contextlib.suppress(StopIteration):
            call(task).send(None)

    def nthreads(self) -> dict[str, int]:
        return dict.fromkeys(self.workers, 1)

    def run(self, *arguments: Any, **settings: Any) -> None: ...

    def run_on_scheduler(self, *arguments: Any) -> list[str]:
        return []

    register_plugin = unregister_worker_plugin = cancel = run


def pieces(*names: str) -> Iterator[Piece]:
    return (Piece(name, None) for name in names)


def done_by(client: PlayedClient, names: list[str], events: list[Any], tries: int = 3) -> list[Done | GivenUp]:
    cluster = Cluster(client, "tcp://10.0.0.9:8786", 1, False, tries, None)
    with Dispatch(cluster, Steps(), {}, events.append) as one:
        one.facts()
        return [found for found in one.run(pieces(*names), never_stopped) if found is not None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "POLL_SECONDS", 0.05)


def test_a_piece_that_killed_its_process_goes_to_another_machine_even_if_that_is_busy():
    tasks: dict[str, Task] = {}

    def said(task: Task) -> None:
        tasks[task.name] = task
        if task.name == "third":  # every worker has one
            tasks["first"].died(tasks["first"])
        elif task.name == "fourth":
            tasks["third"].done()
        elif client.handed[-1] == ("first", C):
            for one in tasks.values():
                if one.status == "pending":
                    one.done()

    client = PlayedClient([A, B, C], said)
    found = done_by(client, ["first", "second", "third", "fourth"], [])
    assert client.handed == [("first", A), ("second", B), ("third", C), ("fourth", A), ("first", C)]
    assert all(isinstance(one, Done) for one in found)


def test_a_piece_that_failed_on_every_machine_is_tried_on_another_worker():
    def said(task: Task) -> None:
        if len(client.handed) == 1:
            task.end(Failure("no room", task.worker))
        elif len(client.handed) == 2:
            task.died(task)
        else:
            task.done()

    client = PlayedClient([A, B], said)
    done_by(client, ["only"], [])
    assert [worker for _, worker in client.handed[:2]] == [A, B]
    client = PlayedClient([A], said)
    assert len(done_by(client, ["only"], [])) == 1


@pytest.mark.parametrize(
    ("allowed", "tries", "handed", "words"),
    [(0, 3, 3, "died:"), (3, 3, 1, "died 4 times:"), (1, 3, 2, "died 2 times:"), (3, 5, 2, "died 4 times:")],
)
def test_every_death_counts_as_a_try_also_those_after_which_dask_tries_by_itself(allowed, tries, handed, words):
    client = PlayedClient([A, B, C], lambda task: task.died(task, allowed_failures=allowed))
    events: list[Any] = []
    (found,) = done_by(client, ["bad"], events, tries)
    assert isinstance(found, GivenUp)
    assert words in found.error
    assert len(client.handed) == handed
    assert [one.tries for one in events] == [count * (allowed + 1) for count in range(1, handed)]


def test_a_worker_that_opens_the_job_is_given_no_piece_until_it_has():
    opening: list[Task] = []

    class SlowlyOpened(PlayedClient):
        def _said_of(self, task: Task) -> None:
            if task.name == "opening" and task.worker == A:
                opening.append(task)
            else:
                super()._said_of(task)

    def said(task: Task) -> None:
        if len(client.handed) == 3:
            opening[0].done()
        if len(client.handed) < 4:
            task.done()
        else:
            waiting.append(task)
            if len(waiting) == 2:
                for one in waiting:
                    one.done()

    waiting: list[Task] = []
    client = SlowlyOpened([A, B], said)
    assert len(done_by(client, list("abcde"), [])) == 5
    assert [worker for _, worker in client.handed[:3]] == [B, B, B]
    assert {worker for _, worker in client.handed[3:]} == {A, B}


def test_a_scheduler_that_does_not_answer_for_a_while_ends_no_job(monkeypatch):
    """Whether it is lost is told by its connection."""
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)

    class Silent(PlayedClient):
        asked = limited = 0

        def nthreads(self) -> dict[str, int]:
            self.asked += 1
            if self.asked > 2:
                raise (TimeoutError if self.asked % 2 else OSError)("no answer")
            return super().nthreads()

        def run(self, call: Any, *arguments: Any, **settings: Any) -> None:
            self.limited += call is worker_job.set_limit
            if self.limited == 1:
                raise OSError("no answer")

    client = Silent([A, B], lambda task: task.done())
    assert len(done_by(client, list("abcdef"), [])) == 6
    assert client.asked > 4
    assert client.limited == 2


@pytest.mark.parametrize(("answer", "told"), [(None, 0), (OSError("it is gone"), 0), (ImportError("zarr"), 1)])
def test_a_worker_that_ends_as_the_job_is_posted_is_no_matter(answer: Any, told: int) -> None:
    class Ending(PlayedClient):
        def register_plugin(self, *arguments: Any, **settings: Any) -> None:
            raise OSError("a connection was closed")

        def run(self, *arguments: Any, **settings: Any) -> dict[str, Any]:
            return {A: answer, B: None}

    events: list[Any] = []
    client = Ending([A, B], lambda task: task.done())
    assert len(done_by(client, list("ab"), events)) == 2
    assert [f"worker {A} gets no more work: it cannot take the job" in event.text for event in events] == [True] * told
    assert not told or {worker for _, worker in client.handed} == {B}


def test_a_scheduler_without_the_package_is_one_error() -> None:
    class Bare(PlayedClient):
        def run_on_scheduler(self, *arguments: Any) -> list[str]:
            raise ModuleNotFoundError("No module named 'attribution_bench'")

    with pytest.raises(
        ClusterError, match=r"cluster at tcp://10\.0\.0\.9:8786 cannot take the job \(ModuleNotFoundErr"
    ):
        done_by(Bare([A], lambda task: task.done()), ["a"], [])


def test_a_wish_to_stop_waits_for_no_workers_to_come_again(monkeypatch):
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)

    def said(task: Task) -> None:
        if task.name == "first":
            task.done()
        else:
            client.workers = []

    client = PlayedClient([A], said)
    cluster = Cluster(client, "tcp://10.0.0.9:8786", 1, False, 3, None)
    with Dispatch(cluster, Steps(), {}, lambda event: None) as one:
        one.facts()
        found = list(one.run(pieces("first", "second", "third"), lambda: not client.workers))
    assert [type(result) for result in found] == [Done]
    assert [name for name, _ in client.handed] == ["first", "second"]


def test_that_every_worker_is_gone_is_said_each_time(monkeypatch):
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)
    handed: list[Task] = []
    there = [[], [], [], [A], [A], [], []]

    class Leaving(PlayedClient):
        def nthreads(self) -> dict[str, int]:
            if handed and there:
                self.workers = there.pop(0)
            elif handed and handed[0].status == "pending":
                handed[0].done()
            return super().nthreads()

    events: list[Any] = []
    done_by(Leaving([A], handed.append), ["one"], events)
    said = "there are no workers at tcp://10.0.0.9:8786 any more; waiting for others"
    assert [event.text for event in events if isinstance(event, Caution)] == [said] * 2


@pytest.mark.parametrize(
    ("running", "died", "charged_before", "spared"),
    [
        (["other"], ["other"], [], True),
        (["other"], [], ["other"], True),
        (["other", "finished"], ["other"], [], True),
        (["waited", "other"], ["other"], [], False),
        (["waited"], ["other"], [], False),
        ([], ["other"], [], False),
        (["finished"], ["other"], [], False),
        (["finished"], [], [], False),
        (["of another job"], ["other"], ["before"], False),
    ],
)
def test_a_death_is_charged_to_what_ran_as_far_as_that_is_known(running, died, charged_before, spared):
    deaths = Deaths()
    tasks = {name: Task(name, [A], lambda task: None) for name in ("waited", "other", "finished", "before")}
    for task in tasks.values():
        task.add_done_callback(lambda task: None)
    tasks["finished"].done()
    for name in died:
        tasks[name].died()
    for name in charged_before:
        before = Task(name, [A], lambda task: None)
        before.add_done_callback(lambda task: None)
        before.died()
        deaths.charged(before.key, 1, A, None)
    for name in running:
        tasks.setdefault(name, Task(name, [A], lambda task: None))
    tasks["waited"].died(*(tasks[name] for name in running))
    others = [tasks[name] for name in ("other", "finished")]
    assert deaths.spares(tasks["waited"].exception(), others) == spared


@pytest.mark.parametrize("ends", ["with the task", "without a word"])
def test_a_piece_that_lasts_longer_than_workers_do_is_given_up_after_many(monkeypatch, ends):
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)
    monkeypatch.setattr(tasks, "POLL_SECONDS", 0.0)

    class Leaving(PlayedClient):
        def run_on_scheduler(self, call: Any, *arguments: Any) -> Any:
            if call is not departures.departures:
                return []
            state = "erred" if ends == "with the task" else "no-worker"
            return [Departures(key, state, 0, 1, "") for key in arguments[0]]

    def said(task: Task) -> None:
        client.workers = [f"tcp://10.0.0.3:{len(client.handed)}"]
        if ends == "with the task":
            task.died(task)

    events: list[Any] = []
    client = Leaving([A], said)
    (found,) = done_by(client, ["long"], events)
    assert isinstance(found, GivenUp)
    assert found.error == "its worker left the cluster before it was done, 13 times"
    assert len(client.handed) == pieces_of.MOST_LEFT + 3
    assert [event.tries for event in events] == [1, 2]


def test_deaths_are_counted_without_workers_that_left_as_planned(monkeypatch):
    class Counting(PlayedClient):
        def run_on_scheduler(self, call: Any, *arguments: Any) -> Any:
            return [Departures(key, "erred", 2, 2, "tcp://10.0.0.7") for key in arguments[0]] if arguments else []

    client = Counting([A], lambda task: task.died(task, allowed_failures=3))
    events: list[Any] = []
    (found,) = done_by(client, ["bad"], events)
    assert isinstance(found, GivenUp)
    assert "its process died 2 times:" in found.error
    assert [event.tries for event in events] == [2]


@pytest.mark.parametrize("tries", [1, 2])
def test_a_piece_that_hangs_is_tried_by_the_client_alone_where_dask_would_try_it_too(cluster, monkeypatch, tries):
    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again
    monkeypatch.setattr(cluster.client.cluster.scheduler, "allowed_failures", 3)
    before = {*cluster.client.nthreads()}
    events: list[Any] = []
    orders = [Piece("bad", (0.0, "hung")), Piece("good", (0.0, ""))]
    with Dispatch(replace(cluster, tries=tries, time_limit=2.0), Steps(), {}, events.append) as one:
        one.facts()
        found = [result for result in one.run(orders, never_stopped) if result is not None]
    overdue = "it was not done after 2 s, and its process was ended"
    assert [result.error for result in found if isinstance(result, GivenUp)] == [overdue]
    assert [result.piece.name for result in found if isinstance(result, Done)] == ["good"]
    assert [(event.tries, event.error) for event in events] == [(1, overdue)] * (tries - 1)
    assert len(before - {*cluster.client.nthreads()}) == tries


@pytest.mark.parametrize(
    ("code", "words"), [("no licence", "sys.exit('no licence')"), (2, "sys.exit(2)"), (None, "sys.exit()")]
)
@pytest.mark.parametrize("unable", [True, False])
def test_a_call_of_sys_exit_is_an_error(code, words, unable) -> None:
    failure = worker_job.failure_of(SystemExit(code), A, unable=unable)
    assert failure == Failure(f"RuntimeError: it called {words}", A, unable)


def test_a_model_that_calls_sys_exit_ends_no_worker(cluster):
    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again
    before = {*cluster.client.nthreads()}
    events: list[Any] = []
    orders = [Piece("bad", (0.0, "exits")), Piece("good", (0.0, ""))]
    with Dispatch(replace(cluster, tries=2), Steps(), {}, events.append) as one:
        one.facts()
        found = [result for result in one.run(orders, never_stopped) if result is not None]
    said = "RuntimeError: it called sys.exit('no licence')"
    assert [result.error for result in found if isinstance(result, GivenUp)] == [said]
    assert [result.piece.name for result in found if isinstance(result, Done)] == ["good"]
    assert [(event.tries, event.error) for event in events] == [(1, said)]
    assert {*cluster.client.nthreads()} == before


class Crowded:
    """A client that tells of more workers than there are, so that pieces wait behind each other."""

    FURTHER = tuple(f"tcp://127.0.0.1:{port}" for port in range(1, 5))

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def nthreads(self) -> dict[str, int]:
        return {**self._client.nthreads(), **dict.fromkeys(self.FURTHER, 1)}

    def submit(self, *arguments: Any, workers: list[str] | None, **settings: Any) -> Any:
        there = sorted(self._client.nthreads())
        real = {further: there[index % len(there)] for index, further in enumerate(self.FURTHER)}
        given = [real.get(one, one) if isinstance(one, str) else one for one in arguments]
        return self._client.submit(*given, workers=[real.get(one, one) for one in workers or ()], **settings)


@pytest.mark.parametrize(("fault", "words"), [("killed", "its process died:"), ("hung", "it was not done after 2 s")])
def test_what_waits_at_a_process_that_dies_is_not_charged(cluster, fault, words):
    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again
    events: list[Any] = []
    crowded = replace(cluster, client=Crowded(cluster.client), tries=1, time_limit=2.0 if fault == "hung" else 60.0)
    orders = [Piece("bad", (1.5 if fault == "killed" else 0.0, fault))]
    orders += [Piece(f"good {index}", (0.8, "")) for index in range(5)]
    with Dispatch(crowded, Steps(), {}, events.append) as one:
        one.facts()
        found = [result for result in one.run(orders, never_stopped) if result is not None]
    assert [words in one.error for one in found if isinstance(one, GivenUp)] == [True]
    assert sorted(one.piece.name for one in found if isinstance(one, Done)) == [f"good {i}" for i in range(5)]
    assert events == []


@pytest.mark.parametrize("of", ["one", "every one"])
def test_a_worker_that_cannot_take_the_job_gets_none(cluster, tmp_path, monkeypatch, of):
    cluster.client.wait_for_workers(2, timeout=60)  # those that an earlier test ended come again
    (tmp_path / "fault").write_text("claim" if of == "one" else "")
    monkeypatch.setattr(dispatch, "WorkerJob", lambda *given: Refusing(*given, tmp_path / "fault"))
    events: list[Any] = []
    if of == "every one":
        with (
            pytest.raises(ClusterError, match=r"no worker can do the job: it cannot take the job .*no module like it"),
            Dispatch(cluster, Steps(), {}, events.append),
        ):
            pass
    else:
        with Dispatch(cluster, Steps(), {}, events.append) as one:
            (bad,) = [worker for worker in cluster.client.nthreads() if worker in events[0].text]
            assert one.facts() != int((tmp_path / "fault").read_text())
            orders = [Piece(f"piece {index}", (0.0, "")) for index in range(4)]
            assert all(isinstance(found, Done) for found in one.run(orders, never_stopped))
        (caution,) = events
        assert (
            f"{bad} gets no more work: it cannot take the job (ModuleNotFoundError: no module like it)" in caution.text
        )
    assert posted_jobs(cluster.client) == []


def test_that_workers_are_busy_is_said_and_a_wish_to_stop_is_heard_meanwhile(
    threaded_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.2)
    address = threaded_cluster.scheduler_address
    events: list[Any] = []

    def stop() -> signal.Signals | None:
        return signal.SIGTERM if events else None

    with Client(address, set_as_default=False) as other, connected(Workers(address=address)) as one:
        busy = other.submit(time.sleep, 2.0)
        with pytest.raises(KeyboardInterrupt), Dispatch(one, Steps(), {}, events.append, stop) as first:
            first.facts()
        assert not busy.done()
        with Dispatch(one, Steps(), {}, events.append) as second:
            second.facts()
        assert posted_jobs(other) == []
    texts = [event.text for event in events]
    assert len(texts) == 2
    assert all("no worker has begun yet: they may be busy with other work" in text for text in texts)


def test_a_cluster_that_grows_with_its_work_may_begin_with_nothing_and_shrink_to_it(threaded_cluster) -> None:
    def emptied() -> None:
        deadline = time.monotonic() + 30
        while threaded_cluster.scheduler.workers:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    threaded_cluster.scale(0)
    emptied()
    threaded_cluster.adapt(minimum=0, maximum=1, interval="50ms", wait_count=2)
    events: list[Any] = []
    with (
        connected(Workers(address=threaded_cluster.scheduler_address)) as one,
        Dispatch(one, Steps(), {}, events.append) as given,
    ):
        given.facts()
        emptied()
        found = list(given.run([Piece("first", (0.0, "")), Piece("second", (0.0, ""))], never_stopped))
    assert [type(one) for one in found] == [Done, Done]
    assert "there are no workers at" in events[0].text
    assert not any(isinstance(event, Retry) for event in events)


def replace_workers(cluster: LocalCluster, end: str = "scaled down") -> None:
    """End every worker as planned or not, and then start another one."""
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        if end == "retired":
            client.retire_workers()
        elif end == "lost":
            for worker in [*cluster.scheduler.workers]:
                cluster.sync(cluster.scheduler.remove_worker, worker, stimulus_id="lost")
    cluster.scale(0)
    while cluster.scheduler.workers or cluster.workers:
        time.sleep(0.05)
    cluster.scale(1)
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=30)


@pytest.mark.parametrize(("end", "allowed"), [("scaled down", 0), ("scaled down", 3), ("lost", 3)])
def test_a_job_whose_workers_were_all_replaced_as_they_opened_it_is_opened_by_a_new_one(
    threaded_cluster, end, allowed
) -> None:
    threaded_cluster.scheduler.allowed_failures = allowed
    events: list[Any] = []
    with (
        connected(Workers(address=threaded_cluster.scheduler_address)) as one,
        Dispatch(one, Steps(opening=2.0), {}, events.append) as given,
    ):
        begun = Timer(0.5, replace_workers, [threaded_cluster, end])
        begun.start()
        assert given.facts()
        begun.join()
    assert [event.error for event in events if isinstance(event, Retry)] == [DIED] * (end == "lost")


def test_a_task_that_comes_before_its_job_waits_for_it(threaded_cluster, monkeypatch) -> None:
    """Its worker runs in this process."""
    monkeypatch.setattr(worker_job, "TAKING_SECONDS", 1.0)
    name = f"{PREFIX}late"
    with Client(threaded_cluster.scheduler_address, set_as_default=False) as client:
        task = client.submit(worker_job.do, name, (0.0, ""), None, pure=False)
        time.sleep(0.3)
        client.register_plugin(WorkerJob(pickle.dumps(Steps()), {}, False), name=name)
        assert isinstance(task.result(), Report)
        client.unregister_worker_plugin(name)
        failure = client.submit(worker_job.facts, name, pure=False).result()
    assert (failure.error, failure.unable) == ("the job did not reach it", True)
    assert failure.worker.startswith("tcp://")


def test_a_task_that_is_cancelled_before_its_job_came_leaves_the_worker_to_others(threaded_cluster) -> None:
    """Its worker runs in this process."""
    (worker,) = threaded_cluster.workers.values()
    with Client(threaded_cluster.scheduler_address, set_as_default=False) as client:
        task = client.submit(worker_job.facts, f"{PREFIX}withdrawn", pure=False)
        while not worker.active_threads:
            time.sleep(0.01)
        task.cancel(force=True)
        began = time.monotonic()
        assert client.submit(int, pure=False).result(timeout=worker_job.TAKING_SECONDS) == 0
    assert time.monotonic() - began < worker_job.TAKING_SECONDS / 4


def test_a_worker_that_advertises_a_name_is_known_by_the_address_of_the_scheduler(clean_variables, monkeypatch) -> None:
    """Its worker runs in this process."""
    monkeypatch.setattr(worker_job, "MOVED_SECONDS", 60.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    advertised = f"tcp://localhost:{port}"
    events: list[Any] = []
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
            port=port,
            contact_address=advertised,
        ) as named,
        connected(Workers(address=named.scheduler_address)) as one,
    ):
        assert next(iter(named.workers.values())).address == advertised
        (known,) = one.client.nthreads()
        began = time.monotonic()
        with Dispatch(one, Steps(), {}, events.append) as given:
            given.facts()
            found = list(given.run([Piece("good", (0.0, "")), Piece("bad", (0.0, "broken"))], never_stopped))
        assert time.monotonic() - began < 30
        assert isinstance(found[0], Done)
    assert known != advertised
    assert {event.worker for event in events if isinstance(event, Retry)} == {known}


def test_a_job_that_came_to_a_worker_after_it_was_withdrawn_goes_as_the_next_begins(threaded_cluster) -> None:
    """Its worker runs in this process."""
    (worker,) = threaded_cluster.workers.values()
    address = threaded_cluster.scheduler_address
    with Client(address, set_as_default=False) as other, connected(Workers(address=address)) as one:
        names = {what: f"{PREFIX}{what}:{one.client.id}" for what in ("late", "later", "posted")}
        for what in ("late", "later"):
            one.client.run(posting.take, names[what], WorkerJob(pickle.dumps(Steps()), {"LATE": what}, False))
        other.register_plugin(WorkerJob(pickle.dumps(Steps()), {"POSTED": "1"}, False), name=names["posted"])
        assert {*names.values()} <= {*worker.plugins}
        with Dispatch(one, Steps(), {}, lambda event: None) as given:
            given.facts()
            deadline = time.monotonic() + 30
            while {names["late"], names["later"]} & {*worker.plugins}:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert [type(found) for found in given.run([Piece(name, (0.0, "")) for name in "ab"], never_stopped)] == [
                Done
            ] * 2
        assert posting.jobs_here(worker) == [names["posted"]]
        other.unregister_worker_plugin(names["posted"])
    assert posting.jobs_here(worker) == []
    assert not {"LATE", "POSTED"} & {*os.environ}


@pytest.mark.parametrize(
    ("end", "allowed", "stops"),
    [
        ("scaled down", 3, False),
        ("scaled down", 3, True),
        ("scaled down", 0, False),
        ("retired", 3, False),
        ("lost", 3, False),
        ("lost", 0, False),
    ],
)
def test_a_piece_whose_workers_were_all_replaced_is_tried_on_a_new_one(threaded_cluster, end, allowed, stops) -> None:
    """Where Dask's own repeats are on, it keeps such a piece for the workers that are gone. Planned ends are no try."""
    threaded_cluster.scheduler.allowed_failures = allowed
    events: list[Any] = []
    replaced = Event()

    def replaced_at_last() -> None:
        replace_workers(threaded_cluster, end)
        replaced.set()

    with (
        connected(Workers(address=threaded_cluster.scheduler_address)) as one,
        Dispatch(one, Steps(), {}, events.append) as given,
    ):
        given.facts()
        begun = Timer(0.5, replaced_at_last)
        begun.start()
        orders = [Piece("long", (2.0, "")), Piece("short", (0.0, ""))]
        found = [done for done in given.run(orders, lambda: stops and replaced.is_set()) if done is not None]
        begun.join()
    names = [done.piece.name for done in found if isinstance(done, Done)]
    assert sorted(names) == ([] if stops else ["long", "short"])
    assert [event.error for event in events if isinstance(event, Retry)] == [DIED] * (end == "lost")


@pytest.mark.parametrize("told", ["before", "while it opens", "in work", "never"])
def test_a_piece_without_a_limit_gets_the_one_that_is_told(threaded_cluster, monkeypatch, told):
    """Its worker runs in this process."""
    limits: list[float] = []
    monkeypatch.setattr(process, "_end_after", lambda seconds, passed: limits.append(seconds))
    # As if the job came from another process: the client's own has no limit.
    monkeypatch.setattr(worker_job, "this_process", iter(range(100)).__next__)
    name = "attribution-bench-limited"
    with Client(threaded_cluster.scheduler_address, set_as_default=False) as client:

        def tell(moment: str) -> None:
            if moment == told:
                client.run(worker_job.set_limit, name, 60.0)

        client.register_plugin(WorkerJob(pickle.dumps(Steps(opening=0.4)), {}, False), name=name)
        tell("before")
        seconds = 1.0 if told == "in work" else 0.0
        future = client.submit(worker_job.do, name, (seconds, ""), None, pure=False)
        time.sleep(0.2)
        tell("while it opens")
        time.sleep(0.4)
        tell("in work")
        assert isinstance(future.result(), Report)
        client.unregister_worker_plugin(name)
    assert [seconds == pytest.approx(60, abs=5) for seconds in limits] == [True] * (told != "never")


@pytest.mark.parametrize("done_before", [0, 1])
def test_where_earlier_runs_did_pieces_those_that_are_left_may_all_be_bad(done_before: int) -> None:
    client = PlayedClient([A, B], lambda task: task.end(Failure("bad", task.worker)))
    cluster = Cluster(client, "tcp://10.0.0.9:8786", 1, False, 1, None)
    with Dispatch(cluster, Steps(), {}, lambda event: None) as one:
        one.facts()
        found = one.run(pieces(*"abcd"), never_stopped, done_before)
        if done_before:
            assert [type(result) for result in found if result is not None] == [GivenUp] * 4
        else:
            with pytest.raises(AttributionBenchError, match="none of the first 3 pieces"):
                list(found)


@pytest.mark.parametrize("failed_before", [True, False])
@pytest.mark.parametrize(("workers", "of_machine"), [([A], False), ([A], True), ([A, B], True)])
def test_pieces_that_failed_before_use_up_no_worker(monkeypatch, workers, of_machine, failed_before):
    monkeypatch.setattr(known_workers, "PATIENCE_SECONDS", 0.05)
    client = PlayedClient(workers, lambda task: task.end(Failure("bad", task.worker, of_machine=of_machine)))
    cluster = Cluster(client, "tcp://10.0.0.9:8786", 1, False, 2, None)
    with Dispatch(cluster, Steps(), {}, lambda event: None) as one:
        one.facts()
        found = one.run((Piece(str(index), None, failed_before) for index in range(15)), never_stopped, 1)
        if failed_before:
            assert [type(result) for result in found] == [GivenUp] * 15
        else:
            with pytest.raises(ClusterError, match="every worker fails, at last with: bad"):
                list(found)


@pytest.mark.parametrize("workers", [[A, B], [A, B, C]])
def test_pieces_that_fail_on_every_worker_are_given_up_one_by_one(workers):
    def said(task: Task) -> None:
        is_bad = 2 <= int(task.name) < 42
        task.end(Failure("bad", task.worker) if is_bad else Report(None, task.worker))

    events: list[Any] = []
    found = done_by(PlayedClient(workers, said), [str(number) for number in range(60)], events)
    assert sorted(int(one.piece.name) for one in found if isinstance(one, GivenUp)) == [*range(2, 42)]
    assert sorted(int(one.piece.name) for one in found if isinstance(one, Done)) == [0, 1, *range(42, 60)]
    assert [event for event in events if isinstance(event, Caution)] == []


def test_a_worker_is_not_left_out_for_pieces_that_turn_out_to_be_bad():
    """While the other one is at a long piece, they can be tried nowhere else."""

    def said(task: Task) -> None:
        if task.name == "long" and len(client.handed) < 3:
            long.append(task)
        elif task.name.startswith("bad"):
            task.end(Failure("bad", task.worker))
        else:
            task.done()
        if long and len(client.handed) == 5:
            long.pop().done()

    long: list[Task] = []
    events: list[Any] = []
    client = PlayedClient([A, B], said)
    names = ["first", "long", *(f"bad {number}" for number in range(20)), *map(str, range(20))]
    found = done_by(client, names, events)
    assert sum(isinstance(one, GivenUp) for one in found) == 20
    assert sum(isinstance(one, Done) for one in found) == 22
    assert {worker for name, worker in client.handed if name in map(str, range(20))} == {A, B}
    texts = [event.text for event in events if isinstance(event, Caution)]
    assert texts == [
        f"worker {A} gets no more work: bad",
        f"worker {A} gets work again: what failed there fails on others as well",
    ]


def test_workers_that_fail_on_what_another_does_get_no_more():
    def said(task: Task) -> None:
        task.end(Report(None, task.worker) if task.worker == C else Failure("no GPU", task.worker))

    events: list[Any] = []
    found = done_by(PlayedClient([A, B, C], said), [str(number) for number in range(30)], events)
    assert [type(one) for one in found] == [Done] * 30
    texts = sorted(event.text for event in events if isinstance(event, Caution))
    assert texts == [f"worker {worker} gets no more work: no GPU" for worker in (A, B)]


def test_where_nothing_more_can_be_done_the_job_ends(monkeypatch):
    monkeypatch.setattr(dispatch, "MOST_GIVEN_UP_LATER", 20)
    client = PlayedClient(
        [A, B],
        lambda task: task.end(Failure("bad", task.worker) if int(task.name) % 15 else Report(None, task.worker)),
    )
    assert len(done_by(client, [str(number) for number in range(45)], [])) == 45
    names = [str(number) for number in range(100) if number < 45 or number % 15]
    with pytest.raises(AttributionBenchError, match=r"none of the last 20 pieces .*: bad; finished work is kept"):
        done_by(client, names, [])


def test_a_worker_that_is_unable_gets_no_more_whatever_failed_before() -> None:
    def said(task: Task) -> None:
        task.end(Failure("other device", A, unable=True) if task.worker == A else Report(None, task.worker))

    client = PlayedClient([A, B], said)
    cluster = Cluster(client, "tcp://10.0.0.9:8786", 1, False, 2, None)
    with Dispatch(cluster, Steps(), {}, lambda event: None) as one:
        one.facts()
        found = [*one.run((Piece(str(index), None, True) for index in range(5)), never_stopped, 1)]
    assert [type(result) for result in found] == [Done] * 5
    assert [worker for _, worker in client.handed].count(A) == 1


@pytest.mark.parametrize(
    ("opening", "at_work", "free"),
    [
        ([A], [""], [B]),  # it is at the one that opens the job
        ([A], ["", ""], []),
        ([], [""], [A, B]),
        ([], ["", A], []),
        ([], [C], [A, B]),  # one that is gone: its piece was moved
        ([A], [B], []),
    ],
)
def test_a_piece_that_was_handed_to_no_worker_takes_the_place_of_one(opening, at_work, free) -> None:
    workers = known_workers.KnownWorkers(Cluster(PlayedClient([A, B], id), "", 1, False, 3, None), lambda event: None)
    workers.known()
    assert workers.free(workers.usable(opening), at_work) == {*free}


class Opening(PlayedClient):
    """A cluster on which a test says what comes of opening the job."""

    def __init__(self, workers: list[str], opened: Callable[[Task], None], said: Callable[[Task], None]) -> None:
        super().__init__(workers, said)
        self._opened = opened

    def _said_of(self, task: Task) -> None:
        if task.name == "opening":
            self._opened(task)
        else:
            super()._said_of(task)


def test_a_worker_that_comes_later_and_hangs_as_it_opens_the_job_has_no_piece(monkeypatch):
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)

    def said(task: Task) -> None:
        if task.name == "a":
            client.workers = [A, B, C]
        task.done()

    client = Opening([A], lambda task: None if task.worker == B else task.done(), said)
    assert [type(found) for found in done_by(client, list("abcde"), [])] == [Done] * 5
    assert {worker for _, worker in client.handed} == {A, C}


@pytest.mark.parametrize("moment", ["as the job is opened", "at the last piece", "before another"])
def test_processes_of_this_machine_that_do_not_come_again_end_the_job(monkeypatch, moment):
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)
    monkeypatch.setattr(known_workers, "RESTART_SECONDS", 0.3)

    handed: list[Task] = []
    asked: list[bool] = []

    def opened(task: Task) -> None:
        if moment == "as the job is opened":
            client.workers = []
        else:
            task.done()

    def stopped() -> bool:
        """Be asked; after some times, both workers have opened the job, and there is no piece left to hand out."""
        asked.append(False)
        if handed and len(asked) > 5:
            client.workers = []
            if moment == "before another" and handed[0].status == "pending":
                handed[0].died(handed[0])
        return False

    def given_up_waiting() -> None:
        client.status = "closed"

    client = Opening([A, B], opened, handed.append)
    timer = Timer(20, given_up_waiting)  # which is another error
    timer.start()
    cluster = Cluster(client, "tcp://10.0.0.9:8786", 1, True, 3, None)

    def do() -> None:
        with Dispatch(cluster, Steps(), {}, lambda event: None) as one:
            one.facts()
            list(one.run(pieces("only"), stopped))

    with pytest.raises(ClusterError, match="the processes have ended and do not come again"):
        do()
    timer.cancel()


@pytest.mark.parametrize("moment", ["as the job begins", "later"])
@pytest.mark.parametrize("have_begun", [True, False])
def test_how_long_every_worker_has_been_opening_the_job_is_said(monkeypatch, moment, have_begun):
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)
    monkeypatch.setattr(opening, "LONG_SECONDS", 0.3)
    began, hung, times = time.monotonic(), [], []

    class Noted(list[Any]):
        def append(self, event: Any) -> None:
            times.append(time.monotonic())
            super().append(event)

    class Hanging(Opening):
        def run_on_scheduler(self, call: Any, *arguments: Any) -> Any:
            return have_begun if call is posting.has_begun else []

        def nthreads(self) -> dict[str, int]:
            over = len(events) == 2 if have_begun else time.monotonic() - began > 0.8
            if hung and over and hung[0].status == "pending":
                hung[0].done()
            return super().nthreads()

    def opened(task: Task) -> None:
        if moment == "later" and task.worker == A:
            task.done()
        else:
            hung.append(task)

    def said(task: Task) -> None:
        client.workers = [B, C]
        task.done()

    events = Noted()
    client = Hanging([A] if moment == "later" else [B, C], opened, said)
    assert [type(found) for found in done_by(client, list("ab"), events)] == [Done] * 2
    texts = [event.text for event in events if isinstance(event, Caution)]
    assert len(texts) == (2 if have_begun else 0)
    assert not texts or times[1] - times[0] >= 0.3
    assert all(text.startswith("all 2 workers began to open the job, and none has done so in") for text in texts)
    assert all("look at the workers' logs" in text for text in texts)


@pytest.mark.parametrize("ends", ["hangs", "unable"])
def test_a_job_that_no_worker_was_there_for_is_opened_by_others_than_the_one_that_hangs(monkeypatch, ends):
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)
    monkeypatch.setattr(opening, "LONG_SECONDS", 0.2)

    class Growing(Opening):
        def run_on_scheduler(self, call: Any, *arguments: Any) -> Any:
            return True if call is posting.has_begun else []

        def nthreads(self) -> dict[str, int]:
            if to_open:  # the first that comes takes what was for any
                self.workers = [A, B] if len(events) > 1 or ends == "unable" else [A]
            return super().nthreads()

    def opened(task: Task) -> None:
        to_open.append(task)
        if task.worker == B:
            if ends == "unable":
                for one in to_open[:2]:
                    one.end(Failure("no model there", A, unable=True))
            task.done()

    to_open: list[Task] = []
    events: list[Any] = []
    client = Growing([], opened, lambda task: task.done())
    assert [type(found) for found in done_by(client, list("ab"), events)] == [Done] * 2
    assert [task.worker for task in to_open] == ["", A, B]
    assert client.handed == [("a", B), ("b", B)]
    texts = [event.text for event in events]
    assert "there are no workers at" in texts[0]
    words = "the only worker began to open" if ends == "hangs" else f"worker {A} gets no more work: no model there"
    assert [words in text for text in texts[1:]] == [True]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (80, "80 s"), (300, "5 minutes"), (7100, "118 minutes"), (7200, "2 hours"), (72000, "20 hours")],
)
def test_how_long_is_told_in_a_unit_that_suits(seconds: float, words: str) -> None:
    assert opening._words(seconds) == words


@pytest.mark.parametrize("comes", ["another", "nobody"])
def test_where_every_process_dies_as_it_opens_the_job_others_are_tried(comes: str) -> None:
    deaths = []

    def opened(task: Task) -> None:
        if task.worker == C:
            task.done()
            return
        deaths.append(task.worker)
        if comes == "another" and len(deaths) == 4:
            client.workers = [C]
        task.died(task)

    events: list[Any] = []
    client = Opening([A, B], opened, lambda task: task.done())
    if comes == "another":
        assert len(done_by(client, ["only"], events)) == 1
        assert client.handed == [("only", C)]
        assert [(event.work, event.tries) for event in events] == [("opening the job", 1), ("opening the job", 2)]
    else:
        with pytest.raises(ClusterError, match="no worker can do the job: its process died"):
            done_by(client, ["only"], events)
        assert deaths == [A, B] * 3


def test_workers_whose_processes_die_as_they_open_the_job_are_not_waited_for_without_end(monkeypatch):
    """Each that comes again opens the job with a piece after some, which is charged."""
    monkeypatch.setattr(known_workers, "WORKERS_SECONDS", 0.0)

    def next_one(task: Task) -> None:
        client.workers = [f"tcp://10.0.0.3:{len(client.handed) + len(died)}"]
        died.append(task.worker)
        task.died(task)

    died: list[str] = []
    client = Opening([A], lambda task: task.done() if task.worker == A else next_one(task), next_one)
    (found,) = done_by(client, ["only"], [])
    assert isinstance(found, GivenUp)
    assert len(client.handed) == 3


@pytest.mark.parametrize("silent", ["as it is posted", "as its limit is told", "as it is withdrawn"])
def test_a_worker_that_does_not_answer_stops_no_job(monkeypatch, silent):
    monkeypatch.setattr(posting, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(limits, "TELL_SECONDS", 0.1)
    again = threading.Event()

    class Waiting(PlayedClient):
        def register_plugin(self, *arguments: Any, **settings: Any) -> None:
            assert silent != "as it is posted" or again.wait(30)

        def run(self, *arguments: Any, **settings: Any) -> None:
            assert silent != "as its limit is told" or again.wait(30)

        def unregister_worker_plugin(self, *arguments: Any) -> None:
            assert silent != "as it is withdrawn" or again.wait(30)

        def run_on_scheduler(self, call: Any, *arguments: Any) -> list[str]:
            return [B] if call is posting.silent else []

    events: list[Any] = []
    began = time.monotonic()
    client = Waiting([A, B], lambda task: task.done())
    assert len(done_by(client, list("abcd"), events)) == 4
    assert time.monotonic() - began < 20
    again.set()
    said = [f"not every worker answers: {B}; going on with the others"] if silent == "as it is posted" else []
    assert [event.text for event in events] == said


NOT_TOLD: list[tuple[Any, list[str] | None]] = [
    ({}, [B]),  # Dask leaves workers out whose connection fails
    ({A: True, B: False}, [B]),  # the job has not come there yet
    (TimeoutError("no answer"), None),
    ({A: True, B: True}, []),
]


@pytest.mark.parametrize(("answer", "again"), NOT_TOLD)
@pytest.mark.parametrize("late", [False, True])
def test_a_worker_that_was_not_told_the_limit_is_told_again(monkeypatch, answer, again, late):
    monkeypatch.setattr(limits, "TELL_SECONDS", 0.02 if late else 10.0)
    told: list[Any] = []

    class Deaf(PlayedClient):
        def run(self, call: Any, *arguments: Any, workers: list[str] | None, **settings: Any) -> Any:
            told.append(workers)
            if len(told) > 1:
                second[0].done()
                return dict.fromkeys(workers or [A, B], True)
            time.sleep(0.2 * late)
            if isinstance(answer, Exception):
                raise answer
            if again == []:
                second[0].done()
            return answer

    def said(task: Task) -> None:
        if task.name == "second":
            second.append(task)
        elif task.name == "first" and task.worker == A:
            first.append(task)
        else:
            task.done()
        if second and first and not told and first[0].status == "pending":
            first[0].done()

    first: list[Task] = []
    second: list[Task] = []
    assert len(done_by(Deaf([A, B], said), ["first", "second"], [])) == 2
    assert told == [None, again] if again != [] else [None]


@pytest.mark.parametrize(("slow", "stops"), [("job", False), ("job of each", False), ("job", True)])
def test_a_job_that_is_long_on_its_way_is_waited_for_while_every_worker_is_alive(monkeypatch, slow, stops):
    monkeypatch.setattr(posting, "ANSWER_SECONDS", 0.05)
    arrived = threading.Event()

    class Slow(PlayedClient):
        def register_plugin(self, *arguments: Any, **settings: Any) -> None:
            if slow == "job of each":
                raise ImportError("no module like it")
            arrived.wait(30)

        def run(self, *arguments: Any, **settings: Any) -> dict[str, Any]:
            arrived.wait(30)
            return {}

        def run_on_scheduler(self, call: Any, *arguments: Any) -> list[str]:
            looks.append(call)
            if looks.count(posting.silent) == 3 and not stops:
                arrived.set()
            return []

    looks: list[Any] = []
    events: list[Any] = []
    client = Slow([A, B], lambda task: task.done())
    cluster = Cluster(client, "tcp://10.0.0.9:8786", 1, False, 3, None)
    with contextlib.ExitStack() as stack:
        if stops:
            stack.enter_context(pytest.raises(KeyboardInterrupt))
        stop = (lambda: signal.SIGTERM) if stops else (lambda: None)
        one = stack.enter_context(Dispatch(cluster, Steps(), {}, events.append, stop))
        assert one.facts() is None
        assert looks.count(posting.silent) == 3
    arrived.set()
    assert events == []


def test_what_a_call_to_every_worker_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        posting.answered(lambda: 1 // 0)


def test_the_first_deadline_of_several_jobs_ends_a_process(monkeypatch):
    timers: list[float | None] = []
    monkeypatch.setattr(process, "_end_after", lambda seconds, passed: timers.append(round(seconds)))
    monkeypatch.setattr(process.faulthandler, "cancel_dump_traceback_later", lambda: timers.append(None))
    deadlines = process.Deadlines()
    deadlines.set("hung", 50)
    deadlines.set("other", 20)
    deadlines.clear("other")
    deadlines.set("other", 90)
    deadlines.clear("none")
    deadlines.clear("other")
    deadlines.clear("hung")
    assert timers == [50, 20, 50, 50, 50, None]


def test_a_worker_in_the_process_of_the_client_has_no_limit(monkeypatch):
    limits: list[float] = []
    monkeypatch.setattr(process, "_end_after", lambda seconds, passed: limits.append(seconds))
    job = pickle.loads(pickle.dumps(WorkerJob(b"", {}, False)))
    with job._limited(5.0):
        job.limit(3.0)
    assert limits == []


@pytest.mark.parametrize("given", [None, 40.0])
def test_a_limit_that_comes_as_a_piece_ends_ends_nothing_later(monkeypatch, given):
    limits: list[float] = []
    monkeypatch.setattr(process, "_end_after", lambda seconds, passed: limits.append(round(seconds)))
    job = pickle.loads(pickle.dumps(WorkerJob(b"", {}, False)))
    monkeypatch.setattr(worker_job, "this_process", lambda: "another one than the client's")
    piece = contextlib.ExitStack()

    def ended_meanwhile() -> float:
        piece.close()
        return time.monotonic()

    piece.enter_context(job._limited(given))
    monkeypatch.setattr(worker_job, "time", SimpleNamespace(monotonic=ended_meanwhile))
    job.limit(3.0)
    job.limit(5.0)
    assert limits == ([] if given is None else [40])
    assert process.DEADLINES._moments == {}


@pytest.mark.parametrize("first", [0, 1])
def test_the_environment_is_as_before_once_the_last_job_has_gone(monkeypatch, first):
    monkeypatch.setenv("SET_BEFORE", "before")
    monkeypatch.delenv("NOT_SET", raising=False)
    monkeypatch.delenv("SET_LATER", raising=False)
    variables, jobs = process.Variables(), ["one", "two"]
    for job in jobs:
        variables.hold(job, ["SET_BEFORE", "NOT_SET", "SET_LATER"], {"SET_BEFORE": job, "NOT_SET": job})
    os.environ["SET_LATER"] = "later"
    variables.release(jobs[first])
    assert os.environ["NOT_SET"] == "two"
    variables.release(jobs[1 - first])
    assert os.environ["SET_BEFORE"] == "before"
    assert not {"NOT_SET", "SET_LATER"} & {*os.environ}


def test_clients_that_cannot_be_used_are_one_error(threaded_cluster, monkeypatch):
    client = Client(threaded_cluster.scheduler_address, set_as_default=False)
    with monkeypatch.context() as context:
        context.setattr(Client, "asynchronous", True)
        with pytest.raises(InvalidInputError, match="client is asynchronous"), connected(client):
            pass
    client.close()
    with pytest.raises(InvalidInputError, match="client is closed"), connected(client):
        pass
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(InvalidInputError, match="may start no others"), connected(Workers(1)):
        pass
