"""Damaged files of every kind end in an AttributionBenchError, or are read: the fuzzer, for a short and a long time."""

from itertools import islice
from pathlib import Path

import pytest

import fuzz
import fuzz_models

TARGETS = fuzz.targets()
CHECKED = ("genome_bgzip", "vcf_bgzip", "bcf")
"""Readers of blocks with checksums, which refuse whatever is changed in them."""
REMADE = ("genome_index",)
"""Readers that make what is wrong again."""
LONG = 10
"""How many times the cases of the short run the long one reads."""


def check(reader: str, cases: int, folder: Path, stderr: pytest.CaptureFixture[str], first: int = 0) -> None:
    found = list(islice(fuzz.cases(TARGETS[reader], 1, folder, first), cases))
    assert [(case.number, case.outcome) for case in found if case.fault] == []
    # Neither everything nor nothing is refused: the changes reach what the readers read.
    outcomes = {case.outcome for case in found}
    assert outcomes == {"read", "refused"} or (outcomes, reader) in (
        *(({"refused"}, name) for name in CHECKED),
        *(({"read"}, name) for name in REMADE),
    )
    # What libraries in C write there, such as htslib; TensorFlow does when it is imported.
    assert reader in fuzz_models.TARGETS or stderr.readouterr().err == ""


@pytest.mark.parametrize("reader", [name for name, target in TARGETS.items() if target.short])
def test_damaged_files_end_in_one_error(reader: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check(reader, TARGETS[reader].short, tmp_path, capfd)


@pytest.mark.long
@pytest.mark.parametrize("reader", TARGETS)
def test_many_damaged_files_end_in_one_error(reader: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    short = TARGETS[reader].short
    check(reader, LONG * short or 60, tmp_path, capfd, first=short)
