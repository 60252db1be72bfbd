"""Sites of sequences: read from BED, and as effects of positions."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from attribution_bench.errors import InvalidInputError, SequenceError
from attribution_bench.sequences import Sequences, lambda_windows
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


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", "", "\ud800"])
def test_names_that_would_break_a_line_are_not_written(tmp_path: Path, name: str) -> None:
    for sites, given in (
        ((Site(0, 3, 9, name),), SEQUENCES),
        ((Site(0, 3, 9, "x"),), Sequences((name,), ("A" * 9,), "one")),
    ):
        with pytest.raises(SequenceError, match="cannot hold the name"):
            write_sites(tmp_path / "sites.bed", sites, given)
    assert not (tmp_path / "sites.bed").exists()


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


@pytest.mark.parametrize("name", ["track7_peak1", "browser_1", "track", "#c", "a:0-100", "b(+)"])
def test_no_site_of_a_given_sequence_is_passed_over(tmp_path: Path, name: str) -> None:
    given = Sequences(("a", name), ("A" * 30,) * 2, "two")
    text = f"track name=x\nbrowser hide all\n#a comment\na\t0\t5\n{name}\t10\t20\n"
    assert [site.sequence for site in read_sites(write(tmp_path, text), given)] == [0, 1]


def test_a_name_that_repeats_has_no_site(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="2 sequences are named 'a'"):
        read_sites(write(tmp_path, "a\t0\t5\n"), Sequences(("a", "a"), ("A" * 9,) * 2, "twins"))


def test_the_time_grows_as_the_number_of_sites(tmp_path: Path) -> None:
    names = CountedNames(f"s{i}" for i in range(2000))
    path = write(tmp_path, "".join(f"s{i}\t0\t5\n" for i in range(2000)))
    assert len(read_sites(path, Sequences(names, ("A" * 9,) * 2000, "many"))) == 2000
    assert names.read <= 2 * 2000


class CountedNames(tuple[str, ...]):
    """Names that count how many of them were read."""

    read = 0

    def __iter__(self) -> Iterator[str]:
        for name in super().__iter__():
            self.read += 1
            yield name
