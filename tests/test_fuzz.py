"""A short run of the fuzzer over every reader: damaged files end in an AttributionBenchError, or are read."""

from pathlib import Path

import pytest

import fuzz

CASES = 120


@pytest.mark.parametrize("reader", fuzz.TARGETS)
def test_damaged_files_end_in_one_error(reader: str, tmp_path: Path) -> None:
    found = [case for case, _ in zip(fuzz.cases(fuzz.TARGETS[reader], 0, tmp_path), range(CASES), strict=False)]
    assert [case for case in found if case.fault] == []
    outcomes = {case.outcome for case in found}
    assert outcomes == {"read", "refused"}
