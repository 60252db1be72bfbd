"""How a running comparison is shown: a bar with what is done next, or a line a step where stderr is no terminal."""

from rich.console import Console
from rich.progress import TextColumn, TimeElapsedColumn

from attribution_bench.cli import terminal
from attribution_bench.cli.bar import Bar
from attribution_bench.cli.job_progress import cluster_line
from attribution_bench.cli.told_errors import ToldErrors
from attribution_bench.jobs.events import Caution, Cluster, Event, Retry


class ComparisonProgress(Bar):
    """Draws the steps of a comparison on stderr; called with what is done next, the steps done and those in all."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(TimeElapsedColumn(), TextColumn("{task.description}", markup=False), console=console)
        self._errors = ToldErrors()
        self._task = self._bar.add_task("starting", total=None)

    def __call__(self, text: str, done: int, total: int) -> None:
        """Show a step that begins."""
        if self.console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, description=terminal.printable(text))
        else:
            self._line(f"step {done + 1} of {total}: {text}")

    def told(self, event: Event) -> None:
        """Print what a cluster tells."""
        if isinstance(event, Cluster):
            self._line(cluster_line(event))
        elif isinstance(event, Retry):
            self._line(f"{event.work} is tried again: {self._errors.text(event.error)}")
        elif isinstance(event, Caution):
            self._line(f"caution: {self._errors.within(event.text)}")
