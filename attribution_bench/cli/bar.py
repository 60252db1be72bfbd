"""The bar that every long command draws on a terminal, and that is gone when the command is done."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn

from attribution_bench.cli import terminal

WHOLE_RUN = 3600.0
"""Seconds over which the speed is averaged for the time left: parts of a run differ too much for a short look back."""


class Bar:
    """A bar on stderr while its block lasts; where that is no terminal, nothing is drawn.

    Parameters
    ----------
    columns
        What stands beside it.
    console
        Where it is drawn; stderr by default.
    """

    def __init__(self, *columns: ProgressColumn, console: Console | None = None) -> None:
        self.console = console or terminal.console(stderr=True)
        self._bar = Progress(
            BarColumn(20),
            *columns,
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
            speed_estimate_period=WHOLE_RUN,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def _line(self, text: str, style: str | None = None) -> None:
        """Print a line, above the bar where there is one."""
        self.console.print(text, soft_wrap=True, markup=False, style=style)
