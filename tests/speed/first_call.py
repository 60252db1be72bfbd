"""What the first call of fastISM costs beyond a second one, and how soon shell commands are done: ``make speed``.

Each case runs in a process of its own, and again where it took longer than it may: the first run also fills the caches
of Python files and of compiled kernels. Seconds are those of the processor on one thread, after the framework was
imported and the model built. Exits with 1 where a case takes longer than it may.

Names of models, frameworks and commands choose some of the cases: ``python tests/speed/first_call.py spliceai``,
``... keras``, ``... explain``.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
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
COMMANDS = (("--help",), ("methods",), ("explain", "basset"))


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


def calls(case: Case) -> tuple[float, float]:
    """Return the seconds of a first and of a second call in a new process."""
    command = [sys.executable, __file__, "--measure", str(CASES.index(case))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    first, second = json.loads(output.splitlines()[-1])
    return first, second


def command_seconds(arguments: Sequence[str]) -> float:
    """Return the processor's seconds of a shell command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "attribution_bench", *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(names: Sequence[str]) -> int:
    """Measure the cases and commands with some of these names, or all; returns 1 where one takes longer than it may."""
    cases = [case for case in CASES if not names or {case.name, case.framework} & set(names)]
    commands = [arguments for arguments in COMMANDS if not names or set(arguments) & set(names)]
    table, missed = Table("model", "framework", "letters", "first call", "second", "difference", "at most"), []
    for case in cases:
        first, second = calls(case)
        if first - second > case.most:
            first, second = calls(case)
        cells = (f"{value:.2f}" for value in (first, second, first - second, case.most))
        table.add_row(case.name, case.framework, f"{case.length:,}", *cells)
        missed += [f"{case.name} ({case.framework}, {case.length:,})"] if first - second > case.most else []
    Console().print(table)
    table = Table("command", "seconds", "at most")
    for arguments in commands:
        name, seconds = " ".join(("attribution-bench", *arguments)), command_seconds(arguments)
        seconds = command_seconds(arguments) if seconds > MOST_SECONDS_OF_COMMANDS else seconds
        table.add_row(name, f"{seconds:.2f}", f"{MOST_SECONDS_OF_COMMANDS}")
        missed += [name] if seconds > MOST_SECONDS_OF_COMMANDS else []
    Console().print(table)
    print(f"Longer than they may: {', '.join(missed)}." if missed else "None takes longer than it may.")
    return int(bool(missed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="models, frameworks and commands; all by default")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.exit(main(options.names) if options.measure is None else measure(CASES[options.measure]))
