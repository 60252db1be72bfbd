"""The protocol for one cell: warm-up, sweep over batch sizes, and the plan of the rounds that give its figure.

The sweep finds a part of the work that takes a fair share of the budget, and times it with every batch size. Rounds
time as large a part as the rest of the budget holds, at the best batch size; the runner interleaves those of a row.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from attribution_bench.benchmark.parts import Division
from attribution_bench.benchmark.results import BatchTiming, Units
from attribution_bench.benchmark.timer import Clock, timed
from attribution_bench.benchmark.workloads import Work
from attribution_bench.errors import InvalidInputError

FIRST_STEPS = {"positions": 32, "sequences": 1}
"""Size of the warm-up, by the inner axis: a batch of mutations, or one sequence. No round does less."""
GROWTH = 4
WORTHWHILE = 1.5
"""The sweep's part grows only by at least this factor."""
SWEEP_SHARE = 0.4
"""Part of the budget for finding the sweep's part and for the sweep itself."""

Stage = Callable[[str, float], None]
"""Told in words what is measured next, and which part of the cell is behind."""


@dataclass(frozen=True)
class Settings:
    """How a benchmark measures."""

    budget: float = 6.0
    """Seconds that the measured calls of one cell may take; the warm-up comes on top."""
    rounds: int = 3
    batch_sizes: tuple[int | None, ...] = (None, 32, 256)
    """In the order tried; None is the method's own default. One that fails is recorded, unless it is the first."""
    full: bool = False
    """Rounds do all of the work whatever it takes, and there is at least one; only the sweep keeps to the budget."""

    def __post_init__(self) -> None:
        if not self.budget > 0:
            raise InvalidInputError(f"the budget must be a positive number of seconds, not {self.budget}")
        if self.rounds < 1:
            raise InvalidInputError(f"rounds must be at least 1, not {self.rounds}")
        if not self.batch_sizes or any(size is not None and size < 1 for size in self.batch_sizes):
            raise InvalidInputError(f"batch sizes must be at least 1, and there must be one; not {self.batch_sizes}")


@dataclass(frozen=True)
class Plan:
    """What the rounds of a cell do, and the sweep that it was decided from."""

    part: Units
    batch_size: int | None
    rounds: int
    sweep: tuple[BatchTiming, ...]


@dataclass(frozen=True)
class Probe:
    """Seconds that so many steps took."""

    steps: int
    seconds: float


def plan_cell(work: Work, settings: Settings, clock: Clock, stage: Stage) -> Plan:
    """Warm up and sweep over the batch sizes; decide what the rounds do."""
    first, *others = settings.batch_sizes
    stage("warm-up", 0.0)
    smallest = work.division.part(FIRST_STEPS[work.division.inner])
    work.do(smallest, first)
    stage(f"batch size {_named(first)}", 0.1)
    probes = _grow(work, settings, first, smallest, clock)
    part = work.division.part(probes[-1].steps)
    sweep = [BatchTiming(first, probes[-1].seconds, part)]
    spent = sum(probe.seconds for probe in probes)
    for size in others:
        if spent + probes[-1].seconds > settings.budget * SWEEP_SHARE:
            break
        stage(f"batch size {_named(size)}", 0.1 + 0.3 * len(sweep) / len(settings.batch_sizes))
        sweep.append(_sweep_one(work, part, size, clock))
        spent += sweep[-1].seconds or 0.0
    best = min((timing for timing in sweep if timing.seconds is not None), key=lambda timing: timing.seconds or 0.0)
    # What the batch size gained on this part is expected of every part.
    gain = (best.seconds or 0.0) / probes[-1].seconds if probes[-1].seconds else 1.0
    gained = [replace(probe, seconds=probe.seconds * gain) for probe in probes]
    part, rounds = plan_rounds(work.division, settings, gained, settings.budget - spent)
    return Plan(part, best.batch_size, rounds, tuple(sweep))


def plan_rounds(division: Division, settings: Settings, probes: list[Probe], remaining: float) -> tuple[Units, int]:
    """Return the part that a round does and the number of rounds, from what probes of growing size took.

    Positions of a sequence are left out only where one whole sequence does not fit: methods that share work between
    the mutations of a sequence, or pay once a call, would look slower on a few positions than they are.
    """
    rate = probes[-1].seconds / probes[-1].steps
    smallest = division.steps_of(division.part(FIRST_STEPS[division.inner]))
    affordable = remaining / settings.rounds / rate if rate > 0 else float(division.steps)
    part = division.part(max(affordable, smallest))
    cost = rate * division.steps_of(part)
    whole = division.inner_steps
    if settings.full:
        part, cost = division.asked, rate * division.steps
    elif division.inner == "positions" and division.steps_of(part) < whole:
        expected = _extrapolate(probes, whole)
        if expected <= remaining:
            part, cost = division.part(whole), expected
    fitting = int(remaining / cost + 0.01) if cost > 0 else settings.rounds
    return part, max(1, min(settings.rounds, fitting))


def _grow(work: Work, settings: Settings, size: int | None, smallest: Units, clock: Clock) -> list[Probe]:
    """Time growing parts until the next would exceed its share of the budget; returns every timing."""
    share = settings.budget * SWEEP_SHARE / (len(settings.batch_sizes) + 1)
    probes: list[Probe] = []
    part = smallest
    while True:
        steps = work.division.steps_of(part)
        seconds = timed(clock, lambda part=part: work.do(part, size)).seconds  # type: ignore[misc]
        probes.append(Probe(steps, seconds))
        affordable = steps * share / seconds if seconds > 0 else steps * GROWTH
        part = work.division.part(min(steps * GROWTH, affordable))
        if work.division.steps_of(part) < min(steps * WORTHWHILE, work.division.steps):
            return probes
        if steps == work.division.steps:
            return probes


def _sweep_one(work: Work, part: Units, size: int | None, clock: Clock) -> BatchTiming:
    try:
        return BatchTiming(size, timed(clock, lambda: work.do(part, size)).seconds, part)
    except Exception as error:  # a batch may fail in many ways, above all for memory; another size may still do
        return BatchTiming(size, None, part, f"{type(error).__name__}: {error}")


def _extrapolate(probes: list[Probe], steps: int) -> float:
    """Return the seconds expected of more steps; what a call costs at any size is told apart where two probes allow."""
    last = probes[-1]
    rate = last.seconds / last.steps
    if len(probes) > 1 and last.steps > probes[-2].steps:
        slope = (last.seconds - probes[-2].seconds) / (last.steps - probes[-2].steps)
        rate = min(rate, max(slope, 0.0))
    return last.seconds + rate * (steps - last.steps)


def _named(size: int | None) -> str:
    return "by default" if size is None else str(size)
