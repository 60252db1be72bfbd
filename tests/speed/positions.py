"""What some positions cost beside all of them, and spread ones beside neighbours: ``make speed``.

Windows run throughout, on one sequence and on eight. Seconds are those of the processor on one thread, so that other
programs on the machine matter little. Ratios are medians over rounds in which the three take turns.
Exits with 1 where some positions take more than 1.1 times the time of all, or 20 or more spread ones more than twice
that of neighbours. Names of models, or parts of them, choose among them; ``--output reports/engine/edges`` keeps a
record.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from recording import chosen, over_rounds, parser, recorder
from rich.console import Console
from rich.table import Table

import attribution_bench as ab
from attribution_bench.benchmark.bars import Bar
from parity import one_hot
from real_architectures import BPNet, DeepSTARR

MODELS: dict[str, tuple[Callable[[], torch.nn.Module], int]] = {
    "BPNet, 64 filters": (lambda: BPNet(filters=64, layers=6, trimming=50), 400),
    "DeepSTARR": (lambda: DeepSTARR(249), 249),
    "Basset": (partial(ab.get_model("basset"), length=600), 600),
}
COUNTS, SEQUENCES, ROUNDS = (20, 50, 100, 200), (1, 8), 7
MOST = {"all positions": 1.1, "as many neighbours": 2.0}
"""What spread positions are compared with -> how many times its seconds they may take."""
THREADS = 1
PROCEDURE = (
    "Positions at irregular distances over all of them, and over neighbouring ones. Windows run throughout, on one "
    "thread. A ratio of seconds of the processor is the median over rounds in which the three take turns."
)


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def compared(method: ab.Attribution, x: np.ndarray, count: int) -> tuple[float, dict[str, list[float]]]:
    """Return the seconds of spread positions, and in each round how many times those of others: by name, as `MOST`."""
    length = x.shape[2]
    random = np.random.default_rng(count).permutation(length)[:count]  # at irregular distances
    first = (length - count) // 2
    asked = {"spread": random, "as many neighbours": slice(first, first + count), "all positions": None}
    runs = {name: partial(method.attribute, x, target="all", positions=positions) for name, positions in asked.items()}
    for run in runs.values():
        run()
    rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    spread = statistics.median(taken["spread"] for taken in rounds)
    return spread, {name: [taken["spread"] / taken[name] for taken in rounds] for name in MOST}


def main() -> int:
    asked = parser(__doc__).parse_args()
    records = recorder(asked.output, __file__, "Spread positions", PROCEDURE, THREADS)
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    table = Table("model", "sequences", "spread positions", "ms", "to all", "to neighbours", "")
    missed = 0
    for name, (build, length) in MODELS.items():
        if not chosen(asked.names, name):
            continue
        method = ab.get_method("fastism")(build().eval(), min_speedup=0)
        for sequences in SEQUENCES:
            x = one_hot(sequences, 4, length).astype(np.float32)
            for count in COUNTS:
                if count >= length:
                    continue
                spread, ratios = compared(method, x, count)
                request = f"{count} spread positions" + (f", {sequences} sequences" if sequences > 1 else "")
                bars = [
                    Bar(name, length, "torch", request, beside, "ratio", **over_rounds(ratios[beside]),
                        sense="at most", limit=most)
                    for beside, most in MOST.items()
                ]  # fmt: skip
                records.keep(*bars)
                bad = not all(bar.met for bar in bars)
                missed += bad
                figures = (f"{bar.figure:.2f}" for bar in bars)
                table.add_row(
                    name, str(sequences), str(count), f"{spread * 1e3:.2f}", *figures, "MISSED" if bad else ""
                )
    Console(width=120).print(table)
    wanted = " and ".join(f"{most} of {beside}" for beside, most in MOST.items())
    print(f"{missed} missed; at most {wanted} are wanted.")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
