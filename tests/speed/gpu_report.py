"""fastISM on a GPU in at most eight minutes, from a copy of the tree and PyTorch alone: ``make gpu-report``.

It checks every rule of the engine and the paper's three architectures against full passes, measures the rows of the
paper's Table 1 beside standard ISM, and profiles the steps. Records and profiles are those of the engine suite, so that
``attribution-bench report FOLDER`` renders them on any machine where the package is installed. Exits with 1 where a
check failed or a goal was missed.

Stages that do not fit the time are cut short, and say so. Nothing is installed, built or downloaded.
"""

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
GOALS = {
    ("basset", 1000): 0.15,
    ("basset", 2000): 0.35,
    ("factorized_basset", 1000): 0.30,
    ("factorized_basset", 2000): 0.65,
    ("bpnet", 1000): 1.0,
    ("bpnet", 2000): 2.5,
}
"""Seconds per 100 sequences that a GPU of an H200's speed should take, by architecture and length."""
ARCHITECTURES = tuple(dict.fromkeys(architecture for architecture, _ in GOALS))
TOLERANCES = {"float64": 1e-10, "float32": 1e-5}
"""Largest difference from full passes, as a part of the output's scale."""
SHARES = {"architectures": 0.15, "rules": 0.3, "table": 0.4}
"""Parts of the time that stages may take; what one leaves over goes to the profiles, the last stage."""
CHECKED_LENGTH = 400
"""Letters at which architectures are checked, at both ends and the middle."""


@dataclass(frozen=True)
class Comparison:
    """One model whose predictions on the device were compared with full passes."""

    name: str
    precision: str
    difference: float | None
    """Largest difference over the output's scale; None where the model could not be run."""
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether the difference lies within the tolerance of its precision."""
        return self.difference is not None and self.difference <= TOLERANCES[self.precision]


class Deadline:
    """Seconds that are left of the whole, and of a part of it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._end - time.monotonic())

    def part(self, share: float) -> "Deadline":
        """Return the deadline of a stage that may take a share of the whole, within what is left."""
        return Deadline(min(self.left, share * self.seconds))


