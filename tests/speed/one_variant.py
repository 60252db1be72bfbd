"""What a position with its three alternatives costs beside two full passes, and scattered variants beside theirs.

Run by ``make speed``. Part one: the reference pass and the three alternatives of one position of one sequence, by
`attribute`, beside two full passes in one batch. Part two: one substitution at another position of each of many
sequences, by `predict_mutations`, beside two full passes a sequence. Seconds are those of the processor on one thread,
the two take turns, and ratios are medians over rounds; BPNet at 2,000 letters, the model of ChromBPNet's size, and
SpliceAI at 10,101 letters. Exits with 1 where a ratio is above its bar. Names of models, or parts of them, choose among
them; ``--output reports/engine/edges`` keeps a record.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from recording import chosen, over_rounds, parser, recorder
from rich.console import Console
from rich.table import Table
from variants import SpliceAI

import attribution_bench as ab
from attribution_bench.benchmark.bars import Bar
from attribution_bench.models import predict

SEED, THREADS = 0, 1
PROCEDURE = (
    "Calls in Python, the reference pass included: of attribute for one position, and of predict_mutations for "
    "one substitution at another position of each of many sequences. Seconds of the processor on one thread, over "
    "those of two full passes a sequence; medians of the ratios of rounds in which the two take turns."
)
BATCH_SIZE = 8
"""Sequences of a full pass: those of larger batches leave the cache."""


@dataclass(frozen=True)
class Case:
    """A model at a length, with its bars."""

    name: str
    build: Callable[[], torch.nn.Module]
    length: int
    most: float
    """Of two full passes, for one position and its three alternatives."""
    sequences: int
    """Scattered variants, one a sequence."""
    rounds: int


CASES = (
    Case("BPNet", lambda: ab.get_model("bpnet")(2000), 2000, 1.0, 100, 21),
    Case("ChromBPNet", lambda: ab.get_model("chrombpnet")(), 2114, 0.75, 12, 5),
    Case("SpliceAI", SpliceAI, 10_101, 0.75, 12, 5),
)
MOST_SCATTERED = 0.75


def one_hot(count: int, length: int, seed: int) -> NDArray[np.float32]:
    """Return random sequences (count, 4, length)."""
    letters = np.random.default_rng(seed).integers(0, 4, (count, length))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)


def taking_turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Return in each round the processor's seconds of two functions that take turns."""

    def seconds(run: Callable[[], object]) -> float:
        start = time.process_time()
        run()
        return time.process_time() - start

    for run in (ours, ours, theirs):  # the plan and its kernels are made once
        run()
    return [(seconds(ours), seconds(theirs)) for _ in range(rounds)]


def compare(case: Case) -> Iterator[tuple[str, list[tuple[float, float]], float]]:
    """Yield of either part what it is, in each round our seconds and those of full passes, and its bar."""
    torch.manual_seed(SEED)
    model = ab.as_sequence_model(case.build().eval())
    method, x = ab.get_method("fastism")(model), one_hot(case.sequences, case.length, SEED)
    random = np.random.default_rng(SEED)
    places = random.permutation(case.length)[: case.sequences].tolist()
    variants = [
        ab.Mutation(sequence, place, "ACGT"[(int(x[sequence, :, place].argmax()) + 1) % 4])
        for sequence, place in enumerate(places)
    ]
    others = one_hot(case.sequences, case.length, SEED + 1)

    def in_full(rows: NDArray[np.float32]) -> Callable[[], object]:
        def run() -> None:
            with model.inference():
                predict(model, rows, batch_size=BATCH_SIZE)

        return run

    one = taking_turns(
        lambda: method.attribute(x[:1], positions=[case.length // 2], target="all"),
        in_full(np.concatenate([x[:1], others[:1]])),
        case.rounds,
    )
    yield "one position, three alternatives", one, case.most
    many = taking_turns(
        lambda: method.predict_mutations(x, variants, target="all"), in_full(np.concatenate([x, others])), 3
    )
    yield f"{case.sequences} scattered variants", many, MOST_SCATTERED


def main() -> int:
    asked = parser(__doc__).parse_args()
    records = recorder(asked.output, __file__, "One variant", PROCEDURE, THREADS)
    torch.set_num_threads(THREADS)
    table = Table("model", "letters", "asked for", "seconds", "seconds of full passes", "ratio", "at most")
    missed = 0
    for case in CASES:
        if not chosen(asked.names, case.name):
            continue
        for what, rounds, most in compare(case):
            ratios = over_rounds([ours / theirs for ours, theirs in rounds])
            beside = "two full passes of each sequence"
            bar = Bar(case.name, case.length, "torch", what, beside, "ratio", **ratios, sense="at most", limit=most)
            records.keep(bar)
            missed += not bar.met
            ours, theirs = (f"{statistics.median(part):.3f}" for part in zip(*rounds, strict=True))
            table.add_row(case.name, f"{case.length:,}", what, ours, theirs, f"{bar.figure:.2f}", f"{most:.2f}")
    Console().print(table)
    print(f"{missed} ratios are above their bars.")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
