"""How a running benchmark is shown: a bar with the cell, what is measured and the time left; a line a finished cell."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from attribution_bench.benchmark.results import Record, Workload
from attribution_bench.cli import terminal

WHOLE_RUN = 3600.0
"""Seconds over which the speed is averaged for the time left: cells differ too much for a short look back."""


class BenchmarkProgress:
    """Draws a benchmark on stderr; where that is no terminal, only the lines of finished cells appear."""

    def __init__(self, cells: int, console: Console | None = None) -> None:
        self.console = console or terminal.console(stderr=True)
        self.ended = 0
        """Cells that have a record."""
        self._cells = cells
        self._reused = 0
        self._behind: dict[Workload, float] = {}
        self._bar = Progress(
            BarColumn(20),
            TextColumn("{task.fields[count]} cells"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
            speed_estimate_period=WHOLE_RUN,
        )
        self._task = self._bar.add_task("starting", total=cells, count=f"0 of {cells}")

    def __enter__(self) -> "BenchmarkProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage(self, workload: Workload, text: str, behind: float) -> None:
        """Show what is measured next."""
        self._behind[workload] = behind
        self._update(f"{workload}: {text}")

    def finished(self, record: Record, reused: bool) -> None:
        """Count the cell, and print its line."""
        self.ended += 1
        if reused:
            # Left out of the bar, since its speed tells the time left.
            self._reused += 1
        else:
            self._behind[record.workload] = 1.0
        self.console.print(_line(record, reused), soft_wrap=True, markup=False, style=_style(record))
        self._update(str(record.workload))

    def _update(self, description: str) -> None:
        self._bar.update(
            self._task,
            description=terminal.printable(description),
            completed=sum(self._behind.values()),
            total=self._cells - self._reused,
            count=f"{self.ended} of {self._cells}",
        )


def _line(record: Record, reused: bool) -> str:
    seconds = record.seconds_per_100_sequences
    if seconds is None:
        return f"{record.workload}: {record.status}: {' '.join((record.error or '').split())}"
    scaled = f", scaled from {record.measured_fraction:.2g} of the work" if record.scaled else ""
    return f"{record.workload}: {seconds:.4g} s per 100 sequences{scaled}{' (measured before)' if reused else ''}"


def _style(record: Record) -> str:
    return {"ok": "default", "failed": "red", "unsupported": "yellow"}[record.status]
