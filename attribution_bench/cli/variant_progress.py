"""How a run over variants is shown: a spinner on a terminal and lines at the end, or a JSON object a line."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from attribution_bench.cli import terminal
from attribution_bench.cli.job_progress import LINE_SECONDS, cluster_line, counted
from attribution_bench.cli.terminal import note, say, say_json
from attribution_bench.cli.told_errors import ToldErrors
from attribution_bench.jobs.events import Caution, Cluster, Event, Retry
from attribution_bench.sequences.variants import VariantReason
from attribution_bench.timer import CLOCK, Clock
from attribution_bench.variants.summary import Summary


class LineProgress:
    """Progress on a terminal, and the summary as lines, on stderr."""

    def __init__(self, console: Console | None = None, clock: Clock = CLOCK) -> None:
        console = console or terminal.console(stderr=True)
        self._clock, self._told = clock, clock()
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("starting", total=None)
        self._retries = 0
        self._errors = ToldErrors()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def genes(self, name: str) -> None:
        """Print which genes variants are scored in."""
        self._bar.console.print(f"genes: {name}", soft_wrap=True, markup=False)

    def update(self, summary: Summary) -> None:
        """Show how far the run is."""
        rate = "" if not summary.seconds_per_100 else f", {100 / summary.seconds_per_100:.3g} a second"
        trouble = f", {counted(self._retries, 'retry', 'retries')}" if self._retries else ""
        aside = f", {summary.set_aside.total():,} set aside" if summary.set_aside else ""
        line = f"{summary.total:,} alleles{rate}{trouble}{aside}"
        self._bar.update(self._task, description=line)
        if not self._bar.console.is_terminal and self._clock() - self._told >= LINE_SECONDS:
            self._told = self._clock()
            self._bar.console.print(line, soft_wrap=True, markup=False)

    def told(self, event: Event) -> None:
        """Print what the cluster tells."""
        if isinstance(event, Cluster):
            self._bar.console.print(cluster_line(event), soft_wrap=True, markup=False)
        elif isinstance(event, Retry):
            self._retries += 1
            error = self._errors.text(event.error)
            self._bar.console.print(f"{event.work} is tried again: {error}", soft_wrap=True, markup=False)
        elif isinstance(event, Caution):
            self.caution(self._errors.within(event.text))

    def caution(self, text: str) -> None:
        """Print something that a reader of the numbers should know."""
        self._bar.console.print(f"caution: {text}", soft_wrap=True, markup=False)

    def end(self, summary: Summary, written: list[Path]) -> None:
        """Print what became of the alleles, and the files that were written."""
        starting = ", starting included" if summary.starting_included else ""
        rate = summary.seconds_per_100
        seconds = "" if rate is None else f", {rate:.3g} seconds per 100{starting}"
        before = [
            f", {count:,} of them {where}"
            for count, where in (
                (summary.resumed, "by a run that was stopped"),
                (summary.kept, "kept from the table as it was"),
            )
            if count and summary.new
        ]
        lines = [f"scored {summary.scored:,} of {summary.total:,} alleles{''.join(before)}{seconds}"]
        if summary.total and summary.kept == summary.total:
            lines.insert(0, f"{written[0]} is already complete: nothing was computed")
        for reason, count in summary.set_aside.most_common():
            first = f" (the first at {summary.examples[reason]})" if reason in summary.examples else ""
            lines.append(f"set aside {count:,}: {reason}{first}")
        if summary.masked is not None:
            lines.append(f"masked to 0: {summary.masked:,} gains and losses")
        if summary.core_seconds_per_allele is not None:
            lines.append(f"{summary.core_seconds_per_allele:.3g} core-seconds an allele")
        if summary.retries:
            lines.append(f"{counted(summary.retries, 'try', 'tries')} failed")
        if summary.set_aside[VariantReason.NOT_COMPUTED]:
            lines.append("the same command tries again what could not be computed")
        if summary.duplicates:
            lines.append(f"{summary.duplicates:,} are an earlier variant again, scored like any other")
        for line in lines:
            note(line)
        for path in written:
            say(str(path))


class JsonProgress:
    """Progress and summary as JSON, one object a line, on stdout."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def genes(self, name: str) -> None:
        """Print which genes variants are scored in."""
        say_json({"event": "genes", "name": name})

    def update(self, summary: Summary) -> None:
        """Print how far the run is."""
        say_json({"event": "progress", **self._counts(summary)})

    def end(self, summary: Summary, written: list[Path]) -> None:
        """Print what became of the alleles, and the files that were written."""
        more = {
            "examples": {reason.name: text for reason, text in summary.examples.items()},
            "duplicates": summary.duplicates,
            **({} if summary.masked is None else {"masked": summary.masked}),
            "files": [str(path) for path in written],
        }
        say_json({"event": "summary", **self._counts(summary), **more})

    def told(self, event: Event) -> None:
        """Print what the cluster tells."""
        say_json({"event": type(event).__name__.lower(), **asdict(event)}, str)

    def caution(self, text: str) -> None:
        """Print something that a reader of the numbers should know."""
        say_json({"event": "caution", "text": text})

    def _counts(self, summary: Summary) -> dict[str, Any]:
        return {
            "alleles": summary.total,
            "scored": summary.scored,
            "set_aside": {reason.name: count for reason, count in summary.set_aside.items()},
            "resumed": summary.resumed,
            "kept": summary.kept,
            "seconds": round(summary.seconds, 3),
            "seconds_per_100": summary.seconds_per_100,
            "starting_included": summary.starting_included,
            "retries": summary.retries,
            "core_seconds_per_allele": summary.core_seconds_per_allele,
        }
