"""Pace of work: how long a piece may take before it is taken for hung."""

from collections import deque
from dataclasses import dataclass, field
from statistics import median

TIMES = 10
"""A piece may take as many times what the largest takes, from those that are done so far (the median)."""
LEAST_SECONDS = 60.0
REMEMBERED = 501


@dataclass
class Pace:
    """The time limit of pieces of work, from those that are done."""

    fixed: float | None = None
    """Seconds, whatever pieces take; None to measure."""
    alike: bool = True
    """Whether pieces take about as long as each other; of others nothing is measured."""
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def note(self, seconds: float, share: float = 1.0) -> None:
        """Take in what a piece took.

        Parameters
        ----------
        seconds
            Since it was handed out.
        share
            How much there was to compute, as a share of the largest piece, of whose time an estimate is taken in; that
            is too long rather than too short. Of a piece with nothing to compute, nothing is.
        """
        if self.alike and share > 0:
            self._seconds.append(seconds / share)

    @property
    def limit(self) -> float | None:
        """Seconds of a piece; None while nothing is known of it."""
        if self.fixed is not None:
            return self.fixed
        return max(LEAST_SECONDS, TIMES * median(self._seconds)) if self._seconds else None
