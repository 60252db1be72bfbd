"""What a job costs beside its method, and the memory of long ones: ``make job-overhead``.

Prints, for Basset at 1 kb and 500 sequences by default, sequences per second, peak memory, and the overhead: seconds of
the whole job, reading, writing and syncing included, over those inside the method. Then it streams 10,000 and 100,000
short sequences through a model in NumPy, each in a process of its own, and prints their peak memory. Exits with 1 where
the overhead is more than 5%, or the longer stream takes 10% more memory than the shorter. To see in a minute that it
works: ``--sequences 16 --length 200 --streamed 500 5000``.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import attribution_bench as ab
from attribution_bench.benchmark.memory import Peak, watch
from attribution_bench.jobs.run import run
from numpy_jobs import numpy_job

MOST_OVERHEAD = 0.05
MOST_GROWTH = 0.10
STREAMS = (10_000, 100_000)
STREAMED_LENGTH = 100


def write_fasta(path: Path, count: int, length: int) -> Path:
    """Write random sequences one by one."""
    generator, letters = np.random.default_rng(0), np.frombuffer(b"ACGT", np.uint8)
    with path.open("wb") as file:
        for index in range(count):
            file.write(b">%d\n%s\n" % (index, letters[generator.integers(0, 4, length)].tobytes()))
    return path


def overhead(folder: Path, count: int, length: int, name: str) -> float:
    """Run a job, print what it took, and return its overhead over the method's own calls."""
    fasta = write_fasta(folder / "sequences.fa", count, length)
    method = ab.get_method(name)
    attribute, inside = method.attribute, 0.0

    def timed(self: ab.Attribution, *arguments: object, **named: object) -> ab.AttributionResult:
        nonlocal inside
        start = time.perf_counter()
        result = attribute(self, *arguments, **named)
        # Scores of ISM methods derive from predictions when they are asked for, as any caller asks for them.
        result.scores  # noqa: B018
        inside += time.perf_counter() - start
        return result

    model, peak = ab.get_model("basset")(length=length), Peak()
    method.attribute = timed
    start = time.perf_counter()
    with watch(peak, "cpu"):
        ab.attribute_to_store(model, fasta, folder / "store", methods=[name])
    seconds = time.perf_counter() - start
    found = seconds / inside - 1
    print(
        f"Basset, {length} letters, {count} sequences, {name}: {count / seconds:.3g} sequences per second, "
        f"peak memory {peak.bytes / 1e9:.3g} GB, {seconds:.3g} s of which {inside:.3g} s in the method: "
        f"overhead {100 * found:.2g}%"
    )
    return found


def stream(folder: Path, count: int) -> int:
    """Stream short sequences in a process of its own; returns its peak memory in bytes."""
    command = [sys.executable, __file__, "--stream", str(count), "--folder", str(folder)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def streamed(folder: Path, count: int) -> int:
    """Stream short sequences in this process; returns its peak memory in bytes."""
    fasta = write_fasta(folder / f"{count}.fa", count, STREAMED_LENGTH)
    # Not the system's count of the process, which begins with that of the one that started it.
    peak = Peak()
    with watch(peak, "cpu"):
        run(numpy_job(fasta, shard_size=500), folder / f"{count}.zarr")
    return peak.bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=500)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--method", default="fastism")
    parser.add_argument("--streamed", type=int, nargs=2, default=STREAMS, help="numbers of short sequences")
    parser.add_argument("--stream", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stream:
        print(streamed(arguments.folder, arguments.stream))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = overhead(Path(folder), arguments.sequences, arguments.length, arguments.method)
        peaks = {count: stream(Path(folder), count) for count in arguments.streamed}
    for count, peak in peaks.items():
        print(f"{count:,} sequences of {STREAMED_LENGTH} letters: peak memory {peak / 1e6:.0f} MB")
    few, many = peaks.values()
    return int(found > MOST_OVERHEAD or many > (1 + MOST_GROWTH) * few)


if __name__ == "__main__":
    sys.exit(main())
