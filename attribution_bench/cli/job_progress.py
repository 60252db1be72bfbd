"""How a running job is shown: a bar on a terminal, plain lines elsewhere, or a JSON object a line for pipelines."""

import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

from attribution_bench.cli import terminal
from attribution_bench.cli.bar import Bar
from attribution_bench.cli.told_errors import ToldErrors
from attribution_bench.jobs.events import (
    Caution,
    Cluster,
    Event,
    ModelsAdded,
    Retry,
    ShardDone,
    ShardFailed,
    Started,
    Summary,
    Working,
)
from attribution_bench.timer import CLOCK, Clock

LINE_SECONDS = 30.0
"""Seconds between two lines of progress where there is no terminal."""
STARTING = ", starting included: more sequences take less each"
"""What is said of a figure in which the first use of every method is."""
EVENT_NAMES: Mapping[type, str] = {
    Started: "started",
    Working: "working",
    ShardDone: "shard",
    ModelsAdded: "models",
    Caution: "caution",
    Cluster: "cluster",
    Retry: "retry",
    ShardFailed: "failed",
    Summary: "summary",
}


class JobProgress(Bar):
    """Draws a job on stderr, and its summary on stdout."""

    def __init__(self, console: Console | None = None, out: Console | None = None, clock: Clock = CLOCK) -> None:
        super().__init__(
            TextColumn("{task.fields[count]} sequences"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=console,
        )
        self._out = out or terminal.console()
        self._clock, self._began, self._told = clock, clock(), clock()
        self._before = 0.0
        self._in_part = False
        self._retries = self._set_aside = self._failed_shards = 0
        self._errors = ToldErrors()
        self._processes: int | None = None
        self._task = self._bar.add_task("", total=None, count="reading the", rate="")

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Working):
            self._moved(event.sequences)
        elif isinstance(event, ShardDone | ShardFailed):
            self._ended(event)
        elif isinstance(event, ModelsAdded):
            self._added(event)
        elif isinstance(event, Caution):
            self._line(f"caution: {self._errors.within(event.text)}")
        elif isinstance(event, Cluster):
            self._processes = event.workers
            self._line(cluster_line(event))
        elif isinstance(event, Retry):
            self._retries += 1
            self._line(f"{event.work} is tried again: {self._errors.text(event.error)}")
        else:
            self._bar.stop()
            for line in summary_lines(event):
                self._out.print(line, soft_wrap=True, markup=False)

    def _moved(self, sequences: float) -> None:
        rate = (sequences - self._before) / max(1e-9, self._clock() - self._began)
        self._bar.update(self._task, completed=sequences - self._before, rate=f"{rate:.3g}/s{self._trouble()}")

    def _ended(self, event: ShardDone | ShardFailed) -> None:
        if isinstance(event, ShardDone):
            self._set_aside += sum(event.set_aside.values())
        else:
            self._failed_shards += 1
            error = self._errors.text(event.error)
            numbers = records(event.first, event.last)
            self._line(f"shard {event.shard} ({numbers}) is set aside, and tried again by the next run: {error}")
        self._bar.update(self._task, count=f"{event.sequences:,} of {event.total:,}")
        if self._in_part:
            return
        if self._processes is not None:
            # Nobody tells how far shards on other processes are.
            self._moved(event.sequences)
        self._line_now_and_then(event)

    def _added(self, event: ModelsAdded) -> None:
        # Where models are added one after the other, shards that are written say little of what is done.
        self._in_part = True
        self._moved(event.sequences)
        self._line_now_and_then(event)

    def _line_now_and_then(self, event: ShardDone | ShardFailed | ModelsAdded) -> None:
        if not self.console.is_terminal and self._clock() - self._told >= LINE_SECONDS:
            self._told = self._clock()
            self._line(progress_line(event, self._before, self._clock() - self._began) + self._trouble())

    def _trouble(self) -> str:
        """Return what a line of progress on a cluster has to say beside the rate."""
        if self._processes is None:
            return ""
        shards = f", {counted(self._failed_shards, 'shard')} too" if self._failed_shards else ""
        return f", {counted(self._retries, 'retry', 'retries')}, {self._set_aside:,} set aside{shards}"

    def _start(self, event: Started) -> None:
        self._before, self._began = event.finished_sequences + event.begun_sequences, self._clock()
        # What was begun counts, which is more than the shards that are written.
        self._in_part = event.begun_sequences > 0
        self._bar.update(
            self._task,
            total=event.sequences - self._before,
            count=f"{event.finished_sequences:,} of {event.sequences:,}",
        )
        known = f"{sum(event.set_aside.values()):,} set aside: {counts(event.set_aside)}" if event.set_aside else ""
        resumed = f"{event.finished_sequences:,} done before" if event.finished_sequences else ""
        shards = "1 shard" if event.shards == 1 else f"{event.shards:,} shards"
        parts = [f"{event.sequences:,} sequences in {shards}", resumed, known]
        self._line("; ".join(part for part in parts if part))
        for reason, detail in event.examples.items():
            self._line(f"the first of '{reason}': {detail}")


