"""fastISM against the better of windows and full passes, from one mutation to all, in both frameworks: ``make speed``.

Windows are fastISM with ``min_speedup=0``, full passes are standard ISM; all are warm. Seconds are those of the
processor on one thread, by which fastISM decides here, too, so that other programs on the machine matter little. Ratios
are medians over rounds in which the methods take turns, which one first alternating; what takes more than twice as long
as another is no better and is measured twice only. A ratio beyond the bar is measured twice more, and the median of the
three counts. Exits with 1 where fastISM takes more than 1.1 times the better one. Names of models, or parts of them,
choose among them; ``--output reports/engine/edges`` keeps a record.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"

import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from recording import NoRecorder, Recorder, chosen, parser, recorder
from rich.console import Console
from rich.table import Table

import attribution_bench as ab
from attribution_bench.benchmark.bars import Bar
from attribution_bench_plugins.fastism import FastISM
from attribution_bench_plugins.fastism.engine import Engine, Options
from parity import one_hot
from real_architectures import ARCHITECTURES, BPNet, DeepSTARR, Enformer, RecurrentOnly, SpliceAI

MOST = 1.1
THREADS = 1
PROCEDURE = (
    "fastISM, which chooses between windows and full passes, over the better of the two: seconds of the processor on "
    "one thread, all warm. A ratio is the median over rounds in which they take turns; one beyond the bar was "
    "measured three times, of which the middle one counts, and the lowest and the highest are of all their rounds."
)
ROUNDS = (5, 101)
"""Fewest and most; as many as fit `ROUNDS_SECONDS`, since what takes milliseconds is noisier."""
ROUNDS_SECONDS = 0.6
CLEARLY = 2.0
"""What takes this many times as long as another method is not the better one."""
SETTLED = 8
"""Calls before the first measured one: what they take decides what the others run."""


@dataclass(frozen=True)
class Case:
    """A model, and sequences of it."""

    name: str
    build: Callable[[], Any]
    length: int
    extras: tuple[tuple[int, ...], ...] = ()
    framework: Literal["torch", "keras"] = "torch"

    @property
    def label(self) -> str:
        """The name that the command line and the printed table have."""
        return f"Keras: {self.name}" if self.framework == "keras" else self.name


def keras_small() -> Any:
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input((300, 4)),
            layers.Conv1D(16, 9, padding="same", activation="relu"),
            layers.MaxPooling1D(4),
            layers.Conv1D(16, 5, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(1),
        ]
    )


def keras_recurrent() -> Any:
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input((100, 4)),
            layers.Conv1D(16, 9, padding="same", activation="relu"),
            layers.MaxPooling1D(4),
            layers.LSTM(8),
            layers.Dense(1),
        ]
    )


def keras_model(name: str, length: int) -> Any:
    return ab.get_model(name)(length=length, framework="keras")


GRID = [
    Case("BPNet, 64 filters", lambda: BPNet(filters=64, layers=8, trimming=50), 500),
    Case("DeepSTARR", lambda: DeepSTARR(249), 249),
    Case("Enformer", lambda: Enformer(256), 256),
    Case("LSTM only", RecurrentOnly, 200),
    Case("SpliceAI", lambda: SpliceAI(40, crop_by_padding=False), 240),
    Case("small convolutional network", keras_small, 300, framework="keras"),
    Case("LSTM", keras_recurrent, 100, framework="keras"),
    Case("Basset", partial(keras_model, "basset", 500), 500, framework="keras"),
    Case("BPNet", partial(keras_model, "bpnet", 300), 300, framework="keras"),
]
"""Every request is tried."""
OTHERS = [Case(name, found.build, found.length, found.extras) for name, found in ARCHITECTURES.items()]
"""One position and all of one sequence, and all of 32 sequences, are tried."""

Ask = Callable[[ab.Attribution], Any]


def spread(count: int, length: int) -> list[int]:
    """Return `count` positions at equal distances."""
    return sorted({int(position) for position in np.linspace(0, length - 1, min(count, length) + 2)[1:-1]})


def requests(case: Case, *, every: bool) -> dict[tuple[str, int], Ask]:
    """Return what is asked of a model, by its name and the number of sequences."""
    length, random = case.length, np.random.default_rng(0)

    def inputs(count: int) -> dict[str, Any]:
        extras = tuple(random.random((count, *shape), np.float32) for shape in case.extras) or None
        return {
            "inputs": one_hot(count, 4, length).astype(np.float32),
            "target": "all",
            "additional_forward_args": extras,
        }

    def saturation(count: int, positions: Any) -> Ask:
        given = inputs(count)
        return lambda method: method.attribute(**given, positions=positions)

    def listed(count: int, positions: list[int]) -> Ask:
        mutations = [
            ab.Mutation(n, position, "ACGT"[(n + position) % 4]) for n in range(count) for position in positions
        ]
        given = inputs(count)
        return lambda method: method.predict_mutations(mutations=mutations, **given)

    asked: dict[tuple[str, int], Ask] = {("1 position", 1): saturation(1, [length // 2])}
    if every:
        asked |= {(f"{n} positions", 1): saturation(1, spread(n, length)) for n in (3, 30, 100) if n < length}
        asked |= {("every 5th position", 1): saturation(1, slice(0, None, 5))}
        asked |= {(f"list of {n}", 1): listed(1, spread(n, length)) for n in (1, 3, 30, 100) if n < length}
        asked |= {("list of every 5th", 1): listed(1, list(range(0, length, 5)))}
        asked |= {("list of all", 1): listed(1, list(range(length))), ("list of 1 each", 16): listed(16, [length // 2])}
        asked |= {("every 5th position", 8): saturation(8, slice(0, None, 5))}
    asked |= {("all positions", 1): saturation(1, None)}
    return asked if every else asked | {("all positions", 32): saturation(32, None)}


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


@dataclass(frozen=True)
class Measured:
    """Seconds of one request, and how many times those of the better one fastISM takes."""

    taken: Mapping[str, float]
    ratio: float
    rounds: tuple[float, ...]
    """The ratio in each round."""
    runs: str

    def bar(self, case: Case, name: str, count: int) -> Bar:
        """Return the ratio with its bar."""
        request = name if count == 1 else f"{name}, {count} sequences"
        return Bar(
            case.name, case.length, case.framework, request, "the better of windows and full passes", "ratio",
            self.ratio, min(self.rounds), max(self.rounds), len(self.rounds), "at most", MOST,
        )  # fmt: skip


def compare(methods: Mapping[str, ab.Attribution], ask: Ask) -> Measured:
    """Measure one request, all methods warm."""
    fast = methods["fastISM"]
    for _ in range(SETTLED):
        found = ask(fast)
    once = {name: min(seconds(partial(ask, method)) for _ in range(2)) for name, method in methods.items()}
    better = min(once["windows"], once["full passes"])
    turns = {name: method for name, method in methods.items() if name == "fastISM" or once[name] <= CLEARLY * better}
    rounds: list[dict[str, float]] = []
    for _ in range(max(ROUNDS[0], min(ROUNDS[1], int(ROUNDS_SECONDS / sum(once[name] for name in turns))))):
        rounds.append({name: seconds(partial(ask, method)) for name, method in turns.items()})
        turns = dict(reversed(turns.items()))  # what goes first finds the caches as the other one left them
    taken = once | {name: statistics.median(round_[name] for round_ in rounds) for name in turns}
    ratios = [tuple(round_["fastISM"] / round_[name] for round_ in rounds) for name in turns if name != "fastISM"]
    to_better = max(ratios, key=statistics.median)
    runs = "full passes" if "fallback" in getattr(found, "metadata", {}) else ""
    return Measured(taken, statistics.median(to_better), to_better, runs)


def fastism(model: ab.SequenceModel, **options: Any) -> FastISM:
    """Return fastISM, which decides by the seconds of the processor."""
    method = FastISM(model, **options)
    method.engine = Engine(method.model, Options(**method.options, clock=time.process_time))
    return method


def measured(case: Case, records: Recorder | NoRecorder, *, every: bool) -> list[tuple[str, int, Measured]]:
    """Measure every request of a model, and keep each as it is known."""
    model = ab.as_sequence_model(case.build())
    methods = {
        "fastISM": fastism(model),
        "windows": fastism(model, min_speedup=0),
        "full passes": ab.get_method("standard_ism")(model),
    }
    lines = []
    for (name, count), ask in requests(case, every=every).items():
        found = compare(methods, ask)
        if found.ratio > MOST:  # the machine may have been busy: the median of three tells
            three = sorted([found, *(compare(methods, ask) for _ in range(2))], key=lambda line: line.ratio)
            found = replace(three[1], rounds=tuple(ratio for line in three for ratio in line.rounds))
        lines.append((name, count, found))
        records.keep(found.bar(case, name, count))
        print(f"{case.label}, {count} x {name}: {found.ratio:.2f} {found.runs}", flush=True)
    return lines


def main() -> int:
    warnings.simplefilter("ignore")  # of fallbacks
    torch.set_num_threads(THREADS)
    asked = parser(__doc__).parse_args()
    records = recorder(asked.output, __file__, "Few positions and lists of mutations", PROCEDURE, THREADS)
    table = Table("model", "sequences", "request", "ms", "on windows", "by full passes", "ratio to the better", "")
    worst = 0.0
    for case, every in [*((case, True) for case in GRID), *((case, False) for case in OTHERS)]:
        if not chosen(asked.names, case.label):
            continue
        for name, count, found in measured(case, records, every=every):
            worst = max(worst, found.ratio)
            times = (f"{found.taken[key] * 1e3:.2f}" for key in ("fastISM", "windows", "full passes"))
            missed = "MISSED" if found.ratio > MOST else ""
            table.add_row(case.label, str(count), name, *times, f"{found.ratio:.2f}", missed)
    Console(width=140).print(table)
    print(f"At worst {worst:.2f} times the better of windows and full passes; at most {MOST} is wanted.")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
