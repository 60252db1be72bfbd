"""Measured costs: seconds that windows and full passes of a model took on this machine, beside what was counted."""

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

KEPT = 8
"""Latest timings of runs of one size that are kept. The least of them counts: what disturbs a run makes it longer."""
SHARE = 0.05
"""Part of the seconds of all calls that trials may take."""
DOUBT = 8.0
"""How many times less than is expected a run may take that has hardly been timed; counted work has been as wrong."""
KEEPS = 1.05
"""How many times less time the other kind must take before a choice is changed."""
SECONDS_PER_MAC = 1e-11
"""Seconds of a multiply-accumulate on windows at the least; see `LAUNCH_COST_MACS`."""

Kind = Literal["windows", "full passes"]
Size = tuple[int, int]
"""Binary logarithms, rounded, of the mutations of a run and of what it starts."""


def other_than(kind: Kind) -> Kind:
    """Return the other kind of run."""
    return "full passes" if kind == "windows" else "windows"


@dataclass(frozen=True)
class Run:
    """What is counted of a run."""

    mutations: int
    starts: int
    """Blocks and groups of windows; calls of the model of full passes."""
    work: float
    """Counted work, in multiply-accumulates, starts of operations included."""

    @cached_property
    def size(self) -> Size:
        """The size, by which runs are held to be alike."""
        return round(math.log2(max(1, self.mutations))), round(math.log2(max(1, self.starts)))


class Timings:
    """Seconds per counted work of runs of one kind, by their size."""

    def __init__(self) -> None:
        self._rates: dict[Size, deque[float]] = {}
        self._counts: Counter[Size] = Counter()

    def add(self, run: Run, seconds: float) -> None:
        """Keep the seconds that a run took."""
        self._rates.setdefault(run.size, deque(maxlen=KEPT)).append(seconds / max(1.0, run.work))
        self._counts[run.size] += 1

    def count(self, run: Run) -> int:
        """Return how often runs of the size of this one were timed."""
        return self._counts[run.size]

    def rate(self, run: Run) -> float | None:
        """Return the seconds per counted work of the runs that are nearest in size; None where none was timed."""
        if not self._rates:
            return None

        def distance(size: Size) -> int:
            return abs(size[0] - run.size[0]) + abs(size[1] - run.size[1])

        nearest = min(map(distance, self._rates))
        return min(min(rates) for size, rates in self._rates.items() if distance(size) == nearest)


@dataclass
class Budget:
    """Seconds of all calls, and of the trials among them."""

    spent: float = 0.0
    tried: float = 0.0


@dataclass(frozen=True, eq=False)
class MeasuredCosts:
    """What windows of a plan, and full passes of its model, took so far; it lives with the plan in the plan cache.

    Expected seconds are counted work times the seconds that such work took in the runs nearest in size. Full passes
    that were never timed are expected to take their counted work at the rate of windows; windows too, but no more than
    they take on a fast machine, since the engine runs them, whatever starting a framework's operations costs.

    The kind that calls do not run is timed by trials, whose results are not used: `may_try` says when, and `allowance`
    for how long.
    """

    windows: Timings = field(default_factory=Timings)
    full: Timings = field(default_factory=Timings)
    budget: Budget = field(default_factory=Budget)
    chosen: dict[Size, bool] = field(default_factory=dict)
    """Size -> whether windows were chosen last for runs of that size."""
    failed: set[Kind] = field(default_factory=set)
    """Kinds of which a trial has failed: there is no other."""

    def of_part(self) -> "MeasuredCosts":
        """Return the costs of the plan for other parts of the outputs: other windows, the same full passes."""
        return MeasuredCosts(full=self.full, budget=self.budget)

    def timings(self, kind: Kind) -> Timings:
        """Return the timings of a kind."""
        return self.windows if kind == "windows" else self.full

    def are_known(self, windows: Run, full: Run) -> bool:
        """Whether both kinds were timed."""
        return self.windows.rate(windows) is not None and self.full.rate(full) is not None

    def rate(self, kind: Kind, run: Run) -> float:
        """Return the seconds that a run of a kind is expected to take for its counted work."""
        rate = self.timings(kind).rate(run)
        return self._rate_as_counted(kind, run) if rate is None else rate

    def _rate_as_counted(self, kind: Kind, run: Run) -> float:
        """Return the rate by which seconds are as counted work is."""
        rate = self.timings(other_than(kind)).rate(run)
        if rate is None:
            return SECONDS_PER_MAC
        return min(rate, SECONDS_PER_MAC) if kind == "windows" else rate

    def seconds(self, kind: Kind, run: Run) -> float:
        """Return the seconds that a run of a kind is expected to take."""
        return run.work * self.rate(kind, run)

    def hopeful_seconds(self, kind: Kind, run: Run) -> float:
        """Return the seconds that a run takes as timed or as counted, whichever is less."""
        return run.work * min(self.rate(kind, run), self._rate_as_counted(kind, run))

    def trial_seconds(self, kind: Kind, run: Run, instead_of: float) -> float:
        """Return the seconds that a trial is expected to take of a run that may take less than `instead_of`."""
        if self.timings(kind).count(run) < 2:
            return self.hopeful_seconds(kind, run)
        return min(self.seconds(kind, run), DOUBT * instead_of)

    def speedup(self, windows: Run, full: Run) -> float:
        """Return how many times faster windows are expected to be than full passes for the same mutations."""
        return self.seconds("full passes", full) / max(self.seconds("windows", windows), 1e-12)

    def least_speedup(self, windows: Run, min_speedup: float) -> float:
        """Return the speed-up from which on windows run; the last choice for runs of this size is kept a little longer.

        So small differences from call to call do not change it, and the numbers of equal calls round alike.
        """
        before = self.chosen.get(windows.size)
        return min_speedup * (1.0 if before is None else 1 / KEEPS if before else KEEPS)

    def allowance(self, seconds: float) -> float:
        """Return the seconds that a trial may take in a call that is expected to take `seconds`."""
        return SHARE * (self.budget.spent + seconds) - self.budget.tried

    def may_try(self, kind: Kind, run: Run, instead_of: float, calls: int) -> bool:
        """Whether a run of a kind is to be tried: it might take less than `instead_of` seconds, for all that is known.

        A single timing may be that of a disturbed machine: trials are repeated, ever more rarely, after 1, 3, 7, ...
        `calls` of such a request.
        """
        tried = self.timings(kind).count(run)
        return tried <= math.log2(1 + calls) and self.hopeful_seconds(kind, run) < DOUBT * instead_of
