"""Departures of workers: whether those that had a task died, or left the cluster as planned."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from distributed import Scheduler

from attribution_bench.jobs.distributed.deaths import machine_of

OPEN = ("waiting", "queued", "processing", "no-worker")
"""States of a task that has not ended."""
CLOSING = ("closing", "closing_gracefully")


@dataclass(frozen=True)
class Departures:
    """How the workers left that had a task."""

    key: str
    """Of the task."""
    state: str
    """Its state on the scheduler; empty where that knows it no more."""
    died: int
    """Workers whose processes were killed or crashed, or that were lost."""
    left: int
    """Workers that ended as planned: a cluster was made smaller, or a machine was wanted back and they were told so.
    Also those of which the scheduler's log does not say any more how they ended."""
    machine: str
    """Where the last process died, as `machine_of`; empty where none did."""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended: the client is to hand it out itself.

        Dask gives a task whose worker ended to another one, where it counts tries of its own, but to none of those that
        come after the last one has ended.
        """
        return self.state in OPEN


def departures(keys: Collection[str], dask_scheduler: Scheduler) -> list[Departures]:
    """Return how the workers left that had some tasks; runs on the scheduler, which logs what happens to workers."""
    wanted = frozenset(keys)
    died, left = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)
    machines = dict.fromkeys(keys, "")
    for _, event in dask_scheduler.get_events("all"):
        if not isinstance(event, Mapping) or event.get("action") != "remove-worker":
            continue
        had = wanted.intersection(event.get("processing-tasks", ()))
        if not had:
            continue
        address = event["worker"]
        is_planned = event.get("expected") or _was_closing(
            [told for _, told in dask_scheduler.get_events(address)], event["stimulus_id"]
        )
        for key in had:
            if is_planned:
                left[key] += 1
            else:
                died[key] += 1
                machines[key] = machine_of(address)
    states = {key: dask_scheduler.tasks[key].state for key in keys if key in dask_scheduler.tasks}
    return [Departures(key, states.get(key, ""), died[key], left[key], machines[key]) for key in keys]


def _was_closing(told: Collection[Any], removal: str) -> bool:
    """Tell whether a worker had said that it closes before a removal, from what was logged of its address.

    The scheduler clears the log of an address some time after its worker has gone. A removal that is not in it any more
    is taken for a planned one, of which there may be a bounded number, rather than for a death that nobody saw.
    """
    closing = False
    for event in told:
        action = event.get("action") if isinstance(event, Mapping) else None
        if action == "add-worker":
            closing = False
        elif action == "closing-worker" or (action == "worker-status-change" and event.get("status") in CLOSING):
            closing = True
        elif action == "remove-worker" and event.get("stimulus_id") == removal:
            return closing
    return True