class JsonLines:
    """Writes every event as one JSON object on a line of stdout, and nothing else."""

    def __call__(self, event: Event) -> None:
        """Write an event; what is done inside a shard is left out."""
        if not isinstance(event, Working):
            content: dict[str, Any] = {"event": EVENT_NAMES[type(event)], **asdict(event)}
            if isinstance(event, Summary):
                content["complete"] = event.complete
            terminal.say_json(content, _plain)


def cluster_line(event: Cluster) -> str:
    """Return what a line says of the processes that do a job."""
    processes = "1 process" if event.workers == 1 else f"{event.workers:,} processes"
    threads = "1 thread" if event.threads == 1 else f"{event.threads} threads"
    page = "" if event.dashboard is None else f"; {event.dashboard}"
    return f"{processes} of {threads}{'' if event.workers == 1 else ' each'}{page}"


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number with the word for what it counts, in the plural where it is not 1."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def progress_line(event: ShardDone | ShardFailed | ModelsAdded, before: float, seconds: float) -> str:
    """Return what a line says of a running job: done, rate, time left."""
    rate = (event.sequences - before) / max(1e-9, seconds)
    left = (event.total - event.sequences) / max(1e-9, rate)
    return f"{event.sequences:,.0f} of {event.total:,} sequences, {rate:.3g} per second, {duration(left)} left"


def summary_lines(summary: Summary) -> list[str]:
    """Return what became of a job, a fact a line."""
    done = "" if summary.complete else f"; {summary.left:,} left to do"
    lines = [f"scored {summary.scored:,} of {summary.sequences:,} sequences{done}"]
    if summary.set_aside:
        lines.append(f"set aside {sum(summary.set_aside.values()):,}: {counts(summary.set_aside)}")
    if summary.duplicates:
        lines.append(f"{summary.duplicates:,} equal an earlier one, scored like any other")
    if summary.resumed_from:
        lines.append(f"resumed from {summary.resumed_from:,}")
    if summary.seconds_per_100_sequences is not None:
        told = STARTING if summary.seconds_include_starting else ""
        rate = f"{summary.seconds_per_100_sequences:.3g} s per 100 sequences{told}"
        lines.append(f"{duration(summary.seconds)}: {rate}")
    if summary.core_seconds_per_sequence is not None:
        memory = f"; peak memory {summary.peak_bytes / 1e9:.3g} GB a process" if summary.peak_bytes else ""
        told = STARTING if summary.core_seconds_include_starting else ""
        lines.append(f"{summary.core_seconds_per_sequence:.3g} core-seconds a sequence{told}{memory}")
    if summary.retries:
        lines.append(f"{counted(summary.retries, 'try', 'tries')} failed")
    if summary.failed_shards:
        shards = "1 shard was" if len(summary.failed_shards) == 1 else f"{len(summary.failed_shards):,} shards were"
        lines.append(f"{shards} set aside, since every try failed; the same command tries again")
        shard, error = min(summary.failed_shards.items())
        lines.append(f"the error of shard {shard}: {error}")
    if summary.halvings:
        lines.append(f"memory ran out: the block was halved {summary.halvings} times")
    if summary.stopped_by:
        name = {"SIGINT": "Ctrl-C"}.get(summary.stopped_by, summary.stopped_by)
        lines.append(f"stopped by {name}; the same command goes on")
    # Whether something is at an address is not asked for: that may take a while.
    nothing = summary.stopped_by and "://" not in str(summary.store) and not Path(summary.store).exists()
    return [*lines, "nothing is stored yet" if nothing else f"store: {summary.store}"]


def stopping_text(number: signal.Signals) -> bytes:
    """Return what is said at once when a signal asks a job to stop."""
    again = "Ctrl-C again" if number == signal.SIGINT else f"{number.name} again"
    return f"\nstopping once the shard in work, if any, is done; {again} stops at once and loses it\n".encode()


def records(first: int, last: int) -> str:
    """Return which records of the input a shard has, counted from 1."""
    return f"sequence {first:,}" if first == last else f"sequences {first:,} to {last:,}"


def counts(reasons: Mapping[str, int]) -> str:
    """Return counted reasons, the most frequent first; one alone without its number."""
    if len(reasons) == 1:
        return next(iter(reasons))
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{count:,} {reason}" for reason, count in ordered)


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``42 s``, ``12 min``, ``3.4 h``."""
    if seconds < 100:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, type):
        return value.__name__
    raise TypeError(f"{value!r} is no JSON")
