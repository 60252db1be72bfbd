"""How a running job is shown: a bar on a terminal, plain lines elsewhere, or a JSON object a line for pipelines."""

import json
import signal
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

from attribution_bench.cli import terminal
from attribution_bench.cli.bar import Bar
from attribution_bench.jobs.events import Caution, Event, ShardDone, Started, Summary, Working
from attribution_bench.timer import CLOCK, Clock

LINE_SECONDS = 30.0
"""Seconds between two lines of progress where there is no terminal."""
EVENT_NAMES: Mapping[type, str] = {
    Started: "started",
    Working: "working",
    ShardDone: "shard",
    Caution: "caution",
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
        self._before = 0
        self._task = self._bar.add_task("", total=None, count="reading the", rate="")

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Working):
            rate = (event.sequences - self._before) / max(1e-9, self._clock() - self._began)
            self._bar.update(self._task, completed=event.sequences - self._before, rate=f"{rate:.3g}/s")
        elif isinstance(event, ShardDone):
            self._bar.update(self._task, count=f"{event.sequences:,} of {event.total:,}")
            if not self.console.is_terminal and self._clock() - self._told >= LINE_SECONDS:
                self._told = self._clock()
                self._line(progress_line(event, self._before, self._clock() - self._began))
        elif isinstance(event, Caution):
            self._line(f"caution: {event.text}")
        else:
            self._bar.stop()
            for line in summary_lines(event):
                self._out.print(line, soft_wrap=True, markup=False)

    def _start(self, event: Started) -> None:
        self._before, self._began = event.finished_sequences, self._clock()
        self._bar.update(
            self._task,
            total=event.sequences - event.finished_sequences,
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
            print(json.dumps(content, default=_plain), flush=True)


def progress_line(event: ShardDone, before: int, seconds: float) -> str:
    """Return what a line says of a running job: done, rate, time left."""
    rate = (event.sequences - before) / max(1e-9, seconds)
    left = (event.total - event.sequences) / max(1e-9, rate)
    return f"{event.sequences:,} of {event.total:,} sequences, {rate:.3g} per second, {duration(left)} left"


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
        lines.append(f"{duration(summary.seconds)}: {summary.seconds_per_100_sequences:.3g} s per 100 sequences")
    if summary.halvings:
        lines.append(f"memory ran out: the block was halved {summary.halvings} times")
    if summary.stopped_by:
        name = {"SIGINT": "Ctrl-C"}.get(summary.stopped_by, summary.stopped_by)
        lines.append(f"stopped by {name}; the same command goes on")
    return [*lines, f"store: {summary.store}"]


def stopping_text(number: signal.Signals) -> bytes:
    """Return what is said at once when a signal asks a job to stop."""
    again = "Ctrl-C again" if number == signal.SIGINT else f"{number.name} again"
    return f"\nfinishing the shard in work, then stopping; {again} stops at once and loses it\n".encode()


def counts(reasons: Mapping[str, int]) -> str:
    """Return counted reasons, the most frequent first."""
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
