"""What the first call of fastISM costs beyond a second one, and how soon shell commands are done: ``make speed``.

Each case runs in a process of its own, twice: the first fills the caches of Python files and of compiled kernels, the
second counts. Seconds are those of the processor on one thread, after the framework was imported and the model built.
Exits with 1 where a case takes longer than it may.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

MOST_SECONDS, MOST_SECONDS_OF_LONG_MODELS, MOST_SECONDS_OF_COMMANDS = 2.5, 4.0, 3.0


@dataclass(frozen=True)
class Case:
    """A model at a length, the positions that are asked for, and what its first call may cost."""

    name: str
    framework: str
    length: int
    most: float = MOST_SECONDS
    positions: tuple[int, ...] | None = None


CASES = [
    *(Case(name, "torch", 1000) for name in ("basset", "factorized_basset", "bpnet")),
    Case("bpnet", "torch", 4000),
    Case("spliceai", "torch", 10_101, MOST_SECONDS_OF_LONG_MODELS, (5050,)),
    *(Case(name, "keras", 1000) for name in ("basset", "factorized_basset", "bpnet")),
    Case("spliceai", "keras", 10_101, MOST_SECONDS_OF_LONG_MODELS, (5050,)),
]
COMMANDS = (["--help"], ["methods"], ["explain", "basset"])


def built(case: Case) -> Any:
    """Return the model of a case, with random weights."""
    import torch

    import attribution_bench as ab

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if case.framework == "keras":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    if case.name != "spliceai":
        return ab.get_model(case.name)(length=case.length, framework=case.framework)
    if case.framework == "keras":
        from keras_full_passes import spliceai

        return spliceai(case.length)
    from variants import SpliceAI

    return SpliceAI().eval()


def measure(case: Case) -> None:
    """Print the seconds of a first and of a second call, as JSON."""
    model = built(case)
    import attribution_bench as ab

    letters = np.random.default_rng(1).integers(0, 4, (1, case.length))
    one_hot = np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)
    method, seconds = ab.get_method("fastism")(model), []
    for _ in range(2):
        start = time.process_time()
        method.attribute(one_hot, target="all", positions=case.positions)
        seconds.append(time.process_time() - start)
    print(json.dumps(seconds))


def calls(index: int) -> tuple[float, float]:
    """Return the seconds of a first and of a second call in a new process, with filled caches."""
    command = [sys.executable, __file__, str(index)]
    outputs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)]
    first, second = json.loads(outputs[-1].splitlines()[-1])
    return first, second


def command_seconds(arguments: list[str]) -> float:
    """Return the processor's seconds of a shell command, with filled caches."""
    command = [sys.executable, "-m", "attribution_bench", *arguments]
    seconds = 0.0
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return seconds


def main() -> int:
    """Measure every case and command; returns 1 where one takes longer than it may."""
    table, missed = Table("model", "framework", "letters", "first call", "second", "difference", "at most"), []
    for index, case in enumerate(CASES):
        first, second = calls(index)
        cells = (f"{value:.2f}" for value in (first, second, first - second, case.most))
        table.add_row(case.name, case.framework, f"{case.length:,}", *cells)
        missed += [f"{case.name} ({case.framework}, {case.length:,})"] if first - second > case.most else []
    Console().print(table)
    table = Table("command", "seconds", "at most")
    for arguments in COMMANDS:
        name, seconds = " ".join(("attribution-bench", *arguments)), command_seconds(arguments)
        table.add_row(name, f"{seconds:.2f}", f"{MOST_SECONDS_OF_COMMANDS}")
        missed += [name] if seconds > MOST_SECONDS_OF_COMMANDS else []
    Console().print(table)
    print(f"Longer than they may: {', '.join(missed)}." if missed else "None takes longer than it may.")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(measure(CASES[int(sys.argv[1])]) if len(sys.argv) > 1 else main())
