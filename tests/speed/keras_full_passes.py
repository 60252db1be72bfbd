"""What full passes of Keras models cost beside ``model.predict``: ``make speed``.

A model of SpliceAI's size takes 10,101 letters in batches of 16 rows, once by ``predict`` of Keras and once as standard
ISM runs it, each in a process of its own. Printed are the peak memory that 16 rows take beyond the loaded model, and
the processor's seconds of 16 and of 64 rows on one thread, in later uses of the model: the least of three. Exits with 1
where the memory is more than 1.2 times, or either time more than 1.1 times Keras' own.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

MOST_MEMORY, MOST_SECONDS = 1.2, 1.1
LETTERS, BATCH, ROWS, ROUNDS = 10_101, 16, 64, 3
STAGES = ((11, 1), (11, 4), (21, 10), (41, 25))
CHANNELS, CONTEXT = 32, 5000
WAYS = ("predict of Keras", "full passes")


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


def measure(way: str) -> None:
    """Print what a way takes, as JSON: bytes, seconds of BATCH rows and of ROWS rows."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
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
    times = [min(seconds(run, count) for _ in range(ROUNDS)) for count in (BATCH, ROWS)]
    print(json.dumps([peak - before, *times]))


def main() -> int:
    """Measure each way in a process of its own."""
    found: dict[str, list[float]] = {}
    for way in WAYS:
        output = subprocess.run([sys.executable, __file__, way], check=True, capture_output=True, text=True).stdout
        found[way] = json.loads(output.splitlines()[-1])
    table = Table("way", "peak memory, GB", f"seconds of {BATCH} rows", f"seconds of {ROWS} rows")
    for way, (peak, few, many) in found.items():
        table.add_row(way, f"{peak / 1e9:.2f}", f"{few:.2f}", f"{many:.2f}")
    ratios = [ours / keras for keras, ours in zip(*found.values(), strict=True)]
    table.add_row("ratio", *(f"{ratio:.2f}" for ratio in ratios))
    table.add_row("at most", f"{MOST_MEMORY}", f"{MOST_SECONDS}", f"{MOST_SECONDS}")
    Console().print(table)
    return int(ratios[0] > MOST_MEMORY or max(ratios[1:]) > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(measure(sys.argv[1]) if len(sys.argv) > 1 else main())
