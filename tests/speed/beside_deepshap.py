"""What fastISM takes beside DeepSHAP on Keras models: ``make speed``.

Seconds are those of the processor on one thread, for every output of two sequences, after both were called once; the
two take turns. Names of models choose some of them: ``python tests/speed/beside_deepshap.py basset``. Exits with 1
where fastISM takes more than 0.6 of DeepSHAP's time. ``--output reports/engine/edges`` keeps a record.
"""

import statistics
import sys
import time

import numpy as np
from recording import over_rounds, parser, recorder
from rich.console import Console
from rich.table import Table

import attribution_bench as ab
from attribution_bench.benchmark.bars import Bar
from attribution_bench.reporting.labels import architecture_label

MOST, SEQUENCES, ROUNDS, THREADS = 0.6, 2, 3, 1
PROCEDURE = (
    "Every mutation of two sequences for every output, over the time of DeepSHAP: seconds of the processor on one "
    "thread, warm; medians of the ratios of rounds in which the two take turns."
)
MODELS, LENGTHS = ("basset", "factorized_basset"), (1000, 2000)


def seconds(name: str, length: int) -> list[tuple[float, float]]:
    """Return the seconds of fastISM and of DeepSHAP, round by round."""
    model = ab.get_model(name)(length=length, framework="keras")
    letters = np.random.default_rng(0).integers(0, 4, (SEQUENCES, length))
    one_hot = np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)
    methods = [ab.get_method(method)(model) for method in ("fastism", "deepshap")]

    def run(method: ab.Attribution) -> float:
        start = time.process_time()
        method.attribute(one_hot, target="all")
        return time.process_time() - start

    rounds = [(run(methods[0]), run(methods[1])) for _ in range(1 + ROUNDS)]
    return rounds[1:]


def main() -> int:
    """Measure every model at every length; returns 1 where fastISM takes longer than it may."""
    asked = parser(__doc__).parse_args()
    records = recorder(asked.output, __file__, "Beside DeepSHAP", PROCEDURE, THREADS)
    import tensorflow as tf
    import torch

    torch.set_num_threads(THREADS)
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    table, worst = Table("model", "letters", "fastISM", "DeepSHAP", "ratio"), 0.0
    for name in MODELS:
        if asked.names and name not in asked.names:
            continue
        for length in LENGTHS:
            rounds = seconds(name, length)
            bar = Bar(
                architecture_label(name), length, "keras", f"all positions, {SEQUENCES} sequences", "DeepSHAP", "ratio",
                **over_rounds([ours / theirs for ours, theirs in rounds]), sense="at most", limit=MOST,
            )  # fmt: skip
            records.keep(bar)
            worst = max(worst, bar.figure)
            ours, theirs = (f"{statistics.median(part):.2f}" for part in zip(*rounds, strict=True))
            table.add_row(name, f"{length:,}", ours, theirs, f"{bar.figure:.2f}")
    Console().print(table)
    print(f"At most {worst:.2f} of DeepSHAP's time; at most {MOST} is wanted.")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
