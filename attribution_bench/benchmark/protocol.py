"""The protocol for one cell: warm-up, sweep over batch sizes, and the plan of the rounds that give its figure.

The sweep finds a part of the work that takes a fair share of the budget, and times it with every batch size. Rounds
time as large a part as the rest of the budget holds three times, at the best batch size; the runner interleaves those
of a row. There are three whatever they take, and more while they disagree with each other or with the sweep.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from attribution_bench.benchmark.parts import Division
from attribution_bench.benchmark.results import BatchTiming, Units, foretold
from attribution_bench.benchmark.rounds import FEWEST_ROUNDS, agree
from attribution_bench.benchmark.workloads import Work
from attribution_bench.errors import InvalidInputError
from attribution_bench.timer import Clock, timed

FIRST_STEPS = {"positions": 8, "sequences": 1}
"""Size of the warm-up and of the first probe, by the inner axis."""
BEFORE_PROJECTING = 0.05
"""Part of the budget that a whole sequence may take before its progress is believed: calls begin with fixed costs."""
ENOUGH_STEPS = {"positions": 32, "sequences": 1}
"""A round does no less while one round fits the budget: fewer mutations would not fill a batch."""
GROWTH = 4
WORTHWHILE = 1.5
"""The sweep's part grows only by at least this factor."""
WHOLE_LENIENCE = 2.0
"""One whole sequence is measured even if it takes this many times the budget."""
MOST_ROUNDS = 12
"""Rounds that disagree are given up here: what they measure does not hold still."""
EXTRA_SHARE = 0.5
"""Part of the budget that rounds beyond the fewest may take on top of it, while they disagree."""
SWEEP_SHARE = 0.4
"""Part of the budget for finding the sweep's part and for the sweep itself; half as much more after a slow sequence."""
FIXED = 2.0
"""A few positions that take this many times their share of a sequence do not tell its best batch size."""

Stage = Callable[[str, float], None]
"""Told in words what is measured next, and which part of the cell is behind."""


@dataclass(frozen=True)
class Settings:
    """How a benchmark measures."""

    budget: float
    """Seconds that the measured calls of one cell are planned to take; the warm-up comes on top."""
    rounds: int = FEWEST_ROUNDS
    """The fewest rounds of a cell, which it has whatever they take; there are more while they disagree."""
    batch_sizes: tuple[int | None, ...] = (None, 32, 256)
    """Batch sizes in the order tried, None for the method's own; one that fails is recorded, unless it is the first."""
    full: bool = False
    """Rounds do all of the work whatever it takes; only the sweep keeps to the budget."""

    def __post_init__(self) -> None:
        if not (self.budget > 0 and math.isfinite(self.budget)):
            raise InvalidInputError(f"the budget must be a positive number of seconds, not {self.budget}")
        if self.rounds < FEWEST_ROUNDS:
            raise InvalidInputError(f"rounds must be at least {FEWEST_ROUNDS}, not {self.rounds}")
        if not self.batch_sizes or any(size is not None and size < 1 for size in self.batch_sizes):
            raise InvalidInputError(f"batch sizes must be at least 1, and there must be one; not {self.batch_sizes}")


@dataclass(frozen=True)
class Plan:
    """What the rounds of a cell do, and the sweep that it was decided from."""

    part: Units
    batch_size: int | None
    rounds: int
    """The fewest rounds."""
    seconds: float
    """What is left of the budget for the fewest rounds."""
    extra: float
    """Seconds that further rounds may take while they disagree."""
    sweep: tuple[BatchTiming, ...]

    @property
    def foretold(self) -> float | None:
        """Seconds that the sweep lets expect of one round; None where it timed nothing."""
        return foretold(self.sweep, self.batch_size, self.part)

    def ended(self, durations: Sequence[float]) -> bool:
        """Whether rounds that took so long are all.

        The fewest are always done. They go on while they disagree, until the next, if it is as fast as the fastest,
        would exceed the time for further ones, or there are `MOST_ROUNDS`. The slow ones do not count as what the next
        will take: they are what is in doubt.
        """
        if len(durations) < self.rounds:
            return False
        if len(durations) >= max(MOST_ROUNDS, self.rounds) or agree(durations, self.foretold):
            return True
        return sum(durations[self.rounds :]) + min(durations) > self.extra


@dataclass(frozen=True)
class Probe:
    """Seconds that a number of steps took."""

    steps: int
    seconds: float


class _TooSlowError(Exception):
    """A whole sequence would take longer than allowed."""


