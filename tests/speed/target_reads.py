"""What a target costs that reads a part of the outputs, beside all of them, and a crop in a model, beside full passes.

Run by ``make speed``. Part one: every mutation of a sequence of 2,000 letters for one position of BPNet's profile, as
an index and as functions that slice, beside the whole profile. Part two: 100 positions in the middle of 10,101 letters
on a model of SpliceAI's size, which gives 101 positions, beside as many full passes. Seconds are those of the processor
on one thread, the two take turns, and ratios are medians over rounds; the self-check, which first calls make, is off.
Exits with 1 where a ratio misses its bar. Names of models, or parts of them, choose between the two; ``--output
reports/engine/edges`` keeps a record.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from recording import NoRecorder, Recorder, chosen, over_rounds, parser, recorder
from rich.console import Console
from rich.table import Table
from variants import SpliceAI

import attribution_bench as ab
from attribution_bench.benchmark.bars import Bar
from attribution_bench.models import predict

SEED, ROUNDS, THREADS = 0, 5, 1
PROCEDURE = (
    "Every mutation of a sequence for a part of a profile, over the same for all of it; and full passes over "
    "mutations of a model that crops its outputs to 101 positions: how many times as long they take. Seconds of the "
    "processor on one thread, without self-checks; medians of the ratios of rounds in which the compared requests "
    "take turns."
)
PROFILE_LENGTH, MIDDLE, MOST_OF_PROFILE = 2000, 1000, 0.35
TARGETS: Mapping[str, Any] = {
    "the whole profile": "profile",
    "position 1,000 of the profile": ("profile", MIDDLE),
    "a function of position 1,000": ("profile", lambda profile: profile[..., MIDDLE]),
    "a function that sums 20 positions": ("profile", lambda profile: profile[:, MIDDLE - 10 : MIDDLE + 10].sum(1)),
}
CROPPED_LENGTH, MUTATED, FEWEST_TIMES = 10_101, 100, 16
BATCH_SIZE = 4
"""Sequences of a full pass of the long model: those of larger batches leave the cache."""


def one_hot(count: int, length: int) -> NDArray[np.float32]:
    """Return random sequences (count, 4, length)."""
    letters = np.random.default_rng(SEED).integers(0, 4, (count, length))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)


def taking_turns(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the processor's seconds of some functions in each round, after two runs of each that do not count."""
    for run in runs.values():  # the plan and its kernels are made once
        run()
        run()
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            found[name].append(time.process_time() - start)
    return found


def parts_of_a_profile(records: Recorder | NoRecorder) -> bool:
    """Measure the parts of BPNet's profile; returns whether every one meets its bar."""
    torch.manual_seed(SEED)
    method = ab.get_method("fastism")(ab.get_model("bpnet")(PROFILE_LENGTH).eval(), self_check=False)
    x = one_hot(1, PROFILE_LENGTH)
    runs = {name: (lambda target=target: method.attribute(x, target=target)) for name, target in TARGETS.items()}
    (beside, whole), *parts = taking_turns(runs, ROUNDS).items()
    table, met = Table("BPNet, 2,000 letters", "seconds", "of the whole profile", "ratio", "at most"), True
    for name, seconds in parts:
        ratios = over_rounds([mine / all_ for mine, all_ in zip(seconds, whole, strict=True)])
        bar = Bar(
            "BPNet", PROFILE_LENGTH, "torch", name, beside, "ratio", **ratios, sense="at most", limit=MOST_OF_PROFILE
        )
        records.keep(bar)
        met &= bar.met
        medians = (f"{statistics.median(part):.3f}" for part in (seconds, whole))
        table.add_row(name, *medians, f"{bar.figure:.2f}", f"{MOST_OF_PROFILE:.2f}")
    Console().print(table)
    return met


def crop_in_a_model(records: Recorder | NoRecorder) -> bool:
    """Measure mutations in the middle of a model of SpliceAI's size; returns whether they meet their bar."""
    torch.manual_seed(SEED)
    model = ab.as_sequence_model(SpliceAI().eval())
    method, x = ab.get_method("fastism")(model, self_check=False), one_hot(BATCH_SIZE, CROPPED_LENGTH)
    first = (CROPPED_LENGTH - MUTATED) // 2

    def in_full() -> None:
        with model.inference():
            predict(model, x, batch_size=BATCH_SIZE)

    runs = {
        "windows": lambda: method.attribute(x[:1], target="all", positions=slice(first, first + MUTATED)),
        "full": in_full,
    }
    found = taking_turns(runs, 3)
    passes = 1 + 3 * MUTATED
    full = [seconds / BATCH_SIZE * passes for seconds in found["full"]]
    ratios = over_rounds([theirs / ours for ours, theirs in zip(found["windows"], full, strict=True)])
    what, beside = f"{MUTATED} positions in the middle", f"{passes} full passes"
    bar = Bar(
        "SpliceAI", CROPPED_LENGTH, "torch", what, beside, "ratio", **ratios, sense="at least", limit=FEWEST_TIMES
    )
    records.keep(bar)
    table = Table("SpliceAI's size, 10,101 letters", "seconds", "of full passes", "times", "at least")
    ours, theirs = statistics.median(found["windows"]), statistics.median(full)
    table.add_row(what, f"{ours:.2f}", f"{theirs:.1f}", f"{bar.figure:.1f}", str(FEWEST_TIMES))
    Console().print(table)
    return bar.met


PARTS: Mapping[str, Callable[[Recorder | NoRecorder], bool]] = {
    "BPNet": parts_of_a_profile,
    "SpliceAI": crop_in_a_model,
}


def main() -> int:
    asked = parser(__doc__).parse_args()
    records = recorder(asked.output, __file__, "A part of the outputs", PROCEDURE, THREADS)
    torch.set_num_threads(THREADS)
    met = [part(records) for name, part in PARTS.items() if chosen(asked.names, name)]
    print("Every ratio meets its bar." if all(met) else "A ratio misses its bar.")
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
