"""What one run of fastISM is made of, measured apart from the figures, which timing its steps would disturb."""

import contextlib
import json
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attribution_bench.attribution import AttributionResult
from attribution_bench.benchmark.timer import CLOCK, Clock, timed
from attribution_bench.benchmark.workloads import Row
from attribution_bench.environment import (
    Commit,
    Machine,
    describe_machine,
    library_versions,
    source_commit,
    thread_count,
)
from attribution_bench.errors import DeviceError, InvalidInputError
from attribution_bench.files import write_whole
from attribution_bench.models import SequenceModel

if TYPE_CHECKING:
    import torch

PROFILES = "profiles"
"""Folder of the profiles inside a results folder."""
LEAST_POSITIONS = 64
"""With fewer, the unmutated pass, which they share, would seem to be most of the time."""
LEAST_FULL_PASSES = 8
"""The same for a model whose every mutation takes a full pass, which shares nothing."""
EXPECTED_SHARE = 0.2
"""Share of the matrix rate by which the measured positions are chosen to fit the budget."""
RUNS = 4
"""What the runs of a profile cost together: a first, a warm, and one on a single thread, which takes longer."""
MATRIX_SIZE = {"cpu": 2048}
ACCELERATOR_MATRIX_SIZE = 8192
MATRIX_ROUNDS = 5
PRECISION_ROUNDS = 3
COMPARED_POSITIONS = 8


@dataclass(frozen=True)
class NodeTime:
    """Seconds that one node of the plan took."""

    layer: str
    """The model's own name for it."""
    operation: str
    mode: str
    seconds: float


@dataclass(frozen=True)
class PrecisionTime:
    """fastISM with its products computed in one precision."""

    products: str
    """``float32``, or an option of fastISM's ``products``."""
    seconds: float
    """Of a warm run of the profile's positions."""
    error: float
    """Largest difference from full passes in double precision at a few positions, over the largest prediction."""
    delta_error: float
    """The same of predictions less the unmutated one, over the largest such difference."""


