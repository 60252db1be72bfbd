"""What the blocks of one group of sequences share."""

from dataclasses import dataclass

from attribution_bench_plugins.fastism.execution.observer import Observer
from attribution_bench_plugins.fastism.execution.unmutated import UnmutatedActivations
from attribution_bench_plugins.fastism.execution.workers import Workers
from attribution_bench_plugins.fastism.planning.plan import Plan
from attribution_bench_plugins.fastism.planning.sizes import SizePolicy


@dataclass(frozen=True, eq=False)
class GroupRun:
    """A group of sequences whose mutations run together."""

    plan: Plan
    policy: SizePolicy
    unmutated: UnmutatedActivations
    workers: Workers
    observer: Observer | None = None
    """Watches every step; it is told of one at a time, so that there is one worker then."""
