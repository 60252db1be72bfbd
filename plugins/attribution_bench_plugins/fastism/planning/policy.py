"""Windows or full passes: the one place where that is decided."""

import math
from dataclasses import dataclass, replace

from attribution_bench_plugins.fastism.planning.cost import LaunchCounts, Work

TOO_FEW = "too few mutations: full passes take less time"


@dataclass(frozen=True)
class Decision:
    """What runs the mutations of a model, or of one call, and why."""

    run_windows: bool
    """Whether windows run; else every mutation takes a full pass."""
    reason: str
    """Why full passes run; empty where windows do."""
    predicted_speedup: float
    """Speed over that of full passes, by counted work; 1 for full passes themselves."""

    @classmethod
    def full_passes(cls, reason: str) -> "Decision":
        """Decide on full passes."""
        return cls(run_windows=False, reason=reason, predicted_speedup=1.0)


def predicted_speedup(work: Work, launches: LaunchCounts) -> float:
    """Return how many times cheaper windows are than a full pass for every mutation, starts of operations included."""
    planned = launches.mutations * work.planned + launches.blocks * work.block + launches.groups * work.group
    return launches.asked * work.full / max(1, planned)


def decide_for_model(work: Work, launches: LaunchCounts, min_speedup: float) -> Decision:
    """Decide for a model, by the launches of a saturation that fills the engine's groups and blocks."""
    speedup = predicted_speedup(work, launches)
    if speedup < min_speedup:
        return Decision.full_passes(f"windows would save too little, {speedup:.2f} times")
    return Decision(run_windows=True, reason="", predicted_speedup=speedup)


def decide_for_call(decision: Decision, work: Work, launches: LaunchCounts, min_speedup: float) -> Decision:
    """Decide for one saturation of a model: as for the model, or full passes where it asks for too few mutations.

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


def fewest_per_block(work: Work, min_speedup: float) -> float:
    """Return how many listed mutations a block must hold on average to be `min_speedup` times cheaper on windows."""
    gained = work.full - min_speedup * work.planned
    return min_speedup * (work.block + work.group) / gained if gained > 0 else math.inf
