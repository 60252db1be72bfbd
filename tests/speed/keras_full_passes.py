"""What full passes of Keras models cost beside ``model.predict``: ``make speed``.

A model of SpliceAI's size takes 10,101 letters in batches of 16 rows, once by ``predict`` of Keras and once as standard
ISM runs it, in processes of their own. Printed are the peak memory that 16 rows take beyond the loaded model, in each
of three processes that take turns, and the processor's seconds of 16 and of 64 rows on one thread, in later uses of the
model: the least of three. Exits with 1 where the memory is more than 1.2 times, or either time more than 1.1 times
Keras' own. ``memory`` or ``seconds`` chooses one of the two; ``--output reports/engine/edges`` keeps a record.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

MOST_MEMORY, MOST_SECONDS = 1.2, 1.1
LETTERS, BATCH, ROWS, ROUNDS, THREADS = 10_101, 16, 64, 3, 1
PROCEDURE = (
    "Full passes as standard ISM, fall-backs and self-checks run them, over predict of Keras, both in batches of 16 "
    "rows on one thread. Memory is the peak of a new process beyond the loaded model, the median of the ratios of "
    "processes that take turns; seconds are those of the processor in later uses of the model, the least of three "
    "rounds over the least of three."
)
STAGES = ((11, 1), (11, 4), (21, 10), (41, 25))
CHANNELS, CONTEXT = 32, 5000
WAYS = ("predict of Keras", "full passes")
MEASURE, MEMORY, SECONDS = "--measure", "memory", "seconds"
"""First argument of the processes that measure, and what they measure."""


def spliceai(length: int) -> Any:
    """Return a Keras model of the architecture and size of Jaganathan et al. 2019, with random weights."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)

    def block(x: Any, width: int, dilation: int) -> Any:
        h = x
        for _ in range(2):
            h = layers.ReLU()(layers.BatchNormalization()(h))
            h = layers.Conv1D(CHANNELS, width, dilation_rate=dilation, padding="same")(h)
        return layers.Add()([x, h])

    sequence = keras.Input((length, 4))
    x = layers.Conv1D(CHANNELS, 1)(sequence)
    total = layers.Conv1D(CHANNELS, 1)(x)
    for width, dilation in STAGES:
        for _ in range(4):
            x = block(x, width, dilation)
        total = layers.Add()([total, layers.Conv1D(CHANNELS, 1)(x)])
    return keras.Model(sequence, layers.Conv1D(3, 1, activation="softmax")(layers.Cropping1D(CONTEXT)(total)))


def measure(what: str, way: str) -> None:
    """Print what a way takes, as JSON: bytes of BATCH rows, or seconds of BATCH rows and of ROWS rows in each round."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    import attribution_bench as ab
    from attribution_bench.models import predict

    model = spliceai(LETTERS)
    rows = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (ROWS, LETTERS))]
    sequences = ab.as_sequence_model(model)

    def by_keras(count: int) -> None:
        model.predict(rows[:count], batch_size=BATCH, verbose=0)

    def in_full(count: int) -> None:
        with sequences.inference():
            predict(sequences, rows[:count].transpose(0, 2, 1), batch_size=BATCH)

    def seconds(run: Callable[[int], None], count: int) -> float:
        start = time.process_time()
        run(count)
        return time.process_time() - start

    run = by_keras if way == WAYS[0] else in_full
    before = psutil.Process().memory_info().rss
    run(BATCH)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    if what == MEMORY:
        print(json.dumps(peak - before))
    else:
        print(json.dumps([[seconds(run, count) for _ in range(ROUNDS)] for count in (BATCH, ROWS)]))


def measured(what: str, way: str) -> Any:
    """Return what `measure` prints in a new process."""
    command = [sys.executable, __file__, MEASURE, what, way]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> int:
    """Measure memory and seconds of both ways; returns 1 where a ratio is above its bar."""
    # Imported here, so that the processes that measure import nothing more than a user's.
    from recording import chosen, parser, recorder

    from attribution_bench.benchmark.bars import Bar

    asked = parser(__doc__).parse_args()
    records = recorder(asked.output, __file__, "Full passes of Keras models", PROCEDURE, THREADS)
    table, met = Table("GB or s", *WAYS, "ratio", "at most"), True

    def judge(request: str, figures: Sequence[float], ratio: float, ratios: Sequence[float], most: float) -> bool:
        bar = Bar(
            "SpliceAI", LETTERS, "keras", request, WAYS[0], "ratio", ratio, min(ratios), max(ratios), len(ratios),
            "at most", most,
        )  # fmt: skip
        records.keep(bar)
        table.add_row(request, *(f"{figure:.2f}" for figure in figures), f"{ratio:.2f}", f"{most}")
        return bar.met

    if chosen(asked.names, f"SpliceAI, Keras: {MEMORY}"):
        rounds = [[measured(MEMORY, way) / 1e9 for way in WAYS] for _ in range(ROUNDS)]
        ratios = [ours / keras for keras, ours in rounds]
        medians = [statistics.median(part) for part in zip(*rounds, strict=True)]
        met &= judge(f"peak memory of {BATCH} rows", medians, statistics.median(ratios), ratios, MOST_MEMORY)
    if chosen(asked.names, f"SpliceAI, Keras: {SECONDS}"):
        by_count = zip((BATCH, ROWS), *(measured(SECONDS, way) for way in WAYS), strict=True)
        for count, keras, ours in by_count:
            ratios = [mine / theirs for mine, theirs in zip(ours, keras, strict=True)]
            least = [min(keras), min(ours)]
            met &= judge(f"seconds of {count} rows", least, least[1] / least[0], ratios, MOST_SECONDS)
    Console().print(table)
    return int(not met)


if __name__ == "__main__":
    if sys.argv[1:2] == [MEASURE]:
        measure(*sys.argv[2:])
    else:
        sys.exit(main())
