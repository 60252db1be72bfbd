"""Reads the corpus of hostile results under a limit of memory, and says how each reader ended; run as a script."""

import contextlib
import io
import json
import resource
import sys
from pathlib import Path

from attribution_bench.errors import AttributionBenchError
from hostile_results import CORPUS
from result_readers import READERS

MEMORY = 3 * 2**30


def main(paths: dict[str, str]) -> None:
    """Print a line of JSON a file: its name, how each reader ended, and the KiB of memory that it has taken so far."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for name, path in paths.items():
        ends = {}
        for reader in READERS[CORPUS[name].kind]:
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    reader(Path(path))
                ends[reader.__name__] = "read"
            except AttributionBenchError as error:
                ends[reader.__name__] = f"refused: {error}"
            except BaseException as error:  # the point of the corpus
                ends[reader.__name__] = f"{type(error).__name__}: {str(error)[:200]}"
        print(json.dumps([name, ends, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before]), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
