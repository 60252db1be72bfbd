"""What docs/scale.md is computed from, beside the records of the engine: ``make scale-records``.

Writes reports/scale/inputs.json: the processor's seconds, on one thread, of parts of the work that the benchmark has no
cell for, the bytes and seconds of stores with random scores, and what it takes to open a model in a new process.
Seconds of the processor are medians over rounds; those of writing are of the clock, since they are spent waiting.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from variants import SpliceAI

import attribution_bench as ab
from attribution_bench.environment import describe_machine
from attribution_bench.jobs import layout
from attribution_bench.jobs.contents import Values
from attribution_bench.jobs.stored_sums import StoredSums
from attribution_bench.models import predict
from attribution_bench.sequences.alphabet import DNA
from attribution_bench.sequences.source import SourceRecord
from attribution_bench.sequences.variants import Variant
from attribution_bench.storage.zarr_store import ZarrStore
from attribution_bench.variants.effects import Column
from attribution_bench.variants.rows import row_line
from attribution_bench.variants.score import VariantScore

RECORD = Path(__file__).parents[2] / "reports" / "scale" / "inputs.json"
ROUNDS = 3
SPLICEAI_LENGTH = 10_101
VARIANTS = 6
ROWS = 10_000
STORES: dict[str, tuple[int, str, tuple[str, ...], int]] = {
    "peaks": (2114, "float16", ("scores",), 16),
    "genome": (500, "float16", ("scores",), 512),
    "ensemble": (1000, "float32", ("scores", "scores_sd"), 64),
}
"""Plan -> positions, type and arrays of numbers, sequences of a shard."""
SPLICING = tuple(
    f"{kind}_{change}{what}"
    for kind in ("acceptor", "donor")
    for change in ("gain", "loss")
    for what in ("", "_offset")
)
OPENING = """
import sys, time
import torch
torch.set_num_threads(1)
import attribution_bench as ab
from attribution_bench.models.loading import model_source
model = model_source(sys.argv[1]).open(length=int(sys.argv[2]), device="cpu")
ab.get_method("fastism")(model)
print(time.process_time())
"""


def one_hot(count: int, length: int) -> NDArray[np.float32]:
    """Return random sequences (count, 4, length)."""
    letters = np.random.default_rng(0).integers(0, 4, (count, length))
    return np.ascontiguousarray(np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1))


def seconds(run: Callable[[], object]) -> float:
    """Return the processor's seconds of a call, after one that makes plans and kernels: the median over rounds."""
    run()
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return statistics.median(found)


def weights() -> int:
    """Return the bytes of Basset's weights."""
    module = ab.get_model("basset")(length=1000)
    return sum(one.numel() * one.element_size() for one in module.parameters())


def basset() -> dict[str, float]:
    """Return the core-seconds of a window of 1,000 letters, for all positions and for the middle 500."""
    method, x = ab.get_method("fastism")(ab.get_model("basset")(length=1000)), one_hot(8, 1000)
    return {
        "all positions": seconds(lambda: method.attribute(x)) / len(x),
        "middle 500 positions": seconds(lambda: method.attribute(x, positions=range(250, 750))) / len(x),
    }


def spliceai() -> dict[str, float]:
    """Return the core-seconds of a variant: alone in its window, one more in a window, and by two full passes."""
    model = ab.as_sequence_model(SpliceAI().eval())
    method, x = ab.get_method("fastism")(model), one_hot(VARIANTS, SPLICEAI_LENGTH)

    def mutation(sequence: int, place: int) -> ab.Mutation:
        return ab.Mutation(sequence, place, "ACGT"[(int(x[sequence, :, place].argmax()) + 1) % 4])

    middle = SPLICEAI_LENGTH // 2
    alone = [mutation(sequence, middle) for sequence in range(VARIANTS)]
    neighbours = [mutation(0, middle + 3 * place) for place in range(VARIANTS + 1)]

    def in_full() -> None:
        with model.inference():
            predict(model, np.concatenate([x, x]), batch_size=VARIANTS)

    one = seconds(lambda: method.predict_mutations(x[:1], neighbours[:1], target="all"))
    several = seconds(lambda: method.predict_mutations(x[:1], neighbours, target="all"))
    return {
        "substitution": seconds(lambda: method.predict_mutations(x, alone, target="all")) / VARIANTS,
        "further substitution of a window": (several - one) / VARIANTS,
        "two full passes": seconds(in_full) / VARIANTS,
    }


