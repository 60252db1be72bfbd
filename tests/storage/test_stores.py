"""Stores read back and exported, on jobs that need no framework."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas
import pyBigWig
import pytest

from attribution_bench.errors import InvalidInputError, OutputError
from attribution_bench.jobs.run import run
from attribution_bench.sequences import DNA, Interval, Sequences
from attribution_bench.sequences.listed_source import ListedSource
from attribution_bench.sequences.source import SourceRecord
from attribution_bench.storage import StoredScores
from attribution_bench.storage.exports.bigwig import export_bigwig, read_sizes
from attribution_bench.storage.exports.chrombpnet import export_chrombpnet
from attribution_bench.storage.exports.modisco import export_modisco
from attribution_bench.storage.exports.overlaps import Pile
from attribution_bench.storage.exports.tables import export_parquet, export_tsv
from attribution_bench.storage.selected_scores import SelectedScores
from numpy_jobs import METHODS, NumpyModel, numpy_job, write_random_fasta


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    return write_random_fasta(tmp_path / "a.fa", 10, 12)


def stored(fasta: Path, path: Path, **job) -> StoredScores:
    run(numpy_job(fasta, **job), path)
    return StoredScores(path)


def test_what_is_not_scored_yet_is_told_from_what_is(fasta, tmp_path):
    run(numpy_job(fasta), tmp_path / "store", stop=iter([None, signal.SIGINT]).__next__)
    scores = StoredScores(tmp_path / "store")
    assert (len(scores), scores.complete, scores.scored.tolist()) == (10, False, [0, 1, 2, 3])
    assert len(list(scores.results("weights"))) == 1
    with pytest.raises(InvalidInputError, match=r"sequence 7.*not scored yet"):
        scores.one("weights", 7)
    # A shard of which some files are there counts as not scored, whatever they hold.
    (tmp_path / "store/markers/000000.json").unlink()
    (tmp_path / "store/sequence_name/c/0").write_bytes(b"torn")
    assert StoredScores(tmp_path / "store").scored.tolist() == []
    with pytest.raises(InvalidInputError, match="no scored sequence: its job has scored none yet"):
        SelectedScores(StoredScores(tmp_path / "store"))
    poisoned = tmp_path / "poisoned.fa"
    poisoned.write_text(">a\nACGT\n>b\nACGG\n")
    with pytest.raises(InvalidInputError, match="no scored sequence: every one is set aside"):
        SelectedScores(stored(poisoned, tmp_path / "poisoned", options={"poison": "A"}))


def test_sequences_are_found_by_name_or_index(tmp_path):
    fasta = tmp_path / "a.fa"
    fasta.write_text(">1\nACGT\n>twice\nAAAA\n>twice\nCCCC\n>0\nGGGG\n")
    scores = stored(fasta, tmp_path / "store")
    assert [scores.index(name) for name in ("1", "0", "2")] == [0, 3, 2]
    for name, words in (("twice", "2 sequences are named"), ("4", "no sequence '4'"), ("peak", "no sequence 'peak'")):
        with pytest.raises(InvalidInputError, match=words):
            scores.index(name)


def test_what_a_store_does_not_hold_is_named(fasta, tmp_path):
    scores = stored(fasta, tmp_path / "store", contents=("convergence_delta",))
    with pytest.raises(InvalidInputError, match="no scores of 'fastism', but of weights"):
        scores.result("fastism", 0, 2)
    with pytest.raises(InvalidInputError, match="only convergence_delta"):
        scores.result("weights", 0, 2)
    with pytest.raises(InvalidInputError, match="only convergence_delta"):
        SelectedScores(scores)


def test_folders_that_are_no_stores_are_refused(fasta, tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(OutputError, match="holds no store"):
            StoredScores(folder)
    store = tmp_path / "store"
    stored(fasta, store)
    group = json.loads((store / "zarr.json").read_text())
    group["attributes"]["format"] = 99
    (store / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(OutputError, match="format 99"):
        StoredScores(store)
    group["attributes"] |= {"format": 1, "metadata": "{}"}
    (store / "zarr.json").write_text(json.dumps(group))
    with pytest.raises(OutputError, match="no store of attributions"):
        StoredScores(store)


def test_a_damaged_chunk_is_an_error_and_no_number(fasta, tmp_path):
    scores = stored(fasta, tmp_path / "store")
    (tmp_path / "store/weights_scores/c/0/0/0").write_bytes(b"damage")
    with pytest.raises(OutputError, match="damaged"):
        scores.result("weights", 0, 2)


def test_observed_scores_alone_are_marked_and_not_taken_for_hypothetical_ones(fasta, tmp_path):
    scores = stored(fasta, tmp_path / "store", contents=("observed",))
    result = scores.result("weights", 0, 10)
    expected = METHODS["weights"](NumpyModel(0)).attribute(DNA.decode(result.one_hot))
    np.testing.assert_array_equal(result.observed, expected.observed)
    assert result.metadata["projected"] is True
    selected = SelectedScores(scores)
    for export in (export_modisco, export_chrombpnet):
        with pytest.raises(InvalidInputError, match="hypothetical scores"):
            export(selected, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (table,) = export_tsv(selected, tmp_path / "a.tsv")
    header, first, *_ = table.read_text().splitlines()
    assert header.split("\t")[-1] == "observed"
    assert np.float32(first.split("\t")[-1]) == expected.observed[0, 0]


def test_exports_leave_nothing_half_written(fasta, tmp_path, monkeypatch):
    selected = SelectedScores(stored(fasta, tmp_path / "store"))
    (tmp_path / "a file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    for export, name in (
        (export_modisco, "m"),
        (export_chrombpnet, "a.h5"),
        (export_tsv, "a.tsv"),
        (export_parquet, "p"),
    ):
        with pytest.raises(OutputError, match="cannot write"):
            export(selected, tmp_path / "a file" / name)

    def broken(self, start, stop):
        if start:
            raise OutputError("damaged")
        return part(self, start, stop)

    part = SelectedScores.part
    monkeypatch.setattr(SelectedScores, "part", broken)
    for export, name in ((export_chrombpnet, "a.h5"), (export_tsv, "a.tsv.gz"), (export_parquet, "a.parquet")):
        with pytest.raises(OutputError, match="damaged"):
            export(selected, tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


class Padded(ListedSource):
    """Regions of which the first begins before its contig and the last ends behind it."""

    def read(self, start, stop):
        found = [SourceRecord("a", "NNACGTAC", "chr1", -2, 6, "+"), SourceRecord("b", "ACGTACGT", "chr1", 4, 12, "-")]
        last = SourceRecord("c", "NNNTACGT", "chr1", 15, 23, "-", contig_length=20)
        return [*found, last][start:stop]


def test_regions_beyond_their_contig_have_scores_within_it_only(fasta, tmp_path):
    listed = Padded(Sequences(("a", "b", "c"), ("NNACGTAC", "ACGTACGT", "NNNTACGT"), "padded"))
    run(replace(numpy_job(fasta, contents=("scores", "observed")), source=listed), tmp_path / "store")
    scores = StoredScores(tmp_path / "store")
    assert scores.result("weights", 0, 1).intervals is None
    assert scores.result("weights", 1, 2).intervals == (Interval("chr1", 4, 12, "-"),)
    selected = SelectedScores(scores)
    observed = scores.result("weights", 0, 3).observed
    export_bigwig(selected, tmp_path / "a.bw", {"chr1": 20}, "first")
    with pyBigWig.open(str(tmp_path / "a.bw")) as file:
        values = file.values("chr1", 0, 20)
    expected = np.full(20, np.nan)
    expected[15:20] = observed[2][::-1][:5]
    expected[4:12] = observed[1][::-1]
    expected[0:6] = observed[0][2:]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    *_, regions = export_modisco(selected, tmp_path / "modisco")
    lines = [line.split("\t") for line in regions.read_text().splitlines()]
    assert [(line[1], line[2], line[9]) for line in lines] == [("0", "6", "2"), ("4", "12", "4"), ("15", "20", "4")]
    (table,) = export_tsv(selected, tmp_path / "a.tsv")
    positions = pandas.read_csv(table, sep="\t")["genome_position"].to_numpy().reshape(3, 8)
    assert positions[0].tolist() == [-1, -1, *range(6)]
    assert positions[2].tolist() == [-1, -1, -1, *range(19, 14, -1)]


def test_a_track_takes_places_and_sizes(fasta, tmp_path):
    selected = SelectedScores(stored(fasta, tmp_path / "store"))
    with pytest.raises(InvalidInputError, match=r"sequence 0 \(sequence_0\) has no place"):
        export_bigwig(selected, tmp_path / "a.bw", {"chr1": 20})
    with pytest.raises(InvalidInputError, match=r"ends in \.bw"):
        export_bigwig(selected, tmp_path / "a.wig", {"chr1": 20})
    with pytest.raises(InvalidInputError, match="overlaps must be"):
        export_bigwig(selected, tmp_path / "a.bw", {"chr1": 20}, "median")
    sizes = tmp_path / "genome.fa.fai"
    sizes.write_text("chr1\t20\t6\t60\t61\n\nchr2\t7\n")
    assert read_sizes(sizes) == {"chr1": 20, "chr2": 7}
    for text in ("chr1 20\n", "chr1\tmany\n"):
        sizes.write_text(text)
        with pytest.raises(InvalidInputError, match="no sizes of contigs"):
            read_sizes(sizes)


def test_exports_hold_the_mean_of_models_and_strands(fasta, tmp_path):
    letters = tuple("".join(np.random.default_rng(seed).choice(list("ACGT"), 12)) for seed in range(5))
    places = tuple(Interval("chr1", 20 * row, 20 * row + 12, "+-"[row % 2]) for row in range(5))
    source = ListedSource(Sequences(tuple("abcde"), letters, "made up", intervals=places))
    job = numpy_job(fasta, models=3, members=True, both_strands=True, shard_size=2)
    run(replace(job, source=source), tmp_path / "store")
    one_hot = DNA.one_hot(letters).astype(np.float64)
    passes = []
    for model in map(NumpyModel, range(3)):
        method = METHODS["weights"](model)
        passes += [
            method.attribute(letters).scores,
            method.attribute(np.ascontiguousarray(one_hot[:, ::-1, ::-1])).scores[:, ::-1, ::-1],
        ]
    scores = np.mean(passes, axis=0, dtype=np.float64)
    observed = (scores * one_hot).sum(axis=1)
    close = {"rtol": 1e-5, "atol": 1e-6}
    selected = SelectedScores(StoredScores(tmp_path / "store"))
    _, archive, _ = export_modisco(selected, tmp_path / "modisco")
    np.testing.assert_allclose(np.load(archive)["arr_0"], scores, **close)
    path, _ = export_chrombpnet(selected, tmp_path / "a.h5")
    with h5py.File(path) as file:
        np.testing.assert_allclose(file["shap/seq"], scores, **close)
        np.testing.assert_allclose(file["projected_shap/seq"], scores * one_hot, **close)
    for table in (
        pandas.read_csv(export_tsv(selected, tmp_path / "a.tsv")[0], sep="\t"),
        pandas.read_parquet(export_parquet(selected, tmp_path / "a.parquet")[0]),
    ):
        np.testing.assert_allclose(table["observed"].to_numpy().reshape(5, 12), observed, **close)
        np.testing.assert_allclose(table["score_T"].to_numpy().reshape(5, 12), scores[:, 3], **close)
    (path,) = export_bigwig(selected, tmp_path / "a.bw", {"chr1": 100})
    with pyBigWig.open(str(path)) as file:
        for row, place in enumerate(places):
            forward = observed[row][::-1] if place.strand == "-" else observed[row]
            np.testing.assert_allclose(file.values("chr1", place.start, place.end), forward, **close)


@pytest.mark.parametrize("overlaps", ["mean", "max", "first"])
def test_piles_of_regions_equal_a_loop_over_positions(overlaps):
    generator = np.random.default_rng(0)
    for _ in range(30):
        size, count = int(generator.integers(1, 60)), int(generator.integers(1, 8))
        starts = np.sort(generator.integers(-5, size, count))
        scores = generator.standard_normal((count, int(generator.integers(1, 20)))).astype(np.float32)
        order = generator.permutation(count)
        pile, found = Pile(size, overlaps), []
        for start, row in zip(starts, order, strict=True):
            found += pile.before(int(start))
            pile.add(int(start), scores[row], int(row))
        found += pile.before(size)
        expected = []
        for position in range(size):
            over = sorted(
                (int(row), float(scores[row][position - start]))
                for start, row in zip(starts, order, strict=True)
                if start <= position < start + scores.shape[1]
            )
            values = [score for _, score in over]
            if values:
                merged = {"mean": np.mean, "max": lambda v: max(v, key=abs), "first": lambda v: v[0]}[overlaps](values)
                expected.append((position, position + 1, pytest.approx(merged, rel=1e-6, abs=1e-9)))
        assert found == expected
