"""Records made by hand, so that every figure in a rendered table can be worked out on paper."""

from collections.abc import Callable
from typing import Any

import pytest

from attribution_bench import Tags
from attribution_bench.benchmark import paper
from attribution_bench.benchmark.results import (
    BatchTiming,
    OutputCheck,
    Record,
    SequenceSource,
    Status,
    Units,
    Workload,
)
from attribution_bench.environment import Commit, Machine

MACHINE = Machine("Linux 6.1", "Example CPU", cores=2, memory_bytes=8 * 2**30)
VERSIONS = {"python": "3.12.1", "torch": "2.13.0", "keras": "3.15.1", "tensorflow": "2.21.0"}

BOTH = frozenset({"torch", "keras"})
DESCRIBED = {
    "fastism": ("fastISM", Tags(BOTH, gives_predictions=True, exact=True, partial_passes=True)),
    "standard_ism": ("Standard ISM", Tags(BOTH, gives_predictions=True, exact=True, full_passes=True)),
    "gradient_x_input": ("Gradient × Input", Tags(BOTH, needs_gradient=True)),
    "integrated_gradients": ("Integrated Gradients", Tags(BOTH, needs_gradient=True, needs_references=True)),
    "deepshap": ("DeepSHAP", Tags(BOTH, needs_gradient=True, needs_references=True)),
}
"""What the records hold of the methods, whatever is installed under their names."""


def record(
    method: str,
    seconds: float | None,
    *,
    architecture: str = "basset",
    length: int = 1000,
    framework: str = "torch",
    done: tuple[int, int, int] = (100, 1000, 1),
    asked: tuple[int, int, int] = (100, 1000, 1),
    status: Status = "ok",
    error: str | None = None,
    check: OutputCheck | None = None,
    **changes: Any,
) -> Record:
    """Return the record of a cell whose three rounds took `seconds` each for the work `done`."""
    ok = status == "ok" and seconds is not None
    label, tags = DESCRIBED.get(method, ("", Tags(BOTH)))
    values: dict[str, Any] = {
        "label": label,
        "tags": tags,
        "workload": Workload(architecture, length, framework, method),
        "status": status,
        "error": error,
        "durations": (seconds,) * 3 if ok else (),
        "done": Units(*done) if ok else None,
        "asked": Units(*asked) if ok else None,
        "batch_sizes": (BatchTiming(8, seconds, Units(*done)),) if ok else (),
        "batch_size": 8 if ok else None,
        "device": "cpu",
        "threads": 2,
        "peak_memory_bytes": 2**30 if ok else None,
        "memory_kind": "resident set" if ok else None,
        "check": check,
        "machine": MACHINE,
        "versions": VERSIONS,
        "commit": Commit("0123456789abcdef", dirty=False),
        "sequences": SequenceSource("phage lambda, 100 windows", "f" * 64, 100, length),
        "settings": {"budget": 6.0, "full": False},
        "date": "2026-01-02T03:04:05Z",
    }
    return Record(**{**values, **changes})


@pytest.fixture
def make_record() -> Callable[..., Record]:
    return record


@pytest.fixture
def mixed_row() -> list[Record]:
    """One row with every kind of cell: measured, scaled, measured with a failed check, failed, unsupported."""
    return [
        record("fastism", 2.0, check=OutputCheck("fastISM with full passes", True, largest_difference=2e-7)),
        # 3 s for 2 of 100 sequences at 500 of 1000 positions: 3 / 1000 * 1000 * 100 = 300 s for 100 sequences.
        record("standard_ism", 3.0, done=(2, 500, 1)),
        record("gradient_x_input", 0.04123, check=OutputCheck("scores_finite | one-hot", False)),
        record("integrated_gradients", None, status="failed", error="OutOfMemoryError: 5 GiB_wanted & 100% used\nmore"),
        record(
            "deepshap", None, status="unsupported", error="UnsupportedError: deepshap does not run on torch models yet"
        ),
    ]


@pytest.fixture
def full_table() -> list[Record]:
    """Every cell of the paper's table in PyTorch at 4 times the paper's seconds, and Basset in Keras without DeepSHAP.

    Cells above 1000 s are measured on 2 of 100 sequences.
    """
    records = []
    for row in paper.TABLE_1:
        for method, seconds in row.seconds_per_100_sequences.items():
            place = {"architecture": row.architecture, "length": row.length, "asked": (100, row.length, 1)}
            sequences = 2 if seconds > 1000 else 100
            done = (sequences, row.length, 1)
            records.append(record(method, 4 * seconds * sequences / 100, done=done, **place))
            if row.architecture == "basset" and method == "deepshap":
                error = "deepshap does not run on keras models yet"
                records.append(record(method, None, framework="keras", status="unsupported", error=error, **place))
            elif row.architecture == "basset":
                records.append(record(method, 5 * seconds, framework="keras", done=done, **place))
    return records
