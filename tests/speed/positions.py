"""What some positions cost beside all of them, and spread ones beside neighbours: ``make speed``.

Windows run throughout, on one sequence and on eight. Ratios are medians over rounds in which the three take turns.
Exits with 1 where some positions take more than 1.1 times the time of all, or 20 or more spread ones more than twice
that of neighbours.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import attribution_bench as ab
from parity import one_hot
from real_architectures import BPNet, DeepSTARR

MODELS: dict[str, tuple[Callable[[], torch.nn.Module], int]] = {
    "BPNet, 64 filters": (lambda: BPNet(filters=64, layers=6, trimming=50), 400),
    "DeepSTARR": (lambda: DeepSTARR(249), 249),
    "Basset": (partial(ab.get_model("basset"), length=600), 600),
}
COUNTS, SEQUENCES, ROUNDS = (20, 50, 100, 200), (1, 8), 7
MOST_OF_ALL, MOST_OF_NEIGHBOURS = 1.1, 2.0


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratios(method: ab.Attribution, x: np.ndarray, count: int) -> tuple[float, float, float]:
    """Return the seconds of spread positions, and their ratios to those of all and of as many neighbours."""
    length = x.shape[2]
    random = np.random.default_rng(count).permutation(length)[:count]  # at irregular distances
    first = (length - count) // 2
    asked = {"spread": random, "neighbours": slice(first, first + count), "all": None}
    runs = {name: partial(method.attribute, x, target="all", positions=positions) for name, positions in asked.items()}
    for run in runs.values():
        run()
    rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    spread = statistics.median(taken["spread"] for taken in rounds)
    of_all, of_neighbours = (
        statistics.median(taken["spread"] / taken[name] for taken in rounds) for name in ("all", "neighbours")
    )
    return spread, of_all, of_neighbours


def main() -> int:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    table = Table("model", "sequences", "spread positions", "ms", "to all", "to neighbours", "")
    missed = 0
    for name, (build, length) in MODELS.items():
        method = ab.get_method("fastism")(build().eval(), min_speedup=0)
        for sequences in SEQUENCES:
            x = one_hot(sequences, 4, length).astype(np.float32)
            for count in COUNTS:
                if count >= length:
                    continue
                spread, of_all, of_neighbours = ratios(method, x, count)
                bad = of_all > MOST_OF_ALL or of_neighbours > MOST_OF_NEIGHBOURS
                missed += bad
                cells = (f"{spread * 1e3:.2f}", f"{of_all:.2f}", f"{of_neighbours:.2f}", "MISSED" if bad else "")
                table.add_row(name, str(sequences), str(count), *cells)
    Console(width=120).print(table)
    print(f"{missed} missed; at most {MOST_OF_ALL} of all and {MOST_OF_NEIGHBOURS} of neighbours are wanted.")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
