"""Regions as sequences of one length: what stands in the middle, strands, ends of contigs, and what is set aside."""

import gzip
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attribution_bench.errors import InvalidInputError, SequenceError
from attribution_bench.sequences.alphabet import DNA, PROTEIN, RNA
from attribution_bench.sequences.genome import Genome
from attribution_bench.sequences.regions import (
    Region,
    RegionSource,
    Windows,
    default_anchor,
    is_locus,
    parse_locus,
    read_regions,
)
from attribution_bench.sequences.source import Assuming, Reason, SequenceSource, SourceRecord

CHR1 = "".join(np.random.default_rng(1).choice(list("ACGT"), 200))
GAP = CHR1[:40] + "N" * 30 + CHR1[70:100]


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr1\n{CHR1}\n>gap\n{GAP}\n>n\n{'N' * 50}\n")
    return Genome(path)


def records(genome: Genome, *regions: Region, windows: Windows) -> list[SourceRecord]:
    source: SequenceSource = RegionSource(regions, genome, windows, label="x")
    return source.read(0, len(source))


@pytest.mark.parametrize("length", [1, 10, 11])
@pytest.mark.parametrize(("start", "end"), [(100, 101), (100, 110), (101, 112), (90, 120), (91, 120)])
def test_a_region_is_resized_about_its_centre(genome: Genome, length: int, start: int, end: int) -> None:
    (record,) = records(genome, Region("chr1", start, end), windows=Windows(length))
    assert record.sequence == CHR1[record.start : record.end]
    assert len(record.sequence) == length
    centre, middle = (start + end) / 2, (record.start + record.end) / 2
    assert abs(centre - middle) <= 0.5
    if length == end - start:
        assert (record.start, record.end) == (start, end)
    assert record.interval is not None
    assert (record.name, str(record.interval)) == (f"chr1:{start}-{end}", f"chr1:{record.start}-{record.end}(+)")


def test_a_summit_stands_where_the_centre_would(genome: Genome) -> None:
    peak, without = Region("chr1", 50, 90, summit=53), Region("chr1", 50, 90)
    about = [r.start for r in records(genome, peak, without, windows=Windows(21, anchor="summit"))]
    assert about == [43, 60]
    assert [r.start for r in records(genome, peak, windows=Windows(21))] == [60]


PEAKS = (
    "chr1\t20\t60\ta\t9\t.\t1.5\t-1\t2e3\t8\nchr1\t80\t120\tb\t9\t+\t1\t1\t1\t20\nchr1\t80\t99\tc\t0\t.\t1\t1\t1\t-1\n"
)


def test_summits_of_a_file_that_is_not_named_narrow_peak_are_told_of(
    genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, renamed, packed = (tmp_path / name for name in ("a.narrowPeak", "a.bed", "ENCFF.bed.gz"))
    for path in (named, renamed):
        path.write_text(PEAKS)
    packed.write_bytes(gzip.compress(PEAKS.encode(), mtime=0))
    about_summits = [18, 90, 79]
    assert [r.start for r in read_regions(named, genome, Windows(20)).read(0, 3)] == about_summits
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PEAKS.encode())))
    for path, name in ((renamed, "a.bed"), (packed, "ENCFF.bed.gz"), ("-", "standard input")):
        source = read_regions(path, genome, Windows(20))
        assert [r.start for r in source.read(0, 3)] == [30, 90, 79]
        (words,) = source.assumptions
        assert words.startswith(f"{name} has the ten columns of narrowPeak")
        assert "1 of 3 summits elsewhere" in words
        assert isinstance(source, Assuming)
    for anchor, starts in (("summit", about_summits), ("centre", [30, 90, 79])):
        source = read_regions(renamed, genome, Windows(20, anchor=anchor))
        assert ([r.start for r in source.read(0, 3)], source.assumptions) == (starts, ())


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\t8\n", "\t20\n"),  # every summit is a centre, or was not called
        lambda text: text.replace("\t8\n", "\t40\n"),  # beyond its region
        lambda text: text.replace("\t8\n", "\t8\tmore\n"),
        lambda text: text.replace("2e3", "x"),
        lambda text: "chr1\t5\t9\n" + text,
    ],
)
def test_columns_of_another_meaning_are_not_taken_for_summits(genome: Genome, tmp_path: Path, change: Any) -> None:
    (tmp_path / "a.bed").write_text(change(PEAKS))
    assert read_regions(tmp_path / "a.bed", genome, Windows(20)).assumptions == ()


