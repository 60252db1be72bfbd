"""FASTA files as a source: the same records in any form of the file, read a stretch at a time."""

import gzip
from pathlib import Path

import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution_bench.errors import SequenceError
from attribution_bench.sequences import PROTEIN
from attribution_bench.sequences.fasta_source import FastaSource
from attribution_bench.sequences.source import Reason, SourceRecord

TEXT = ">a first\nACGT\nacgn\n\n>b\nTTTTCCCC\n>b\nGGGGGGGG\n>c\nACGTACGT\n"
RECORDS = [("a", "ACGTACGN"), ("b", "TTTTCCCC"), ("b", "GGGGGGGG"), ("c", "ACGTACGT")]


def forms(folder: Path) -> list[Path]:
    """Write the same records plain, wrapped otherwise, with other ends of lines, gzipped and bgzipped."""
    texts = {
        "plain.fa": TEXT.encode(),
        "wrapped.fa": b"\xef\xbb\xbf>a first\r\nAC\r\nGTACGN\r\n>b\rTTTTCCCC\r\n>b\nGGGGGGGG\n>c\nACGTACGT",
        "gzip.fa": gzip.compress(TEXT.encode()),
    }
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    pysam.tabix_compress(str(folder / "plain.fa"), str(folder / "bgzip.fa.gz"))
    return [*(folder / name for name in texts), folder / "bgzip.fa.gz"]


def test_every_form_gives_the_same_records(tmp_path):
    sources = [FastaSource(path) for path in forms(tmp_path)]
    for source in sources:
        assert [(record.name, record.sequence) for record in source.read(0, 4)] == RECORDS
        assert (len(source), source.length) == (4, 8)
        assert source.description == sources[0].description


def test_stretches_in_any_order(tmp_path):
    for path in forms(tmp_path):
        source = FastaSource(path)
        for start, stop in ((2, 4), (0, 1), (1, 1), (1, 3), (3, 4), (0, 4)):
            found = [(record.name, record.sequence) for record in source.read(start, stop)]
            assert found == RECORDS[start:stop]


def test_records_that_are_set_aside_keep_their_places(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">a\n>b\nMKLV\n>c\nMK\n>d\nMK1V\n>e\nmkxv\n")
    source = FastaSource(path, PROTEIN)
    assert source.length == 4
    assert source.read(0, 5) == [
        SourceRecord("a", None, reason=Reason.EMPTY),
        SourceRecord("b", "MKLV"),
        SourceRecord("c", None, reason=Reason.OTHER_LENGTH, detail="2 letters, not 4"),
        SourceRecord("d", None, reason=Reason.OTHER_LETTERS, detail="'1' at position 2"),
        SourceRecord("e", "MKXV"),
    ]
    shorter = FastaSource(path, PROTEIN, length=2)
    assert [record.sequence for record in shorter.read(0, 5)] == [None, None, "MK", None, None]


def test_names_and_letters_that_are_no_text_or_have_odd_capitals(tmp_path):
    path = tmp_path / "a.fa"
    path.write_bytes(">c\xe9 x\nmk\xe9\n".encode("latin-1") + ">d\x0bmore\nM\u0131K\n>e\u2028f\nM K\tV\n".encode())
    first, second, third = FastaSource(path, PROTEIN).read(0, 3)
    assert (first.name, first.reason, first.detail) == ("c\ufffd", Reason.OTHER_LETTERS, r"'\xe9' at position 2")
    assert (second.name, second.reason, second.detail) == ("d", Reason.OTHER_LETTERS, "'\u0131' at position 1")
    assert (third.name, third.sequence) == ("e\u2028f", "MKV")


def test_a_file_that_lost_records_is_noticed(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(TEXT)
    source = FastaSource(path)
    path.write_text(">a\nACGTACGT\n")
    with pytest.raises(SequenceError, match="it had 4 records, now 1"):
        source.read(2, 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b">a\n>b\n", "no record with letters"),
        (b"ACGT\n", "before any header"),
        (b">\nACGT\n", "header without a name"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "damaged gzip"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, words):
    (tmp_path / "a.fa").write_bytes(content)
    with pytest.raises(SequenceError, match=words):
        FastaSource(tmp_path / "a.fa")
    with pytest.raises(SequenceError, match="cannot read"):
        FastaSource(tmp_path / "none.fa")


@given(st.one_of(st.binary(max_size=80), st.text(">ACGTNacgtR \n\r\t\x00\ufeff\u2028", max_size=60).map(str.encode)))
def test_any_bytes_are_records_or_one_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "a.fa"
    path.write_bytes(content)
    try:
        source = FastaSource(path)
    except SequenceError:
        return
    records = source.read(0, len(source))
    assert len(records) == len(source)
    for record in records:
        assert (record.sequence is None) == (record.reason is not None)
        assert record.sequence is None or len(record.sequence) == source.length
        record.name.encode()
