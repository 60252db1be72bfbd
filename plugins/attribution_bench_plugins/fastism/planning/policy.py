"""Windows or full passes: the one place where that is decided."""

from dataclasses import dataclass, replace

from attribution_bench_plugins.fastism.planning.cost import LaunchCounts, Work
from attribution_bench_plugins.fastism.planning.measured_costs import MeasuredCosts, Run

TOO_FEW = "too few mutations: full passes take less time"
TIMED = "full passes took less time in earlier calls"
COUNTED_MARGIN = 1.25
"""How many times the least speed-up counted work must promise, since it is only about right."""


@dataclass(frozen=True)
class Decision:
    """What runs the mutations of a model, or of one call, and why."""

    run_windows: bool
    """Whether windows run; else every mutation takes a full pass."""
    reason: str
    """Why full passes run; empty where windows do."""
    predicted_speedup: float
    """Speed over that of full passes, by counted work or by seconds; 1 for full passes themselves."""

    @classmethod
    def full_passes(cls, reason: str) -> "Decision":
        """Decide on full passes."""
        return cls(run_windows=False, reason=reason, predicted_speedup=1.0)


@dataclass(frozen=True)
class Savings:
    """What listed mutations save that share blocks instead of taking full passes, in the unit of their work."""

    mutation: float
    """Saved by a mutation; negative where windows take longer."""
    block: float
    """Cost of a block, however few mutations it holds."""
    group: float
    """Cost of a group of sequences."""
    unmutated: float
    """Cost of the unmutated pass of a sequence that another group holds, too."""

    def of(self, mutations: int, blocks: int, groups: int = 0, again: int = 0) -> float:
        """Return what some mutations save in blocks and groups, with `again` sequences that other groups hold, too."""
        return mutations * self.mutation - blocks * self.block - groups * self.group - again * self.unmutated


def windows_run(work: Work, launches: LaunchCounts) -> Run:
    """Return what windows take, starts of operations included."""
    planned = launches.mutations * work.planned + launches.blocks * work.block + launches.groups * work.group
    return Run(launches.mutations, launches.blocks + launches.groups, planned)


def full_run(work: Work, launches: LaunchCounts) -> Run:
    """Return what a full pass for every mutation takes, starts of operations included."""
    return Run(launches.asked, launches.batches, launches.asked * work.full + launches.batches * work.batch)


def predicted_speedup(work: Work, launches: LaunchCounts) -> float:
    """Return how many times cheaper windows are than a full pass for every mutation, by counted work."""
    return full_run(work, launches).work / max(1.0, windows_run(work, launches).work)


def decide_for_model(work: Work, launches: LaunchCounts, min_speedup: float) -> Decision:
    """Decide for a model, by the launches of a saturation that fills the engine's groups and blocks."""
    speedup = predicted_speedup(work, launches)
    if speedup < min_speedup:
        return Decision.full_passes(f"windows would save too little, {speedup:.2f} times")
    return Decision(run_windows=True, reason="", predicted_speedup=speedup)


def decide_for_call(decision: Decision, work: Work, launches: LaunchCounts, min_speedup: float) -> Decision:
    """Decide for one saturation by counted work: as for its model, or full passes where it asks for too few mutations.

    Parameters
    ----------
    decision
        That for the model.
    launches
        Those of the call. A lower bound of its blocks and groups is enough for a decision on full passes.
    """
    speedup = predicted_speedup(work, launches)
    if not decision.run_windows:
        return decision
    return replace(decision, predicted_speedup=speedup) if speedup >= min_speedup else Decision.full_passes(TOO_FEW)


def decide_by_seconds(
    decision: Decision, costs: MeasuredCosts, windows: Run, full: Run, min_speedup: float
) -> Decision:
    """Decide for one saturation of a model of which windows and full passes were timed; `decision` is its model's."""
    speedup = costs.speedup(windows, full)
    if speedup >= costs.least_speedup(windows, min_speedup):
        return Decision(run_windows=True, reason="", predicted_speedup=speedup)
    if not decision.run_windows:
        return decision
    return Decision.full_passes(TIMED)


def timed_work(work: Work, costs: MeasuredCosts, windows: Run, full: Run) -> Work:
    """Return work whose parts are to each other as their seconds are, in runs of the size of these two."""
    ratio = costs.rate("windows", windows) / costs.rate("full passes", full)
    planned, block, group = (round(part * ratio) for part in (work.planned, work.block, work.group))
    return replace(work, planned=planned, block=block, group=group)


def savings_of(work: Work, min_speedup: float) -> Savings:
    """Return what runs in blocks save where they are to be `min_speedup` times cheaper than full passes."""
    planned, block, group = (min_speedup * part for part in (work.planned, work.block, work.group))
    return Savings(work.full - planned, block, group, work.full)