def test_the_strand_is_respected_when_asked(genome: Genome) -> None:
    regions = [Region("chr1", 50, 60, strand=strand) for strand in ("+", "-", ".")]
    plain = records(genome, *regions, windows=Windows(10))
    assert [r.sequence for r in plain] == [CHR1[50:60]] * 3
    assert {r.strand for r in plain} == {"+"}
    plus, minus, unknown = records(genome, *regions, windows=Windows(10, stranded=True))
    assert (plus.sequence, minus.strand, unknown.strand) == (CHR1[50:60], "-", "+")
    complement = {"A": "T", "C": "G", "G": "C", "T": "A"}
    assert minus.sequence == "".join(complement[letter] for letter in reversed(CHR1[50:60]))


def test_beyond_a_contig_a_region_is_dropped_or_padded(genome: Genome) -> None:
    regions = [Region("chr1", 0, 4), Region("chr1", 197, 199), Region("chr1", 300, 310), Region("chr1", 95, 105)]
    dropped = records(genome, *regions, windows=Windows(20))
    assert [r.reason for r in dropped] == [Reason.OFF_CONTIG] * 3 + [None]
    assert dropped[0].detail == "-8 to 12, where chr1 has 200 letters"
    left, right, outside, inside = records(genome, *regions, windows=Windows(20, overhang="pad"))
    assert left.sequence == "N" * 8 + CHR1[:12]
    assert right.sequence == CHR1[188:] + "N" * 8
    assert outside.reason == Reason.OFF_CONTIG
    assert inside == dropped[3]
    assert left.interval is None
    assert (left.start, left.end) == (-8, 12)


def test_what_cannot_be_scored_keeps_its_place_with_a_reason(genome: Genome) -> None:
    found = records(
        genome,
        Region("chr1", 50, 50),
        Region("chr1", 60, 50),
        Region("1", 50, 60),
        Region("n", 20, 30),
        Region("gap", 45, 65),
        Region("gap", 25, 45),
        Region("chr1", 50, 60, summit=60),
        Region("chr1", 50, 60),
        windows=Windows(20),
    )
    assert [r.reason for r in found] == [
        Reason.BAD_INTERVAL,
        Reason.BAD_INTERVAL,
        Reason.NO_CONTIG,
        Reason.ONLY_UNKNOWN,
        Reason.ONLY_UNKNOWN,
        None,
        Reason.BAD_INTERVAL,
        None,
    ]
    assert [(r.sequence is None) for r in found] == [(r.reason is not None) for r in found]
    assert "which has 'chr1'" in found[2].detail


@pytest.mark.parametrize(("share", "kept"), [(0.0, False), (0.24, False), (0.25, True), (1.0, True)])
def test_the_share_of_unknown_letters_decides(genome: Genome, share: float, kept: bool) -> None:
    (record,) = records(genome, Region("gap", 30, 40), windows=Windows(20, largest_unknown_share=share))
    assert (record.reason is None) is kept
    assert record.detail == ("" if kept else "5 of 20 letters")


def test_padding_does_not_count_as_unknown(genome: Genome) -> None:
    windows = Windows(100, overhang="pad", largest_unknown_share=0)
    assert records(genome, Region("chr1", 0, 2), windows=windows)[0].reason is None


def test_duplicates_are_kept_and_counted(genome: Genome) -> None:
    regions = [Region("chr1", 50, 60, "a"), Region("chr1", 50, 60, "b"), Region("chr1", 45, 65), Region("n", 50, 60)]
    source = RegionSource(regions, genome, Windows(10), label="x")
    assert (len(source), source.duplicates) == (4, 2)
    assert [r.name for r in source.read(0, 4)] == ["a", "b", "chr1:45-65", "n:50-60"]


def test_stretches_of_records_are_those_of_the_whole(genome: Genome) -> None:
    regions = [Region("chr1", start, start + 5, f"r{start}", "-") for start in range(30)]
    source = RegionSource(regions, genome, Windows(10, stranded=True), label="x")
    every = source.read(0, 30)
    assert source.read(20, 30) + source.read(0, 7) == every[20:] + every[:7]