@dataclass(frozen=True)
class EngineProfile:
    """One model and length: counted work, the machine's matrix products, cold and warm seconds, and the nodes' times.

    The runs are of one sequence; times are seconds of a monotonic clock.
    """

    architecture: str
    length: int
    framework: str
    device: str
    threads: int
    budget: float
    """Seconds that the three runs were to take together."""
    machine: Machine
    versions: Mapping[str, str]
    commit: Commit | None
    letters: int
    """Of the alphabet; each position has one alternative less."""
    products_standard: int
    """Multiply-accumulates of a full pass; 0 where the model could not be captured."""
    products_fast: int
    """Multiply-accumulates of one mutation in the middle of the sequence, as planned."""
    predicted_ratio: float
    fallback: str
    """Why every mutation takes a full pass; empty where the engine runs."""
    matrix_products_per_second: float
    """Multiply-accumulates a second of a large matrix product, on the same device, threads and precision."""
    capture_seconds: float
    """Capture and plan."""
    positions: int
    """Mutated positions of each run, in the middle of the sequence."""
    first_seconds: float
    """The first run after capture and plan, with the self-check."""
    warm_seconds: float
    single_thread_seconds: float
    """The run in which the nodes were timed: on one thread, so that their times add up."""
    nodes: tuple[NodeTime, ...]
    """The most expensive first; empty where no plan ran. What is missing to the run's time was spent between them."""
    date: str
    """ISO 8601 in UTC."""
    precisions: tuple[PrecisionTime, ...] = ()
    """Full precision first; empty where no plan ran, or the model has no copy in double precision."""

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``profiles/<model>-<length>-<framework>.json`` into a results folder, whole or not at all.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        text = json.dumps(asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"
        return write_whole(_path(folder, self.architecture, self.length, self.framework), text)

    @classmethod
    def load(cls, path: Path) -> "EngineProfile":
        """Read what `save` wrote; raises InvalidInputError naming a file that holds no profile."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            nested = {
                "machine": Machine(**data["machine"]),
                "commit": data["commit"] and Commit(**data["commit"]),
                "nodes": tuple(NodeTime(**node) for node in data["nodes"]),
                "precisions": tuple(PrecisionTime(**precision) for precision in data["precisions"]),
            }
            return cls(**{**data, **nested})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(f"{path} is no profile of fastISM that can be read: {error}") from error


def load_profiles(folder: str | os.PathLike[str]) -> tuple[EngineProfile, ...]:
    """Read every profile of a results folder, sorted by file name; raises as `EngineProfile.load` does."""
    return tuple(EngineProfile.load(path) for path in sorted((Path(folder) / PROFILES).glob("*.json")))


def measure_profile(
    row: Row,
    folder: str | os.PathLike[str],
    *,
    budget: float,
    device: str,
    threads: int,
    fresh: bool = False,
    clock: Clock = CLOCK,
) -> EngineProfile:
    """Profile fastISM on a row's model and store it; one stored under the same conditions is returned as it is.

    Parameters
    ----------
    budget
        Seconds for the runs; they take as many positions as should fit, and no fewer than tell something.
    device
        As the row's framework names it.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    conditions: dict[str, Any] = {
        "architecture": row.architecture,
        "length": row.length,
        "framework": row.framework,
        "device": device,
        "threads": threads,
        "budget": budget,
        "machine": describe_machine(device),
        "versions": library_versions(),
        "commit": source_commit(),
    }
    if not fresh:
        with contextlib.suppress(InvalidInputError):  # missing, or of another version: it is measured again
            earlier = EngineProfile.load(_path(folder, row.architecture, row.length, row.framework))
            if all(getattr(earlier, name) == value for name, value in conditions.items()):
                return earlier
    with thread_count(row.framework, threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the figures' records keep what fastISM warns of
        measured = _measure(row, budget, clock)
    profile = EngineProfile(**conditions, **measured, date=datetime.now(UTC).isoformat(timespec="seconds"))
    profile.save(folder)
    return profile


def _path(folder: str | os.PathLike[str], architecture: str, length: int, framework: str) -> Path:
    return Path(folder) / PROFILES / f"{architecture}-{length}-{framework}.json"


def _measure(row: Row, budget: float, clock: Clock) -> dict[str, Any]:
    from attribution_bench_plugins.fastism import FastISM
    from attribution_bench_plugins.fastism.capture.source import source_of

    model = row.build()
    one_hot = model.alphabet.one_hot(row.sequences.strings[:1])
    letters, source = len(model.alphabet), source_of(model)
    method = FastISM(model)
    planned = timed(clock, partial(method.explain, row.length))
    explanation, rate = planned.value, matrix_rate(source.device, source.dtype, clock)
    standard = sum(layer.products_standard for layer in explanation.layers)
    fast = sum(layer.products_fast for layer in explanation.layers)
    products, least = (standard, LEAST_FULL_PASSES) if explanation.fallback else (fast, LEAST_POSITIONS)
    seconds_each = products * (letters - 1) / (rate * EXPECTED_SHARE)
    affordable = int(budget / RUNS / seconds_each) if seconds_each else 0
    positions = min(row.length, max(least, affordable))
    start = (row.length - positions) // 2
    run = partial(method.attribute, one_hot, target="all", positions=slice(start, start + positions))
    first, warm = timed(clock, run), timed(clock, run)
    with thread_count("torch", 1), timed_steps(clock, source.device) as seconds:
        single = timed(clock, run)
    nodes = [NodeTime(*node, taken) for node, taken in sorted(seconds.items(), key=lambda item: -item[1])]
    return {
        "letters": letters,
        "products_standard": standard,
        "products_fast": fast,
        "predicted_ratio": explanation.predicted_ratio,
        "fallback": explanation.fallback,
        "matrix_products_per_second": rate,
        "capture_seconds": planned.seconds,
        "positions": positions,
        "first_seconds": first.seconds,
        "warm_seconds": warm.seconds,
        "single_thread_seconds": single.seconds,
        "nodes": tuple(nodes),
        "precisions": () if explanation.fallback else _precisions(model, one_hot, run.keywords["positions"], clock),
    }


def _precisions(
    model: SequenceModel, one_hot: NDArray[np.floating], positions: slice, clock: Clock
) -> tuple[PrecisionTime, ...]:
    """Time fastISM's precisions of products that there are here, and compare each with double precision."""
    from attribution_bench_plugins.fastism import FastISM
    from attribution_bench_plugins.fastism.method import PRODUCTS
    from attribution_bench_plugins.standard_ism import StandardISM

    double = model.in_double()
    if double is None or model.numpy_dtype != np.float32:
        return ()
    few = np.linspace(positions.start, positions.stop - 1, COMPARED_POSITIONS).astype(int)
    truth = StandardISM(double).attribute(one_hot, target="all", positions=few)
    found = []
    for products in (None, *PRODUCTS):
        run = partial(FastISM(model, matmul_precision=products).attribute, one_hot, target="all", positions=positions)
        try:
            run()
        except DeviceError:
            continue
        runs = [timed(clock, run) for _ in range(PRECISION_ROUNDS)]
        errors = _errors(runs[-1].value, truth, few - positions.start)
        found.append(PrecisionTime(products or "float32", min(run.seconds for run in runs), *errors))
    return tuple(found)


def _errors(found: AttributionResult, truth: AttributionResult, places: NDArray[np.int64]) -> tuple[float, float]:
    """Return the largest error of predictions and of their differences from the unmutated ones, over their scales."""
    errors: list[float] = []
    delta_errors: list[float] = []
    for name, expected in truth.predictions.items():
        predicted = found.predictions[name][:, :, places]
        change = expected - truth.reference_predictions[name][:, None, None]
        found_change = predicted - found.reference_predictions[name][:, None, None]
        for into, wrong, scale in (
            (errors, predicted - expected, expected),
            (delta_errors, found_change - change, change),
        ):
            into.append(float(np.abs(wrong).max() / np.abs(scale).max()))
    return max(errors), max(delta_errors)


def matrix_rate(device: "torch.device", dtype: "torch.dtype", clock: Clock = CLOCK) -> float:
    """Return the multiply-accumulates a second of a large square matrix product in PyTorch, the best of a few."""
    import torch

    size = MATRIX_SIZE.get(device.type, ACCELERATOR_MATRIX_SIZE)
    random = torch.Generator(device).manual_seed(0)
    left, right = (torch.rand(size, size, device=device, dtype=dtype, generator=random) for _ in range(2))

    def multiply() -> None:
        left @ right
        _wait(device)

    multiply()
    return float(size**3 / min(timed(clock, multiply).seconds for _ in range(MATRIX_ROUNDS)))


@contextlib.contextmanager
def timed_steps(clock: Clock, device: "torch.device") -> "Iterator[dict[tuple[str, str, str], float]]":
    """Time the steps of fastISM's walks within the block, which must run on one thread.

    Yields a dict that grows: (layer, operation, mode) -> seconds. What a compiled kernel does on the way counts as the
    step's that the kernel is of.
    """
    from attribution_bench_plugins.fastism.execution import blocks as execute
    from attribution_bench_plugins.fastism.execution import head as late
    from attribution_bench_plugins.fastism.execution import interpreter as block_run
    from attribution_bench_plugins.fastism.kernels.program import Prepared
    from attribution_bench_plugins.fastism.ops.base import MergingOperation
    from attribution_bench_plugins.fastism.planning.plan import Plan
    from attribution_bench_plugins.fastism.planning.step import Step

    seconds: dict[tuple[str, str, str], float] = defaultdict(float)
    merging: list[Any] = []
    plain, plain_run = block_run.BlockInterpreter, Prepared.run
    within: list[float] = [0.0]
    steps_by_name: dict[str, Step] = {}

    def spend(step: Step, call: Callable[[], Any]) -> Any:
        def complete() -> Any:
            value = call()
            _wait(device)
            return value

        before = within[0]
        done = timed(clock, complete)
        # What kernels took that ran meanwhile is theirs.
        seconds[step.node.layer, step.node.op, step.mode] += done.seconds - (within[0] - before)
        return done.value

    def run_timed(prepared: Prepared) -> None:
        for first in range(0, prepared.rows, prepared.chunk):
            for entry in prepared.entries:
                entry.arguments[0], entry.arguments[1] = first, min(prepared.chunk, prepared.rows - first)
                took = timed(clock, partial(entry.function, entry.arguments)).seconds
                step = steps_by_name[entry.call.node]
                seconds[step.node.layer, step.node.op, step.mode] += took
                within[0] += took

    class TimedRun(plain):  # type: ignore[misc, valid-type]
        def __init__(self, plan: Plan, *arguments: Any) -> None:
            super().__init__(plan, *arguments)
            steps_by_name.update(plan.steps)
            for step in plan.steps.values():
                # The walk calls these of itself, with the operands of every block.
                operation: Any = step.operation
                if isinstance(operation, MergingOperation) and operation not in merging:
                    merging.append(operation)
                    vars(operation)["run_merged"] = _timing(spend, step, operation.run_merged)

        def run_step(self, step: Step, last_uses: frozenset[str]) -> None:
            spend(step, partial(super().run_step, step, last_uses))

    for module in (execute, late):
        vars(module)["BlockInterpreter"] = TimedRun
    Prepared.run = run_timed  # type: ignore[assignment, method-assign]
    try:
        yield seconds
    finally:
        Prepared.run = plain_run  # type: ignore[method-assign]
        for module in (execute, late):
            vars(module)["BlockInterpreter"] = plain
        for operation in merging:
            del vars(operation)["run_merged"]


def _timing(spend: Callable[..., Any], step: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: spend(step, partial(call, *arguments))


def _wait(device: "torch.device") -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
