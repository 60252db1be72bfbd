"""Damaged files of genomes, regions and variants: a short form of the fuzzer."""

from pathlib import Path

import pytest

import fuzz_genomics

CASES = 60


@pytest.mark.parametrize("reader", sorted(fuzz_genomics.TARGETS))
def test_damaged_files_end_in_one_error(reader: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert fuzz_genomics.run(reader, seed=20261130, count=CASES, seconds=60, folder=tmp_path) == []
    assert capfd.readouterr().err == ""
