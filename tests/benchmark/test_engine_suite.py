import pytest

from attribution_bench.benchmark.engine_suite import engine_rows
from attribution_bench.benchmark.results import Workload
from attribution_bench.benchmark.runner import _workload
from attribution_bench.errors import InvalidInputError, SequenceError, UnknownNameError


def test_every_length_and_number_of_sequences_is_a_row_of_its_own() -> None:
    rows = engine_rows(("basset", "bpnet"), (120, 90, 90), (1, 5), ("fastism", "deepshap"), device="cpu")
    found = [(row.architecture, row.length, len(row.sequences)) for row in rows]
    assert found == [(name, length, count) for name in ("basset", "bpnet") for length in (120, 90) for count in (1, 5)]
    assert all(len(string) == row.length for row in rows for string in row.sequences.strings)
    names = {_workload(row, method).file_name for row in rows for method in row.methods}
    assert len(names) == 16
    assert _workload(rows[1], "fastism") == Workload("basset", 120, "torch", "fastism", 5)


def test_chrombpnet_keeps_the_length_of_the_published_models() -> None:
    (row,) = engine_rows(("chrombpnet",), (500, 1000), (8,), device="cpu")
    assert (row.length, row.sequences.length) == (2114, 2114)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"architectures": ("basett",)}, UnknownNameError, "unknown model 'basett'"),
        ({"methods": ("fastism", "x")}, UnknownNameError, "unknown method 'x'"),
        ({"counts": (8, 0)}, InvalidInputError, "number of sequences"),
        ({"lengths": ()}, InvalidInputError, "at least one length"),
        ({"lengths": (500, 40)}, InvalidInputError, "not length=40"),
        ({"lengths": (50_000,)}, SequenceError, "not 50000"),
        ({"framework": "jax"}, InvalidInputError, "jax"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(arguments: dict[str, object], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        engine_rows(**{"architectures": ("basset",), "lengths": (500,), **arguments})  # type: ignore[arg-type]
