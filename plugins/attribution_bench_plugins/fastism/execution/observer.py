"""What may watch the interpreter at work."""

from collections.abc import Callable
from typing import Protocol

from attribution_bench_plugins.fastism.kernels.program import KernelObserver
from attribution_bench_plugins.fastism.planning.step import Step


class Observer(KernelObserver, Protocol):
    """What watches a walk: it runs each step and each call of a kernel itself, and may time them.

    The results of lazy windows are computed by kernels that run within the step that asks for their numbers.
    """

    def run_step(self, step: Step, run: Callable[[], None]) -> None:
        """Run a step of the plan for one block of mutations, or for the head."""
