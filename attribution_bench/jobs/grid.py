"""The grid of a job: its models by its shards, and the order in which its tasks are done."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from attribution_bench.jobs.shards import Shard

SHARD_GROUP = 64
"""Shards of a group for each process: a process opens a model once for about so many."""


@dataclass(frozen=True)
class Task:
    """Consecutive models that are added to a shard, whose sums over the models before them are there."""

    shard: Shard
    models: range
    of: int
    """Models in all."""

    @property
    def is_last(self) -> bool:
        """Whether no model is left afterwards, so that the shard is written."""
        return self.models.stop == self.of

    @property
    def name(self) -> str:
        """Words for messages."""
        if len(self.models) == self.of:
            return f"shard {self.shard.index}"
        first, last = self.models.start, self.models.stop - 1
        of_models = f"model {first}" if first == last else f"models {first} to {last}"
        return f"shard {self.shard.index}, {of_models} of {self.of}"

    def records(self) -> float:
        """Return what of the shard's records the task is, as a number of records with every model."""
        return len(self.shard) * len(self.models) / self.of


class Grid:
    """Hands out the tasks of shards: model by model over a group of shards, and a shard's in the order of the models.

    A task of a shard is ready once the one before it is done. Where all that is left of a group is in work, the next
    group begins, so that no process waits for another while there is work.

    Parameters
    ----------
    todo
        The shards, in the order in which they are begun.
    begun
        Shard -> models that an earlier run added to it.
    model_groups
        The models, divided into those that a process opens together.
    processes
        Processes that do the tasks.
    """

    def __init__(
        self, todo: Sequence[Shard], begun: Mapping[int, int], model_groups: Sequence[range], processes: int
    ) -> None:
        self._model_groups, self._of = model_groups, model_groups[-1].stop
        size = SHARD_GROUP * max(1, processes)
        self._shard_groups = iter([todo[start : start + size] for start in range(0, len(todo), size)])
        self._places = {shard.index: (place // size, place) for place, shard in enumerate(todo)}
        self._begun = begun
        self._ready: list[tuple[int, int, int, Shard]] = []
        self._in_work = 0

    def next(self) -> Task | None:
        """Return the task that comes next; None where none is ready, or none is left."""
        if not self._ready:
            for shard in next(self._shard_groups, ()):
                self._add(shard, self._begun.get(shard.index, 0))
        if not self._ready:
            return None
        _, start, _, shard = heappop(self._ready)
        self._in_work += 1
        stop = next(group.stop for group in self._model_groups if start < group.stop)
        return Task(shard, range(start, stop), self._of)

    def done(self, task: Task, shard_is_written: bool) -> None:
        """Take in that a task is done, after which the shard's next one is ready."""
        self._in_work -= 1
        if not shard_is_written:
            self._add(task.shard, task.models.stop)

    def given_up(self) -> None:
        """Take in that a task is given up: nothing more is done of its shard."""
        self._in_work -= 1

    def tasks(self) -> Iterator[Task | None]:
        """Yield every task, and None where none is ready before another one is done."""
        while (task := self.next()) is not None or self._in_work:
            yield task

    def _add(self, shard: Shard, start: int) -> None:
        group, place = self._places[shard.index]
        heappush(self._ready, (group, start, place, shard))
