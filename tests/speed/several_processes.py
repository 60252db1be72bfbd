"""What other processes give and cost: ``make several-processes``.

Scores random sequences by fastISM on Basset three times: in this process, on one Dask worker and on two, each on one
thread, and compares the stores byte by byte. Prints sequences per second; exits with 1 where two workers give less
than 1.7 times the throughput of one worker, one worker costs 5% or more, or bytes differ. It takes two cores that do
nothing else. Starting the workers is counted, which weighs little in a run of minutes. To see in a minute that it
works: ``ARGS="--sequences 64 --length 200"``.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

LEAST_SPEEDUP = 1.7
MOST_OVERHEAD = 0.05
BUDGET = 2**28
"""Memory budget of fastISM, which by default follows the free memory."""


def write_fasta(path: Path, count: int, length: int) -> Path:
    """Write random sequences."""
    generator, letters = np.random.default_rng(0), np.frombuffer(b"ACGT", np.uint8)
    with path.open("wb") as file:
        for index in range(count):
            file.write(b">%d\n%s\n" % (index, letters[generator.integers(0, 4, length)].tobytes()))
    return path


def seconds_of(fasta: Path, store: Path, length: int, workers: int | None, shard_size: int) -> float:
    """Run the job in this process or on workers, the start of these included; returns the seconds."""
    from attribution_bench.jobs import NamedModel, Workers, attribute_to_store
    from attribution_bench.jobs.recipes import Recipe
    from attribution_bench.models.loading import model_source

    source, settings = model_source("basset"), {"length": length, "device": "cpu"}
    model = NamedModel(source.open(**settings), source.label, source.identity, Recipe(source, settings, os.getcwd()))
    start = time.perf_counter()
    summary = attribute_to_store(
        model,
        fasta,
        store,
        methods={"fastism": {"memory_budget": BUDGET}},
        shard_size=shard_size,
        threads=1,
        cluster=None if workers is None else Workers(workers),
        observer=lambda event: None,
    )
    assert summary.complete
    return time.perf_counter() - start


def content(store: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a store but its lock."""
    paths = (path for path in store.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in paths}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the three jobs, and print and judge what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--shard-size", type=int, default=64)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta = write_fasta(folder / "sequences.fa", given.sequences, given.length)
        # The libraries are imported and warm before anything is timed here.
        seconds_of(write_fasta(folder / "few.fa", 2, given.length), folder / "few", given.length, None, 2)
        taken, stores = {}, {}
        for label, workers in (("this process", None), ("one worker", 1), ("two workers", 2)):
            store = folder / label.replace(" ", "-")
            taken[label] = seconds_of(fasta, store, given.length, workers, given.shard_size)
            stores[label] = content(store)
            print(
                f"{label}: {taken[label]:.1f} s, {given.sequences / taken[label]:.3g} sequences per second", flush=True
            )
    alone, two = taken["this process"], taken["two workers"]
    speedup, overhead = taken["one worker"] / two, taken["one worker"] / alone - 1
    same = all(found == stores["this process"] for found in stores.values())
    print(
        f"two workers: {speedup:.2f} times the throughput of one worker, {alone / two:.2f} times that of this process"
    )
    print(f"one worker: overhead {100 * overhead:.2g}%")
    print(f"the stores hold {'the same' if same else 'OTHER'} bytes")
    return int(speedup < LEAST_SPEEDUP or overhead >= MOST_OVERHEAD or not same)


if __name__ == "__main__":
    sys.exit(main())
