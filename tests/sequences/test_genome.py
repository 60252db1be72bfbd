import gzip
import os
import stat
from pathlib import Path

import numpy as np
import pysam
import pytest

from attribution_bench.errors import OutputError, SequenceError
from attribution_bench.sequences.genome import Genome

LETTERS = {"chr1": "".join(np.random.default_rng(0).choice(list("ACGTNacgtnRyU"), 1003)), "chr2": "ACGTTGCA"}
KNOWN = {
    name: letters.upper().replace("R", "N").replace("Y", "N").replace("U", "T") for name, letters in LETTERS.items()
}


def written(path: Path, contigs: dict[str, str] = LETTERS, width: int = 60) -> Path:
    lines = []
    for name, letters in contigs.items():
        lines += [f">{name} a description", *(letters[i : i + width] for i in range(0, len(letters), width))]
    path.write_text("\n".join(lines) + "\n")
    return path


def compressed(path: Path) -> Path:
    target = path.with_suffix(".fa.gz")
    pysam.tabix_compress(str(path), str(target))
    return target


@pytest.fixture(params=["plain", "bgzip"])
def fasta(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = written(tmp_path / "genome.fa")
    return path if request.param == "plain" else compressed(path)


def test_stretches_hold_the_letters_of_the_file(fasta: Path) -> None:
    with Genome(fasta) as genome:
        assert dict(genome.contigs) == {"chr1": 1003, "chr2": 8}
        for start, end in ((0, 1003), (0, 1), (59, 61), (1002, 1003), (500, 500), (1003, 1003)):
            assert genome.fetch("chr1", start, end) == KNOWN["chr1"][start:end]


@pytest.mark.parametrize(
    ("start", "end", "letters"),
    [
        (-3, 4, "NNNACGT"),
        (6, 11, "CANNN"),
        (-2, 10, "NNACGTTGCANN"),
        (-5, -1, "NNNN"),
        (8, 11, "NNN"),
        (20, 22, "NN"),
        (2, 2, ""),
        (0, 8, "ACGTTGCA"),
    ],
)
def test_beyond_the_ends_of_a_contig_letters_are_unknown(fasta: Path, start: int, end: int, letters: str) -> None:
    assert Genome(fasta).fetch_padded("chr2", start, end) == letters


def test_the_index_is_made_beside_the_file_and_used_again(fasta: Path) -> None:
    Genome(fasta)
    index = fasta.with_name(fasta.name + ".fai")
    made = index.stat().st_mtime_ns
    assert index.read_text().startswith("chr1\t1003\t")
    Genome(fasta)
    assert index.stat().st_mtime_ns == made
    assert not list(fasta.parent.glob(".index-*"))


def test_an_index_of_other_contents_is_made_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "genome.fa")
    Genome(path)
    shifted = {"chr1": "G" * 70 + LETTERS["chr1"], "chr2": LETTERS["chr2"]}
    state = path.stat()
    written(path, shifted)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Genome(path).fetch("chr1", 60, 80) == "G" * 10 + KNOWN["chr1"][:10]


@pytest.mark.parametrize("text", ["", "nonsense\n", "chr1\t-5\t0\t0\t0\n", "chr1\t1003\t20\t60\t61\n", "\x00\xff"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "genome.fa")
    path.with_name("genome.fa.fai").write_bytes(text.encode("latin-1"))
    assert Genome(path).fetch("chr2", 0, 8) == "ACGTTGCA"


def test_where_the_folder_cannot_be_written_the_index_goes_to_the_cache(
    fasta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != fasta.parent and access(path, mode))
    assert Genome(fasta).fetch("chr2", 0, 8) == "ACGTTGCA"
    made = {path: path.stat().st_mtime_ns for path in cache.rglob("*.fai")}
    assert len(made) == 1
    assert not fasta.with_name(fasta.name + ".fai").exists()
    assert Genome(fasta).fetch("chr2", 0, 8) == "ACGTTGCA"
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.fai")} == made


def test_an_index_that_cannot_be_written_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "genome.fa")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="cannot write the index"):
        Genome(path)


@pytest.mark.parametrize(
    ("held", "asked", "named"),
    [("chr1", "1", "'chr1'"), ("1", "chr1", "'1'"), ("MT", "chrM", "'MT'"), ("chrM", "MT", "'chrM'"), ("X", "7", "X")],
)
def test_a_contig_under_another_name_is_named_and_not_guessed(
    tmp_path: Path, held: str, asked: str, named: str
) -> None:
    genome = Genome(written(tmp_path / "genome.fa", {held: "ACGT"}))
    with pytest.raises(SequenceError, match=f"contig '{asked}' is not in genome.fa, which has {named}"):
        genome.fetch(asked, 0, 2)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (0, 9), (5, 4)])
def test_a_stretch_beyond_the_contig_is_refused(fasta: Path, start: int, end: int) -> None:
    with pytest.raises(SequenceError, match="is not within contig 'chr2', which has 8 letters"):
        Genome(fasta).fetch("chr2", start, end)


@pytest.mark.parametrize(
    "text",
    ["", "ACGT\n", ">a\nACG\nACGT\nA\n", "<html>\n", "\x00\x01", ">a\nAC\n>b\nGG\n>a\nTT\n", ">a\nA*G\n", ">a\nA G\n"],
)
def test_what_is_no_fasta_is_one_error(tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "genome.fa"
    path.write_text(text)
    with pytest.raises(SequenceError):
        Genome(path).fetch("a", 0, 3)
    assert capfd.readouterr() == ("", "")


def test_gzip_that_is_not_bgzip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(gzip.compress(b">a\nACGT\n"))
    with pytest.raises(SequenceError, match="compress it with bgzip"):
        Genome(path)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.fa", tmp_path):
        with pytest.raises(SequenceError, match="cannot read"):
            Genome(path)


def test_the_index_can_be_read_by_others(fasta: Path) -> None:
    Genome(fasta)
    assert stat.S_IMODE(fasta.with_name(fasta.name + ".fai").stat().st_mode) & stat.S_IRGRP