@contextlib.contextmanager
def plugins_announced() -> Iterator[None]:
    """Let the tree's plugins be found by entry point where the package is not installed, as pip would."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with tempfile.TemporaryDirectory() as folder:
        from importlib.metadata import PackageNotFoundError, distribution

        try:
            distribution(project["name"])
        except PackageNotFoundError:
            information = Path(folder) / f"{project['name'].replace('-', '_')}-0.dist-info"
            information.mkdir()
            (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0\n")
            groups = project["entry-points"].items()
            lines = (f"[{group}]\n" + "\n".join(f"{n} = {v}" for n, v in points.items()) for group, points in groups)
            (information / "entry_points.txt").write_text("\n\n".join(lines) + "\n")
            sys.path.insert(0, folder)
        yield


def memory_without_psutil() -> None:
    """Stand in for psutil where it is not installed, by what Linux says of memory and this process alone."""
    with contextlib.suppress(ImportError):
        import psutil

        del psutil
        return

    def amounts(path: str) -> dict[str, int]:
        lines = (line.split() for line in Path(path).read_text().splitlines())
        return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if line[-1] == "kB"}

    def virtual_memory() -> SimpleNamespace:
        found = amounts("/proc/meminfo")
        return SimpleNamespace(total=found["MemTotal"], available=found["MemAvailable"])

    class Process:
        pid = "self"

        def children(self, recursive: bool) -> list["Process"]:
            return []

        def memory_info(self) -> SimpleNamespace:
            return SimpleNamespace(rss=amounts("/proc/self/status")["VmRSS"])

    module = ModuleType("psutil")
    vars(module).update(virtual_memory=virtual_memory, Process=Process, Error=OSError)
    sys.modules["psutil"] = module


def compare_architectures(
    device: str, deadline: Deadline, architectures: Sequence[str], length: int
) -> Iterator[Comparison]:
    """Compare architectures in both precisions, at some positions of real sequences."""
    import attribution_bench as ab
    from attribution_bench.sequences import lambda_windows

    positions = [0, 1, length // 2, length // 2 + 1, length - 1]
    x = lambda_windows(length, 2).one_hot()
    for architecture, precision in itertools.product(architectures, TOLERANCES):
        if not deadline.left:
            return
        with reported(f"{architecture} {length}", precision) as found:
            module = ab.get_model(architecture)(length)
            model = ab.as_sequence_model(module.double() if precision == "float64" else module, device=device)
            fast, standard = (
                dict(ab.get_method(method)(model).attribute(x, target="all", positions=positions).predictions)
                for method in ("fastism", "standard_ism")
            )
            found.append(difference(fast, standard))
        yield Comparison(f"{architecture} {length}", precision, *found)


def compare_rules(device: str, deadline: Deadline, names: Sequence[str] | None) -> Iterator[Comparison]:
    """Compare every small model of the tests in double precision, at every position, with full passes on the CPU."""
    import attribution_bench as ab
    from fastism_models import LENGTH, MODELS, build
    from parity import brute_force, one_hot

    x = one_hot(2, 4, LENGTH)
    for name in names or MODELS:
        if not deadline.left:
            return
        with reported(name, "float64") as found:
            module = build(name).double()
            truth = brute_force(module, x)
            model = ab.as_sequence_model(module.to(device), device=device)
            result = ab.get_method("fastism")(model, min_speedup=0).attribute(x, target="all")
            if "fallback" in result.metadata:
                raise AssertionError(f"fastISM fell back: {result.metadata['fallback']}")
            found.append(difference(dict(result.predictions), truth))
        yield Comparison(name, "float64", *found)


@contextlib.contextmanager
def reported(name: str, precision: str) -> Iterator[list]:
    """Collect the difference of a comparison; an error of the model becomes its result, with the traceback printed."""
    found: list = []
    try:
        yield found
    except Exception as error:  # a device may fail in any way, and the other comparisons are still worth making
        traceback.print_exc()
        found[:] = [None, f"{type(error).__name__}: {error}"]


def difference(found: dict, truth: dict) -> float:
    """Return the largest difference of any output over its scale."""
    import numpy as np

    from parity import SMALLEST_SCALE

    assert list(found) == list(truth)
    worst = 0.0
    for name, expected in truth.items():
        scale = max(float(np.abs(expected).max()), SMALLEST_SCALE)
        worst = max(worst, float(np.abs(found[name] - expected).max()) / scale)
    return worst


def measure_table(asked: argparse.Namespace, deadline: Deadline) -> dict[tuple[str, int], dict[str, float]]:
    """Measure Table 1's rows by fastISM and standard ISM; returns seconds per 100 sequences of both, by row."""
    from attribution_bench.benchmark.devices import default_batch_sizes
    from attribution_bench.benchmark.engine_suite import engine_rows
    from attribution_bench.benchmark.protocol import Settings
    from attribution_bench.benchmark.runner import run_benchmark
    from attribution_bench.environment import available_cores

    methods = ("fastism", "standard_ism")
    rows = engine_rows(asked.architectures, asked.lengths, (asked.sequences,), methods, device=asked.device)
    seconds: dict[tuple[str, int], dict[str, float]] = {}
    for number, row in enumerate(rows):
        # Warm-ups come on top of the budget of a cell, and take about as long again.
        budget = min(asked.cell_seconds, deadline.left / (len(rows) - number) / len(methods) / 2)
        if budget <= 0:
            break
        settings = Settings(budget=budget, batch_sizes=default_batch_sizes(asked.device))
        for record in run_benchmark([row], asked.output, settings, device=asked.device, threads=available_cores()):
            taken = record.seconds_per_100_sequences
            say(
                f"  {record.workload}: "
                + (record.error or record.status if taken is None else f"{taken:.3g} s per 100")
            )
            if taken is not None:
                seconds.setdefault((row.architecture, row.length), {})[record.workload.method] = taken
    return seconds


