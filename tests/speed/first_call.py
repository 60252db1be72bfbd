"""What the first call of fastISM costs beyond a second one, and how soon shell commands are done: ``make speed``.

Each case runs in three processes of its own, of which the middle one counts: the first also fills the caches of Python
files and of compiled kernels. Seconds are those of the processor on one thread, after the framework was imported and
the model built. Exits with 1 where a case takes longer than it may.

Names of models, frameworks and commands choose some of the cases: ``python tests/speed/first_call.py spliceai``,
``... keras``, ``... explain``. ``--output reports/engine/edges`` keeps a record.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

MOST_SECONDS, MOST_SECONDS_OF_LONG_MODELS, MOST_SECONDS_OF_COMMANDS = 2.5, 4.0, 3.0
ROUNDS, THREADS = 3, 1
MEASURE = "--measure"
"""First argument of the processes of the cases."""
PROCEDURE = (
    "What a first call takes beyond a second one, after the framework was imported and the model built, and what a "
    "shell command takes: seconds of the processor on one thread, medians over new processes, the first of which also "
    "fills the caches of Python files and of compiled kernels."
)


@dataclass(frozen=True)
class Case:
    """A model at a length, the positions that are asked for, and what its first call may cost."""

    name: str
    framework: Literal["torch", "keras"]
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

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    if case.framework == "keras":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
        tf.config.threading.set_inter_op_parallelism_threads(THREADS)
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
    command = [sys.executable, __file__, MEASURE, str(CASES.index(case))]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    first, second = json.loads(output.splitlines()[-1])
    return first, second


def command_seconds(arguments: Sequence[str]) -> float:
    """Return the processor's seconds of a shell command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "attribution_bench", *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> int:
    """Measure the cases and commands with some of the names, or all; returns 1 where one takes longer than it may."""
    # Imported here, so that the processes of the cases import nothing more than a user's.
    from recording import over_rounds, parser, recorder

    from attribution_bench.benchmark.bars import Bar
    from attribution_bench.reporting.labels import architecture_label

    asked = parser(__doc__).parse_args()
    records = recorder(asked.output, __file__, "The first call", PROCEDURE, THREADS)
    names = set(asked.names)
    table, missed = Table("model", "framework", "letters", "first call", "second", "difference", "at most"), []
    for case in CASES:
        if names and not {case.name, case.framework} & names:
            continue
        rounds = [calls(case) for _ in range(ROUNDS)]
        model = "SpliceAI" if case.name == "spliceai" else architecture_label(case.name)
        request = "a first call" if case.positions is None else "a first call for one position"
        bar = Bar(
            model, case.length, case.framework, request, "a second one", "seconds",
            **over_rounds([first - second for first, second in rounds]), sense="at most", limit=case.most,
        )  # fmt: skip
        records.keep(bar)
        medians = (statistics.median(part) for part in zip(*rounds, strict=True))
        cells = (f"{value:.2f}" for value in (*medians, bar.figure, case.most))
        table.add_row(case.name, case.framework, f"{case.length:,}", *cells)
        missed += [] if bar.met else [f"{case.name} ({case.framework}, {case.length:,})"]
    Console().print(table)
    table = Table("command", "seconds", "at most")
    for arguments in COMMANDS:
        if names and not set(arguments) & names:
            continue
        name = " ".join(("attribution-bench", *arguments))
        seconds = over_rounds([command_seconds(arguments) for _ in range(ROUNDS)])
        bar = Bar(
            name, None, None, "a shell command", "", "seconds", **seconds, sense="at most",
            limit=MOST_SECONDS_OF_COMMANDS,
        )  # fmt: skip
        records.keep(bar)
        table.add_row(name, f"{bar.figure:.2f}", f"{MOST_SECONDS_OF_COMMANDS}")
        missed += [] if bar.met else [name]
    Console().print(table)
    print(f"Longer than they may: {', '.join(missed)}." if missed else "None takes longer than it may.")
    return int(bool(missed))


if __name__ == "__main__":
    if sys.argv[1:2] == [MEASURE]:
        measure(CASES[int(sys.argv[2])])
    else:
        sys.exit(main())
