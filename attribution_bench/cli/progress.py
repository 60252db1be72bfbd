"""How a running benchmark is shown: a bar with the cell, what is measured and the time left; a line a finished cell."""

from rich.console import Console
from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

from attribution_bench.benchmark.results import Record, Workload
from attribution_bench.cli import terminal
from attribution_bench.cli.bar import Bar


class BenchmarkProgress(Bar):
    """Draws a benchmark on stderr; where that is no terminal, only the lines of finished cells appear."""

    def __init__(self, cells: int, console: Console | None = None) -> None:
        super().__init__(
            TextColumn("{task.fields[count]} cells"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
        )
        self.ended = 0
        """Cells that have a record."""
        self._cells = cells
        self._reused = 0
        self._behind: dict[Workload, float] = {}
        self._task = self._bar.add_task("starting", total=cells, count=f"0 of {cells}")

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
        self._line(_text(record, reused), _style(record))
        self._update(str(record.workload))

    def _update(self, description: str) -> None:
        self._bar.update(
            self._task,
            description=terminal.printable(description),
            completed=sum(self._behind.values()),
            total=self._cells - self._reused,
            count=f"{self.ended} of {self._cells}",
        )


def _text(record: Record, reused: bool) -> str:
    seconds = record.seconds_per_100_sequences
    if seconds is None:
        return f"{record.workload}: {record.status}: {' '.join((record.error or '').split())}"
    scaled = f", scaled from {record.measured_fraction:.2g} of the work" if record.scaled else ""
    return f"{record.workload}: {seconds:.4g} s per 100 sequences{scaled}{' (measured before)' if reused else ''}"


def _style(record: Record) -> str:
    return {"ok": "default", "failed": "red", "unsupported": "yellow"}[record.status]
