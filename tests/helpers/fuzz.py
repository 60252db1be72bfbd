"""Readers given damaged files: ``python tests/helpers/fuzz.py READER --minutes 10 --seed 1``.

Each case is an honest file with something changed. A reader takes it, or raises an AttributionBenchError; anything
else, a crash or a case of half a minute included, is a fault. A case is told by its seed and number, and its files lie
in ``--folder`` while they are read; those of faults stay there. A reader is added to the table of one of `MODULES`.
"""

import argparse
import collections
import contextlib
import importlib
import io
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

from attribution_bench.errors import AttributionBenchError

MODULES = ("fuzz_models", "fuzz_text", "fuzz_genomics", "fuzz_results")
SLOW = 30.0
"""Seconds of the processor that no case should take."""


@dataclass(frozen=True)
class Target:
    """A reader, and what writes files for it into a folder."""

    honest: Callable[[Path], list[Path]]
    """Writes honest files and returns their paths, all of which must be readable."""
    damaged: Callable[[random.Random, Path], Path]
    """Writes a damaged file and returns its path."""
    read: Callable[[Path], object]
    short: int = 60
    """Cases of the short run in the suite."""


@dataclass(frozen=True)
class Case:
    """What a reader made of a case."""

    number: int
    outcome: str
    """``read``, ``refused``, or what else was raised."""
    seconds: float

    @property
    def fault(self) -> bool:
        """Whether the reader did what it must not."""
        return self.outcome not in ("read", "refused") or self.seconds > SLOW


def changed_files(
    samples: Callable[[], Mapping[str, bytes]],
    change: Callable[[bytes, random.Random], bytes],
    read: Callable[[Path], object],
    short: int = 60,
) -> Target:
    """Return a target whose files are contents by name, one of which a function changes."""
    made = cache(samples)

    def honest(folder: Path) -> list[Path]:
        for name, content in made().items():
            (folder / name).write_bytes(content)
        return [folder / name for name in made()]

    def damaged(chance: random.Random, folder: Path) -> Path:
        name, content = chance.choice(sorted(made().items()))
        (folder / name).write_bytes(change(content, chance))
        return folder / name

    return Target(honest, damaged, read, short)


def targets() -> dict[str, Target]:
    """Return every reader by its name."""
    return {name: target for module in MODULES for name, target in importlib.import_module(module).TARGETS.items()}


def cases(target: Target, seed: int, folder: Path, first: int = 0) -> Iterator[Case]:
    """Read the honest files, which must succeed, and then changed ones without end, from that of a number on."""
    with tempfile.TemporaryDirectory() as honest:
        for path in target.honest(Path(honest)):
            with _quiet():
                target.read(path)
    for number in count(first):
        place = folder / f"{seed}-{number}"
        place.mkdir()
        path = target.damaged(random.Random(f"{seed}/{number}"), place)
        start = time.process_time()
        try:
            with _quiet():
                target.read(path)
            outcome = "read"
        except AttributionBenchError as error:
            str(error).encode()
            outcome = "refused"
        except Exception as error:  # what this is about
            outcome = f"{type(error).__name__}: {error}"
        case = Case(number, outcome, time.process_time() - start)
        yield case
        if not case.fault:
            shutil.rmtree(place)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what readers print and warn of to themselves, but for what libraries write on the process's own stderr."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def main() -> int:
    """Run from the command line; returns 1 where there were faults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = targets()
    parser.add_argument("reader", choices=known)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="read this case alone, and keep its files")
    parser.add_argument("--folder", type=Path, default=None, help="where the files of a case lie")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    end, counts, faults = time.monotonic() + 60 * options.minutes, collections.Counter[str](), 0
    for case in cases(known[options.reader], options.seed, folder, options.only or 0):
        counts[case.outcome if case.outcome in ("read", "refused") else "other"] += 1
        if case.fault:
            faults += 1
            print(f"case {case.number}, {case.seconds:.1f} s: {case.outcome[:300]}", flush=True)
        if case.number == options.only or time.monotonic() > end:
            break
    told = f"{sum(counts.values())} cases, {dict(counts)}, {faults} faults"
    print(f"{options.reader}, seed {options.seed}: {told}; {folder}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
