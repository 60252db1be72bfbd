"""A comparison on a cluster whose client may be killed, and what it compares."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

from attribution_bench.evaluation import Settings, evaluate
from attribution_bench.evaluation.finished_stages import FinishedStages
from attribution_bench.jobs import Workers
from attribution_bench.sequences import lambda_windows
from numpy_jobs import NumpyModel, Reversed, Weights

SEQUENCES = lambda_windows(24, 5)
SETTINGS = Settings(mutations=4, shuffles=2, repeats=2, repeated_sequences=2, steps=3)


def slow_methods(pause: float) -> dict[str, Any]:
    """Return methods that take so many seconds a sequence."""
    return {"weights": partial(Weights, pause=pause), "reversed": partial(Reversed, pause=pause)}


def main(results: str, address: str, pause: str) -> None:
    """Compare on a cluster; this process may be killed."""
    evaluate(
        NumpyModel(),
        SEQUENCES,
        slow_methods(float(pause)),
        settings=SETTINGS,
        threads=1,
        stages=FinishedStages(Path(results), "model"),
        cluster=Workers(int(address)) if address.isdecimal() else Workers(address=address),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