def plan_cell(work: Work, settings: Settings, clock: Clock, stage: Stage) -> Plan:
    """Warm up and sweep over the batch sizes; decide what the rounds do."""
    first, *others = settings.batch_sizes
    stage("warm-up", 0.0)
    smallest = work.division.part(FIRST_STEPS[work.division.inner])
    work.do(smallest, first)
    stage(f"batch size {_named(first)}", 0.1)
    whole = _one_sequence(work, settings, first, clock)
    probes = [whole] if whole is not None else _grow(work, settings, first, smallest, clock)
    spent = sum(probe.seconds for probe in probes)
    part = _sweep_part(work.division, settings, probes[-1], spent)
    apart = part != work.division.part(probes[-1].steps)
    expected = probes[-1].seconds * work.division.steps_of(part) / probes[-1].steps
    sweep = [] if apart else [BatchTiming(first, probes[-1].seconds, part)]
    for size in settings.batch_sizes if apart else others:
        if not apart and spent + probes[-1].seconds > settings.budget * SWEEP_SHARE:
            break
        if apart and sweep and (sweep[0].seconds or 0.0) > FIXED * expected:
            break  # most of it is paid once a call: the others would take far too long
        stage(f"batch size {_named(size)}", 0.1 + 0.3 * len(sweep) / len(settings.batch_sizes))
        sweep.append(_sweep_one(work, part, size, clock))
        spent += sweep[-1].seconds or 0.0
    best = min((timing for timing in sweep if timing.seconds is not None), key=lambda timing: timing.seconds or 0.0)
    # What the batch size gained on this part is expected of every part.
    gain = (best.seconds or 0.0) / sweep[0].seconds if sweep[0].seconds else 1.0
    gained = [replace(probe, seconds=probe.seconds * gain) for probe in probes]
    remaining = max(0.0, settings.budget - spent)
    part = plan_part(work.division, settings, gained, remaining)
    extra = settings.budget * EXTRA_SHARE
    return Plan(part, best.batch_size, settings.rounds, remaining, extra, tuple(sweep))


def _sweep_part(division: Division, settings: Settings, last: Probe, spent: float) -> Units:
    """Return the part that every batch size is tried on: that of the last probe, or fewer positions of a sequence.

    Where a whole sequence leaves no time for the others, its best batch size would stay unknown.
    """
    others, share = len(settings.batch_sizes) - 1, settings.budget * SWEEP_SHARE
    whole = division.inner == "positions" and last.steps >= division.inner_steps
    if not others or not whole or spent + others * last.seconds <= share:
        return division.part(last.steps)
    left = max(share - spent, share / 2)
    affordable = last.steps * left / (others + 1) / last.seconds
    return division.part(min(last.steps, max(affordable, FIRST_STEPS["positions"])))


def plan_part(division: Division, settings: Settings, probes: Sequence[Probe], remaining: float) -> Units:
    """Return the part that a round does, from what probes of growing size took.

    Positions of a sequence are left out only where one whole sequence was too slow: methods that share work between
    the mutations of a sequence, or pay once a call, would look slower on a few positions than they are.
    """
    if settings.full:
        return division.asked
    last = probes[-1]
    rate = last.seconds / last.steps
    if rate == 0:
        return division.asked
    least = max(min(ENOUGH_STEPS[division.inner], remaining / rate), FIRST_STEPS[division.inner])
    if division.inner == "positions" and last.steps >= division.inner_steps:
        least = division.inner_steps
    return division.part(max(remaining / settings.rounds / rate, least))


def _one_sequence(work: Work, settings: Settings, size: int | None, clock: Clock) -> Probe | None:
    """Time every position of one sequence; None where its progress shows that it would take far too long.

    No smaller part tells what a whole sequence takes: a method may do most of its work once for all positions.
    """
    division = work.division
    if division.inner != "positions":
        return None
    limit, start = settings.budget * WHOLE_LENIENCE, clock()
    begun: tuple[int, float] | None = None

    def watch(done: int, asked: int) -> None:
        nonlocal begun
        behind = clock() - start
        begun = begun or (done, behind)
        # What comes before the first report may be paid once a call, or once a process.
        known, seconds = done - begun[0], behind - begun[1]
        believed = behind > settings.budget * BEFORE_PROJECTING and known > 0
        if done < asked and (behind > limit or (believed and behind + seconds / known * (asked - done) > limit)):
            raise _TooSlowError

    try:
        work.do(division.part(division.inner_steps), size, watch)
    except _TooSlowError:
        return None
    return Probe(division.inner_steps, clock() - start)


def _grow(work: Work, settings: Settings, size: int | None, smallest: Units, clock: Clock) -> list[Probe]:
    """Time growing parts until the next would exceed its share of the budget; returns every timing, smallest first."""
    share = settings.budget * SWEEP_SHARE / (len(settings.batch_sizes) + 1)
    division, part = work.division, smallest
    probes: list[Probe] = []
    while True:
        steps = division.steps_of(part)
        seconds = timed(clock, partial(work.do, part, size)).seconds
        probes.append(Probe(steps, seconds))
        affordable = steps * share / seconds if seconds > 0 else division.steps
        part = division.part(min(steps * GROWTH, affordable))
        if steps == division.steps or division.steps_of(part) < min(steps * WORTHWHILE, division.steps):
            return probes


def _sweep_one(work: Work, part: Units, size: int | None, clock: Clock) -> BatchTiming:
    try:
        return BatchTiming(size, timed(clock, partial(work.do, part, size)).seconds, part)
    except Exception as error:  # a batch may fail in many ways, above all for memory; another size may still do
        return BatchTiming(size, None, part, f"{type(error).__name__}: {error}")


def _named(size: int | None) -> str:
    return "by default" if size is None else str(size)
