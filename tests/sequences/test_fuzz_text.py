"""The short form of the fuzz run over the readers of text."""

from itertools import islice
from pathlib import Path

import pytest

from fuzz_text import TARGETS, cases

CASES = 1500


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    target = TARGETS[name]
    for file_name, content in target.samples().items():
        (tmp_path / file_name).write_bytes(content)
    found = list(islice(cases(target, 1, tmp_path), CASES))
    assert [(case.number, case.outcome) for case in found if case.fault] == []
    # Neither everything nor nothing is refused: the changes reach what the readers read.
    assert 0.05 < sum(case.outcome == "read" for case in found) / CASES < 0.95
