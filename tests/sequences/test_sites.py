"""Sites of sequences: read from BED, and as effects of positions."""

from pathlib import Path

import numpy as np
import pytest

from attribution_bench.errors import InvalidInputError, SequenceError
from attribution_bench.sequences import lambda_windows
from attribution_bench.sequences.sites import Site, read_sites, site_effects, write_sites

SEQUENCES = lambda_windows(40, 2)
FIRST, SECOND = SEQUENCES.names


def write(folder: Path, text: str) -> Path:
    path = folder / "sites.bed"
    path.write_text(text)
    return path


def test_columns_of_a_bed_file(tmp_path: Path) -> None:
    text = f"# planted\n{FIRST}\t3\t9\tGATA1\t1000\t-\n{SECOND}\t0\t40\n\n{SECOND} 5 6 REST -1 +\n"
    assert read_sites(write(tmp_path, text), SEQUENCES) == (
        Site(0, 3, 9, "GATA1", "-"),
        Site(1, 0, 40, "site"),
        Site(1, 5, 6, "REST", "+", -1),
    )


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    sites = (Site(0, 3, 9, "GATA1", "-"), Site(1, 5, 6, "REST", "+", -1))
    assert read_sites(write_sites(tmp_path / "sites.bed", sites, SEQUENCES), SEQUENCES) == sites


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr9\t1\t2", "0 sequences are named 'chr9'"),
        (f"{FIRST}\t1", "is no BED line"),
        (f"{FIRST}\tone\t2", "is no BED line"),
        (f"{FIRST}\t1\t2\tx\thigh", "is no BED line"),
        (f"{FIRST}\t5\t5", "not within the 40 letters"),
        (f"{FIRST}\t30\t41", "not within the 40 letters"),
        (f"{FIRST}\t1\t2\tx\t0\t*", "the strand must be"),
        ("", "holds no site"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(SequenceError, match=message):
        read_sites(write(tmp_path, line), SEQUENCES)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match=r"nothing\.bed"):
        read_sites(tmp_path / "nothing.bed", SEQUENCES)


def test_effects_of_positions() -> None:
    effects = site_effects((Site(0, 1, 3, "a"), Site(1, 2, 4, "b", effect=-1)), 2, 4)
    np.testing.assert_array_equal(effects, [[0, 1, 1, 0], [0, 0, -1, -1]])
    with pytest.raises(InvalidInputError, match="beyond 1 sequences of 4 letters"):
        site_effects((Site(0, 1, 5, "a"),), 1, 4)
