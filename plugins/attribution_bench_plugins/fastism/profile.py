"""The profile of fastISM: times of the capture, of runs, of each step, and of precisions of products."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from attribution_bench.attribution import Attribution, AttributionResult
from attribution_bench.benchmark.engine_profile import MeasuredProfile, NodeTime, PrecisionTime
from attribution_bench.benchmark.matrix_rate import matrix_rate, synchronize
from attribution_bench.environment import thread_count
from attribution_bench.errors import DeviceError
from attribution_bench.timer import Clock, timed
from attribution_bench_plugins.fastism.capture.source import source_of
from attribution_bench_plugins.fastism.engine import Engine
from attribution_bench_plugins.fastism.execution.interpreter import Observer
from attribution_bench_plugins.fastism.kernels.program import KernelCall
from attribution_bench_plugins.fastism.planning.step import Step
from attribution_bench_plugins.standard_ism import StandardISM

LEAST_POSITIONS = 64
"""Mutated positions of a run at least: with fewer, the unmutated pass, which they share, would dominate the time."""
LEAST_FULL_PASSES = 8
"""The same for a model whose every mutation takes a full pass, which shares nothing."""
EXPECTED_SHARE = 0.2
"""Assumed share of the matrix rate, by which measured positions are chosen to fit the budget."""
RUNS = 4
"""Cost of the runs of a profile, in runs: a first, a warm, and one on a single thread, which takes longer."""
PRECISION_ROUNDS = 3
COMPARED_POSITIONS = 8


def measure(
    method: Attribution,
    engine: Engine,
    one_hot: NDArray[np.floating],
    *,
    precisions: Sequence[str],
    budget: float,
    clock: Clock,
) -> MeasuredProfile:
    """Profile fastISM on one sequence (1, A, L); the method must not have been called before.

    Parameters
    ----------
    budget
        Seconds for the runs; they take as many positions as should fit, and no fewer than tell something.
    """
    length, letters = one_hot.shape[2], one_hot.shape[1]
    source = source_of(method.model)
    planned = timed(clock, partial(engine.explain, length, ()))
    explanation, rate = planned.value, matrix_rate(source.device, source.dtype, clock)
    standard = sum(layer.products_standard for layer in explanation.layers)
    fast = sum(layer.products_fast for layer in explanation.layers)
    macs, least = (standard, LEAST_FULL_PASSES) if explanation.fallback else (fast, LEAST_POSITIONS)
    seconds_each = macs * (letters - 1) / (rate * EXPECTED_SHARE)
    affordable = int(budget / RUNS / seconds_each) if seconds_each else 0
    count = min(length, max(least, affordable))
    start = (length - count) // 2
    positions = slice(start, start + count)
    run = partial(method.attribute, one_hot, target="all", positions=positions)
    first, warm = timed(clock, run), timed(clock, run)
    timer = StepTimer(clock, source.device)
    with thread_count("torch", 1), observed(engine, timer):
        single = timed(clock, run)
    # Where full passes run, windows are tried now and then on a few mutations, which is no profile of anything.
    steps = {} if explanation.fallback else timer.seconds
    nodes = [NodeTime(*node, taken) for node, taken in sorted(steps.items(), key=lambda item: -item[1])]
    return MeasuredProfile(
        letters=letters,
        products_standard=standard,
        products_fast=fast,
        predicted_ratio=explanation.predicted_ratio,
        fallback=explanation.fallback,
        matrix_products_per_second=rate,
        capture_seconds=planned.seconds,
        positions=count,
        first_seconds=first.seconds,
        warm_seconds=warm.seconds,
        single_thread_seconds=single.seconds,
        nodes=tuple(nodes),
        precisions=() if explanation.fallback else _precisions(method, precisions, one_hot, positions, clock),
    )


def _precisions(
    method: Attribution, precisions: Sequence[str], one_hot: NDArray[np.floating], positions: slice, clock: Clock
) -> tuple[PrecisionTime, ...]:
    """Time the precisions of products that the device has, and compare each with double precision."""
    model = method.model
    double = model.in_double()
    if double is None or model.numpy_dtype != np.float32:
        return ()
    few = np.linspace(positions.start, positions.stop - 1, COMPARED_POSITIONS).astype(int)
    truth = StandardISM(double).attribute(one_hot, target="all", positions=few)
    found = []
    for precision in (None, *precisions):
        other = type(method)(model, **{**method.options, "matmul_precision": precision})
        run = partial(other.attribute, one_hot, target="all", positions=positions)
        try:
            run()
        except DeviceError:
            continue
        runs = [timed(clock, run) for _ in range(PRECISION_ROUNDS)]
        errors = _errors(runs[-1].value, truth, few - positions.start)
        found.append(PrecisionTime(precision or "float32", min(run.seconds for run in runs), *errors))
    return tuple(found)


def _errors(found: AttributionResult, truth: AttributionResult, places: NDArray[np.int64]) -> tuple[float, float]:
    """Return the largest error of predictions and of their differences from the unmutated ones, over their scales."""

    def error(values: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
        return float(np.abs(values - expected).max() / np.abs(expected).max())

    errors = []
    for name, expected in truth.predictions.items():
        predicted = found.predictions[name][:, :, places]
        before, found_before = (of.reference_predictions[name][:, None, None] for of in (truth, found))
        errors.append((error(predicted, expected), error(predicted - found_before, expected - before)))
    return max(error for error, _ in errors), max(error for _, error in errors)


class StepTimer:
    """Times the steps of an engine, which must run on one thread."""

    def __init__(self, clock: Clock, device: torch.device) -> None:
        self._clock, self._device = clock, device
        self._steps: dict[str, Step] = {}
        self._in_kernels = 0.0
        self.seconds: dict[tuple[str, str, str], float] = defaultdict(float)
        """(layer, operation, mode) -> seconds. The time of a kernel is that of the step whose kernel it is."""

    def run_step(self, step: Step, run: Callable[[], None]) -> None:
        """Run a step; kernels that run meanwhile are counted for their own steps."""
        self._steps[step.node.name] = step

        def complete() -> None:
            run()
            synchronize(self._device)

        before = self._in_kernels
        self._spend(step, timed(self._clock, complete).seconds - (self._in_kernels - before))

    def run_kernel(self, call: KernelCall, run: Callable[[], None]) -> None:
        """Run a kernel for some rows."""
        seconds = timed(self._clock, run).seconds
        self._spend(self._steps[call.node], seconds)
        self._in_kernels += seconds

    def _spend(self, step: Step, seconds: float) -> None:
        self.seconds[step.node.layer, step.node.op, step.mode] += seconds


@contextlib.contextmanager
def observed(engine: Engine, observer: Observer) -> Iterator[None]:
    """Let an observer watch an engine within the block."""
    engine.observer = observer
    try:
        yield
    finally:
        engine.observer = None