NARROW_PEAK = "chr1\t50\t90\tpeak1\t0\t.\t1\t1\t1\t3\nchr1\t50\t90\t.\t0\t-\t1\t1\t1\t-1\n"


@pytest.mark.parametrize("form", ["plain", "gzip", "stdin"])
def test_narrow_peaks_are_read(genome: Genome, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "peaks.narrowPeak"
    path.write_bytes(gzip.compress(NARROW_PEAK.encode()) if form == "gzip" else NARROW_PEAK.encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(NARROW_PEAK.encode())))
    windows = Windows(20, default_anchor(path), stranded=True)
    source = read_regions("-" if form == "stdin" else path, genome, windows)
    assert [(r.name, r.start, r.strand) for r in source.read(0, 2)] == [("peak1", 43, "+"), ("chr1:50-90", 60, "-")]
    assert source.label.startswith("regions of ")


def test_the_description_tells_sources_apart(genome: Genome) -> None:
    regions = [Region("chr1", 50, 60)]
    first = RegionSource(regions, genome, Windows(10), label="x").description
    assert first == RegionSource(regions, genome, Windows(10), label="y").description
    others = [
        RegionSource([Region("chr1", 50, 61)], genome, Windows(10), label="x"),
        RegionSource(regions, genome, Windows(11), label="x"),
        RegionSource(regions, genome, Windows(10, stranded=True), label="x"),
        RegionSource(regions, genome, Windows(10), label="x", alphabet=RNA),
    ]
    assert all(other.description != first for other in others)
    assert str(genome.path.parent) not in str(first)


def test_rna_has_u_for_t(genome: Genome) -> None:
    regions, windows = [Region("chr1", 50, 60, strand="-")], Windows(10, stranded=True)
    dna = RegionSource(regions, genome, windows, label="x", alphabet=DNA).read(0, 1)[0].sequence
    rna = RegionSource(regions, genome, windows, label="x", alphabet=RNA).read(0, 1)[0].sequence
    assert dna is not None
    assert rna == dna.replace("T", "U")
    with pytest.raises(InvalidInputError, match="not of the protein alphabet"):
        RegionSource(regions, genome, windows, label="x", alphabet=PROTEIN)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [("chr1:1000-2000", 999, 2000), ("chr1:1,001-2,000", 1000, 2000), ("chr1:7", 6, 7), (" chr1:1-1 ", 0, 1)],
)
def test_loci_are_read_as_browsers_write_them(text: str, start: int, end: int) -> None:
    assert is_locus(text)
    region = parse_locus(text)
    assert (region.contig, region.start, region.end) == ("chr1", start, end)


def test_a_contig_with_a_colon_is_a_contig() -> None:
    assert parse_locus("HLA-A*01:01:5-9").contig == "HLA-A*01:01"


@pytest.mark.parametrize(
    "text", ["", "chr1", "chr1:", "chr1:0-5", "chr1:9-5", "chr1:a-b", "chr1:-5-3", ":1-2", "chr1:,-,"]
)
def test_what_is_no_locus_is_one_error(text: str) -> None:
    with pytest.raises(SequenceError):
        parse_locus(text)


@pytest.mark.parametrize(
    ("text", "windows", "message"),
    [
        ("", Windows(10), "holds no region"),
        ("#only a comment\n", Windows(10), "holds no region"),
        ("chr1\t5\n", Windows(10), "line 1 of"),
        ("chr1\t5\t9\nchr1\tx\t9\n", Windows(10), "line 2 of"),
        ("chr1\t5\t9\n", Windows(10, anchor="summit"), "summit"),
        ("chr1\t5\t9\tn\t0\t*\n", Windows(10), "strand"),
    ],
)
def test_a_file_of_no_regions_is_one_error(
    genome: Genome, text: str, windows: Windows, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.bed"
    path.write_text(text)
    with pytest.raises(SequenceError, match=message):
        read_regions(path, genome, windows)


@pytest.mark.parametrize(
    "options", [{"length": 0}, {"anchor": "end"}, {"overhang": "wrap"}, {"largest_unknown_share": 1.5}]
)
def test_windows_that_cannot_be_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        Windows(**{"length": 10, **options})  # type: ignore[arg-type]