def store(length: int, dtype: str, arrays: Sequence[str], shard_size: int) -> dict[str, float]:
    """Write a store of random scores, and return what it takes."""
    random, shards = np.random.default_rng(0), 4
    letters = "".join(random.choice(list("ACGT"), length + shard_size * shards))
    scores = {
        f"fastism_{name}": Values("scores", random.normal(size=(shard_size, 4, length)), ("letter", "position"))
        for name in arrays
    }
    specs = [*layout.record_specs(length), *layout.score_specs(scores, dtype, {}, models=1, members=False)]
    arrays_of_scores = {name: one.array for name, one in scores.items()}
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.zarr"
        made = ZarrStore.create(
            path, specs, sequences=shard_size * shards, shard_size=shard_size, coordinates={}, attributes={}
        )
        before = size(path)
        for shard in range(shards):
            starts = range(shard * shard_size, (shard + 1) * shard_size)
            records = [
                SourceRecord(f"peak_{at}", letters[at : at + length], "chr1", 10**8 + at, 10**8 + at + length)
                for at in starts
            ]
            rows = layout.record_arrays(records, DNA, length, {})
            rows |= layout.score_arrays(arrays_of_scores, range(shard_size), shard_size, made.specs())
            start = time.perf_counter()
            made.write(shard, rows, {"scored": shard_size, "set_aside": {}})
            taken.append(time.perf_counter() - start)
        after = size(path)
    files, bytes_ = (new - old for new, old in zip(after, before, strict=True))
    return {
        "length": length,
        "dtype": dtype,
        "arrays": list(arrays),
        "shard size": shard_size,
        "bytes a sequence": bytes_ / (shard_size * shards),
        "files a shard": files / shards,
        "seconds of writing a shard": statistics.median(taken),
    }


def sums(length: int, shard_size: int) -> dict[str, float]:
    """Return what it takes to read the sums over the models of an ensemble, add one, and write them."""
    random, kept, taken = np.random.default_rng(0), [], []
    with tempfile.TemporaryDirectory() as folder:
        stored = StoredSums(Path(folder))
        for count in range(1, 8):
            scores = random.normal(size=(shard_size, 4, length)).astype(np.float32)
            start = time.perf_counter()
            found = stored.read(0, count - 1)
            found.add({"fastism_scores": Values("scores", scores, ("letter", "position"))})
            stored.write(0, found)
            taken.append(time.perf_counter() - start)
            kept.append(size(Path(folder))[1])
    return {"shard size": shard_size, "bytes": max(kept), "seconds": statistics.median(taken)}


def size(path: Path) -> tuple[int, int]:
    """Return the files below a folder and their bytes."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return len(files), sum(file.stat().st_size for file in files)


def row_bytes() -> float:
    """Return the bytes of a row in a table of splicing effects."""
    random = np.random.default_rng(0)
    columns = [Column(name, "", "Integer" if "offset" in name else "Float") for name in SPLICING]

    def effects() -> dict[str, float]:
        return {name: float(random.integers(-50, 51) if "offset" in name else random.random()) for name in SPLICING}

    written = 0
    for position in range(10**8, 10**8 + ROWS):
        variant = Variant("chr1", position, "A", "G", "rs1234567890")
        written += len(row_line(VariantScore(variant, variant, effects()), columns).encode())
    return written / ROWS


def opening(name: str, length: int) -> float:
    """Return the processor's seconds until a new process has a model open and bound to fastISM."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", OPENING, name, str(length)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    record = {
        "machine": asdict(describe_machine("cpu")),
        "stores": {name: store(*one) for name, one in STORES.items()},
        "sums": sums(STORES["ensemble"][0], STORES["ensemble"][3]),
        "bytes of a row": row_bytes(),
        "seconds of opening": {"basset": opening("basset", 1000), "chrombpnet": opening("chrombpnet", 2114)},
        "bytes of basset": weights(),
        "basset": basset(),
        "spliceai": spliceai(),
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
