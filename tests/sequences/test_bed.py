"""Lines of BED files: what is a feature, what is passed over, and what is refused."""

import gzip
from pathlib import Path

import pytest

from attribution_bench.errors import SequenceError
from attribution_bench.sequences.bed import BedLine, bed_lines, read_bed


def read(text: str, names: tuple[str, ...] = ()) -> list[tuple[str, int, int]]:
    return [(line.chromosome, line.start, line.end) for line in bed_lines(text.split("\n"), "x.bed", names)]


@pytest.mark.parametrize(
    "header",
    [
        "#comment",
        "# chr1\t0\t5",
        "#chr1\t0\t5",
        'track name="peaks" description="of 1 2"',
        "track",
        "track type=narrowPeak",
        "browser position chr7:127471196-127495720",
        "browser hide all",
        "browser",
        "",
        " \t ",
        "\t\t\t",
    ],
)
def test_lines_that_are_passed_over(header: str) -> None:
    assert read(f"{header}\nchr1\t0\t5\n{header}\n") == [("chr1", 0, 5)]


@pytest.mark.parametrize(
    "name", ["track7", "track_1", "tracked", "track", "browser", "browser_1", "browser.2", "trackB"]
)
def test_sequences_named_like_headers_are_kept(name: str) -> None:
    assert read(f"{name}\t0\t5\n{name} 6 9") == [(name, 0, 5), (name, 6, 9)]


def test_reversed_features_are_left_to_the_reader() -> None:
    assert read("c\t6\t5\nc\t5\t5") == [("c", 6, 5), ("c", 5, 5)]


def test_a_known_name_makes_a_comment_a_feature() -> None:
    text = "#c\t1\t2\n#d\t1\t2\n#c of\tthis\tfile"
    assert read(text) == []
    assert read(text, ("#c",)) == [("#c", 1, 2)]


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("chr1\t10\t20\tmy name\t0.5\t-\t7", ("my name", "0.5", "-", "7")),
        ("chr1 10  20\tname", ("name",)),
        ("chr1   10 20 name 1", ("name", "1")),
        ("chr1\t10\t20\t\t.\t", ("", ".", "")),
        (" chr1\t 10\t20 ", ()),
        ("chr1\t10\t20\tcaf\udce9", ("caf\ufffd",)),
        ("chr1\t10\t20\ta\u2028b\x0b", ("a\u2028b\x0b",)),
    ],
)
def test_columns_between_tabs_or_blanks(line: str, columns: tuple[str, ...]) -> None:
    assert list(bed_lines([line], "x")) == [BedLine("line 1 of x", "chr1", 10, 20, columns)]


def test_what_the_columns_say() -> None:
    full, bare, dots = bed_lines(["a\t5\t5\tX\t-1.5e1\t+\t0\t0\t0\t12", "a\t0\t9", "a\t0\t9\t.\t.\t.\t-1"], "x")
    assert (full.name, full.score, full.strand, full.whole_number(10, "summit")) == ("X", -15.0, "+", 12)
    assert (bare.name, bare.score, bare.strand) == (None, None, ".")
    assert (dots.name, dots.score, dots.strand, dots.whole_number(7, "summit")) == (None, None, ".", -1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1", "line 2 of x.bed is no BED line"),
        ("chr1\t5", "is no BED line"),
        ("chr1 5", "is no BED line"),
        ("\t1\t2", "first column, the chromosome, is empty"),
        ("chr1\t-1\t5", "start must be a whole number from 0, not '-1'"),
        ("chr1\t0.0\t5", "start must be"),
        ("chr1\t1e3\t5000", "start must be"),
        ("chr1\t1_0\t2_0", "start must be"),
        ("chr1\t١\t٢", "start must be"),
        ("chr1\t+1\t5", "start must be"),
        ("chr1\t1\t", "end must be"),
        ("chr1\t1\t" + "9" * 5000, "end must be"),
        ("caf\udce9\t0\t5", "not UTF-8"),
        ("chromStart chromEnd name", "start must be"),
        ("track\t-1\t5", "start must be"),
        ("browser 1.5 7", "start must be"),
        ("track\t\t1\t5", "start must be"),
        ("track\t" + "0" * 30 + "1\t5", "start must be"),
        ("x" * 100_000, "is no BED line"),
    ],
)
def test_lines_that_are_refused(line: str, message: str) -> None:
    with pytest.raises(SequenceError, match=message) as caught:
        read(f"chr1\t0\t5\n{line}")
    assert "line 2 of x.bed" in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("score", ["nan", "-inf", "1e999", "high", "0x1", "1_0", "--1"])
def test_scores_that_are_no_numbers(score: str) -> None:
    (line,) = bed_lines([f"a\t0\t5\tX\t{score}"], "x")
    with pytest.raises(SequenceError, match="line 1 of x is no BED line: its score"):
        _ = line.score


def test_strands_and_columns_that_are_refused() -> None:
    (line,) = bed_lines(["a\t0\t5\tX\t0\tplus\t1.5"], "x")
    with pytest.raises(SequenceError, match="the strand must be"):
        _ = line.strand
    for column in (7, 10):
        with pytest.raises(SequenceError, match=rf"whole number as summit \(column {column}\)"):
            line.whole_number(column, "summit")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.bed"
    for data in (b"\xef\xbb\xbfa\t0\t5\r\na\t1\t2\r\n", gzip.compress(b"a\t0\t5\ra\t1\t2")):
        path.write_bytes(data)
        assert [(line.start, line.end) for line in read_bed(path)] == [(0, 5), (1, 2)]
    with pytest.raises(SequenceError, match="give the path of a BED file"):
        list(read_bed(tmp_path / "absent"))
