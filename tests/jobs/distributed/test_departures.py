"""What the scheduler's logs say of workers that are gone, as long as it keeps them."""

from types import SimpleNamespace
from typing import Any

import pytest

from attribution_bench.jobs.distributed.departures import departures

A, B = "tcp://10.0.0.1:1", "tcp://10.0.0.2:1"
ADDED = {"action": "add-worker"}
CLOSING = {"action": "closing-worker"}
LEAVING = {"action": "worker-status-change", "status": "closing_gracefully"}
PAUSED = {"action": "worker-status-change", "status": "paused"}


def removed(removal: str, *keys: str, expected: bool = False) -> dict[str, Any]:
    return {"action": "remove-worker", "stimulus_id": removal, "processing-tasks": {*keys}, "expected": expected}


def found(of_a: list[Any], removals: list[Any], of_b: list[Any] = ()) -> tuple[int, int, str, str]:
    """What becomes of one task: deaths, planned ends, the machine of the last death, and the task's state."""
    logs = {A: of_a, B: of_b, "all": [{"action": "run-function"}, *removals]}
    scheduler = SimpleNamespace(
        get_events=lambda topic: tuple((0.0, event) for event in logs[topic]),
        tasks={"task": SimpleNamespace(state="processing")},
    )
    (one,) = departures(["task"], scheduler)
    assert one.is_open
    return one.died, one.left, one.machine, one.state


def of(address: str, removal: dict[str, Any]) -> dict[str, Any]:
    return {**removal, "worker": address}


KILLED = removed("one", "task")


@pytest.mark.parametrize(
    ("log", "died"),
    [
        ([ADDED, KILLED], 1),
        ([ADDED, PAUSED, KILLED], 1),
        (["a line of the user's", ADDED, KILLED], 1),
        ([ADDED, CLOSING, KILLED], 0),
        ([ADDED, LEAVING, KILLED], 0),
        ([ADDED, LEAVING, removed("before"), ADDED, KILLED], 1),
        ([ADDED, KILLED, ADDED, CLOSING, removed("after")], 1),
        ([CLOSING, KILLED], 0),  # its beginning is cut off
        ([], 0),  # it was cleared
        ([ADDED], 0),  # it was cleared, and a worker came to the same address
        ([ADDED, removed("after")], 0),
    ],
)
def test_a_worker_that_had_not_said_that_it_closes_died_where_its_log_is_kept(log, died):
    machine = "tcp://10.0.0.1" if died else ""
    assert found(log, [of(A, KILLED)]) == (died, 1 - died, machine, "processing")


def test_an_end_that_the_scheduler_asked_for_is_no_death():
    planned = removed("one", "task", expected=True)
    assert found([ADDED, planned], [of(A, planned)]) == (0, 1, "", "processing")


def test_an_address_that_closed_and_came_again_and_was_killed_counts_as_both():
    first, second = removed("first", "task"), removed("second", "task", "another task")
    log = [ADDED, CLOSING, first, ADDED, second]
    assert found(log, [of(A, first), of(A, second)]) == (1, 1, "tcp://10.0.0.1", "processing")
    on_two = found([ADDED, first], [of(A, first), of(B, second)], [ADDED, second])
    assert on_two == (2, 0, "tcp://10.0.0.2", "processing")


def test_what_is_cut_off_the_log_of_all_or_is_of_others_is_not_counted():
    others = removed("others", "another task")
    assert found([ADDED, KILLED], []) == (0, 0, "", "processing")
    assert found([ADDED, others], [of(A, others)]) == (0, 0, "", "processing")
