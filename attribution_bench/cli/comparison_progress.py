"""How a running comparison is shown: a bar with what is done next, or a line a step where stderr is no terminal."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from attribution_bench.cli import terminal


class ComparisonProgress:
    """Draws the steps of a comparison on stderr; called with what is done next, the steps done and those in all."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or terminal.console(stderr=True)
        self._bar = Progress(
            BarColumn(20),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> "ComparisonProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, text: str, done: int, total: int) -> None:
        """Show a step that begins."""
        if self.console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, description=terminal.printable(text))
        else:
            self.console.print(f"step {done + 1} of {total}: {text}", soft_wrap=True, markup=False)