def measure_profiles(asked: argparse.Namespace, deadline: Deadline) -> None:
    """Profile fastISM on the architectures, and print the slowest steps of each."""
    from attribution_bench.benchmark.engine_profile import measure_profile
    from attribution_bench.benchmark.engine_suite import engine_rows
    from attribution_bench.environment import available_cores

    rows = engine_rows(asked.architectures, asked.lengths[:1], (1,), ("fastism",), device=asked.device)
    for number, row in enumerate(rows):
        budget = min(asked.cell_seconds, deadline.left / (len(rows) - number) / 2)
        if budget <= 0:
            say("  no time is left for the other profiles")
            return
        profile = measure_profile(
            row, asked.output, "fastism", budget=budget, device=asked.device, threads=available_cores(), fresh=True
        )
        found = profile.measured
        slowest = ", ".join(f"{node.layer} {node.seconds:.3g} s" for node in found.nodes[:3])
        say(f"  {row.architecture} {row.length}: {found.warm_seconds:.3g} s for {found.positions} positions; {slowest}")


def say(text: str) -> None:
    """Print a line at once, so that a run that is cut off has said what it found."""
    print(text, flush=True)


def goals_text(
    seconds: Mapping[tuple[str, int], Mapping[str, float]], lengths: Sequence[int]
) -> tuple[list[str], bool]:
    """Return a line a row of Table 1, and whether every row that has a goal met it."""
    lines, met = [], True
    for (architecture, length), goal in GOALS.items():
        if length not in lengths:
            continue
        found = seconds.get((architecture, length), {})
        fast, standard = found.get("fastism"), found.get("standard_ism")
        met &= fast is not None and fast <= goal
        measured = "not measured" if fast is None else f"{fast:.3g} s"
        ratio = "" if fast is None or standard is None else f", {standard / fast:.3g} times as fast as standard ISM"
        lines.append(f"  {architecture} {length}: {measured} per 100 sequences (goal {goal:g} s){ratio}")
    return lines, met


def main() -> int:
    """Run every stage; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("reports/gpu"), help="results folder")
    parser.add_argument("--device", default="cuda", help="PyTorch's name of the device")
    parser.add_argument("--seconds", type=float, default=460.0, help="time for all stages")
    parser.add_argument("--architectures", nargs="+", default=list(ARCHITECTURES), help="rows of Table 1")
    parser.add_argument("--lengths", type=int, nargs="+", default=[1000, 2000], help="letters of Table 1's rows")
    parser.add_argument("--sequences", type=int, default=100, help="sequences of a row")
    parser.add_argument("--cell-seconds", type=float, default=12.0, help="largest time budget of one figure")
    parser.add_argument("--rules", nargs="*", help="small models to check; all of them by default")
    asked = parser.parse_args()
    deadline = Deadline(asked.seconds)
    memory_without_psutil()
    # Kernels are of a CPU, and nothing is to be written but the results.
    os.environ.setdefault("ATTRIBUTION_BENCH_KERNEL_CACHE", "off")
    with plugins_announced():
        from attribution_bench.benchmark.runner import prepare_folder

        prepare_folder(asked.output)
        say("Parity of the architectures")
        length = min(CHECKED_LENGTH, *asked.lengths)
        compared = list(
            told(
                compare_architectures(asked.device, deadline.part(SHARES["architectures"]), asked.architectures, length)
            )
        )
        say("Parity of the rules")
        compared += told(compare_rules(asked.device, deadline.part(SHARES["rules"]), asked.rules))
        (asked.output / "parity.json").write_text(json.dumps([asdict(one) for one in compared], indent=1) + "\n")
        say("Table 1")
        seconds = measure_table(asked, deadline.part(SHARES["table"]))
        say("Slowest steps, timed one by one")
        measure_profiles(asked, deadline)
        lines, met = goals_text(seconds, asked.lengths)
        failed = [one for one in compared if not one.passed]
        say(f"{len(compared) - len(failed)} of {len(compared)} models agree with full passes.")
        say("\n".join(lines))
        say(f"{asked.seconds - deadline.left:.0f} s; render with: attribution-bench report {asked.output}")
    return int(bool(failed) or not compared or not met)


def told(comparisons: Iterator[Comparison]) -> Iterator[Comparison]:
    """Print each comparison as it ends."""
    for one in comparisons:
        found = one.error if one.difference is None else f"{one.difference:.1e}"
        say(f"  {'ok    ' if one.passed else 'FAILED'} {one.precision} {one.name}: {found}")
        yield one


if __name__ == "__main__":
    sys.exit(main())
