"""What the tests of jobs share."""

from pathlib import Path

import pytest

from numpy_jobs import write_random_fasta


def chunks(store: Path) -> dict[str, bytes]:
    """Return the bytes of every array's files, by their paths."""
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.glob("*/c/**/*") if path.is_file()}


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    return write_random_fasta(tmp_path / "sequences.fa", 22, 30)


@pytest.fixture(scope="session")
def bytes_of():
    return chunks
