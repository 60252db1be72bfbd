"""FASTA files as people have them, and what is said of those that cannot be used."""

import gzip
import hashlib

import numpy as np
import pytest

from attribution_bench import DNA, PROTEIN, RNA
from attribution_bench.errors import SequenceError
from attribution_bench.sequences import Sequences, read_fasta, write_fasta

PLAIN = b">first of two\nACGT\nAC\n>second\nNNGTAC\n"
SAME = [
    PLAIN,
    b">first of two\nACGTAC\n>second\nNNGTAC",
    b">first\r\nacg\r\ntac\r\n\r\n>second\r\nnnGTac\r\n",
    b"\xef\xbb\xbf\n>  first\nAC GT AC\n> second\nNNGTAC\n\n",
    gzip.compress(PLAIN, mtime=0),
    PLAIN.replace(b"\n", b"\r"),
    b">first caf\xe9 \xfe\xff\nACGTAC\n>second \xc3\xa9\nNNGTAC\n",
    ">first a\u2028b\nACGTAC\n>second x\x0bACGT\x1cACGT\x85>third\nNNGTAC\n".encode(),
    b">first\tof two\nAC\tGT AC\n>second\x0cpage\n\tNNGTAC\n",
    gzip.compress(PLAIN[:13], mtime=0) + gzip.compress(PLAIN[13:], mtime=0) + bytes(20),
]
NAMED = [
    *("wrapped", "one line", "CRLF, lower case", "BOM, spaces", "gzip", "CR", "other encodings in descriptions"),
    *("separators of other kinds", "tabs", "members of gzip"),
]


def write(folder, data):
    path = folder / "sequences.fa"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("data", SAME, ids=NAMED)
def test_forms_of_one_content(tmp_path, data):
    sequences = read_fasta(write(tmp_path, data))
    assert sequences == Sequences(("first", "second"), ("ACGTAC", "NNGTAC"), sequences.source)
    assert sequences.source == "sequences.fa (2 sequences of 6 letters)"
    assert (len(sequences), sequences.length) == (2, 6)
    assert sequences.sha256 == hashlib.sha256(b"ACGTAC\nNNGTAC").hexdigest()
    expected = np.zeros((2, 4, 6))
    for row, string in enumerate(sequences.strings):
        for position, letter in enumerate(string):
            if letter != "N":
                expected[row, "ACGT".index(letter), position] = 1
    assert np.array_equal(sequences.one_hot(), expected)


def test_names_may_repeat(tmp_path):
    assert read_fasta(write(tmp_path, b">a\nAC\n>a\nGT\n")).names == ("a", "a")


@pytest.mark.parametrize(("alphabet", "letters"), [(RNA, "ACGUN"), (PROTEIN, "MKWVX")])
def test_other_alphabets(tmp_path, alphabet, letters):
    sequences = read_fasta(write(tmp_path, f">a\n{letters}\n".encode()), alphabet)
    assert sequences.strings == (letters,)
    assert sequences.one_hot().shape == (1, len(alphabet), len(letters))
    assert sequences.one_hot().sum() == len(letters) - 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "sequences.fa is empty; give a FASTA file"),
        (b"\n \n", "sequences.fa is empty; give a FASTA file"),
        (b"ACGT\n", "line 1 of .* comes before any header"),
        (b"\n\nACGT\n>a\nAC\n", "line 3 of .* comes before any header"),
        (b">\nACGT\n", "line 1 of .* is a header without a name"),
        (b">a\nACGT\n>b\n", r"record 2 \(b\) of .* has no letters"),
        (b">a\nACGT\n>b\nAC\nGR\n", r"record 2 \(b\) of .* holds 'R' at position 3 .*DNA alphabet \(ACGT\)"),
        (b">a\nACGT\n>b\nACG\n", r"record 2 \(b\) of .* has 3 letters, but the first one \(a\) has 4"),
        (b">a\nAC\xff\xfe\n", "is not text"),
        (b">caf\xe9\nACGT\n", r"line 1 of .*: the name 'caf\\xe9' is not UTF-8"),
        (b">a\nAC\x0cGT\n", r"holds '\\x0c' at position 2"),
        (b">a\nACGT\nAC\xc2\xa0T\n", r"holds '\\xa0' at position 6"),
        (">a\nAC\u0131T\n".encode(), "holds '\u0131' at position 2"),
        (b">a\nAC\0T\n", "line 2 of .* is not text"),
        (">a\nACGT\n".encode("utf-16"), "is not text but UTF-16"),
        (b"@a\nACGT\n+\nIIII\n", "line 1 of .* comes before any header"),
        (gzip.compress(PLAIN, mtime=0)[:-9], "is a damaged gzip file"),
        (b"\x1f\x8bnonsense", "is a damaged gzip file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, data, message):
    with pytest.raises(SequenceError, match=message):
        read_fasta(write(tmp_path, data), DNA)


def test_a_path_that_cannot_be_read(tmp_path):
    with pytest.raises(SequenceError, match=r"cannot read .*missing\.fa: No such file"):
        read_fasta(tmp_path / "missing.fa")
    with pytest.raises(SequenceError, match="Is a directory"):
        read_fasta(tmp_path)


def test_what_is_written_is_what_is_read(tmp_path):
    given = read_fasta(write(tmp_path, PLAIN))
    again = read_fasta(write_fasta(tmp_path / "again.fa", given))
    assert (again.names, again.strings) == (given.names, given.strings)


@pytest.mark.parametrize("letter", ["\u0131", "\u017f", "\xdf", "\ufb01"])
def test_letters_whose_capitals_are_in_the_alphabet_are_refused(tmp_path, letter):
    with pytest.raises(SequenceError, match=f"holds '{letter}' at position 1"):
        read_fasta(write(tmp_path, f">a\nM{letter}K\n".encode()), PROTEIN)


@pytest.mark.parametrize("name", ["", "seq 1", "a\nb", "a\r", "\tb", "a\0", "\udce9"])
def test_names_that_would_not_be_read_back_are_not_written(tmp_path, name):
    with pytest.raises(SequenceError, match="cannot hold the name"):
        write_fasta(tmp_path / "again.fa", Sequences(("a", name), ("ACGT",) * 2, "x"))
    assert not (tmp_path / "again.fa").exists()


def test_unusual_names_are_read_back(tmp_path):
    given = Sequences((">a", "#b", "a\u2028b", "caf\xe9:1-2(+)", "\x1b[31m"), ("ACGT",) * 5, "x")
    assert read_fasta(write_fasta(tmp_path / "again.fa", given)).names == given.names
