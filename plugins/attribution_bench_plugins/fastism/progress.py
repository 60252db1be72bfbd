"""Progress of a call on windows, some of whose work may have to be done again."""

from dataclasses import dataclass

from attribution_bench.request import Progress


@dataclass
class RisingProgress:
    """What is done of a call, of which nobody is told less than before."""

    report: Progress
    asked: int
    done: int = 0
    """It falls where mutations are found to need full passes, or memory runs out."""
    told: int = 0
    """The largest number that was reported."""

    def add(self, more: int) -> None:
        """Count what was done, and report it."""
        self.done += more
        self.told = max(self.told, self.done)
        self.report(self.told, self.asked)
